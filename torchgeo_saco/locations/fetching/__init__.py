# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Imagery of sampled points, from any STAC API into an archive."""

from .archive import FetchReport, MissingScenesError, fetch_archive
from .catalogue import FetchError
from .points import DateWindow, TargetLocation, read_locations
from .records import SkippedScene

__all__ = (
    'DateWindow',
    'FetchError',
    'FetchReport',
    'MissingScenesError',
    'SkippedScene',
    'TargetLocation',
    'fetch_archive',
    'read_locations',
)
