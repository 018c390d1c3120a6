# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Rasters as they lie on disk: products, and the cells that they are cut into."""

from .dataset import ProductRasters
from .finding import Naming, find_product, find_products, raster_band_names
from .products import ProductError, RasterProduct
from .reader import CellOptions, RasterReader
from .scene import open_scene
from .scene_reader import SceneReader
from .virtual import virtual_raster

__all__ = (
    'CellOptions',
    'Naming',
    'ProductError',
    'ProductRasters',
    'RasterProduct',
    'RasterReader',
    'SceneReader',
    'find_product',
    'find_products',
    'open_scene',
    'raster_band_names',
    'virtual_raster',
)
