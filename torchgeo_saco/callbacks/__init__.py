# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Callbacks."""

from ..embeddings.writer import EmbeddingWriter
from .change import ChangeFigures
from .figures import ContrastiveFigures
from .knn import KNNProbe
from .report import RunReport

__all__ = ('ChangeFigures', 'ContrastiveFigures', 'EmbeddingWriter', 'KNNProbe', 'RunReport')
