# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datamodules."""

from ..io.errors import show_last
from .benchmark import BenchmarkDataModule
from .bigearthnet import BigEarthNetBandsDataModule
from .dfc2020 import DFC2020DataModule
from .dynamicearthnet import DynamicEarthNetWindowsDataModule
from .eurosat import EuroSATBandsDataModule
from .gid import GIDWindowsDataModule
from .oscd import OSCDTilesDataModule
from .paired import PairedDataModule
from .pastis import PASTISFoldsDataModule
from .seasonal import SeasonalDataModule

__all__ = (
    'BenchmarkDataModule',
    'BigEarthNetBandsDataModule',
    'DFC2020DataModule',
    'DynamicEarthNetWindowsDataModule',
    'EuroSATBandsDataModule',
    'GIDWindowsDataModule',
    'OSCDTilesDataModule',
    'PASTISFoldsDataModule',
    'PairedDataModule',
    'SeasonalDataModule',
)

show_last()
