# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Embeddings of archives and scenes, with where they come from."""

from .provenance import Provenance
from .table import read_embeddings, vectors
from .writer import EmbeddingWriter

__all__ = ('EmbeddingWriter', 'Provenance', 'read_embeddings', 'vectors')
