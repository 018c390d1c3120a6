# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import datetime

import pytest
import shapely

from torchgeo_saco.bands import SENTINEL2_L2A
from torchgeo_saco.locations.fetching.grid import square_around
from torchgeo_saco.locations.fetching.items import Candidate, ItemError, band_files, rank_scenes
from torchgeo_saco.locations.fetching.points import DateWindow
from torchgeo_saco.locations.fetching.scenes import scene_name

from ...data.stac_server import degrees, described

WINDOW = DateWindow(datetime.date(2019, 4, 8), datetime.date(2019, 4, 22))
SQUARE = square_around(3, 50, 2640)
TILE = degrees(shapely.box(490020, 5500020, 599820, 5609820), 32631)


def item(name='S2A_31UDQ_20190415_0_L2A', manner='earth_search', raster=None, **properties):
    """An item without files, valid but for what the test changes."""
    assets = [
        described(band, f'https://127.0.0.1/{band}.tif', manner, raster)
        for band in SENTINEL2_L2A.bands
    ]
    told = {'datetime': '2019-04-15T10:30:21Z', 'eo:cloud_cover': 1.0, 'proj:epsg': 32631,
            's2:processing_baseline': '02.14'}  # fmt: skip
    return {
        'id': name,
        'geometry': TILE,
        'properties': {key: value for key, value in (told | properties).items() if value != ''},
        'assets': dict(assets),
    }


@pytest.mark.parametrize('manner', ['earth_search', 'planetary_computer', 'copernicus'])
def test_bands_are_found_whatever_the_catalogue_calls_them(manner):
    found = band_files(item(manner=manner), tuple(SENTINEL2_L2A.bands))
    assert {band: file.href for band, file in found.items()} == {
        band: f'https://127.0.0.1/{band}.tif' for band in SENTINEL2_L2A.bands
    }


def test_of_several_files_the_geotiff_of_the_own_resolution_is_taken():
    scene = item(manner='copernicus')
    wanted = scene['assets']['B05_20m']
    scene['assets'] = {
        'B05_10m': wanted | {'gsd': 10, 'href': 'https://127.0.0.1/finer.tif'},
        'B05_60m': wanted | {'gsd': 60, 'href': 'https://127.0.0.1/coarser.tif'},
        'B05-jp2': wanted | {'type': 'image/jp2', 'href': 'https://127.0.0.1/B05.jp2'},
        'B05_s3': wanted | {'href': 's3://bucket/B05.tif'},
        'B05_file': wanted | {'href': '/etc/B05.tif'},
        'B05_20m': wanted,
        'all': wanted | {'bands': [{'name': 'B05'}, {'name': 'B06'}]},
    }
    assert band_files(scene, ['B05'])['B05'].href == 'https://127.0.0.1/B05.tif'
    with pytest.raises(ItemError, match='has no file of B02, B8A'):
        band_files(scene, ['B02', 'B05', 'B8A'])


@pytest.mark.parametrize(
    ('properties', 'raster', 'expected'),
    [
        # Before baseline 04.00 nothing is added, whatever is declared.
        ({}, None, (1e-4, 0)),
        ({}, {'scale': 1e-4, 'offset': -0.1}, (1e-4, 0)),
        ({'s2:processing_baseline': '04.00'}, None, (1e-4, -0.1)),
        ({'s2:processing_baseline': '05.11'}, {'scale': 1e-4, 'offset': -0.1}, (1e-4, -0.1)),
        ({'s2:processing_baseline': '05.09'}, {'scale': 1e-4}, (1e-4, -0.1)),
        # Declared and subtracted already, as by Earth Search
        ({'s2:processing_baseline': '05.09', 'earthsearch:boa_offset_applied': True},
         {'scale': 1e-4, 'offset': -0.1}, (1e-4, 0)),
        ({'s2:processing_baseline': '05.09', 'earthsearch:boa_offset_applied': False},
         {'scale': 1e-4, 'offset': -0.1}, (1e-4, -0.1)),
        ({'s2:processing_baseline': '', 'sentinel:processing_baseline': '04.00',
          'sentinel:boa_offset_applied': True}, None, (1e-4, 0)),
        ({'s2:processing_baseline': '', 'processing:version': '05.10'}, None, (1e-4, -0.1)),
        ({'s2:processing_baseline': '', 's2:product_uri':
          'S2A_MSIL2A_20190415T103021_N0500_R108_T31UDQ_20230202T021022.SAFE'}, None, (1e-4, -0.1)),
        ({'s2:processing_baseline': ''}, {'scale': 2e-4, 'offset': -0.2}, (2e-4, -0.2)),
        ({'s2:processing_baseline': ''}, {'scale': 2e-4}, (2e-4, 0)),
    ],
)  # fmt: skip
def test_unit_of_the_numbers(properties, raster, expected):
    file = band_files(item(raster=raster, **properties), ['B04'])['B04']
    assert (file.scale, file.offset, file.nodata) == (*expected, 0)


