# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Embeddings with their places: maps, tables, search, clusters, colours, change."""

from .change import change_between_dates, change_between_maps
from .clusters import kmeans
from .figures import plot_raster, plot_table
from .grid import EmbeddingRaster, Raster, open_embedding_map
from .picture import PrincipalComponents, pca_picture, principal_components
from .provenance import Provenance
from .search import Neighbors, nearest_neighbors, neighbors, similarity
from .table import read_embeddings, vectors
from .writer import EmbeddingWriter

__all__ = (
    'EmbeddingRaster',
    'EmbeddingWriter',
    'Neighbors',
    'PrincipalComponents',
    'Provenance',
    'Raster',
    'change_between_dates',
    'change_between_maps',
    'kmeans',
    'nearest_neighbors',
    'neighbors',
    'open_embedding_map',
    'pca_picture',
    'plot_raster',
    'plot_table',
    'principal_components',
    'read_embeddings',
    'similarity',
    'vectors',
)
