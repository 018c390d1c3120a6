# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Models."""

from .decoder import LinearDecoder, UNetDecoder
from .encoder import Encoder, Fusion, GroupFusion, fit_input_statistics
from .export import export_encoder
from .features import group_features, group_maps
from .inputs import BandInputs, GroupInputs, encoder_inputs, matching_inputs
from .load import EncoderConfig, LoadedEncoder, load_encoder
from .projector import Projectors
from .published import load_published, register_weights
from .weights import Weights, create_backbone

__all__ = (
    'BandInputs',
    'Encoder',
    'EncoderConfig',
    'Fusion',
    'GroupFusion',
    'GroupInputs',
    'LinearDecoder',
    'LoadedEncoder',
    'Projectors',
    'UNetDecoder',
    'Weights',
    'create_backbone',
    'encoder_inputs',
    'export_encoder',
    'fit_input_statistics',
    'group_features',
    'group_maps',
    'load_encoder',
    'load_published',
    'matching_inputs',
)

register_weights()