def test_unit_in_the_words_of_stac_1_1():
    raster = {'scale': 1e-4, 'offset': -0.1}
    file = band_files(item(manner='copernicus', raster=raster, **{'s2:processing_baseline': ''}),
                      ['B8A'])['B8A']  # fmt: skip
    assert (file.scale, file.offset) == (1e-4, -0.1)


def test_an_unknown_unit_is_refused():
    with pytest.raises(ItemError, match=r'neither scale and offset .* nor a processing baseline'):
        band_files(item(**{'s2:processing_baseline': ''}), ['B04'])
    with pytest.raises(ItemError, match="scale 'much'"):
        band_files(item(raster={'scale': 'much'}), ['B04'])


def test_least_cloudy_then_nearest_to_the_middle_and_own_zone_before_all():
    scenes = [
        item('other_zone', **{'eo:cloud_cover': 0.0, 'proj:epsg': 32630}),
        item('far', datetime='2019-04-21T10:30:21Z'),
        item('near', datetime='2019-04-16T10:30:21Z'),
        item('cloudy', **{'eo:cloud_cover': 5}),
        item('clear', **{'eo:cloud_cover': 0.5, 'proj:epsg': '', 'proj:code': 'EPSG:32631'},
             datetime='2019-04-08T00:00:00Z'),
    ]  # fmt: skip
    found, reasons = rank_scenes(scenes, WINDOW, SQUARE, 10)
    assert [scene.id for scene in found] == ['clear', 'near', 'far', 'cloudy', 'other_zone']
    assert reasons == []


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'eo:cloud_cover': 10.0}, 'scene has 10 % cloud'),
        ({'eo:cloud_cover': None}, 'scene does not say how cloudy it is'),
        ({'eo:cloud_cover': float('nan')}, 'scene does not say how cloudy it is'),
        ({'datetime': '2019-04-23T00:00:00Z'}, 'scene is of 2019-04-23'),
        # 22 April here, the 23rd in UTC
        ({'datetime': '2019-04-22T23:30:00-01:00'}, 'scene is of 2019-04-23'),
        ({'datetime': None}, 'scene has no time of acquisition, but None'),
    ],
)
def test_what_does_not_fit_is_left_out_with_its_reason(change, reason):
    assert rank_scenes([item('scene', **change)], WINDOW, SQUARE, 10) == ([], [reason])


def test_a_scene_must_cover_the_whole_square():
    scene = item('scene')
    scene['geometry'] = degrees(shapely.box(490020, 5500020, SQUARE.left + 2630, 5609820), 32631)
    assert rank_scenes([scene], WINDOW, SQUARE, 10) == ([], ['scene covers the square in part'])
    scene['geometry'] = degrees(shapely.box(490020, 5500020, SQUARE.left + 2650, 5609820), 32631)
    assert len(rank_scenes([scene], WINDOW, SQUARE, 10)[0]) == 1
    scene['geometry'] = None
    assert len(rank_scenes([scene], WINDOW, SQUARE, 10)[0]) == 1


def test_a_tile_across_the_antimeridian_covers_squares_on_both_sides():
    scene = item('scene', **{'proj:epsg': 32701})
    scene['geometry'] = degrees(shapely.box(99960, 7990240, 209760, 8100040), 32701)
    assert scene['geometry']['type'] == 'MultiPolygon'
    for longitude in (-179.9999, 179.9999):
        square = square_around(longitude, -17.7, 2640)
        assert len(rank_scenes([scene], WINDOW, square, 10)[0]) == 1
    assert rank_scenes([scene], WINDOW, square_around(-175, -17.7, 2640), 10)[0] == []


@pytest.mark.parametrize(
    ('name', 'folder'),
    [
        ('S2A_31UDQ_20190415_0_L2A', 'S2A_31UDQ_20190415_0_L2A'),
        ('S2B_MSIL2A_20190415T103021_R108_T31UDQ_20201006T010203',
         'S2B_MSIL2A_20190415T103021_R108_T31UDQ_20201006T010203'),
        ('scene 7', '20190415T103021_scene-7'),
        ('../20190415', '20190415'),
        ('S2A_20201006_of_20190415', '20190415T103021_S2A_20201006_of_20190415'),
    ],
)  # fmt: skip
def test_folders_carry_the_date(name, folder):
    time = datetime.datetime(2019, 4, 15, 10, 30, 21, tzinfo=datetime.UTC)
    assert scene_name(Candidate(name, time, 0.0, {})) == folder
