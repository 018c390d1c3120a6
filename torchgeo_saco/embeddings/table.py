# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tables of embeddings as GeoParquet."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from ..io.files import atomic_file, sync, write_file
from ..io.formats import PROVENANCE_TAG
from .provenance import Provenance

#: Types of stored numbers.
DTYPES = ('float16', 'float32', 'int8')

# Position of a row in the table that parts are joined to.
_INDEX = '__index__'

# Rows of the table that are in memory while it is written.
_ROWS = 4096


class EmbeddingRows:
    """Rows of a table of embeddings, all of one form."""

    def __init__(self, dimensions: int, dtype: str, groups: Sequence[str] = ()) -> None:
        """Initialize a new EmbeddingRows instance.

        Args:
            dimensions: Length of an embedding.
            dtype: A member of :data:`DTYPES`.
            groups: Names of the groups that have columns of their own.
        """
        self.dtype = dtype
        self.groups = list(groups)
        kind = {'float16': pa.float16(), 'float32': pa.float32(), 'int8': pa.int8()}[dtype]
        vector = pa.list_(pa.field('element', kind, nullable=False), dimensions)
        fields = [(_INDEX, pa.int64()), ('location', pa.string()), ('date', pa.string())]
        for name in ('', *(f'_{group}' for group in groups)):
            fields.append((f'embedding{name}', vector))
            if dtype == 'int8':
                fields.append((f'scale{name}', pa.float32()))
        #: Columns of a part.
        self.schema = pa.schema([*fields, ('crs', pa.string()), ('geometry', pa.binary())])

    def table(
        self,
        index: Sequence[int],
        locations: Sequence[str],
        dates: Sequence[str | None],
        embeddings: np.ndarray,
        groups: np.ndarray | None,
        crs: Sequence[str | None],
        footprints: Sequence[BaseGeometry | None],
    ) -> pa.Table:
        """Make a part of the table.

        Args:
            index: Positions of the rows in the whole table.
            locations: Name of each location.
            dates: Each date as yyyy-mm-dd, None where unknown.
            embeddings: (N, D).
            groups: Features of the groups, (N, G, D); or None if the table has none.
            crs: Coordinate system of each source.
            footprints: Ground in longitude and latitude.

        Returns:
            The rows.

        Raises:
            ValueError: If an embedding is not finite, or too large for float16.
        """
        columns: list[Any] = [index, locations, dates]
        for number in range(-1, len(self.groups)):
            values = embeddings if number < 0 or groups is None else groups[:, number]
            columns += self._stored(values, locations)
        shapes = [None if shape is None else shapely.to_wkb(shape) for shape in footprints]
        columns += [crs, shapes]
        arrays = [
            column if isinstance(column, pa.Array) else pa.array(column, field.type)
            for column, field in zip(columns, self.schema, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def _stored(self, values: np.ndarray, locations: Sequence[str]) -> list[pa.Array]:
        """Columns of vectors, and of their scales if they have them."""
        values = np.ascontiguousarray(values, np.float32)
        limit = np.finfo(np.float16).max if self.dtype == 'float16' else np.inf
        wrong = ~(np.abs(values) < limit).all(1)
        if wrong.any():
            raise ValueError(
                f'the embedding of {locations[int(np.argmax(wrong))]} is NaN, infinite or too '
                f'large for {self.dtype}; look at its files and at the training'
                + (', or set dtype to float32' if self.dtype == 'float16' else '')
            )
        scales = []
        if self.dtype == 'int8':
            largest = np.abs(values).max(1)
            scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
            values = np.rint(values / scale[:, None]).clip(-127, 127)
            scales = [pa.array(scale)]
        flat = pa.array(values.astype(self.dtype).ravel())
        vector = self.schema.field('embedding').type
        return [pa.FixedSizeListArray.from_arrays(flat, type=vector), *scales]


class TableParts:
    """Parts of a table that are written one by one, by one process or several, and then joined.

    They lie in a hidden folder beside the table, and a run that was interrupted goes on from them
    if they are of the same provenance.
    """

    def __init__(self, output: Path, provenance: Provenance) -> None:
        """Look for parts.

        Args:
            output: The table that is going to be, ending in ``.parquet``.
            provenance: What it says of itself.
        """
        self.output = output
        self.provenance = provenance
        self.folder = output.with_name(f'.{output.stem}.parts')

    def begin(self) -> None:
        """Make the folder; parts of another provenance are removed."""
        text = self.folder / 'provenance.json'
        wanted = self.provenance.to_json()
        if not text.is_file() or text.read_text() != wanted:
            self.clear()
            write_file(text, wanted.encode())

    def clear(self) -> None:
        """Remove all parts."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def has(self, name: str) -> bool:
        """Whether a part is there."""
        return (self.folder / f'{name}.parquet').exists()

    def rows(self, name: str) -> int:
        """Number of rows of a part that is there."""
        return int(pq.read_metadata(self.folder / f'{name}.parquet').num_rows)

    def write(self, name: str, table: pa.Table) -> None:
        """Write a part.

        Args:
            name: Name of the part; parts are read in the order of names.
            table: Its rows.

        Raises:
            OSError: If it cannot be written, as where the disk is full; other parts are kept.
        """
        with atomic_file(self.folder / f'{name}.parquet', table.nbytes) as partial:
            pq.write_table(table, partial)

    def join(self) -> int:
        """Join all parts to the table, ordered by index, and remove them.

        Returns:
            Number of rows.

        Raises:
            OSError: If the table cannot be written.
        """
        names = sorted(self.folder.glob('*.parquet'))
        if not names:
            raise ValueError(f'nothing was embedded, so {self.output} is not written')
        index = [pq.read_table(name, columns=[_INDEX])[_INDEX].to_numpy() for name in names]
        part = np.repeat(np.arange(len(names)), [len(rows) for rows in index])
        row = np.concatenate([np.arange(len(rows)) for rows in index])
        # Processes that share out a set unevenly may have a row twice.
        _, order = np.unique(np.concatenate(index), return_index=True)
        read = lru_cache(maxsize=64)(pq.read_table)
        schema = _described(pq.read_schema(names[0]), self.provenance)
        with atomic_file(self.output) as partial, pq.ParquetWriter(partial, schema) as file:
            for start in range(0, len(order), _ROWS):
                chosen = order[start : start + _ROWS]
                file.write_table(_gathered(names, part[chosen], row[chosen], read, schema))
        shutil.rmtree(self.folder)
        sync(self.output.parent)
        return len(order)


def _gathered(
    names: Sequence[Path], part: np.ndarray, row: np.ndarray, read: Any, schema: pa.Schema
) -> pa.Table:
    """Rows of several parts, in the order given."""
    tables, taken = [], []
    for number in np.unique(part):
        own = np.flatnonzero(part == number)
        tables.append(read(names[number]).take(pa.array(row[own])))
        taken.append(own)
    order = np.argsort(np.concatenate(taken), kind='stable')
    gathered = pa.concat_tables(tables).take(pa.array(order)).drop_columns([_INDEX])
    return gathered.combine_chunks().cast(schema)


def _described(schema: pa.Schema, provenance: Provenance) -> pa.Schema:
    """Columns of a table, with the metadata of GeoParquet 1.0 and the provenance.

    See https://geoparquet.org/releases/v1.0.0/.
    """
    crs = CRS.from_epsg(4326).to_json_dict()
    column = {'encoding': 'WKB', 'geometry_types': [], 'crs': crs}
    geo = {'version': '1.0.0', 'primary_column': 'geometry', 'columns': {'geometry': column}}
    metadata: Mapping[str, str] = {'geo': json.dumps(geo), PROVENANCE_TAG: provenance.to_json()}
    schema = schema.remove(schema.get_field_index(_INDEX))
    return schema.with_metadata(metadata)


def read_embeddings(path: str | os.PathLike[str]) -> gpd.GeoDataFrame:
    """Read a table of embeddings.

    Args:
        path: Table that ``torchgeo-saco embed`` or :class:`EmbeddingWriter` wrote.

    Returns:
        Columns ``location``, ``date``, ``embedding``, ``crs``, ``geometry`` in EPSG:4326, and of
        groups if the table has them; its provenance is under ``attrs['provenance']``.

    Raises:
        ValueError: If the file is no such table.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
        if PROVENANCE_TAG.encode() not in metadata:
            raise ValueError('it does not say where its embeddings come from')
        table = gpd.read_parquet(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ValueError(
            f'{path} cannot be read as a table of embeddings ({error}); make one by torchgeo-saco '
            'embed'
        ) from error
    table.attrs['provenance'] = json.loads(metadata[PROVENANCE_TAG.encode()])
    return table


def vectors(table: gpd.GeoDataFrame, column: str = 'embedding') -> np.ndarray:
    """Decode the embeddings of a table.

    Args:
        table: Of :func:`read_embeddings`.
        column: ``embedding``, or ``embedding_<group>``.

    Returns:
        Embeddings, (N, D) float32.

    Raises:
        ValueError: If there is no such column.
    """
    if column not in table:
        known = [name for name in table.columns if name.startswith('embedding')]
        raise ValueError(f'the table has no column {column!r}; choose one of {", ".join(known)}')
    stored = np.stack(table[column].to_list()) if len(table) else np.zeros((0, 0))
    values = stored.astype(np.float32)
    scale = 'scale' + column.removeprefix('embedding')
    if scale in table:
        values *= table[scale].to_numpy(np.float32)[:, None]
    return values
