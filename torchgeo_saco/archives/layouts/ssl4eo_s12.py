# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Layout of SSL4EO-S12: one archive per product."""

import os
import re

from torchgeo.datasets.utils import Path

from ..layout import Location, read_layout
from .base import Layout, first_entries

#: Sensor of each product, by the name of its folder.
PRODUCTS = {'s1': 'sentinel1', 's2c': 'sentinel2_l1c', 's2a': 'sentinel2_l2a'}


class SSL4EOS12Layout(Layout):
    """SSL4EO-S12 as published: radar, top-of-atmosphere and surface reflectance side by side.

    If you use this dataset in your research, please cite:

    * https://arxiv.org/abs/2211.07044
    """

    pattern = '<s1, s2c or s2a>/<location>/<scene id>/<band>.tif'

    @classmethod
    def find(cls, root: Path) -> list[tuple[str, str | None]]:
        """See :meth:`Layout.find`."""
        root = os.path.normpath(root)
        name = os.path.basename(os.path.abspath(root))
        if name in PRODUCTS and _holds_locations(root):
            return [(root, PRODUCTS[name])]
        below = {os.path.join(root, product): sensor for product, sensor in PRODUCTS.items()}
        return [(folder, sensor) for folder, sensor in below.items() if _holds_locations(folder)]

    def locations(self) -> tuple[list[Location], list[str]]:
        """See :meth:`Layout.locations`."""
        return read_layout(self.root, self.sensor)


def _holds_locations(folder: str) -> bool:
    """Whether locations are numbered as in SSL4EO-S12."""
    return any(re.fullmatch(r'\d{7}', name) for name in first_entries(folder, 'folders'))
