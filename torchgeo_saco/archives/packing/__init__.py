# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Packing of seasonal archives into one store."""

from .archive import PackReport, pack_archive
from .verification import verify_store

__all__ = ('PackReport', 'pack_archive', 'verify_store')
