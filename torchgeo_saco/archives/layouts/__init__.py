# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Layouts of archives, and which of them a folder has."""

from .base import Layout, Product
from .registry import LAYOUTS, find_layout

__all__ = ('LAYOUTS', 'Layout', 'Product', 'find_layout')
