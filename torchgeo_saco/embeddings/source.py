# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Maps and tables of embeddings alike: vectors out, results back to where they lie."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from geopandas import GeoDataFrame

from .grid import EmbeddingRaster, Raster
from .table import vectors

#: Embeddings with their places.
type Embeddings = EmbeddingRaster | GeoDataFrame

#: Rows of a table that are decoded at a time.
_ROWS = 1 << 16


def unit_length(values: np.ndarray) -> np.ndarray:
    """Vectors of length one, so that their product is the cosine; zeros stay zeros.

    Args:
        values: Vectors, (N, D).

    Returns:
        Vectors, (N, D), float32.
    """
    lengths = np.linalg.norm(values.astype('float64'), axis=1, keepdims=True)
    return (values / np.maximum(lengths, 1e-12)).astype('float32')


def unit_vectors(source: Embeddings) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Embeddings of length one, part by part; missing ones are left out.

    Args:
        source: Map or table.

    Yields:
        Positions, (n,): of cells row by row, or of rows of the table; and vectors, (n, D), float32.
    """
    if isinstance(source, EmbeddingRaster):
        for window in source.windows():
            row, column, height, width = window
            values = source.read(window).reshape(source.dimensions, -1).T
            rows, columns = np.mgrid[row : row + height, column : column + width]
            yield _present((rows * source.shape[1] + columns).ravel(), values)
        return
    for start in range(0, len(source), _ROWS):
        values = vectors(source.iloc[start : start + _ROWS])
        yield _present(np.arange(start, start + len(values)), values)


def all_vectors(source: Embeddings) -> tuple[np.ndarray, np.ndarray]:
    """All embeddings of length one.

    Args:
        source: Map or table.

    Returns:
        Positions, (n,), and vectors, (n, D), float32, of what is not missing.

    Raises:
        ValueError: If all are missing.
    """
    parts = list(unit_vectors(source))
    positions = np.concatenate([positions for positions, _ in parts] or [np.zeros(0, int)])
    if not len(positions):
        raise ValueError(f'{described(source)} holds no embedding, all are missing; embed again')
    return positions, np.concatenate([values for _, values in parts])


def described(source: Embeddings) -> str:
    """Name of a map or table in a message."""
    return str(source.path) if isinstance(source, EmbeddingRaster) else 'the table'


def as_raster(
    source: EmbeddingRaster, values: np.ndarray, nodata: float, how: Mapping[str, Any], **more: Any
) -> Raster:
    """Values of all cells as a raster on the grid of the map.

    Args:
        source: The map.
        values: Values of cells row by row, (N) or (N, bands).
        nodata: Value of missing cells.
        how: How it was made.
        **more: Further fields of the raster.
    """
    bands = np.ascontiguousarray(values.reshape(*source.shape, -1).transpose(2, 0, 1))
    return Raster(
        bands,
        source.transform,
        source.crs,
        nodata,
        provenance={**source.provenance, 'source': source.path.name, **how},
        **more,
    )


def as_table(source: GeoDataFrame, **columns: np.ndarray) -> GeoDataFrame:
    """The table with further columns, and without its vectors, which QGIS does not show.

    Args:
        source: The table.
        **columns: Values of every row.
    """
    hidden = [name for name in source if name == 'scale' or str(name).startswith('embedding')]
    return source.drop(columns=hidden).assign(**columns)


def _present(positions: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Those that are finite, of length one."""
    present = np.isfinite(values).all(1)
    return positions[present], unit_length(values[present])
