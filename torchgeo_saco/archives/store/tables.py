# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tables of a store: its locations, and its scenes in the order of the array."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
from shapely.geometry.base import BaseGeometry

from ...io.files import writing
from .description import Digests, StoreError
from .files import LocalFiles, RemoteFiles

#: Table of the locations by name: ``location``, ``scenes``, and ``label``, the footprint and the
#: georeference where they are known. It is GeoParquet.
LOCATIONS = 'locations.parquet'

#: Table of the scenes: ``location``, ``scene``, ``date``, and the ``checksum`` of the pixels.
SCENES = 'scenes.parquet'

# Scenes whose names are read at a time.
_GROUP = 1 << 18

_TYPES = {
    'location': pa.string(),
    'scenes': pa.int32(),
    'date': pa.date32(),
    'checksum': pa.uint32(),
}

# Names that would lead out of a folder.
_NO_NAME = r'(^|/)\.{0,2}(/|$)|\x00'

_GEO = {
    'version': '1.1.0',
    'primary_column': 'geometry',
    'columns': {'geometry': {'encoding': 'WKB', 'geometry_types': ['Polygon', 'MultiPolygon']}},
}


def write_tables(
    folder: str | os.PathLike[str],
    names: Any,
    counts: Any,
    days: Any,
    checksums: Any,
    scenes: Any = None,
    labels: Any = None,
    ground: dict[str, Any] | None = None,
) -> dict[str, Digests]:
    """Write the tables of a store, from columns.

    Args:
        folder: Folder of the store.
        names: Names of the locations in alphabetical order, (locations,).
        counts: Scenes of each location, (locations,).
        days: Day of each scene, the oldest of a location first, (scenes,); ``datetime64[D]``.
        checksums: CRC-32C of each scene, (scenes,).
        scenes: Name of each scene, or None for its day as ``20190415``.
        labels: Label of each location, None where unknown; or None if there are no labels.
        ground: Further columns of the locations: ``geometry`` as WKB in longitude and latitude,
            ``crs`` and ``transform``.

    Returns:
        Digests of both tables, for the description of the store.

    Raises:
        ValueError: If the columns do not fit each other.
    """
    names, counts = pa.array(names, pa.string()), np.asarray(counts, np.int32)
    days = np.asarray(days, 'datetime64[D]')
    if len(names) != len(counts) or counts.sum() != len(days):
        raise ValueError(
            f'{len(names)} names, {len(counts)} counts of {counts.sum()} scenes and {len(days)} '
            'days do not fit'
        )
    if scenes is None:
        # Few days are shared by many scenes.
        distinct, which = np.unique(days, return_inverse=True)
        texts = pa.array([str(day).replace('-', '') for day in distinct], pa.string())
        scenes = pa.DictionaryArray.from_arrays(which, texts).dictionary_decode()
    locations: dict[str, Any] = {'location': names, 'scenes': counts}
    if labels is not None:
        locations['label'] = pa.array(labels, pa.string())
    table = pa.table(locations | (ground or {}))
    if ground is not None:
        table = table.replace_schema_metadata({'geo': json.dumps(_GEO)})
    owners = names.take(pa.array(np.repeat(np.arange(len(names)), counts)))
    series = pa.table(
        {
            'location': owners,
            'scene': pa.array(scenes, pa.string()),
            'date': days,
            'checksum': pa.array(checksums, pa.uint32()),
        }
    )
    tables = {LOCATIONS: table, SCENES: series}
    for name, content in tables.items():
        _write(content, os.path.join(folder, name))
    return {
        name: {column: _digests(content[column]) for column in content.column_names}
        for name, content in tables.items()
    }


def read_listing(
    files: LocalFiles | RemoteFiles, scenes: int, digests: Mapping[str, Digests]
) -> 'StoredListing':
    """Places and dates of a store.

    Args:
        files: Files of the store.
        scenes: Scenes that its array holds.
        digests: Digests of its tables.

    Raises:
        StoreError: If a table is missing or damaged, or does not fit the array.
    """
    locations = read_table(files, LOCATIONS, digests, ['location', 'scenes'])
    dates = read_table(files, SCENES, digests, ['date', 'checksum'])
    misfit = StoreError(
        f'{files.root} has tables that do not fit its array; copy them anew, or pack it again'
    )
    for table in (locations, dates):
        for column, values in zip(table.column_names, table.columns, strict=True):
            if values.type != _TYPES[column] or values.null_count:
                raise misfit
    names = locations['location'].combine_chunks()
    if pc.any(pc.match_substring_regex(names, _NO_NAME)).as_py():
        name = names.filter(pc.match_substring_regex(names, _NO_NAME))[0].as_py()
        raise StoreError(f'{files.root} has a location named {name!r}; pack it again')
    counts = locations['scenes'].to_numpy()
    days = dates['date'].combine_chunks().view(pa.int32()).to_numpy()
    first = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=first[1:])
    ordered = pc.all(pc.less(names[:-1], names[1:])).as_py() in (True, None)
    falls = np.flatnonzero(np.diff(days) < 0) + 1
    in_order = np.isin(falls, first, assume_unique=True).all()
    fits = first[-1] == len(days) == scenes and not (counts < 0).any()
    if not fits or not ordered or not in_order:
        raise misfit
    return StoredListing(files, names, first, days, dates['checksum'].to_numpy(), digests)


