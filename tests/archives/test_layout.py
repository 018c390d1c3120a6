# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the folder layout of SeCo and CACo."""

import datetime
import os

import pytest

from torchgeo_saco.archives.layout import LayoutError, read_layout, scene_date
from torchgeo_saco.bands import SENTINEL2_L1C

from ..data.archives import write_archive


def touch(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


@pytest.mark.parametrize(
    ('name', 'day'),
    [
        ('20190415', (2019, 4, 15)),
        ('2019-04-15', (2019, 4, 15)),
        ('2019_04_15_clear', (2019, 4, 15)),
        ('20200604T054639_20200605T054831_T43RCP', (2020, 6, 4)),
        ('20171122T105341_20171122T105612_T31UDQ_2197_48923_8339', (2017, 11, 22)),
        ('S2A_MSIL2A_20190415T103021_N0211_R108_T31UFS', (2019, 4, 15)),
        ('20191399_20190415', (2019, 4, 15)),
    ],
)
def test_date_in_a_name(name, day):
    assert scene_date(name) == datetime.date(*day)


@pytest.mark.parametrize('name', ['', 'spring', '20191399', '1234567', '120190415'])
def test_name_without_a_date(name):
    with pytest.raises(ValueError, match=r'holds no date; name the folder by date'):
        scene_date(name)


def test_scenes_are_ordered_by_date_not_by_name(tmp_path):
    touch(tmp_path, 'a/x_20190901/B4.tif', 'a/y_20180901/B4.tif', 'a/20190301/B4.tif')
    (location,), _ = read_layout(tmp_path, SENTINEL2_L1C)
    assert [scene.name for scene in location.scenes] == ['y_20180901', '20190301', 'x_20190901']


def test_spellings_of_bands(tmp_path):
    touch(tmp_path, *(f'a/20190301/{name}' for name in ('B4.tif', 'b08.TIF', 'B8a.tiff')))
    (location,), _ = read_layout(tmp_path, SENTINEL2_L1C)
    assert location.scenes[0].files == {'B04': 'B4.tif', 'B08': 'b08.TIF', 'B8A': 'B8a.tiff'}


def test_listings_are_shared_between_scenes(tmp_path):
    write_archive(tmp_path, locations=2, bands=['B4'])
    (first, second), _ = read_layout(tmp_path, SENTINEL2_L1C)
    assert first.scenes[0].files is second.scenes[3].files


def test_strays_and_files_that_are_no_band_are_passed_over(tmp_path):
    touch(
        tmp_path,
        'a/20190301/B4.tif',
        'a/20190301/metadata.json',
        'a/20190301/TCI.tif',
        'a/20190301/._B4.tif',
        'a/20190301.tif',
        'a/.ipynb_checkpoints/20190301/B4.tif',
        '__MACOSX/20190301/B4.tif',
        'notes.txt',
    )
    (location,), skipped_files = read_layout(tmp_path, SENTINEL2_L1C)
    assert location.name == 'a'
    assert [scene.name for scene in location.scenes] == ['20190301']
    assert skipped_files == ['TCI.tif']


def test_empty_locations_and_scenes_are_kept_to_be_reported(tmp_path):
    touch(tmp_path, 'a/20190301/B4.tif', 'a/20190401/notes.txt', 'a/thumbnails/x.png', 'b/x.txt')
    (first, second), _ = read_layout(tmp_path, SENTINEL2_L1C)
    assert [dict(scene.files) for scene in first.scenes] == [{'B04': 'B4.tif'}, {}]
    assert second.scenes == ()


def test_previews(tmp_path):
    touch(tmp_path, 'a/20190301T1.tif', 'a/20180301T1.tif', 'a/20190301T1/B4.tif')
    (location,), _ = read_layout(tmp_path, SENTINEL2_L1C, previews=True)
    assert [scene.name for scene in location.scenes] == ['20180301T1.tif', '20190301T1.tif']


def test_names_beyond_ascii(tmp_path):
    touch(tmp_path, 'Zürich Nord, №3/20190301/B4.tif', f'{"x" * 200}/20190301/B4.tif')
    assert len(read_layout(tmp_path, SENTINEL2_L1C)[0]) == 2


def test_two_files_of_one_band(tmp_path):
    touch(tmp_path, 'a/20190301/B4.tif', 'a/20190301/B04.tif')
    with pytest.raises(
        ValueError, match=r'20190301 has two files of band B04: B04\.tif and B4\.tif'
    ):
        read_layout(tmp_path, SENTINEL2_L1C)


def test_scene_without_a_date(tmp_path):
    touch(tmp_path, 'a/spring/B4.tif')
    with pytest.raises(ValueError, match=r"a/spring: 'spring' holds no date"):
        read_layout(tmp_path, SENTINEL2_L1C)


def test_missing_root(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere does not exist; set root to a folder'):
        read_layout(tmp_path / 'nowhere', SENTINEL2_L1C)


def test_root_is_a_file(tmp_path):
    touch(tmp_path, 'file')
    with pytest.raises(FileNotFoundError, match='file is a file; set root to a folder'):
        read_layout(tmp_path / 'file', SENTINEL2_L1C)


@pytest.mark.parametrize('content', [(), ('.hidden/20190301/B4.tif',), ('20190301/B4.tif',)])
def test_empty_root(tmp_path, content):
    touch(tmp_path, *content)
    with pytest.raises(
        LayoutError, match=r'holds no location laid out as <location>/<date or scene id>/<band>'
    ):
        read_layout(tmp_path, SENTINEL2_L1C)


@pytest.mark.parametrize(('function', 'locked'), [('scandir', 'a'), ('listdir', '20190301')])
def test_unreadable_folder_is_not_empty(tmp_path, monkeypatch, function, locked):
    touch(tmp_path, 'a/20190301/B4.tif')
    real = getattr(os, function)

    def refuse(path):
        if os.path.basename(path) == locked:
            raise PermissionError(13, 'Permission denied', path)
        return real(path)

    monkeypatch.setattr(os, function, refuse)
    with pytest.raises(PermissionError, match=f'{locked} cannot be listed: permission denied'):
        read_layout(tmp_path, SENTINEL2_L1C)


@pytest.mark.parametrize('path_row', ['198012', '198030', '203032', '190022', '126046'])
def test_path_and_row_of_landsat_are_no_date(path_row):
    name = f'LC08_L2SP_{path_row}_20210603_20210611_02_T1'
    assert scene_date(name) == datetime.date(2021, 6, 3)


@pytest.mark.parametrize(
    ('one', 'other'),
    [
        ('20180410T103021_20180410T103025_T31UFS', '20180410T103021_20180410T103025_T31UGS'),
        ('LC08_L2SP_198025_20180410_20200901_02_T1', 'LC08_L2SP_198026_20180410_20200901_02_T1'),
        ('20180410T103021', '20180410T103521'),
    ],
)
def test_neighbouring_scenes_of_a_day_are_two(tmp_path, one, other):
    touch(tmp_path, f'a/{one}/B4.tif', f'a/{other}/B4.tif')
    (location,), _ = read_layout(tmp_path, SENTINEL2_L1C)
    assert len(location.scenes) == 2


def test_a_scene_that_is_there_twice_is_refused(tmp_path):
    name = 'S2A_MSIL2A_20180410T103021_{}_T31UFS'
    touch(tmp_path, *(f'a/{name.format(n)}/B4.tif' for n in ('N0207', 'N0500')))
    with pytest.raises(ValueError, match='has two scenes of 2018-04-10'):
        read_layout(tmp_path, SENTINEL2_L1C)


def test_names_that_are_no_text_matter_only_of_what_is_read(tmp_path):
    touch(tmp_path, 'a/20180410/B4.tif')
    stray = os.path.join(os.fsencode(tmp_path), b'a', b'20180410', b'caf\xe9')
    open(stray + b'.txt', 'w').close()
    (location,), _ = read_layout(tmp_path, SENTINEL2_L1C)
    assert list(location.scenes[0].files) == ['B04']
    open(stray + b'.tif', 'w').close()
    with pytest.raises(ValueError, match='is no text in UTF-8; rename it'):
        read_layout(tmp_path, SENTINEL2_L1C)
