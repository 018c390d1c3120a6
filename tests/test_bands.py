# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the names, groups and sensors."""

import pickle

import pytest

from torchgeo_saco.bands import (
    GAOFEN2,
    LANDSAT_8_9,
    RGB,
    SENSORS,
    SENTINEL2_L1C,
    SENTINEL2_L2A,
    BandGroup,
    SkippedGroup,
    available_groups,
    band_groups,
    band_index,
    band_name,
    band_names,
    known_sensor,
    natural_color,
    nearest_bands,
)

# README of the original code
PUBLISHED = {
    'natural_color': ('B04', 'B03', 'B02'),
    'near_infrared': ('B08', 'B04', 'B03'),
    'urban': ('B12', 'B11', 'B04'),
    'agriculture': ('B11', 'B8A', 'B02'),
    'atmospheric_penetration': ('B12', 'B11', 'B8A'),
    'complementary_1': ('B01', 'B05', 'B06'),
    'complementary_2': ('B07', 'B08', 'B10'),
}

SECO_BANDS = ['B1', 'B2', 'B3', 'B4', 'B5', 'B6', 'B7', 'B8', 'B8A', 'B9', 'B11', 'B12']


@pytest.mark.parametrize(
    ('spelling', 'name'),
    [
        ('B04', 'B04'),
        ('B4', 'B04'),
        ('b04', 'B04'),
        ('b4', 'B04'),
        (' B4 ', 'B04'),
        ('4', 'B04'),
        ('004', 'B04'),
        ('Band4', 'B04'),
        ('band 4', 'B04'),
        ('Band_04', 'B04'),
        ('BAND-4', 'B04'),
        ('SR_B4', 'B04'),
        ('sr_b4', 'B04'),
        ('B10', 'B10'),
        ('B1', 'B01'),
        ('B8A', 'B8A'),
        ('B8a', 'B8A'),
        ('b08a', 'B8A'),
        ('8A', 'B8A'),
        ('Band 8A', 'B8A'),
    ],
)
def test_spellings_of_one_band_are_one_name(spelling, name):
    assert band_name(spelling) == name
    assert band_name(band_name(spelling)) == name


@pytest.mark.parametrize(
    ('spelling', 'sensor', 'name'),
    [
        ('red', RGB, 'R'),
        ('Green', RGB, 'G'),
        ('BLUE', RGB, 'B'),
        ('b', RGB, 'B'),
        ('panchromatic', GAOFEN2, 'PAN'),
        ('pan', 'gaofen2', 'PAN'),
        ('B4', 'gaofen2', 'B04'),
        ('SR_B7', 'landsat_8_9', 'B07'),
        ('B11', LANDSAT_8_9, 'B11'),
        ('SR_B7', 'landsat_4_7', 'B07'),
    ],
)
def test_spellings_of_other_sensors(spelling, sensor, name):
    assert band_name(spelling, sensor) == name


@pytest.mark.parametrize(
    ('spelling', 'close'),
    [('B13', 'B12'), ('B12A', 'B12'), ('B8A1', 'B8A'), ('B4.tif', 'B04'), ('B0', 'B10')],
)
def test_unknown_band_is_refused_with_the_nearest(spelling, close):
    message = f"Sentinel-2 L1C has no band '{spelling}'; did you mean '{close}'"
    with pytest.raises(ValueError, match=message):
        band_name(spelling)


@pytest.mark.parametrize('spelling', ['', 'B', 'SR_', 'red', 'B-', '?'])
def test_what_names_no_band_is_refused(spelling):
    with pytest.raises(ValueError, match='Its bands are B01, B02'):
        band_name(spelling)


@pytest.mark.parametrize('spelling', [4, None, True, ['B04']])
def test_a_band_is_named_by_text(spelling):
    with pytest.raises(ValueError, match=r"text such as 'B01', got "):
        band_name(spelling)


