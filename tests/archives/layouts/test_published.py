# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the layouts of SSL4EO-S12, SEN12MS, BigEarthNet, EuroSAT and of RGB images."""

import datetime
import os

import numpy as np
import pytest
from PIL import Image

from torchgeo_saco.archives.layout import UNDATED, LayoutError
from torchgeo_saco.archives.layouts import find_layout
from torchgeo_saco.bands import known_sensor
from torchgeo_saco.datasets import SeasonalArchive
from torchgeo_saco.io.raster import BandFileError

from ...data.layouts import (
    write_bigearthnet_patches,
    write_image_folders,
    write_radar_patches,
    write_rgb,
    write_sen12ms,
    write_ssl4eo,
)


def listed(root, **arguments):
    layout, _ = find_layout(root, **arguments)
    return layout, *layout.locations()


def test_ssl4eo_lists_locations_and_dates(tmp_path):
    write_ssl4eo(tmp_path)
    for sensor in ('sentinel1', 'sentinel2_l1c', 'sentinel2_l2a'):
        _, locations, skipped = listed(tmp_path, sensor=sensor)
        assert [location.name for location in locations] == ['0000200', '0000201']
        assert locations[0].days == [datetime.date(2020, 6, 4), datetime.date(2020, 8, 23)]
        assert set(locations[0].scenes[0].files) == set(known_sensor(sensor).bands)
        assert skipped == []


def test_patches_of_sen12ms_have_one_name_in_both_products(tmp_path):
    write_sen12ms(tmp_path)
    (tmp_path / 'ROIs1158_spring/s2_1/ROIs1158_spring_s1_1_p5.tif').touch()
    (tmp_path / 'ROIs1158_spring/s2_1/._ROIs1158_spring_s2_1_p4.tif').touch()
    (tmp_path / 'other' / 's2_1').mkdir(parents=True)
    (tmp_path / 'other' / 's2_1' / 'other_s2_1_p9.tif').touch()
    names = ['ROIs1158_spring_1_p30', 'ROIs1158_spring_1_p4', 'ROIs2017_winter_22_p7']
    for sensor, product in (('sentinel1', 's1'), ('sentinel2_l1c', 's2')):
        layout, locations, skipped = listed(tmp_path, sensor=sensor)
        assert [location.name for location in locations] == names
        assert locations[0].days == [UNDATED]
        assert layout.file_bands == tuple(known_sensor(sensor).bands)
        for location in locations:
            path = layout.path(location.name, location.scenes[0], '')
            assert (tmp_path / path).is_file() and f'_{product}_' in path
        wrong = ['ROIs1158_spring/s2_1/ROIs1158_spring_s1_1_p5.tif']
        assert skipped == (wrong if product == 's2' else [])
    with pytest.raises(LayoutError, match='holds no patch of Sentinel-1 laid out as <season>/<s1'):
        (tmp_path / 'empty').mkdir()
        listed(tmp_path / 'empty', sensor='sentinel1', layout='sen12ms')


def test_every_patch_is_a_location_of_one_date(tmp_path):
    names = write_bigearthnet_patches(tmp_path)
    layout, locations, _ = listed(tmp_path)
    assert [location.name for location in locations] == names
    assert locations[2].days == [datetime.date(2017, 6, 19)]
    assert locations[0].scenes[0].files is locations[3].scenes[0].files
    path = layout.path(names[1], locations[1].scenes[0], 'B8A')
    assert path == os.path.join(names[1], f'{names[1]}_B8A.tif')
    assert (tmp_path / path).is_file()


def test_patches_of_version_2_lie_by_tile(tmp_path):
    tile = 'S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP'
    write_bigearthnet_patches(tmp_path / tile, 1)
    (patch,) = (tmp_path / tile).iterdir()
    for path in patch.iterdir():
        path.rename(path.with_name(path.name.replace(patch.name, f'{tile}_26_57')))
    patch.rename(patch.with_name(f'{tile}_26_57'))
    # Neither a picture nor a patch of another tile is one of this.
    write_rgb(tmp_path / tile / 'pictures' / 'map.png')
    write_bigearthnet_patches(tmp_path / tile, 1)
    layout, (location,), _ = listed(tmp_path)
    assert location.name == f'{tile}/{tile}_26_57'
    assert (tmp_path / layout.path(location.name, location.scenes[0], 'B02')).is_file()


def test_labels_of_patches(tmp_path):
    names = write_bigearthnet_patches(tmp_path, 3, ['Burnt areas', 'Pastures', 'Bare rock'])
    (tmp_path / names[1] / f'{names[1]}_labels_metadata.json').unlink()
    layout, _, _ = listed(tmp_path)
    classes, known = layout.labels(names)
    assert len(classes) == 19
    assert set(known) == {names[0], names[2]}
    label = layout.multi_hot(names[0])
    # Of these three, the 19 classes know pastures alone.
    assert [classes[number] for number in np.flatnonzero(label)] == ['Pastures']


