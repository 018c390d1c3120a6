# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Weights that SACo+, SeCo, CACo, Dual-SimCLR and MMA have published."""

from .file import PublishedEncoder, PublishedFile, read_published, write_encoders
from .heads import (
    PublishedChangeDetector,
    PublishedClassifier,
    PublishedPairClassifier,
    PublishedSegmenter,
    PublishedVGG,
    load_published,
)
from .registry import (
    CACoResNet18_Weights,
    CACoResNet50_Weights,
    DualSimCLRResNet50_Weights,
    PublishedWeights,
    SACoResNet18_Weights,
    SeCoResNet18_Weights,
    SeCoResNet50_Weights,
    register_weights,
)

__all__ = (
    'CACoResNet18_Weights',
    'CACoResNet50_Weights',
    'DualSimCLRResNet50_Weights',
    'PublishedChangeDetector',
    'PublishedClassifier',
    'PublishedEncoder',
    'PublishedFile',
    'PublishedPairClassifier',
    'PublishedSegmenter',
    'PublishedVGG',
    'PublishedWeights',
    'SACoResNet18_Weights',
    'SeCoResNet18_Weights',
    'SeCoResNet50_Weights',
    'load_published',
    'read_published',
    'register_weights',
    'write_encoders',
)
