# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Models."""

from .decoder import LinearDecoder, UNetDecoder
from .encoder import (
    BandImages,
    Fusion,
    GroupEncoder,
    GroupFusion,
    GroupImages,
    calibrate,
    encoder_images,
)
from .features import group_features, group_maps
from .pretrained import EncoderPlan, Pretrained, pretrained_encoder
from .projector import Projectors
from .weights import Weights, create_backbone

__all__ = (
    'BandImages',
    'EncoderPlan',
    'Fusion',
    'GroupEncoder',
    'GroupFusion',
    'GroupImages',
    'LinearDecoder',
    'Pretrained',
    'Projectors',
    'UNetDecoder',
    'Weights',
    'calibrate',
    'create_backbone',
    'encoder_images',
    'group_features',
    'group_maps',
    'pretrained_encoder',
)