def test_patches_without_labels_have_no_classes(tmp_path):
    names = write_radar_patches(tmp_path)
    layout, _, _ = listed(tmp_path)
    assert layout.labels(names) == ([], {})


def test_unknown_label_names_the_file(tmp_path):
    (name,) = write_bigearthnet_patches(tmp_path, 1, ['Pasture'])
    layout, _, _ = listed(tmp_path)
    with pytest.raises(
        ValueError, match=r"metadata\.json has the unknown label 'Pasture'; did you"
    ):
        layout.multi_hot(name)


def test_files_of_a_patch_that_are_no_band(tmp_path):
    (name,) = write_bigearthnet_patches(tmp_path, 1)
    (tmp_path / name / f'{name}_TCI.tif').touch()
    assert listed(tmp_path)[2] == ['<patch>_TCI.tif']
    (tmp_path / name / f'{name}_B2.tif').touch()
    with pytest.raises(ValueError, match=r'has two files of band B02, ending in _B02\.tif and _B2'):
        listed(tmp_path)


def test_folder_of_radar_read_as_optical(tmp_path):
    write_radar_patches(tmp_path)
    with pytest.raises(ValueError, match=r'no archive of Sentinel-2 L2A, but .*sentinel1'):
        listed(tmp_path, sensor='sentinel2_l2a')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(
        LayoutError, match='empty holds no patch of Sentinel-2 L2A laid out as <pat'
    ):
        listed(tmp_path / 'empty', sensor='sentinel2_l2a', layout='bigearthnet')


def test_images_are_locations_without_a_date_whose_folders_are_classes(tmp_path):
    write_image_folders(tmp_path, count=2)
    write_rgb(tmp_path / 'Forest' / 'photo.JPEG')
    write_rgb(tmp_path / 'legend.png')
    layout, locations, skipped = listed(tmp_path)
    names = [location.name for location in locations]
    assert names == ['Forest/Forest_0.png', 'Forest/Forest_1.png', 'Forest/photo.JPEG',
                     'River/River_0.png', 'River/River_1.png']  # fmt: skip
    assert locations[0].days == [UNDATED]
    assert layout.labels(names) == (
        ['Forest', 'River'],
        dict(zip(names, [0, 0, 0, 1, 1], strict=True)),
    )
    assert skipped == ['legend.png']


def test_labels_of_a_table_come_before_folders(tmp_path):
    write_image_folders(tmp_path, count=1)
    (tmp_path / 'labels.csv').write_text('location,label\nForest/Forest_0.png,dry\n')
    layout, _, _ = listed(tmp_path)
    assert layout.labels(['Forest/Forest_0.png']) == (['dry'], {'Forest/Forest_0.png': 0})


def test_names_are_in_order_whatever_the_folders(tmp_path):
    for folder in ('A', 'A B', 'A-B'):
        write_rgb(tmp_path / folder / 'x.png')
    names = [location.name for location in listed(tmp_path)[1]]
    assert names == sorted(names)


def test_images_in_one_folder_have_no_classes(tmp_path):
    for name in ('a', 'b'):
        write_rgb(tmp_path / f'{name}.png')
    layout, locations, _ = listed(tmp_path)
    names = [location.name for location in locations]
    assert names == ['a.png', 'b.png']
    assert layout.labels(names) == ([], {})


def test_a_folder_without_images_says_how_they_lie(tmp_path):
    (tmp_path / 'Forest').mkdir()
    (tmp_path / 'Forest' / 'notes.txt').touch()
    with pytest.raises(LayoutError, match=r'holds no image laid out as <class>/<image>\.jpg or'):
        listed(tmp_path, layout='images')


def test_geotiffs_that_cannot_be_opened_are_no_eurosat(tmp_path):
    (tmp_path / 'River').mkdir()
    (tmp_path / 'River' / 'River_1.tif').write_bytes(b'II*\0 and no more')
    with pytest.raises(
        LayoutError, match=r'cannot be opened, such as River/River_1\.tif; fetch them again'
    ):
        SeasonalArchive(tmp_path)


def test_an_image_larger_than_a_patch_is_refused(tmp_path):
    (tmp_path / 'Forest').mkdir()
    Image.new('RGB', (4097, 2), (10, 20, 30)).save(tmp_path / 'Forest' / 'a.png')
    with pytest.raises(
        BandFileError, match=r'a\.png is 4097 x 2 px, above the limit of 4096; cut it into patches'
    ):
        SeasonalArchive(tmp_path, layout='images')


def test_only_patches_of_bigearthnet_have_several_labels(tmp_path):
    write_image_folders(tmp_path, count=1)
    layout, locations, _ = listed(tmp_path)
    with pytest.raises(ValueError, match=f'{tmp_path} has no locations of several labels'):
        layout.multi_hot(locations[0].name)
