# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Registry of layouts, and the choice of one by looking at a folder."""

import os
from collections.abc import Iterable

from torchgeo.datasets.utils import Path

from ...bands import known_sensor
from ...runtime.checks import check_choice
from ..layout import require_folder
from .band_folders import BandFolders, Previews
from .base import Layout, Product, first_entries
from .bigearthnet import BigEarthNetLayout
from .image_folders import EuroSATLayout, ImageFolders
from .sen12ms import SEN12MSLayout
from .ssl4eo_s12 import SSL4EOS12Layout

#: Layouts by the name used in configuration files, in the order in which they are tried.
LAYOUTS: dict[str, type[Layout]] = {
    'ssl4eo_s12': SSL4EOS12Layout,
    'sen12ms': SEN12MSLayout,
    'folders': BandFolders,
    'bigearthnet': BigEarthNetLayout,
    'eurosat': EuroSATLayout,
    'images': ImageFolders,
    'previews': Previews,
}

#: Sensor where neither the user nor the layout says one.
DEFAULT_SENSOR = 'sentinel2_l1c'


def find_layout(
    root: Path, sensor: str | None = None, layout: str | None = None
) -> tuple[Layout, str]:
    """Choose the layout of an archive by looking at its folder.

    Args:
        root: Folder of the locations, or a folder above that of SSL4EO-S12, of SEN12MS, of
            BigEarthNet, of EuroSAT or of images.
        sensor: Sensor by name, or None to take it from the layout.
        layout: A key of :data:`LAYOUTS` to use whatever the folder looks like, or None.

    Returns:
        The layout, and the sensor of its bands.

    Raises:
        FileNotFoundError: If the folder is missing.
        ValueError: If there is no such layout or sensor, or several archives lie there.
    """
    if sensor is not None:
        known_sensor(sensor)
    if layout is not None:
        check_choice('layout', layout, LAYOUTS)
    name = layout or 'folders'
    require_folder(root, LAYOUTS[name].pattern)
    root = os.fspath(root)
    product = _chosen(root, sensor, _find_products(root, sensor, [layout] if layout else LAYOUTS))
    if product is None:
        product = Product(name, root, 'rgb' if name in ('previews', 'images') else None)
    chosen = sensor or product.sensor or DEFAULT_SENSOR
    known = known_sensor(chosen)
    lacking = [b for b in LAYOUTS[product.layout].file_bands or () if b not in known.bands]
    if lacking:
        raise ValueError(
            f'images of layout {product.layout} have {", ".join(lacking)}, which {known.name} has '
            'not; leave out sensor'
        )
    return LAYOUTS[product.layout](product.folder, known), chosen


def _find_products(root: str, sensor: str | None, layouts: Iterable[str]) -> list[Product]:
    """Archives in a folder, else in the folders below it; those of the sensor, if there are any."""
    others: list[Product] = []
    below = (os.path.join(root, name) for name in first_entries(root, 'folders'))
    for folders in ([root], below):
        found = [product for folder in folders for product in _recognized(folder, layouts)]
        fitting = [p for p in found if None in (sensor, p.sensor) or sensor == p.sensor]
        if fitting:
            return fitting
        # A layout that looks below its folder itself finds an archive twice.
        others += [product for product in found if product not in others]
    return others


def _recognized(folder: str, layouts: Iterable[str]) -> list[Product]:
    """Archives of the first layout that a folder has."""
    for name in layouts:
        found = LAYOUTS[name].find(folder)
        if found:
            return [Product(name, below, sensor) for below, sensor in found]
    return []


def _chosen(root: str, sensor: str | None, products: list[Product]) -> Product | None:
    """The one archive of the sensor, or None."""
    fitting = [p for p in products if None in (sensor, p.sensor) or sensor == p.sensor]
    if len(fitting) == 1 or not products:
        return fitting[0] if fitting else None
    listed = '; '.join(
        f'{p.folder} ({p.layout}{f", {p.sensor}" if p.sensor else ""})' for p in products
    )
    if fitting:
        by_sensor = '' if len({p.sensor for p in fitting}) == 1 else ', or sensor to that of one'
        raise ValueError(
            f'{root} holds several archives: {listed}; set root to one of them{by_sensor}'
        )
    wanted = known_sensor(sensor or DEFAULT_SENSOR).name
    raise ValueError(
        f'{root} holds no archive of {wanted}, but {listed}; set sensor to one of these, or layout '
        'to read the folder in another way'
    )
