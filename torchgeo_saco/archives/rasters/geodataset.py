# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datasets of TorchGeo by their class path, in place of products."""

import inspect
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

import torchgeo.datasets
from pyproj import CRS
from torchgeo.datasets import GeoDataset, RasterDataset, VectorDataset

from ...bands import band_names, known_sensor

if TYPE_CHECKING:
    from .reader import CellOptions


def open_geodataset(
    root: str,
    options: 'CellOptions',
    bands: Sequence[str] | None,
    sensor: str | None,
    crs: CRS | None,
) -> tuple[GeoDataset, tuple[str, ...]]:
    """Open a dataset of TorchGeo.

    Args:
        root: Its ``paths``.
        options: Its class and arguments.
        bands: Bands to read, as the dataset names them, or None for all.
        sensor: Sensor of its bands.
        crs: Coordinate system to warp to, or None.

    Returns:
        The dataset, and the names of its bands.

    Raises:
        ValueError: If there is no such class, or its bands or sensor are unknown.
    """
    path = options.dataset or ''
    if sensor is None:
        raise ValueError(f'set sensor to that of {path}, such as sentinel2_l2a')
    module, _, name = path.rpartition('.')
    try:
        found = getattr(import_module(module) if module else torchgeo.datasets, name)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f'there is no class {path}; set dataset to a class path such as '
            'torchgeo.datasets.Sentinel2'
        ) from error
    if not (inspect.isclass(found) and issubclass(found, GeoDataset)) or issubclass(
        found, VectorDataset
    ):
        raise ValueError(
            f'{path} is no GeoDataset of images, which alone have places, dates and bands; set '
            'dataset to one such as torchgeo.datasets.Sentinel2'
        )
    arguments = {'paths': root, 'crs': crs, 'res': options.res, 'bands': bands}
    known = inspect.signature(found).parameters
    given = {k: v for k, v in arguments.items() if v is not None and k in known}
    if issubclass(found, RasterDataset) and not found.all_bands:
        raise ValueError(
            f'{path} does not name its bands; give a subclass that sets all_bands and '
            'filename_regex, or leave out dataset to read files by their own names'
        )
    if 'time_series' in known:
        given['time_series'] = True
    dataset = found(**given | options.dataset_args)
    named = getattr(dataset, 'bands', None) or bands
    if not named:
        raise ValueError(f'{path} does not name its bands; set bands')
    try:
        return dataset, band_names(named, known_sensor(sensor))
    except ValueError as error:
        raise ValueError(f'{path}: {error}; set sensor to that of its bands') from error
