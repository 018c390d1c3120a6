# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tasks."""

from .change import GroupChangeDetection
from .classification import GroupClassification
from .contrastive import ContrastiveTask
from .downstream import GroupTask
from .saco import SACo
from .segmentation import GroupSegmentation

__all__ = (
    'ContrastiveTask',
    'GroupChangeDetection',
    'GroupClassification',
    'GroupSegmentation',
    'GroupTask',
    'SACo',
)
