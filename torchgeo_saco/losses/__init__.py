# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Losses."""

from .contrastive import (
    AlignmentLoss,
    InfoNCE,
    alignment_loss,
    chance_level,
    dense_similarity,
    info_nce,
    l2_normalize,
    symmetric_cross_entropy,
)

__all__ = (
    'AlignmentLoss',
    'InfoNCE',
    'alignment_loss',
    'chance_level',
    'dense_similarity',
    'info_nce',
    'l2_normalize',
    'symmetric_cross_entropy',
)
