# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Contrastive pre-training of encoders for multispectral satellite images."""

__version__ = '0.1.0'
