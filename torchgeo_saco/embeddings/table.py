# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tables of embeddings: one row a location and date."""

import json
import os

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def read_embeddings(path: str | os.PathLike[str]) -> gpd.GeoDataFrame:
    """Table of embeddings.

    Args:
        path: GeoParquet file as ``torchgeo-saco embed`` writes it.

    Returns:
        The table; what its embeddings come from is in ``attrs['torchgeo_saco']``.

    Raises:
        ValueError: If the file is no such table.
    """
    try:
        table = gpd.read_parquet(path)
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ValueError(
            f'{path} cannot be read as a table of embeddings ({error}); name a .parquet file that '
            'torchgeo-saco embed wrote'
        ) from error
    table.attrs['torchgeo_saco'] = json.loads(metadata.get(b'torchgeo_saco', b'{}'))
    return table


def vectors(table: gpd.GeoDataFrame, column: str = 'embedding') -> np.ndarray:
    """Embeddings of a table.

    Args:
        table: Table of embeddings.
        column: Its column of vectors.

    Returns:
        Values of all rows, (N, D), float32.

    Raises:
        ValueError: If there is no such column.
    """
    if column not in table:
        raise ValueError(
            f'the table has no column {column!r}; its columns are {", ".join(table.columns)}'
        )
    stored = np.stack(table[column].to_numpy()) if len(table) else np.zeros((0, 0))
    values = stored.astype('float32')
    if stored.dtype == np.int8:
        values *= table['scale'].to_numpy('float32')[:, None]
    return values
