# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Imagery of sampled points, from any STAC API into an archive."""

from .archive import FetchReport, MissingScenesError, fetch_archive
from .catalogue import FetchError
from .command import main
from .points import Place, Window, read_places
from .records import SkippedScene

__all__ = (
    'FetchError',
    'FetchReport',
    'MissingScenesError',
    'Place',
    'SkippedScene',
    'Window',
    'fetch_archive',
    'main',
    'read_places',
)
