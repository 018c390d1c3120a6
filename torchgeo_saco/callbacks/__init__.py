# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Callbacks."""

from .figures import ContrastiveFigures
from .knn import KNNProbe
from .report import RunReport

__all__ = ('ContrastiveFigures', 'KNNProbe', 'RunReport')