class StoredListing:
    """Places and dates of a store, as arrays; all else is read when it is asked for."""

    def __init__(
        self,
        files: LocalFiles | RemoteFiles,
        names: pa.StringArray,
        first: np.ndarray,
        days: np.ndarray,
        checksums: np.ndarray,
        digests: Mapping[str, Digests],
    ) -> None:
        """Initialize a new StoredListing instance.

        Args:
            files: Files of the store.
            names: Names of the locations, (locations,).
            first: Number of the first scene of each location, and of all scenes, (locations + 1,).
            days: Day of each scene, counted from 1970, (scenes,).
            checksums: CRC-32C of each scene, (scenes,).
            digests: Digests of its tables.
        """
        self.files = files
        self.names = names
        self.first = first
        self.days = days
        self.checksums = checksums
        self.digests = digests
        self._group: tuple[int, list[str]] = (-1, [])

    def __reduce__(self) -> tuple[Any, ...]:
        """Read the tables again in new processes, which is faster than to send them."""
        return read_listing, (self.files, len(self.days), self.digests)

    def scene_names(self, start: int, stop: int) -> list[str]:
        """Names of scenes by their numbers."""
        names: list[str] = []
        for group in range(start // _GROUP, -(-stop // _GROUP)):
            if self._group[0] != group:
                table = read_table(self.files, SCENES, self.digests, ['scene'], group)
                column = table['scene']
                self._group = group, column.to_pylist()
            names += self._group[1][max(0, start - group * _GROUP) : stop - group * _GROUP]
        return names

    def labels(self, classes: Sequence[str]) -> np.ndarray:
        """Class number of each location, -1 where unknown, (locations,)."""
        table = read_table(self.files, LOCATIONS, self.digests, ['label'])
        column = table['label'].combine_chunks()
        found = pc.index_in(column, pa.array(classes, pa.string()), skip_nulls=True)
        return pc.fill_null(found, -1).to_numpy(zero_copy_only=False)

    def footprint(self, location: int) -> BaseGeometry | None:
        """Ground of a location in longitude and latitude, or None where it is not known."""
        found = self._geometry
        return None if found is None else shapely.from_wkb(found[location].as_py())

    def crs(self, location: int) -> str | None:
        """Coordinate system of a location as WKT, or None where it is not known."""
        found = self._systems
        system: str | None = None if found is None else found[location].as_py()
        return system

    @cached_property
    def _geometry(self) -> pa.Array | None:
        """Ground of all locations."""
        return self._place('geometry')

    @cached_property
    def _systems(self) -> pa.Array | None:
        """Coordinate systems of all locations."""
        return self._place('crs')

    def _place(self, name: str) -> pa.Array | None:
        """A column of the table of locations, which stores of files without georeference lack."""
        if name not in self.digests[LOCATIONS]:
            return None
        return read_table(self.files, LOCATIONS, self.digests, [name])[name].combine_chunks()


def read_table(
    files: LocalFiles | RemoteFiles,
    name: str,
    digests: Mapping[str, Digests],
    columns: list[str] | None = None,
    group: int | None = None,
) -> pa.Table:
    """Columns of a table, or of one group of its rows.

    Args:
        files: Files of the store.
        name: Name of the table.
        digests: Digests of the tables.
        columns: Names of the columns, or None for all.
        group: Position of the group, or None for all rows.

    Raises:
        StoreError: If the table is missing, damaged, or another than was packed.
    """
    try:
        expected = digests[name]
        wanted = {column: expected[column] for column in columns or expected}
        with files.open(name) as file:
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
            if group is None:
                table = parquet.read(list(wanted))
            else:
                table = parquet.read_row_group(group, list(wanted))
        groups = slice(None) if group is None else slice(group, group + 1)
        other = [c for c, sums in wanted.items() if _digests(table[c]) != list(sums)[groups]]
    except (
        OSError, pa.ArrowException, KeyError, IndexError, TypeError, ValueError, MemoryError
    ) as error:  # fmt: skip
        reason = ' '.join(str(error).split())[:200] or type(error).__name__
        raise StoreError(
            f'{files.root}/{name} cannot be read ({reason}); copy it anew, or pack the archive '
            'again'
        ) from error
    if other:
        raise StoreError(
            f'{files.root}/{name} was changed after packing, for the SHA-256 of its column '
            f'{other[0]} is wrong; copy it anew, or pack the archive again'
        )
    return table


def _digests(column: pa.ChunkedArray) -> list[str]:
    """SHA-256 of what a column holds, one for each group of rows."""
    starts = range(0, max(len(column), 1), _GROUP)
    return [_digest(column.slice(start, _GROUP)) for start in starts]


def _digest(column: pa.ChunkedArray) -> str:
    """SHA-256 of the values alone, whatever Arrow's layout of them is."""
    total = hashlib.sha256(np.packbits(column.is_valid().to_numpy()))
    values = column.drop_null().combine_chunks()
    if pa.types.is_nested(values.type):
        values = values.flatten()
    if values.type not in (pa.string(), pa.binary()):
        total.update(values.to_numpy(zero_copy_only=False).tobytes())
    elif len(values):
        _, offsets, text = values.buffers()
        ends = np.frombuffer(offsets, np.int32)[values.offset :][: len(values) + 1]
        total.update(np.diff(ends))
        total.update(memoryview(text)[ends[0] : ends[-1]] if text else b'')
    return total.hexdigest()


def _write(table: pa.Table, path: str) -> None:
    """Write a table that says when it is damaged, to the disk for good."""
    with writing(Path(path)), open(path, 'wb') as file:
        pq.write_table(
            table, file, row_group_size=_GROUP, compression='zstd', write_page_checksum=True
        )
        file.flush()
        os.fsync(file.fileno())
