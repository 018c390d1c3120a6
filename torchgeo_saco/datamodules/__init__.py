# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datamodules."""

from .benchmark import BenchmarkDataModule
from .bigearthnet import BigEarthNetBandsDataModule
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
    'DynamicEarthNetWindowsDataModule',
    'EuroSATBandsDataModule',
    'GIDWindowsDataModule',
    'OSCDTilesDataModule',
    'PASTISFoldsDataModule',
    'PairedDataModule',
    'SeasonalDataModule',
)
