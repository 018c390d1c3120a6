# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tasks."""

from .contrastive import ContrastiveTask
from .saco import SACo

__all__ = ('ContrastiveTask', 'SACo')