def test_cirrus_is_no_band_of_surface_reflectance():
    assert set(SENTINEL2_L1C.bands) - set(SENTINEL2_L2A.bands) == {'B10'}
    with pytest.raises(ValueError, match="Sentinel-2 L2A has no band 'B10'"):
        band_name('B10', SENTINEL2_L2A)


def test_band_order_of_sentinel2_is_that_of_its_files():
    names = [
        'B01',
        'B02',
        'B03',
        'B04',
        'B05',
        'B06',
        'B07',
        'B08',
        'B8A',
        'B09',
        'B10',
        'B11',
        'B12',
    ]
    assert list(SENTINEL2_L1C.bands) == names


@pytest.mark.parametrize(
    ('side', 'names'),
    [
        (10.0, {'B02', 'B03', 'B04', 'B08'}),
        (20.0, {'B05', 'B06', 'B07', 'B8A', 'B11', 'B12'}),
        (60.0, {'B01', 'B09', 'B10'}),
    ],
)
def test_pixel_sizes_of_sentinel2(side, names):
    assert {band for band, size in SENTINEL2_L1C.bands.items() if size == side} == names


def test_pixel_sizes_of_landsat():
    bands = LANDSAT_8_9.bands
    assert len(bands) == 11
    assert {band: size for band, size in bands.items() if size != 30.0} == {
        'B08': 15.0,
        'B10': 100.0,
        'B11': 100.0,
    }


@pytest.mark.parametrize('sensor', ['landsat_4_7', 'landsat_8_9'])
def test_nearest_bands_of_published_groups_are_those_of_the_table(sensor):
    found = nearest_bands(SENTINEL2_L2A.bands, SENTINEL2_L2A, SENSORS[sensor].bands, sensor)
    for name, bands in SENSORS[sensor].groups.items():
        assert tuple(found[band] for band in SENTINEL2_L2A.groups[name]) == bands


def test_nearest_bands_overlap():
    found = nearest_bands(
        ['B1', 'B5', 'B7', 'B8A', 'B9'], 'sentinel2_l2a', ['B4', 'B5'], 'landsat_4_7'
    )
    assert found == {'B07': 'B04', 'B8A': 'B04'}
    near = nearest_bands(['B4'], 'landsat_4_7', ['B7', 'B8', 'B8A'], 'sentinel2_l2a')
    assert near == {'B04': 'B08'}
    assert nearest_bands(['R'], RGB, ['G', 'R'], 'rgb') == {'R': 'R'}


def test_nearest_bands_need_wavelengths():
    with pytest.raises(ValueError, match=r'wavelengths of RGB are not known.*of Sentinel-2 L1C'):
        nearest_bands(['B04'], 'sentinel2_l1c', ['R'], 'rgb')


@pytest.mark.parametrize('name', SENSORS)
def test_wavelengths_are_of_all_bands_and_in_order(name):
    sensor = SENSORS[name]
    if sensor.wavelengths is None:
        assert name in ('sentinel1', 'sentinel1_2', 'rgb')
    else:
        assert list(sensor.wavelengths) == list(sensor.bands)
        assert all(0.4 < low < high < 13 for low, high in sensor.wavelengths.values())


def test_pixel_sizes_of_gaofen():
    assert set(GAOFEN2.bands.values()) == {3.2, 0.8}
    assert GAOFEN2.bands['PAN'] == 0.8


@pytest.mark.parametrize('name', SENSORS)
def test_sensor_by_name(name):
    found = known_sensor(name)
    assert found is SENSORS[name]
    assert known_sensor(found) is found
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301
    assert band_names(found.bands, name) == tuple(found.bands)


@pytest.mark.parametrize('name', ['sentinel2', '', 'Sentinel-2 L1C'])
def test_unknown_sensor_is_refused(name):
    with pytest.raises(ValueError, match=r'unknown sensor .* choose one of sentinel2_l1c, '):
        known_sensor(name)


