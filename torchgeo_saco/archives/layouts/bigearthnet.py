# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Layout of BigEarthNet: every patch is a location with one date."""

import os
import re
from collections.abc import Container, Iterator, Mapping, Sequence

import numpy as np
from torchgeo.datasets.utils import Path

from ...bands import Sensor, band_name
from ..labels import bigearthnet_classes, bigearthnet_targets, multi_hot, read_patch_labels
from ..layout import (
    LayoutError,
    Location,
    Scene,
    is_data,
    list_folders,
    list_names,
    require_folder,
    scene_date,
)
from .base import Layout, first_entries

# Such as S2A_MSIL2A_20170617T113321_36_85 and S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_39
_PATCH = re.compile(r'S([12])[A-D]_\w+_\d{8}T\d+_(?:\w+_)?\d+_\d+', re.ASCII)

_SENSORS = {'1': 'sentinel1', '2': 'sentinel2_l2a'}
_NUMBERS = {'Sentinel-1': '1', 'Sentinel-2 L2A': '2', 'Sentinel-2 L1C': '2'}

_LABELS = '_labels_metadata.json'


class BigEarthNetLayout(Layout):
    """Patches of BigEarthNet, of Sentinel-2 L2A or Sentinel-1, in the layout of version 1 or 2.

    Labels are the 19 classes, from the JSON file of each patch of version 1; version 2 keeps them
    in a table, which :class:`~torchgeo_saco.datasets.BigEarthNetBands` reads.

    If you use this dataset in your research, please cite:

    * https://doi.org/10.1109/IGARSS.2019.8900532
    * https://arxiv.org/abs/2407.03653
    """

    pattern = '<patch>/<patch>_<band>.tif'
    multilabel = True

    def __init__(self, root: Path, sensor: Sensor) -> None:
        """Initialize a new BigEarthNetLayout instance.

        Args:
            root: Folder of the patches.
            sensor: Sensor whose bands are looked for.
        """
        super().__init__(root, sensor)
        self._targets = bigearthnet_targets(19, 1)
        # All but a few have labels, so these are the fewer names to keep.
        self._unlabelled: set[str] = set()

    @classmethod
    def find(cls, root: Path) -> list[tuple[str, str | None]]:
        """See :meth:`Layout.find`."""
        root = os.fspath(root)
        found = set()
        for name in first_entries(root, 'folders'):
            below = first_entries(os.path.join(root, name), 'folders')[:1]
            patches = [name, *(patch for patch in below if patch.startswith(f'{name}_'))]
            found |= {match[1] for match in map(_PATCH.fullmatch, patches) if match}
        return [(root, _SENSORS[number]) for number in sorted(found)]

    def locations(self) -> tuple[list[Location], list[str]]:
        """See :meth:`Layout.locations`."""
        require_folder(self.root, self.pattern)
        shared: dict[frozenset[str], dict[str, str]] = {}
        self._unlabelled = set()
        locations = []
        for name, patch, folder in self._patches():
            endings = frozenset(
                file.removeprefix(patch) for file in list_names(folder) if file.startswith(patch)
            )
            if endings not in shared:
                shared[endings] = self._band_endings(folder, endings)
            if _LABELS not in endings:
                self._unlabelled.add(name)
            locations.append(Location(name, [Scene(patch, scene_date(patch), shared[endings])]))
        if not any(shared.values()):
            raise LayoutError(
                f'{self.root} holds no patch of {self.sensor.name} laid out as {self.pattern}'
            )
        locations.sort(key=lambda location: location.name)
        return locations, sorted(
            f'<patch>{ending}'
            for endings, files in shared.items()
            for ending in endings - set(files.values())
            if ending.endswith('.tif')
        )

    def path(self, location: str, scene: Scene, band: str) -> str:
        """See :meth:`Layout.path`."""
        return os.path.join(location, scene.name + scene.files[band])

    def labels(
        self, names: Sequence[str], listed: Container[str] | None = None
    ) -> tuple[list[str], Mapping[str, int]]:
        """Return the classes, and 0 for each location with a file of labels."""
        if len(self._unlabelled) and all(name in self._unlabelled for name in names):
            return [], {}
        labelled = (name for name in names if name not in self._unlabelled)
        return bigearthnet_classes(19, 1), dict.fromkeys(labelled, 0)

    def multi_hot(self, location: str) -> np.ndarray:
        """See :meth:`Layout.multi_hot`."""
        patch = location.rpartition('/')[2]
        path = os.path.join(self.root, location, f'{patch}{_LABELS}')
        return multi_hot(read_patch_labels(path), self._targets, 19, path)

    def _patches(self) -> Iterator[tuple[str, str, str]]:
        """Name of the location, patch and folder of each patch of the sensor."""
        wanted = _NUMBERS.get(self.sensor.name)
        for entry in list_folders(self.root):
            match = _PATCH.fullmatch(entry.name)
            if match:
                if match[1] == wanted:
                    yield entry.name, entry.name, entry.path
                continue
            # Version 2 has a folder per tile.
            for patch in list_folders(entry.path):
                match = _PATCH.fullmatch(patch.name)
                if match and match[1] == wanted and patch.name.startswith(f'{entry.name}_'):
                    yield f'{entry.name}/{patch.name}', patch.name, patch.path

    def _band_endings(self, folder: str, endings: frozenset[str]) -> dict[str, str]:
        """End of the file name of each band."""
        files: dict[str, str] = {}
        for ending in sorted(endings):
            stem, suffix = os.path.splitext(ending)
            if suffix != '.tif' or not is_data(ending):
                continue
            try:
                band = band_name(stem.removeprefix('_'), self.sensor)
            except ValueError:
                continue
            if band in files:
                raise ValueError(
                    f'{folder} has two files of band {band}, ending in {files[band]} and {ending}'
                )
            files[band] = ending
        return files
