# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of polygons of land."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
from shapely.geometry import Point, Polygon, box

from torchgeo_saco.locations.sampling import built_in_cities, built_in_land, read_land
from torchgeo_saco.locations.sampling.land import LandIndex


def frame(*geometries, crs='EPSG:4326'):
    return gpd.GeoDataFrame(geometry=list(geometries), crs=crs)


def inside(land, *points):
    longitude, latitude = np.array(points, float).T
    return LandIndex(land).contains(longitude, latitude).tolist()


def test_built_in_land_holds_most_built_in_cities():
    cities = built_in_cities()
    index = LandIndex(built_in_land())
    dry = index.contains(cities.geometry.x.to_numpy(), cities.geometry.y.to_numpy())
    # It is coarse: small islands and the shores of some bays are not in it.
    assert dry.mean() > 0.95


def test_built_in_land_knows_seas_and_deserts():
    water = [
        (-30, 30), (-140, 0), (80, -30), (0, 0), (180, 0), (-180, 0), (165, 0), (-90, 25),
        (5, 40), (34, 43), (51, 41), (-87, 43.5), (-85, 60), (38, 20), (52, 26.8), (20, 58),
        (135, 40), (115, 15), (90, 10), (-30, -50), (0, 90), (-75, 15), (3, 56), (50, -50),
    ]  # fmt: skip
    dry = [
        (10, 23), (100, 65), (-100, 45), (-60, -10), (25, -25), (135, -25), (78, 22), (-42, 72),
        (0, -85), (180, 67), (-180, 67), (47, -20), (138, 36.5), (114, 0), (175.5, -39),
    ]  # fmt: skip
    assert not any(inside(built_in_land(), *water))
    assert all(inside(built_in_land(), *dry))


def test_area_of_built_in_land():
    # 149 million square kilometres, https://en.wikipedia.org/wiki/Earth
    area = built_in_land().to_crs('ESRI:54034').area.sum() / 1e12
    assert area == pytest.approx(149, rel=0.02)


def test_holes_edges_and_many_polygons_against_shapely():
    lake = Polygon([(0, 0), (9, 0), (9, 9), (0, 9)], [[(2, 2), (4, 2), (4, 4), (2, 4)]])
    land = frame(shapely.union_all([lake, box(20, 0, 22, 9)]), box(8, 8, 30, 30))
    points = np.random.default_rng(0).uniform(-5, 35, (2000, 2))
    expected = shapely.intersects(land.union_all(), shapely.points(points))
    assert 0.2 < expected.mean() < 0.8
    assert inside(land, *points) == expected.tolist()
    assert inside(land, (0, 5), (3, 3), (2, 3)) == [True, False, True]


def test_longitudes_beyond_the_antimeridian():
    around = [(-179, 0), (179, 0), (171, 0), (-171, 0), (0, 0)]
    assert inside(frame(box(175, -5, 185, 5)), *around) == [True, True, False, False, False]
    assert inside(frame(box(-185, -5, -175, 5)), *around) == [True, True, False, False, False]
    from_zero = frame(box(200, -5, 350, 5))
    assert inside(from_zero, (-160.1, 0), (-159.9, 0), (-10.1, 0), (-9.9, 0), (205, 0)) == [
        False, True, True, False, True
    ]  # fmt: skip


def test_a_projected_polygon_around_the_pole():
    # In EPSG:3031 the pole is the origin; 3000 km are about 27 degrees of latitude.
    land = frame(Point(0, 0).buffer(1e6), crs='EPSG:3031')
    points = [(longitude, -84) for longitude in range(-180, 181, 30)]
    assert all(inside(land, *points, (0, -90), (123, -90)))
    assert not any(inside(land, *((longitude, -76) for longitude, _ in points), (0, 60), (0, 90)))


def test_what_a_projection_cannot_show_is_water():
    land = frame(box(0, 0, 1e6, 9e6), crs='EPSG:32632')
    assert inside(land, (9, 48), (9, -48), (-171, 0), (99, 0)) == [True, False, False, False]
    # The Earth from afar: its other side is infinite.
    globe = frame(box(-7e6, -7e6, 7e6, 7e6), crs='+proj=ortho +lon_0=10 +lat_0=0')
    assert inside(globe, (-170, 0), (10, 0), (170, 5), (60, 40)) == [False, True, False, True]


@pytest.mark.parametrize('ending', ['.geojson', '.gpkg', '.shp', '.parquet'])
@pytest.mark.parametrize('crs', ['EPSG:4326', 'EPSG:3857'])
def test_formats_and_reference_systems(tmp_path, ending, crs):
    land = frame(box(5, 45, 10, 50), box(20, 0, 25, 5)).to_crs(crs)
    if ending == '.geojson':
        land = land.to_crs('EPSG:4326')
    path = tmp_path / f'land{ending}'
    land.to_parquet(path) if ending == '.parquet' else land.to_file(path)
    read = read_land(path)
    assert read.crs == land.crs
    assert inside(read, (7, 47), (22, 3), (15, 20)) == [True, True, False]


def test_crossing_polygons_are_mended_and_told(tmp_path):
    bow = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    path = tmp_path / 'bow.geojson'
    frame(box(5, 5, 6, 6), bow).to_file(path)
    with pytest.warns(UserWarning, match=r'bow.*: 1 of 2 polygons cross themselves.* row 1'):
        land = read_land(path)
    assert land.is_valid.all()
    assert inside(land, (0.1, 1), (1.9, 1), (1, 0.1)) == [True, True, False]


def test_wrong_files(tmp_path):
    def refused(tokens, path):
        with pytest.raises(ValueError, match=tokens) as caught:
            read_land(path)
        assert str(path) in str(caught.value)

    refused('there is no file of land', tmp_path / 'missing.gpkg')
    path = tmp_path / 'land.geojson'
    path.write_text('<html>error</html>')
    refused('no polygons that can be read', path)
    path.write_text('{"type": "FeatureCollection", "features": []}')
    refused('holds no polygon', path)
    path.unlink()
    frame(box(0, 0, 1, 1), Point(0, 0)).to_file(path)
    refused('row 1 is Point, not a polygon', path)
    path = tmp_path / 'empty.parquet'
    frame(box(0, 0, 1, 1), None).to_parquet(path)
    refused('row 1 is empty, not a polygon', path)
    path = tmp_path / 'nowhere.parquet'
    frame(box(0, 0, 1, 1), crs=None).to_parquet(path)
    refused('has no reference system; set it', path)
    path = tmp_path / 'table.csv'
    path.write_text('a,b\n1,2\n')
    refused('holds no polygon', path)


@pytest.mark.parametrize('land', [frame(box(0, 0, 1, 1), crs=None), frame()])
def test_index_of_no_land(land):
    with pytest.raises(ValueError, match='land must be polygons with a reference system'):
        LandIndex(land)
