# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Layout of SeCo, CACo and anything stored like them: a folder per date, a file per band."""

import os

from torchgeo.datasets.utils import Path

from ...bands import SENSORS, band_name
from ..layout import LAYOUT, PREVIEWS, Location, Scene, read_layout
from .base import Layout, first_entries

# Folders that are looked into at each level.
_TRIED = 8


class BandFolders(Layout):
    """Folders of dates with one GeoTIFF per band."""

    pattern = LAYOUT

    @classmethod
    def find(cls, root: Path) -> list[tuple[str, str | None]]:
        """See :meth:`Layout.find`."""
        root = os.fspath(root)
        for location in first_entries(root, 'folders')[:_TRIED]:
            for scene in first_entries(os.path.join(root, location), 'folders')[:_TRIED]:
                files = first_entries(os.path.join(root, location, scene), 'files')
                if any(map(is_band_file, files)):
                    return [(root, None)]
        return []

    def locations(self) -> tuple[list[Location], list[str]]:
        """See :meth:`Layout.locations`."""
        return read_layout(self.root, self.sensor)


class Previews(Layout):
    """Previews of SeCo and CACo, of three bands in one GeoTIFF per date."""

    pattern = PREVIEWS
    file_bands = ('R', 'G', 'B')

    @classmethod
    def find(cls, root: Path) -> list[tuple[str, str | None]]:
        """See :meth:`Layout.find`; previews lie beside bands, so they are asked for."""
        return []

    def locations(self) -> tuple[list[Location], list[str]]:
        """See :meth:`Layout.locations`."""
        return read_layout(self.root, self.sensor, previews=True)

    def path(self, location: str, scene: Scene, band: str) -> str:
        """See :meth:`Layout.path`."""
        return os.path.join(location, scene.name)


def is_band_file(name: str) -> bool:
    """Whether a GeoTIFF is named by a band of any sensor."""
    stem, suffix = os.path.splitext(name)
    if suffix.lower() not in ('.tif', '.tiff'):
        return False
    for sensor in SENSORS.values():
        try:
            band_name(stem, sensor)
        except ValueError:
            continue
        return True
    return False
