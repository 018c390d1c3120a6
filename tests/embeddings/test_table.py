# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of tables of embeddings."""

import json

import geopandas as gpd
import numpy as np
import pytest
import shapely

from torchgeo_saco.embeddings import Provenance, read_embeddings, vectors
from torchgeo_saco.embeddings.table import EmbeddingRows, TableParts

VALUES = np.random.default_rng(0).normal(0, 2, (10, 2, 6)).astype('float32')


def provenance(dtype='float16', **more):
    return Provenance('a.ckpt', 'sha256:0', 'resnet18', ['B02'], 'rgb', ['a', 'b'], 'x', 6,
                      dtype=dtype, **more)  # fmt: skip


def part(index, dtype='float16', groups=('a', 'b')):
    rows = EmbeddingRows(6, dtype, groups)
    values = VALUES[index]
    ground = [shapely.box(i, 0, i + 1, 1) if i % 2 else None for i in index]
    days = ['2020-01-02' if i else None for i in index]
    return rows.table(index, [f'p{i}' for i in index], days, values.mean(1), values,
                      ['EPSG:32631'] * len(index), ground)  # fmt: skip


@pytest.mark.parametrize('dtype', ['float16', 'float32', 'int8'])
def test_what_is_written_is_read(tmp_path, dtype):
    parts = TableParts(tmp_path / 'a.parquet', provenance(dtype))
    parts.begin()
    # As two processes that deal out items, one of them twice.
    for name, index in {
        '0-0': [0, 2, 4],
        '0-1': [1, 3, 5],
        '1-0': [6, 8, 0],
        '1-1': [7, 9],
    }.items():
        parts.write(name, part(index, dtype))
    assert parts.join() == 10
    assert [path.name for path in tmp_path.iterdir()] == ['a.parquet']
    table = read_embeddings(tmp_path / 'a.parquet')
    assert table.location.tolist() == [f'p{i}' for i in range(10)]
    assert table.date.isna().tolist() == [True] + [False] * 9
    assert table.geometry.isna().tolist() == [True, False] * 5
    assert table.geometry[3].equals(shapely.box(3, 0, 4, 1))
    assert table.crs.to_epsg() == 4326 and set(table['crs']) == {'EPSG:32631'}
    assert Provenance(**table.attrs['provenance']) == provenance(dtype)
    for column, wanted in {
        'embedding': VALUES.mean(1), 'embedding_a': VALUES[:, 0], 'embedding_b': VALUES[:, 1],
    }.items():  # fmt: skip
        found = vectors(table, column)
        assert found.dtype == np.float32
        error = {
            'float32': 0, 'float16': np.abs(wanted) * 2.0**-11,
            'int8': np.abs(wanted).max(1, keepdims=True) * 0.51 / 127,
        }[dtype]  # fmt: skip
        assert (np.abs(found - wanted) <= error).all()
    # As anybody reads it.
    assert gpd.read_parquet(tmp_path / 'a.parquet').crs.to_epsg() == 4326


def test_parts_of_other_embeddings_are_removed(tmp_path):
    parts = TableParts(tmp_path / 'a.parquet', provenance())
    parts.begin()
    parts.write('0', part([0, 1]))
    parts.begin()
    assert parts.has('0') and parts.rows('0') == 2
    TableParts(tmp_path / 'a.parquet', provenance(unit=255.0)).begin()
    assert not parts.has('0')


def test_numbers_that_are_none_are_refused():
    VALUES[4, 1, 2], kept = np.nan, VALUES[4, 1, 2]
    try:
        with pytest.raises(ValueError, match='embedding of p4 is NaN'):
            part([3, 4])
        VALUES[4, 1, 2] = 2e5
        with pytest.raises(ValueError, match=r'too large for float16.*set dtype to float32'):
            part([3, 4])
        part([3, 4], 'float32')
    finally:
        VALUES[4, 1, 2] = kept


def test_other_files_are_no_tables(tmp_path):
    path = tmp_path / 'a.parquet'
    for_others = gpd.GeoDataFrame({'a': [1]}, geometry=[shapely.Point(0, 0)], crs='EPSG:4326')
    for_others.to_parquet(path)
    with pytest.raises(ValueError, match='does not say where its embeddings come from'):
        read_embeddings(path)
    with pytest.raises(ValueError, match='cannot be read as a table'):
        read_embeddings(tmp_path / 'none.parquet')
    parts = TableParts(path, provenance())
    with pytest.raises(ValueError, match='nothing was embedded'):
        parts.join()
    parts.begin()
    parts.write('0', part([0]))
    parts.join()
    with pytest.raises(ValueError, match='choose one of embedding, embedding_a'):
        vectors(read_embeddings(path), 'embedding_c')


def test_provenance_is_read_as_it_was_written():
    wanted = provenance(tile=64, stride=32, date='2020-01-02', files=[[1, 2]], fitted=['a'])
    assert Provenance.from_json(wanted.to_json()) == wanted
    # Of a version to come.
    later = json.loads(wanted.to_json()) | {'clouds': 'masked'}
    assert Provenance.from_json(json.dumps(later).encode()) == wanted
