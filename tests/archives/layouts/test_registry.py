# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the choice of a layout by looking at a folder."""

import pytest

from torchgeo_saco.archives.layouts import LAYOUTS, find_layout

from ...data.archives import write_archive
from ...data.layouts import (
    write_bigearthnet_patches,
    write_image_folders,
    write_radar_patches,
    write_sen12ms,
    write_ssl4eo,
)
from ...data.scenes import write_eurosat_image


@pytest.fixture
def trees(tmp_path):
    """A folder for each layout, with its name."""
    write_ssl4eo(tmp_path / 'ssl4eo_s12', ['s2a'])
    write_archive(tmp_path / 'folders', locations=1, bands=['B4'], size=6)
    write_bigearthnet_patches(tmp_path / 'bigearthnet', 1)
    write_eurosat_image(tmp_path / 'eurosat', 'River_1')
    write_image_folders(tmp_path / 'images')
    return tmp_path


@pytest.mark.parametrize(
    ('name', 'sensor'),
    [
        ('ssl4eo_s12', 'sentinel2_l2a'),
        ('folders', 'sentinel2_l1c'),
        ('bigearthnet', 'sentinel2_l2a'),
        ('eurosat', 'sentinel2_l1c'),
        ('images', 'rgb'),
    ],
)
def test_layout_and_sensor_are_told_by_the_folder(trees, name, sensor):
    layout, found = find_layout(trees / name)
    assert type(layout) is LAYOUTS[name]
    assert found == sensor
    forced, _ = find_layout(trees / name, layout=name)
    assert (type(forced), forced.root) == (type(layout), layout.root)


def test_layout_is_told_from_the_folder_above(tmp_path):
    write_image_folders(tmp_path / 'data' / 'EuroSAT_RGB')
    (tmp_path / 'data' / 'eurosat_rgb-train.txt').touch()
    layout, _ = find_layout(tmp_path / 'data')
    assert layout.root == str(tmp_path / 'data' / 'EuroSAT_RGB')


def test_products_are_chosen_by_sensor(tmp_path):
    write_ssl4eo(tmp_path, locations=1)
    for sensor, product in (
        ('sentinel1', 's1'),
        ('sentinel2_l1c', 's2c'),
        ('sentinel2_l2a', 's2a'),
    ):
        layout, found = find_layout(tmp_path, sensor)
        assert (layout.root, found) == (str(tmp_path / product), sensor)
        assert find_layout(tmp_path / product)[1] == sensor
    with pytest.raises(
        ValueError, match=r'several archives: .*s1 \(ssl4eo_s12, sentinel1\); .* or '
    ):
        find_layout(tmp_path)
    with pytest.raises(ValueError, match='holds no archive of Landsat') as refused:
        find_layout(tmp_path, 'landsat_8_9')
    assert str(refused.value).count('s2a (ssl4eo_s12') == 1
    with pytest.raises(
        ValueError, match=r'no archive of Sentinel-2 L1C, but .*s2a \(ssl4eo_s12, sen'
    ):
        find_layout(tmp_path / 's2a', 'sentinel2_l1c')
    with pytest.raises(ValueError, match=r'no archive of RGB, but'):
        find_layout(tmp_path, 'rgb')


def test_both_products_of_sen12ms_lie_in_one_folder(tmp_path):
    write_sen12ms(tmp_path / 'data')
    for sensor in ('sentinel1', 'sentinel2_l1c'):
        for root in (tmp_path, tmp_path / 'data'):
            layout, found = find_layout(root, sensor)
            assert type(layout) is LAYOUTS['sen12ms']
            assert (layout.root, found) == (str(tmp_path / 'data'), sensor)
    with pytest.raises(
        ValueError, match=r'several archives: .*\(sen12ms, sentinel1\); .* or sensor'
    ):
        find_layout(tmp_path)
    for path in (tmp_path / 'data').glob('*/s1_*/*'):
        path.unlink()
    assert find_layout(tmp_path)[1] == 'sentinel2_l1c'
    with pytest.raises(ValueError, match='sen12ms are of sentinel1 or sentinel2_l1c, not of RGB'):
        find_layout(tmp_path / 'data' / 'ROIs1158_spring' / 's1_1', 'rgb', 'sen12ms')


def test_a_layout_may_be_forced(tmp_path):
    write_ssl4eo(tmp_path, ['s2a'], locations=1)
    layout, sensor = find_layout(tmp_path / 's2a', 'sentinel2_l1c', 'folders')
    assert (type(layout), sensor) == (LAYOUTS['folders'], 'sentinel2_l1c')


def test_radar_and_optical_patches_in_one_folder(tmp_path):
    write_bigearthnet_patches(tmp_path, 1)
    write_radar_patches(tmp_path, 1)
    with pytest.raises(
        ValueError, match=r'several archives: .*sentinel1\); .*sentinel2_l2a\); set'
    ):
        find_layout(tmp_path)
    layout, _ = find_layout(tmp_path, 'sentinel1')
    assert [location.name[:3] for location in layout.locations()[0]] == ['S1A']


def test_thumbnails_beside_scenes_are_no_images_of_classes(tmp_path):
    write_archive(tmp_path, locations=3, bands=['B4'], size=6)
    for location in range(3):
        (tmp_path / f'{location:06d}' / 'thumbnail.png').touch()
    (tmp_path / 'overview.png').touch()
    assert type(find_layout(tmp_path)[0]) is LAYOUTS['folders']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'layout': 'tiles'}, "layout must be one of ssl4eo_s12, sen12ms, .*, got 'tiles'"),
        ({'sensor': 'sentinel9'}, "unknown sensor 'sentinel9'"),
        ({'layout': 'images', 'sensor': 'gaofen2'}, 'have R, G, B, which Gaofen-2 has not; leave'),
    ],
)
def test_wrong_argument(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        find_layout(tmp_path, **arguments)


def test_missing_folder_says_how_the_layout_looks(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'nowhere does not exist; .* as <patch>/<patch>_<b'
    ):
        find_layout(tmp_path / 'nowhere', layout='bigearthnet')
