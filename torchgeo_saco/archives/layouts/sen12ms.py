# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Layout of SEN12MS: patches of Sentinel-1 and of Sentinel-2, one file each."""

import os
import re

from torchgeo.datasets.utils import Path

from ...bands import SENSORS, Sensor
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

#: Sensor of each product, by the beginning of its folders.
PRODUCTS = {'s1': 'sentinel1', 's2': 'sentinel2_l1c'}

# Such as ROIs1158_spring
_SEASON = re.compile(r'ROIs\d+_[a-z]+', re.ASCII)

# All scenes share it; the name of the scene is that of its file.
_FILES = {'': ''}


class SEN12MSLayout(Layout):
    """SEN12MS as published: every patch is a location without a date, named alike in both products.

    A location such as ``ROIs1158_spring_1_p30`` is the patch 30 of scene 1 in spring, whose files
    are ``ROIs1158_spring/s1_1/ROIs1158_spring_s1_1_p30.tif`` and the like of ``s2``. The maps of
    land cover beside them are not read.

    If you use this dataset in your research, please cite:

    * https://doi.org/10.5194/isprs-annals-IV-2-W7-153-2019
    """

    pattern = '<season>/<s1 or s2>_<scene>/<season>_<s1 or s2>_<scene>_p<patch>.tif'
    skipped_reason = 'they are not named by season, product, scene and patch'

    def __init__(self, root: Path, sensor: Sensor) -> None:
        """Initialize a new SEN12MSLayout instance.

        Args:
            root: Folder of the seasons.
            sensor: Sensor whose bands are looked for.

        Raises:
            ValueError: If the sensor is neither Sentinel-1 nor Sentinel-2 L1C.
        """
        super().__init__(root, sensor)
        found = [product for product, name in PRODUCTS.items() if SENSORS[name] == sensor]
        if not found:
            raise ValueError(
                f'images of layout sen12ms are of {" or ".join(PRODUCTS.values())}, not of '
                f'{sensor.name}; set sensor to one of these'
            )
        self._product = found[0]
        self.file_bands = tuple(sensor.bands)

    @classmethod
    def find(cls, root: Path) -> list[tuple[str, str | None]]:
        """See :meth:`Layout.find`."""
        root = os.fspath(root)
        seasons = [
            os.path.join(root, name)
            for name in first_entries(root, 'folders')
            if _SEASON.fullmatch(name)
        ]
        return [
            (root, sensor)
            for product, sensor in PRODUCTS.items()
            if any(_holds_patches(season, product) for season in seasons)
        ]

    def locations(self) -> tuple[list[Location], list[str]]:
        """See :meth:`Layout.locations`."""
        require_folder(self.root, self.pattern)
        locations, skipped = [], []
        for season in list_folders(self.root):
            if not _SEASON.fullmatch(season.name):
                continue
            for folder in _scene_folders(season.path, self._product):
                scene = folder.removeprefix(f'{self._product}_')
                patch = re.compile(rf'{season.name}_{folder}_(p\d+)\.tif', re.ASCII)
                for name in list_names(os.path.join(season.path, folder)):
                    match = patch.fullmatch(name)
                    if match:
                        location = f'{season.name}_{scene}_{match[1]}'
                        locations.append(Location(location, [Scene(name, UNDATED, _FILES)]))
                    elif is_data(name):
                        skipped.append(f'{season.name}/{folder}/{name}')
        if not locations:
            raise LayoutError(
                f'{self.root} holds no patch of {self.sensor.name} laid out as {self.pattern}'
            )
        locations.sort(key=lambda location: location.name)
        return locations, sorted(skipped)

    def path(self, location: str, scene: Scene, band: str) -> str:
        """See :meth:`Layout.path`."""
        season, number, _ = location.rsplit('_', 2)
        return os.path.join(season, f'{self._product}_{number}', scene.name)


def _holds_patches(season: str, product: str) -> bool:
    """Whether a season has a scene of a product with files named as in SEN12MS."""
    name = re.compile(rf'{os.path.basename(season)}_{product}_\d+_p\d+\.tif', re.ASCII)
    return any(
        any(map(name.fullmatch, first_entries(os.path.join(season, folder), 'files')))
        for folder in _scene_folders(season, product)
    )


def _scene_folders(season: str, product: str) -> list[str]:
    """Names of the folders of a product, one a scene."""
    known = re.compile(rf'{product}_\d+', re.ASCII)
    return [folder.name for folder in list_folders(season) if known.fullmatch(folder.name)]
