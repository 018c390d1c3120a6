# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Base class of the trees of the benchmarks."""

import math
import zlib
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from numpy.random import Generator

from ..landscape import Landscape
from ..locations import generator
from ..patterns import Field, noise
from ..publication import Tree
from ..scenes import ground_image
from ..sensor import PIXEL, Image, Sky, sky

#: Version of the generator. Trees of other versions hold other pixels.
VERSION = 1

_README = """\
# Synthetic sample of {title}

**SYNTHETIC**: no pixel here was measured, and nothing here is part of {title}. Landscapes,
weather and sensor are simulated by `torchgeo_saco.synthesis`, generator version {version},
seed {seed}; only layout, file names, types and the kinds of classes are those of the real data
set. Made for trying out software: numbers from it say nothing about the Earth, nor how an encoder
does on {title}.

{layout}
Reflectances, seasons and air are approximate. The same seed gives the same pixels.
"""


@dataclass(frozen=True)
class BenchmarkTree(ABC):
    """A tree in the layout of one benchmark; its fields are all that the pixels depend on."""

    #: Name of the benchmark in configuration files.
    name: ClassVar[str]

    #: Its published name.
    title: ClassVar[str]

    #: What an item is called, in the plural.
    unit: ClassVar[str]

    #: What the folders hold, in Markdown.
    layout: ClassVar[str]

    #: Seed of all randomness.
    seed: int = 0

    @property
    @abstractmethod
    def count(self) -> int:
        """How many items there are."""

    @abstractmethod
    def write(self, root: Path, number: int) -> Any:
        """Write the files of one item, and return what the lists of the tree need of it."""

    @abstractmethod
    def write_lists(self, root: Path, records: list[Any]) -> None:
        """Write what needs all items, such as the lists of the splits."""

    def tree(self) -> Tree[Any]:
        """Return the tree to publish."""
        parameters = {'name': self.name, 'version': VERSION, **asdict(self)}
        return Tree(
            'sample benchmark',
            'sample.json',
            parameters,
            self.count,
            f'{self.unit} of {self.title}',
            self.write,
            self._finish,
        )

    def rng(self, number: int, *purpose: int) -> Generator:
        """Randomness of one item for one use."""
        return generator(self.seed, zlib.crc32(self.name.encode()), number, *purpose)

    def _finish(self, root: Path, records: list[Any]) -> None:
        """Write lists and description."""
        self.write_lists(root, records)
        readme = _README.format(
            title=self.title, version=VERSION, seed=self.seed, layout=self.layout
        )
        (root / 'README.md').write_text(readme, encoding='utf-8')


@dataclass(frozen=True)
class Site:
    """A location with what does not change from date to date."""

    #: Degrees north, for the height of the sun.
    latitude: float

    #: Height of the 10 m pixels, in any unit with a standard deviation of about one.
    terrain: Field

    #: Share (0-1) of light soil in its soil.
    light_soil: float

    #: Days by which its seasons are late.
    late: float

    def ground(self, location: Landscape, day: int, rng: Generator) -> Image:
        """Reflectance (0-1) of its 5 m cells on one day of the year, bands first."""
        return ground_image(location, day - self.late, self.light_soil, rng)

    def clear_sky(self, day: int, rng: Generator) -> Sky:
        """Illumination and air on one day of the year, without clouds."""
        return sky(rng, self.latitude, day)._replace(cloud=0.0)


def site(rng: Generator, size: int, latitude: float) -> Site:
    """Draw what does not change from date to date.

    Args:
        rng: Source of randomness.
        size: Pixels of 10 m along the canvas.
        latitude: Degrees north.

    Returns:
        The site.
    """
    terrain = rng.uniform(0.2, 1.0) * noise(rng, size, 350, PIXEL)
    return Site(latitude, terrain, rng.uniform(0.3, 0.8), rng.normal(0, 5))


def canvas_size(pixels: int) -> int:
    """Pixels of 10 m along the smallest canvas that holds *pixels* and whole 60 m pixels."""
    return 6 * math.ceil(pixels / 6)


def split_sizes(count: int) -> tuple[int, int]:
    """Where the validation and the test part start among *count* items, 60/20/20."""
    return round(0.6 * count), round(0.8 * count)


def shuffled(rng: Generator, count: int) -> list[int]:
    """Numbers from 0 in random order."""
    return rng.permutation(count).tolist()
