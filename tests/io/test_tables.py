# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of files of tables."""

import geopandas as gpd
import pytest

from torchgeo_saco.io.tables import write_table
from torchgeo_saco.locations.sampling import (
    DateWindows,
    built_in_cities,
    built_in_land,
    sample_points,
)


@pytest.fixture(scope='module')
def windows():
    points = sample_points(6, built_in_cities(), built_in_land(), seed=2)
    return DateWindows('2025-06-01')(points)


@pytest.mark.parametrize('name', ['points.geojson', 'points.gpkg', 'points.parquet', 'P.GeoJSON'])
def test_files_hold_the_table(tmp_path, windows, name):
    path = write_table(windows, tmp_path / 'new' / name)
    read = gpd.read_parquet(path) if name.endswith('parquet') else gpd.read_file(path)
    assert list(read) == list(windows)
    assert read.crs == 'EPSG:4326'
    for column in ('location', 'city', 'year', 'season'):
        assert read[column].tolist() == windows[column].tolist()
    for column in ('start', 'end'):
        # GeoPandas takes what looks like a date for a time.
        assert read[column].astype(str).str[:10].tolist() == windows[column].tolist()
    assert read.geometry.geom_equals(windows.geometry).all()
    assert [file.name for file in path.parent.iterdir()] == [name]


def test_files_that_cannot_be_written(tmp_path, windows):
    with pytest.raises(ValueError, match=r'points.csv must end in .geojson, .gpkg or .parquet'):
        write_table(windows, tmp_path / 'points.csv')
    path = write_table(windows, tmp_path / 'points.gpkg')
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r'points.gpkg exists; name another file or remove'):
        write_table(windows[:3], path)
    assert path.read_bytes() == before


def test_a_failed_write_leaves_nothing(tmp_path, windows, monkeypatch):
    def fail(frame, path, **_):
        path.write_text('half')
        raise OSError('no space left')

    monkeypatch.setattr(gpd.GeoDataFrame, 'to_file', fail)
    with pytest.raises(OSError, match='no space left'):
        write_table(windows, tmp_path / 'points.gpkg')
    assert list(tmp_path.iterdir()) == []