@pytest.mark.parametrize('name', SENSORS)
def test_groups_of_every_sensor_have_three_known_bands(name):
    found = known_sensor(name)
    for group in band_groups(sensor=name):
        assert len(set(group.bands)) == min(3, len(found.bands))
        known = {*found.bands, *(found.substitutes or {})}
        assert known.issuperset(group.bands)


def test_names_keep_the_order_given():
    assert band_names(iter(['B8', 'b2', 'B8A'])) == ('B08', 'B02', 'B8A')


def test_band_listed_twice_is_refused_with_both_positions():
    message = "B04 is listed twice, as 'B4' at position 0 and 'b04' at position 2"
    with pytest.raises(ValueError, match=message):
        band_names(['B4', 'B3', 'b04'])


@pytest.mark.parametrize(
    ('spellings', 'message'),
    [
        ([], 'bands is empty'),
        ('B04', "must be a list of names, got 'B04'"),
        (None, 'must be a list of names, got None'),
        (['B04', 'B77'], "no band 'B77'"),
    ],
)
def test_what_is_no_list_of_bands_is_refused(spellings, message):
    with pytest.raises(ValueError, match=message):
        band_names(spellings)


def test_index_of_bands():
    assert band_index(('B02', 'B03', 'B04'), iter(['B04', 'B02'])) == [2, 0]


def test_index_of_a_lacking_band_is_refused():
    with pytest.raises(ValueError, match='no band B08, B11; its bands are B02, B03'):
        band_index(['B02', 'B03'], ['B02', 'B08', 'B11'])


def test_channels_of_natural_color():
    assert natural_color(['B08', 'B02', 'B03', 'B04'], SENTINEL2_L2A) == [3, 2, 1]
    assert natural_color(['B08', 'B03', 'B04'], SENTINEL2_L2A) is None
    radar = SENTINEL2_L2A._replace(groups={})
    assert natural_color(['B04', 'B03', 'B02'], radar) is None


@pytest.mark.parametrize('sensor', [SENTINEL2_L1C, 'sentinel2_l2a'])
def test_published_groups(sensor):
    assert band_groups(sensor=sensor) == [BandGroup(*item) for item in PUBLISHED.items()]


def test_groups_come_in_the_order_asked_for():
    groups = band_groups(['urban', 'natural_color'])
    assert groups == [BandGroup(name, PUBLISHED[name]) for name in ('urban', 'natural_color')]


def test_own_groups_take_any_spelling_and_sensor():
    assert band_groups({'moisture': ['b8a', 'B11', '4'], 'coast': ('B1', 'B2', 'B3')}) == [
        BandGroup('moisture', ('B8A', 'B11', 'B04')),
        BandGroup('coast', ('B01', 'B02', 'B03')),
    ]
    assert band_groups({'thermal': ['B10', 'B11', 'B7']}, 'landsat_8_9') == [
        BandGroup('thermal', ('B10', 'B11', 'B07'))
    ]


@pytest.mark.parametrize(
    ('groups', 'message'),
    [
        (['urbam'], "no published group 'urbam'; did you mean 'urban'"),
        (['?'], r"no published group '\?'; did you mean '\w+'"),
        (['urban', 'natural_color', 'urban'], "group 'urban' is listed twice"),
        ([['B4', 'B3', 'B2']], r"named by text, got \['B4', 'B3', 'B2'\]; .* map its name"),
        ('urban', "a list or a mapping, got 'urban'"),
        (3, 'a list or a mapping, got 3'),
        ([], 'groups is empty'),
        ({}, 'groups is empty'),
        ({'x': ['B4', 'B3']}, "group 'x' needs three bands, got 2: B04, B03"),
        ({'x': ['B4', 'B3', 'B2', 'B8']}, "group 'x' needs three bands, got 4"),
        ({'x': []}, "group 'x': bands is empty"),
        ({'x': None}, "group 'x': bands must be a list of names"),
        ({'x': 'B04'}, "group 'x': bands must be a list of names"),
        ({'x': ['B4', 'B3', 'B04']}, "group 'x': band B04 is listed twice"),
        ({'x': ['B4', 'B3', 'B14']}, "group 'x': .* did you mean 'B12'"),
    ],
)
def test_what_is_no_group_is_refused(groups, message):
    with pytest.raises(ValueError, match=message):
        band_groups(groups)


