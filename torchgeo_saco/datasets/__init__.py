# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datasets: what is on disk."""

from ..archives.layout import Location, Scene, scene_date
from ..archives.registry import ARCHIVES, archive_folder, obtain_archive
from .bigearthnet import BigEarthNetBands
from .dfc2020 import DFC2020
from .dynamicearthnet import DynamicEarthNetWindows
from .eurosat import EuroSATBands
from .gid import GIDWindows
from .oscd import OSCDTiles
from .paired import PairedArchive
from .pastis import PASTISFolds
from .seasonal import SeasonalArchive

__all__ = (
    'ARCHIVES',
    'DFC2020',
    'BigEarthNetBands',
    'DynamicEarthNetWindows',
    'EuroSATBands',
    'GIDWindows',
    'Location',
    'OSCDTiles',
    'PASTISFolds',
    'PairedArchive',
    'Scene',
    'SeasonalArchive',
    'archive_folder',
    'obtain_archive',
    'scene_date',
)
