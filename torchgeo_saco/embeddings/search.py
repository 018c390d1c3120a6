# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Search of embeddings by cosine similarity: nearest neighbours, and maps of similarity."""

from collections.abc import Sequence
from typing import NamedTuple

import geopandas as gpd
import numpy as np
import shapely
from geopandas import GeoDataFrame
from pyproj import Transformer
from rasterio.crs import CRS

from ..runtime.checks import check_range
from ..runtime.extras import import_extra
from .grid import EmbeddingRaster, Raster, coordinates
from .source import (
    Embeddings,
    all_vectors,
    as_raster,
    as_table,
    described,
    unit_length,
    unit_vectors,
)
from .table import vectors

#: Most vectors that are compared one by one unless asked for.
EXACT_LIMIT = 100_000

#: A point (x, y), the name of a location, or a vector.
type Query = Sequence[float] | str | np.ndarray

# Links and breadths of the graph, https://github.com/facebookresearch/faiss/wiki. On vectors
# without structure, the hardest, these find more than 95 of 100 neighbours.
_LINKS, _BREADTH = 32, 256


class Neighbors(NamedTuple):
    """Nearest neighbours of queries, the nearest first."""

    #: Rows of the neighbours, (M, count), -1 where an approximate search found fewer.
    rows: np.ndarray

    #: Their cosine similarity, (M, count), float32.
    similarities: np.ndarray