def test_a_group_of_two_bands_shows_one_twice():
    ratio = {'ratio': ['vv', 'VH', 'VV']}
    assert band_groups(ratio, 'sentinel1') == [BandGroup('ratio', ('VV', 'VH', 'VV'))]
    with pytest.raises(ValueError, match="group 'x': band R is listed twice"):
        band_groups({'x': ['R', 'G', 'R']}, 'rgb')


def test_all_groups_form_from_all_bands():
    formed, skipped = available_groups(list(SENTINEL2_L1C.bands))
    assert formed == band_groups()
    assert skipped == []


@pytest.mark.parametrize('sensor', ['sentinel2_l1c', 'sentinel2_l2a'])
def test_water_vapour_stands_in_for_cirrus(sensor):
    formed, skipped = available_groups(SECO_BANDS, sensor=sensor)
    assert skipped == []
    assert formed[:-1] == band_groups(sensor=sensor)[:-1]
    assert formed[-1] == BandGroup('complementary_2', ('B07', 'B08', 'B09'))


def test_cirrus_is_kept_where_the_image_has_it():
    formed, _ = available_groups(['B7', 'B8', 'B9', 'B10'])
    assert formed == [BandGroup('complementary_2', ('B07', 'B08', 'B10'))]


def test_groups_that_cannot_form_are_omitted_with_the_reason():
    formed, skipped = available_groups(['B2', 'B3', 'B4', 'B8', 'B11'])
    assert [group.name for group in formed] == ['natural_color', 'near_infrared']
    assert skipped == [
        SkippedGroup('urban', 'the image lacks B12'),
        SkippedGroup('agriculture', 'the image lacks B8A'),
        SkippedGroup('atmospheric_penetration', 'the image lacks B12, B8A'),
        SkippedGroup('complementary_1', 'the image lacks B01, B05, B06'),
        SkippedGroup('complementary_2', 'the image lacks B07, B10 (and B09)'),
    ]


def test_a_band_never_stands_in_for_another_of_its_group():
    groups = {'rgb': ['B4', 'B3', 'B2'], 'air': ['B9', 'B10', 'B1']}
    formed, skipped = available_groups(SECO_BANDS, groups)
    assert [group.name for group in formed] == ['rgb']
    assert skipped == [SkippedGroup('air', 'the image lacks B10')]


def test_bands_of_other_sensors_have_no_substitute():
    groups = {'thermal': ['B10', 'B11', 'B7'], 'urban': ['B7', 'B6', 'B4']}
    formed, skipped = available_groups(['B4', 'B6', 'B7', 'B9', 'B11'], groups, LANDSAT_8_9)
    assert [group.name for group in formed] == ['urban']
    assert skipped == [SkippedGroup('thermal', 'the image lacks B10')]


def test_groups_of_another_sensor_form_of_its_bands():
    formed, skipped = available_groups(['B', 'G', 'R'], sensor='rgb')
    assert formed == [BandGroup('natural_color', ('R', 'G', 'B'))] and not skipped


def test_no_group_at_all_is_refused_with_every_reason():
    message = 'no group can be formed from the bands B08 .*natural_color: .*urban: .*own'
    with pytest.raises(ValueError, match=message):
        available_groups(['B8'])


@pytest.mark.parametrize('sensor', SENSORS)
def test_every_sensor_has_groups_that_its_bands_form(sensor):
    formed, skipped = available_groups(list(known_sensor(sensor).bands), sensor=sensor)
    assert formed
    assert not [name for name, _ in skipped if name == 'natural_color']
