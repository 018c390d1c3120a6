# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tasks."""

from ..io.errors import show_last
from .caco import CACo
from .caco_simclr import CACoSimCLR
from .change import GroupChangeDetection
from .classification import GroupClassification
from .contrastive import ContrastiveTask
from .downstream import DownstreamTask
from .dual import DualTask
from .dual_simclr import DualSimCLR
from .fusion_classification import FusionClassification
from .mma import MMA
from .moco import MoCo
from .saco import SACo
from .seco import SeCo
from .segmentation import GroupSegmentation

__all__ = (
    'MMA',
    'CACo',
    'CACoSimCLR',
    'ContrastiveTask',
    'DownstreamTask',
    'DualSimCLR',
    'DualTask',
    'FusionClassification',
    'GroupChangeDetection',
    'GroupClassification',
    'GroupSegmentation',
    'MoCo',
    'SACo',
    'SeCo',
)

show_last()
