# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Base class of the layouts of archives."""

import os
from abc import ABC, abstractmethod
from collections.abc import Container, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from torchgeo.datasets.utils import Path

from ...bands import Sensor
from ...io.raster import read_bands
from ..labels import read_labels
from ..layout import Location, Scene, is_data

# Entries of a folder that are listed to tell its layout, and of these the most that are looked at;
# an archive may have millions.
_LISTED = 2048
_LOOKED_AT = 64


class Product(NamedTuple):
    """An archive that was recognized."""

    #: Key of the layout in :data:`~torchgeo_saco.archives.layouts.LAYOUTS`.
    layout: str

    #: Folder of the locations.
    folder: str

    #: Sensor by name, or None where the user says it.
    sensor: str | None


class Layout(ABC):
    """How locations, dates and bands of an archive are laid out in folders and files."""

    #: Form of the paths below the folder of the locations, for messages.
    pattern: str

    #: Bands of a file in its order where one file holds all, None where each has its own.
    file_bands: tuple[str, ...] | None = None

    #: Whether files say where on Earth they lie.
    georeferenced: bool = True

    #: Whether a location has one label at most; else see :meth:`multi_hot`.
    multilabel: bool = False

    #: Why files are passed over, as a clause that may name the sensor.
    skipped_reason: str = 'no band of {sensor} has such a name'

    def __init__(self, root: Path, sensor: Sensor) -> None:
        """Initialize a new Layout instance.

        Args:
            root: Folder of the locations.
            sensor: Sensor whose bands are looked for.
        """
        self.root = os.fspath(root)
        self.sensor = sensor

    @classmethod
    @abstractmethod
    def find(cls, root: Path) -> list[tuple[str, str | None]]:
        """Recognize the layout from the first entries of a folder.

        Args:
            root: An existing folder.

        Returns:
            Folder of the locations and sensor by name (None where the user says it) of each archive
            that lies there, none if the layout is another.
        """

    @abstractmethod
    def locations(self) -> tuple[list[Location], list[str]]:
        """List the locations by name, without opening any image.

        Returns:
            All locations, also those without a scene; and names of files that are passed over.

        Raises:
            FileNotFoundError: If the folder is missing or no folder.
            PermissionError: If a folder may not be read.
            LayoutError: If no location is found.
            ValueError: If a scene has no date, or a band has two files.
        """

    def path(self, location: str, scene: Scene, band: str) -> str:
        """Return the file of a band, relative to the root.

        Args:
            location: Name of the location.
            scene: The scene.
            band: Name of the band, empty where one file holds all.
        """
        return os.path.join(location, scene.name, scene.files[band])

    def read_image(self, path: Path, max_nodata: float) -> np.ndarray:
        """Read a file that holds all bands, (C, H, W).

        Args:
            path: The file.
            max_nodata: Largest share of nodata.
        """
        return read_bands(path, count=len(self.file_bands or ()), max_nodata=max_nodata)

    def labels(
        self, names: Sequence[str], listed: Container[str] | None = None
    ) -> tuple[list[str], Mapping[str, int]]:
        """Return the classes, and the class of each location that has one.

        Args:
            names: Names of the locations.
            listed: Names of all locations of the archive, or None to pass over labels of others.
        """
        return read_labels(self.root, set(names), listed)

    def multi_hot(self, location: str) -> np.ndarray:
        """Return 1 for each class of a location and 0 for the others, int64."""
        raise ValueError(f'{self.root} has no locations of several labels')


def first_entries(folder: Path, wanted: str) -> list[str]:
    """Names of some sub-folders or files of a folder, sorted.

    Args:
        folder: The folder.
        wanted: 'folders' or 'files'.
    """
    try:
        with os.scandir(folder) as entries:
            found = (
                entry.name
                for entry in islice(entries, _LISTED)
                if is_data(entry.name) and entry.is_dir() == (wanted == 'folders')
            )
            return sorted(islice(found, _LOOKED_AT))
    except OSError:
        return []
