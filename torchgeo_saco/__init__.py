# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Contrastive pre-training of encoders for multispectral satellite images."""

from .runtime.versions import require_version

__version__ = '0.1.0'

# It names its tasks and its reader of checkpoints anew from time to time.
require_version('torchgeo')
