# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Archives packed into one Zarr store, on a file system or an object store."""

from .description import StoreDescription, StoreError, is_store
from .images import StoredImages
from .tables import LOCATIONS, SCENES, read_listing, write_tables

__all__ = (
    'LOCATIONS',
    'SCENES',
    'StoreDescription',
    'StoreError',
    'StoredImages',
    'is_store',
    'read_listing',
    'write_tables',
)
