# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datamodules."""

from .seasonal import SeasonalDataModule

__all__ = ('SeasonalDataModule',)