def nearest_neighbors(
    values: np.ndarray, queries: np.ndarray, count: int = 10, exact: bool | None = None
) -> Neighbors:
    """Nearest neighbours by cosine similarity.

    Args:
        values: Embeddings, (N, D), of any length.
        queries: What to find neighbours of, (M, D). An embedding is its own neighbour.
        count: Neighbours of each, at most N.
        exact: Whether to compare all, or to build an index that misses a few, a graph of faiss;
            None to compare up to 100,000.

    Returns:
        Rows and similarities.

    Raises:
        ValueError: If there are fewer embeddings than neighbours, or lengths differ.
        ImportError: If an index is needed and faiss is not installed.
    """
    if values.shape[1:] != queries.shape[1:]:
        raise ValueError(
            f'queries have {queries.shape[-1]} dimensions, embeddings {values.shape[-1]}; take '
            'both from one encoder'
        )
    check_range('count', count, f'int [1, {len(values)}]')
    values, queries = unit_length(values), unit_length(queries)
    if exact is None:
        exact = len(values) <= EXACT_LIMIT
    if exact:
        # Takes a second to import, which those who only embed do without.
        from sklearn.neighbors import NearestNeighbors

        search = NearestNeighbors(n_neighbors=count, algorithm='brute', metric='cosine')
        distances, rows = search.fit(values).kneighbors(queries)
        return Neighbors(rows, (1 - distances).astype('float32'))
    faiss = import_extra(
        'faiss', 'search', f'an index of {len(values)} embeddings (exact=True makes none)'
    )
    index = faiss.IndexHNSWFlat(values.shape[1], _LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = index.hnsw.efSearch = max(_BREADTH, 2 * count)
    index.add(values)
    similarities, rows = index.search(queries, count)
    return Neighbors(rows, similarities)


def similarity(
    source: Embeddings, query: Query, crs: str | CRS | None = 'EPSG:4326'
) -> Raster | GeoDataFrame:
    """Cosine similarity of all cells or locations to one.

    A map is read by parts, so memory does not grow with its dimensions.

    Args:
        source: Map or table.
        query: Point: longitude and latitude, or coordinates in *crs*; the name of a location, of
            which the first row counts; or a vector.
        crs: Coordinate system of a point, or None for that of the map or table.

    Returns:
        Of a map, a raster, float32, NaN where missing; of a table, the table without vectors, with
        the column ``similarity``.

    Raises:
        ValueError: If nothing lies at the point, or no location has that name.
        BandFileError: If a map cannot be read.
    """
    wanted = query_vector(source, query, crs)
    found = np.full(len(source), np.nan, 'float32')
    for positions, values in unit_vectors(source):
        found[positions] = values @ wanted
    if isinstance(source, EmbeddingRaster):
        how = {'similarity_to': _text(query), 'similarity': 'cosine'}
        return as_raster(source, found, np.nan, how, descriptions=['cosine similarity'])
    return as_table(source, similarity=found)


def neighbors(
    source: Embeddings, query: Query, count: int = 10, crs: str | CRS | None = 'EPSG:4326'
) -> GeoDataFrame:
    """The cells or locations most similar to one, which is among them, as are its equals.

    Args:
        source: Map or table.
        query: As for :func:`similarity`.
        count: How many; fewer if there are not as many.
        crs: As for :func:`similarity`.

    Returns:
        Rows by descending ``similarity``. Cells of a map have their ``row`` and ``column``, and
        their ground in the coordinate system of the map.

    Raises:
        ValueError: As for :func:`similarity`, or if *count* is below 1.
        BandFileError: If a map cannot be read.
    """
    check_range('count', count, 'int [1, inf)')
    found = similarity(source, query, crs)
    if isinstance(found, Raster):
        values = found.values[0].ravel()
    else:
        values = found['similarity'].to_numpy()
    order = np.argsort(np.where(np.isnan(values), np.inf, -values), kind='stable')
    order = order[: min(count, int(np.isfinite(values).sum()))]
    if isinstance(found, Raster):
        table = cells(source, order)
        table['similarity'] = values[order]
        return table
    return found.iloc[order].reset_index(drop=True)


def cells(source: EmbeddingRaster, positions: np.ndarray) -> GeoDataFrame:
    """Cells of a map as a table.

    Args:
        source: The map.
        positions: Positions of the cells, row by row.

    Returns:
        ``row``, ``column`` and the ground of each cell, in the coordinate system of the map.
    """
    rows, columns = np.divmod(positions, source.shape[1])
    left, top = coordinates(source.transform, columns, rows)
    right, bottom = coordinates(source.transform, columns + 1, rows + 1)
    return gpd.GeoDataFrame(
        {'row': rows, 'column': columns},
        geometry=shapely.box(left, bottom, right, top),
        crs=source.crs.to_wkt(),
    )


def query_vector(source: Embeddings, query: Query, crs: str | CRS | None) -> np.ndarray:
    """Vector of length one that is searched for.

    Args:
        source: Map or table.
        query: As for :func:`similarity`.
        crs: As for :func:`similarity`.

    Returns:
        The vector, (D), float32.

    Raises:
        ValueError: As for :func:`similarity`.
    """
    if not isinstance(source, EmbeddingRaster) and not len(source):
        raise ValueError(f'{described(source)} has no row to search; give one that has')
    if isinstance(source, EmbeddingRaster):
        if isinstance(query, str):
            raise ValueError(f'{source.path} has no names; search for a point, not {query!r}')
        if len(query) != 2:
            return _own_vector(query, source.dimensions)
        row, column = source.cell(float(query[0]), float(query[1]), crs)
        wanted = source.read((row, column, 1, 1))[:, 0, 0]
        place = f'the cell at row {row}, column {column}'
    elif not isinstance(query, str) and len(query) != 2:
        return _own_vector(query, vectors(source.iloc[:1]).shape[1])
    else:
        row = _row_of(source, query, crs)
        wanted = vectors(source.iloc[[row]])[0]
        place = f'row {row}'
    if not np.isfinite(wanted).all():
        raise ValueError(f'{place} of {described(source)} has no embedding; choose another')
    return unit_length(wanted[None])[0]


def search_vectors(
    source: Embeddings, queries: np.ndarray, count: int = 10, exact: bool | None = None
) -> Neighbors:
    """Nearest neighbours of many vectors among all cells or locations.

    Args:
        source: Map or table, read whole.
        queries: Vectors, (M, D).
        count: Neighbours of each.
        exact: As for :func:`nearest_neighbors`.

    Returns:
        Positions of cells row by row, or of rows of the table; and similarities.

    Raises:
        ValueError: As for :func:`nearest_neighbors`.
        ImportError: As for :func:`nearest_neighbors`.
    """
    positions, values = all_vectors(source)
    found = nearest_neighbors(values, queries, count, exact)
    return Neighbors(np.where(found.rows < 0, -1, positions[found.rows]), found.similarities)


def _own_vector(query: Sequence[float] | np.ndarray, dimensions: int) -> np.ndarray:
    """A vector that was given, of length one."""
    wanted = np.asarray(query, 'float32')
    if wanted.shape != (dimensions,) or not np.isfinite(wanted).all():
        raise ValueError(
            f'a vector to search for has {dimensions} finite numbers here, got shape '
            f'{wanted.shape}; a point has two, and a location a name'
        )
    return unit_length(wanted[None])[0]


def _row_of(table: GeoDataFrame, query: Query, crs: str | CRS | None) -> int:
    """Row of the location of a name, or nearest to a point."""
    if isinstance(query, str):
        rows = np.flatnonzero((table['location'] == query).to_numpy())
        if not len(rows):
            raise ValueError(
                f'the table has no location {query!r}; it has {len(table)}, such as '
                f'{", ".join(map(str, table["location"].head(3)))}'
            )
        return int(rows[0])
    x, y = float(query[0]), float(query[1])
    if crs is not None and table.crs is not None:
        x, y = Transformer.from_crs(crs, table.crs, always_xy=True).transform(x, y)
    apart = shapely.distance(np.asarray(table.geometry.array), shapely.Point(x, y))
    if not np.isfinite(apart).any():
        raise ValueError('the table has no footprints; search for the name of a location')
    if (nearest := float(np.nanmin(apart))) > 0:
        raise ValueError(
            f'no location of the table lies at {float(query[0]):g}, {float(query[1]):g}; the '
            f'nearest, {table["location"].iloc[int(np.nanargmin(apart))]}, is {nearest:.3g} units '
            'of its coordinates away: choose a point inside, or its name'
        )
    return int(np.nanargmin(apart))


def _text(query: Query) -> str:
    """A query in few words."""
    if isinstance(query, str):
        return query
    return ', '.join(f'{number:g}' for number in query) if len(query) == 2 else 'a vector'
