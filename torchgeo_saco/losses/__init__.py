# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Losses."""

from .contrastive import (
    AlignmentLoss,
    InfoNCE,
    alignment_loss,
    chance_level,
    info_nce,
    l2_normalize,
)

__all__ = ('AlignmentLoss', 'InfoNCE', 'alignment_loss', 'chance_level', 'info_nce', 'l2_normalize')
