# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Layouts of single images in folders that are their classes."""

import os
import re
from collections.abc import Container, Mapping, Sequence

import numpy as np
from torchgeo.datasets import EuroSAT
from torchgeo.datasets.utils import Path

from ...bands import band_names
from ...io.raster import BandFileError, raster_band_count, read_image_file
from ..layout import (
    UNDATED,
    LayoutError,
    Location,
    Scene,
    is_data,
    list_folders,
    list_names,
    require_folder,
)
from .base import Layout, first_entries

# All scenes share it; the name of the scene is that of its file.
_FILES = {'': ''}


class ImageFolders(Layout):
    """8-bit RGB images, whose folders are their classes; or images in one folder, without classes.

    Every image is a location without a date.
    """

    pattern = '<class>/<image>.jpg or .png'
    file_bands: tuple[str, ...] = ('R', 'G', 'B')
    georeferenced = False
    skipped_reason = 'they lie beside the folders of the classes'

    #: Endings of the files.
    suffixes: tuple[str, ...] = ('.jpg', '.jpeg', '.png')

    @classmethod
    def find(cls, root: Path) -> list[tuple[str, str | None]]:
        """See :meth:`Layout.find`."""
        root = os.fspath(root)
        folders = first_entries(root, 'folders')
        holding = [folder for folder in folders if cls._holds_images(os.path.join(root, folder))]
        flat = not folders and cls._holds_images(root)
        return [(root, 'rgb')] if flat or 2 * len(holding) > len(folders) else []

    @classmethod
    def _holds_images(cls, folder: str) -> bool:
        """Whether a folder holds images, and no folder."""
        files = first_entries(folder, 'files')
        return any(map(cls._is_image, files)) and not first_entries(folder, 'folders')

    @classmethod
    def _is_image(cls, name: str) -> bool:
        """Whether a file is named as an image."""
        return is_data(name) and name.lower().endswith(cls.suffixes)

    def locations(self) -> tuple[list[Location], list[str]]:
        """See :meth:`Layout.locations`."""
        require_folder(self.root, self.pattern)
        below = list_folders(self.root)
        beside = sorted(list_names(self.root, self._is_image))
        names = [
            (f'{folder.name}/{name}', name)
            for folder in below
            for name in list_names(folder.path, self._is_image)
        ]
        if not names:
            names, beside = [(name, name) for name in beside], []
        if not names:
            raise LayoutError(f'{self.root} holds no image laid out as {self.pattern}')
        names.sort()
        return [Location(name, [Scene(file, UNDATED, _FILES)]) for name, file in names], beside

    def path(self, location: str, scene: Scene, band: str) -> str:
        """See :meth:`Layout.path`."""
        return location

    def read_image(self, path: Path, max_nodata: float) -> np.ndarray:
        """See :meth:`Layout.read_image`."""
        return read_image_file(path)

    def labels(
        self, names: Sequence[str], listed: Container[str] | None = None
    ) -> tuple[list[str], Mapping[str, int]]:
        """Return the classes, and the class of each location: of labels.csv, else its folder."""
        classes, known = super().labels(names, listed)
        if classes:
            return classes, known
        folders = sorted({name.rpartition('/')[0] for name in names})
        if len(folders) < 2:
            return [], {}
        number = {folder: position for position, folder in enumerate(folders)}
        return folders, {name: number[name.rpartition('/')[0]] for name in names}


class EuroSATLayout(ImageFolders):
    """EuroSAT as published: 13 bands of Sentinel-2 L1C in one GeoTIFF, B8A the last of them.

    If you use this dataset in your research, please cite:

    * https://doi.org/10.1109/JSTARS.2019.2918242
    """

    pattern = '<class>/<class>_<number>.tif'
    file_bands = band_names(EuroSAT.all_band_names, 'sentinel2_l1c')
    georeferenced = True
    suffixes = ('.tif',)

    @classmethod
    def find(cls, root: Path) -> list[tuple[str, str | None]]:
        """See :meth:`Layout.find`."""
        for folder in (os.fspath(root), os.path.join(root, EuroSAT.base_dir)):
            for name in first_entries(folder, 'folders'):
                for file in first_entries(os.path.join(folder, name), 'files')[:1]:
                    path = os.path.join(folder, name, file)
                    if re.fullmatch(rf'{re.escape(name)}_\d+\.tif', file) and _has_all_bands(path):
                        return [(folder, 'sentinel2_l1c')]
        return []

    def read_image(self, path: Path, max_nodata: float) -> np.ndarray:
        """See :meth:`Layout.read_image`."""
        return Layout.read_image(self, path, max_nodata)


def _has_all_bands(path: str) -> bool:
    """Whether a GeoTIFF has as many bands as those of EuroSAT."""
    try:
        return raster_band_count(path) == len(EuroSAT.all_band_names)
    except BandFileError:
        return False
