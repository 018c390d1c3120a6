# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datasets: what is on disk."""

from .archives import ARCHIVES, archive_folder, obtain_archive
from .layout import Location, Scene, scene_date
from .seasonal import SeasonalArchive

__all__ = (
    'ARCHIVES',
    'Location',
    'Scene',
    'SeasonalArchive',
    'archive_folder',
    'obtain_archive',
    'scene_date',
)
