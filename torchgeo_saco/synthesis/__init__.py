# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Synthetic but satellite-like images of locations over seasons and years."""

from .archive import VERSION, generate_sample_archive
from .benchmarks import BENCHMARKS, generate_sample_benchmark
from .landcover import COVERS
from .scenery import LABELS

__all__ = (
    'BENCHMARKS',
    'COVERS',
    'LABELS',
    'VERSION',
    'generate_sample_archive',
    'generate_sample_benchmark',
)
