# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the tables of a store."""

import numpy as np
import pytest

from torchgeo_saco.archives.store import StoreError, read_listing, tables, write_tables
from torchgeo_saco.archives.store.files import LocalFiles

DAYS = np.array(['2018-04-15', '2019-01-02', '2019-01-02', '2017-12-31'], 'datetime64[D]')


def write(folder, names=('a', 'b', 'ü'), counts=(3, 0, 1), days=DAYS, **more):
    checksums = range(len(days))
    digests = write_tables(folder, names, counts, days, checksums, **more)
    return LocalFiles(folder), len(days), digests


def test_columns_come_back(tmp_path):
    listing = read_listing(*write(tmp_path, labels=['x', None, 'w']))
    assert listing.names.to_pylist() == ['a', 'b', 'ü']
    assert listing.first.tolist() == [0, 3, 3, 4]
    assert np.array_equal(listing.days.astype('datetime64[D]'), DAYS)
    assert listing.checksums.tolist() == [0, 1, 2, 3]
    assert listing.labels(['w', 'x']).tolist() == [1, -1, 0]
    assert listing.scene_names(0, 4) == ['20180415', '20190102', '20190102', '20171231']
    assert listing.footprint(0) is None


def test_names_of_scenes_across_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, '_GROUP', 5)
    days = np.datetime64('2018-01-01') + np.arange(23)
    scenes = [f'scene{number}' for number in range(23)]
    listing = read_listing(*write(tmp_path, ['a'], [23], days, scenes=scenes))
    for start, stop in ((0, 23), (3, 11), (4, 5), (5, 10), (22, 23), (7, 7)):
        assert listing.scene_names(start, stop) == scenes[start:stop]


@pytest.mark.parametrize(
    'columns',
    [
        {'names': ['b', 'a', 'c']},
        {'names': ['a', 'b', 'b']},
        {'counts': [2, 0, 2]},
        {'days': DAYS[[1, 0, 2, 3]]},
    ],
)
def test_order_that_is_not_that_of_a_store(tmp_path, columns):
    with pytest.raises(StoreError, match='has tables that do not fit its array; copy them anew'):
        read_listing(*write(tmp_path, **columns))


def test_other_number_of_scenes(tmp_path):
    with pytest.raises(StoreError, match='has tables that do not fit its array'):
        files, _, digests = write(tmp_path)
        read_listing(files, 5, digests)


def test_columns_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match='3 names, 3 counts of 3 scenes and 4 days do not fit'):
        write(tmp_path, counts=[1, 1, 1])


def test_a_changed_byte_of_a_table_is_told(tmp_path):
    files, _, digests = write(tmp_path, [f'place {number}' for number in range(4)], [1] * 4)
    path = tmp_path / tables.LOCATIONS
    content = path.read_bytes()
    # Data pages come before the footer; the first four bytes are a mark.
    for position in range(40, 60, 5):
        path.write_bytes(
            content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]
        )
        with pytest.raises(StoreError, match=f'{path} cannot be read .*; copy it anew'):
            tables.read_table(files, tables.LOCATIONS, digests)


@pytest.mark.parametrize('content', [None, b'', b'PAR1 and no more PAR1'])
def test_a_table_that_is_missing_or_none_is_told(tmp_path, content):
    files, _, digests = write(tmp_path)
    path = tmp_path / tables.SCENES
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError, match=f'{path} cannot be read .*; copy it anew'):
        tables.read_table(files, tables.SCENES, digests)
