# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Clusters of embeddings by k-means."""

from collections.abc import Mapping

import numpy as np
from geopandas import GeoDataFrame
from matplotlib.colors import to_rgb

from ..plots import PALETTE
from ..runtime.checks import check_range
from .grid import EmbeddingRaster, Raster
from .source import Embeddings, all_vectors, as_raster, as_table, described, unit_vectors

#: Vectors that k-means is fitted to at most.
SAMPLE = 200_000

#: From here on it goes by mini-batches.
_LARGE = 20_000


def kmeans(
    source: Embeddings, clusters: int = 8, seed: int = 0, sample: int = SAMPLE
) -> Raster | GeoDataFrame:
    """Clusters of cells or locations by k-means of embeddings of length one.

    Clusters are numbered from 0 by descending size, so that the same clusters have the same
    colours. Beyond 20,000 vectors it goes by mini-batches; a map is read by parts, twice.

    Args:
        source: Map or table.
        clusters: How many, from 2 to 65,535.
        seed: Seed of the first centres, and of the sample.
        sample: Vectors that centres are fitted to at most, drawn evenly.

    Returns:
        Of a map, a raster of labels with colours: uint8 and 255 where missing, or from 256
        clusters on uint16 and 65535. Of a table, the table without vectors, with the column
        ``cluster``, missing (NA) where there is no embedding.

    Raises:
        ValueError: If there are fewer vectors than clusters, or numbers are out of range.
        BandFileError: If a map cannot be read.
    """
    check_range('clusters', clusters, 'int [2, 65535]')
    check_range('seed', seed, 'int [0, 4294967295]')
    if sample < clusters:
        raise ValueError(f'sample must be at least the {clusters} clusters, got {sample}')
    values = _sample(source, sample, seed)
    if len(values) < clusters:
        raise ValueError(
            f'{described(source)} has {len(values)} embeddings, too few for {clusters} clusters; '
            'ask for fewer'
        )
    # Takes a second to import, which those who only embed do without.
    from sklearn.cluster import KMeans, MiniBatchKMeans

    large = len(values) > _LARGE
    method = (MiniBatchKMeans if large else KMeans)(
        clusters, random_state=seed, n_init=3, **({'batch_size': 4096} if large else {})
    ).fit(values)
    labels = np.full(len(source), -1)
    for positions, values in unit_vectors(source):
        labels[positions] = method.predict(values)
    labels = _by_size(labels, clusters)
    how = {'clusters': clusters, 'seed': seed, 'method': type(method).__name__}
    if isinstance(source, EmbeddingRaster):
        kind, nodata = ('uint8', 255) if clusters <= 255 else ('uint16', 65_535)
        stored = np.where(labels < 0, nodata, labels).astype(kind)
        colors = cluster_colors(clusters) if kind == 'uint8' else {}
        return as_raster(source, stored, nodata, how, descriptions=['cluster'], colors=colors)
    table = as_table(source, cluster=labels)
    table['cluster'] = table['cluster'].astype('Int64').mask(table['cluster'] < 0)
    return table


def cluster_colors(clusters: int) -> Mapping[int, tuple[int, int, int]]:
    """Colour of each cluster, red, green and blue from 0 to 255; twenty differ.

    Args:
        clusters: How many.
    """
    found = {}
    for number in range(clusters):
        red, green, blue = (round(255 * part) for part in to_rgb(PALETTE[number % len(PALETTE)]))
        found[number] = (red, green, blue)
    return found


def _sample(source: Embeddings, count: int, seed: int) -> np.ndarray:
    """Vectors drawn evenly, or all."""
    if len(source) <= count:
        return all_vectors(source)[1]
    chosen = np.zeros(len(source), bool)
    chosen[np.random.default_rng(seed).choice(len(source), count, replace=False)] = True
    return np.concatenate([values[chosen[positions]] for positions, values in unit_vectors(source)])


def _by_size(labels: np.ndarray, clusters: int) -> np.ndarray:
    """Labels numbered by descending size; -1 stays."""
    sizes = np.bincount(labels[labels >= 0], minlength=clusters)
    rank = np.empty(clusters + 1, int)
    rank[np.argsort(-sizes, kind='stable')] = np.arange(clusters)
    rank[-1] = -1
    return rank[labels]
