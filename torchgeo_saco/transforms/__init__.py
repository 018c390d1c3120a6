# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Kornia augmentations for multispectral images."""

from .backscatter import Backscatter
from .bands import SelectBands, SemanticGroups
from .reflectance import Reflectance
from .texture import LBPHistogram, LocalBinaryPattern, lbp_histogram, local_binary_pattern
from .views import ContrastiveViews

__all__ = (
    'Backscatter',
    'ContrastiveViews',
    'LBPHistogram',
    'LocalBinaryPattern',
    'Reflectance',
    'SelectBands',
    'SemanticGroups',
    'lbp_histogram',
    'local_binary_pattern',
)
