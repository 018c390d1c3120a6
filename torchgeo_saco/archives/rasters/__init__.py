# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Rasters as they lie on disk: products, and the cells that they are cut into."""

from .dataset import ProductRasters
from .finding import Naming, find_products
from .products import ProductError, RasterProduct
from .reader import CellOptions, RasterReader

__all__ = (
    'CellOptions',
    'Naming',
    'ProductError',
    'ProductRasters',
    'RasterProduct',
    'RasterReader',
    'find_products',
)
