# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Encoders for use elsewhere: checkpoints of one sensor, and folders of common formats."""

from .checkpoint import export_encoder

__all__ = ('export_encoder',)
