# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Models."""

from .encoder import GroupEncoder, GroupImages, group_features
from .weights import create_backbone

__all__ = ('GroupEncoder', 'GroupImages', 'create_backbone', 'group_features')
