# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Base class of the data sets of labelled images."""

import itertools
import re
import textwrap
from abc import abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor
from torchgeo.datasets import NonGeoDataset, RGBBandsMissingError
from torchgeo.datasets.utils import Path, Sample, quantile_normalization

from ..bands import band_names, known_sensor, natural_color
from ..io.raster import BandFileError

_TITLE_WIDTH = 45


class LabelledScenes(NonGeoDataset):
    """Images of a benchmark, each with one label or several.

    What a split holds is said by its official list; bands are read by name and stay the
    stored integers.
    """

    #: Names of the classes, in the order of the labels.
    classes: Sequence[str]

    #: Names of the images, in the order of the list.
    scenes: Sequence[str]

    #: Nothing is downloaded here, but by the datamodule; TorchGeo's message on missing data
    #: tells so.
    download = False

    def __init__(
        self,
        root: Path,
        split: str,
        splits: Sequence[str],
        bands: Sequence[str],
        sensor: str,
        transforms: Callable[[Sample], Sample] | None,
    ) -> None:
        """Initialize a new LabelledScenes instance.

        Args:
            root: Folder that holds the data set.
            split: Part of it.
            splits: Parts that it has.
            bands: Bands to read, in any spelling.
            sensor: Sensor of the bands, a key of :data:`torchgeo_saco.bands.SENSORS`.
            transforms: Transform of a sample.

        Raises:
            ValueError: If the split or a band is unknown.
        """
        if split not in splits:
            raise ValueError(f'split must be one of {", ".join(splits)}, got {split!r}')
        self.root = root
        self.split = split
        self.sensor = known_sensor(sensor)
        #: Names of the channels.
        self.bands = band_names(bands, sensor)
        self.transforms = transforms

    @abstractmethod
    def read_image(self, position: int) -> np.ndarray:
        """Stored numbers of one image, (C, H, W)."""

    @abstractmethod
    def read_label(self, position: int) -> Tensor:
        """Class of one image, or one 0 or 1 for each class, int64."""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.scenes)

    def __getitem__(self, index: int) -> Sample:
        """Stored numbers and label of one image.

        Args:
            index: Position in the list of the split.

        Returns:
            ``image`` (C, H, W) as stored; ``label``, int64: the class, or (number of
            classes) with 1 for each class of the image.

        Raises:
            IndexError: If *index* is out of range.
            ValueError: If a file is missing, damaged, or not as published; the message names it.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f'item {index} of split {self.split!r} with {len(self)} images')
        image = torch.from_numpy(self.read_image(index))
        sample: Sample = {'image': image, 'label': self.read_label(index)}
        return sample if self.transforms is None else self.transforms(sample)

    def plot(self, sample: Sample, show_titles: bool = True, suptitle: str | None = None) -> Figure:
        """Plot a sample in natural colour.

        Args:
            sample: A sample returned by :meth:`__getitem__`, and maybe a ``prediction`` in the
                form of its label.
            show_titles: Whether to write the names of the classes above the image.
            suptitle: Title of the figure.

        Returns:
            The figure.

        Raises:
            RGBBandsMissingError: If the bands of natural colour were not read.
        """
        channels = natural_color(self.bands, self.sensor)
        if channels is None:
            raise RGBBandsMissingError()
        # Each band on its own: haze would tint what the sensor sees above the atmosphere.
        image = torch.stack(
            [quantile_normalization(band) for band in sample['image'].float()[channels]]
        )
        figure, axis = plt.subplots(figsize=(4, 4.5), layout='constrained')
        axis.imshow(image.permute(1, 2, 0).numpy())
        axis.axis('off')
        if show_titles:
            axis.set_title('\n'.join(self._titles(sample)), fontsize='medium')
        if suptitle is not None:
            figure.suptitle(suptitle)
        return figure

    def _titles(self, sample: Sample) -> list[str]:
        """Lines that name the classes, true and predicted."""
        lines = []
        for key in ('label', 'prediction'):
            if key in sample:
                label = sample[key]
                numbers = label.nonzero().flatten() if label.ndim else label.reshape(1)
                names = ', '.join(self.classes[number] for number in numbers.tolist()) or 'none'
                lines += textwrap.wrap(f'{key.capitalize()}: {names}', _TITLE_WIDTH)
        return lines


def listed_scenes(path: Path, pattern: str, form: str) -> list[re.Match[str]]:
    """Lines of the list of a split.

    Args:
        path: Text file, one image a line.
        pattern: Regular expression of a whole line; its group ``scene`` names the image.
        form: What a line is, in words.

    Returns:
        The match of every line that is not blank, in the order of the file.

    Raises:
        ValueError: If a line has another form, or an image is listed twice.
    """
    known = re.compile(pattern, re.ASCII)
    matches = []
    lines: dict[str, int] = {}
    # Bytes that are no text are shown by the message, as any other wrong line.
    with open(path, encoding='utf-8-sig', errors='backslashreplace') as file:
        for number, line in enumerate(file, 1):
            text = line.strip()
            if not text:
                continue
            match = known.fullmatch(text)
            if match is None:
                raise ValueError(
                    f'{path}, line {number}: {text[:80]!r} is not {form}; correct the line, or '
                    'fetch the file again'
                )
            first = lines.setdefault(match['scene'], number)
            if first != number:
                raise ValueError(
                    f'{path}, line {number}: {match["scene"]} is in line {first} already; '
                    'remove one'
                )
            matches.append(match)
    return matches


def require_disjoint(parts: Sequence[LabelledScenes]) -> None:
    """Refuse splits that share images.

    Args:
        parts: Datasets of different splits.

    Raises:
        ValueError: If an image is in two of them.
    """
    for one, other in itertools.combinations(parts, 2):
        shared = set(one.scenes) & set(other.scenes)
        if shared:
            raise ValueError(
                f'{one.root}: splits {one.split!r} and {other.split!r} share {len(shared)} '
                f'images, such as {min(shared)}; remove them from one of the two lists'
            )


def require_uint16(path: Path, image: np.ndarray) -> None:
    """Refuse a file whose numbers are in another unit than the data set's.

    Args:
        path: File of the image.
        image: Its stored numbers.

    Raises:
        BandFileError: If they are not of 16 bits.
    """
    if image.dtype != np.uint16:
        raise BandFileError(
            f'{path} holds {image.dtype} where uint16 is expected; fetch it again, or store '
            'reflectance x 10000 as uint16'
        )
