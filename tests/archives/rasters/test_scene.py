# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of whole scenes."""

import datetime
import os
import shutil

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling

from torchgeo_saco.archives.rasters import ProductError, open_scene
from torchgeo_saco.io.raster import BandFileError

from ...data.archives import write_tif
from ...data.products import landsat_bands, scene_bands, write_landsat, write_safe

SIDES = {'B02': 1, 'B05': 2, 'B01': 6}
GRID = Affine(10, 0, 500000, 0, -10, 5600000)


def write_folder(folder, dtype='uint16', sides=SIDES, **profile):
    generator = np.random.default_rng(0)
    for band, ratio in sides.items():
        image = generator.integers(1, 4000, (48 // ratio, 60 // ratio)).astype(dtype)
        transform = GRID @ Affine.scale(ratio)
        write_tif(folder / f'{band}.tif', image, **({'transform': transform} | profile))
    return folder


def write_stack(path, names=('B02', 'B03', 'B04'), dtype='uint16', **profile):
    image = np.random.default_rng(0).integers(1, 4000, (3, 20, 30)).astype(dtype)
    write_tif(path, image, **profile)
    with rasterio.open(path, 'r+') as file:
        file.descriptions = names
    return path, image


@pytest.mark.parametrize('dtype', ['uint16', 'int16', 'float32'])
def test_windows_are_those_of_the_whole_band(tmp_path, dtype):
    with open_scene(write_folder(tmp_path / 'scene', dtype)) as scene:
        assert (scene.bands, scene.shape, scene.dtype) == (('B01', 'B02', 'B05'), (48, 60), dtype)
        whole, valid = scene.read((0, 0, 48, 60))
        assert valid.all()
        for window in [(0, 0, 7, 9), (11, 13, 25, 31), (35, 50, 13, 10)]:
            rows, columns = (slice(window[i], window[i] + window[i + 2]) for i in (0, 1))
            np.testing.assert_array_equal(scene.read(window)[0], whole[:, rows, columns])
    for number, band in enumerate(('B01', 'B02', 'B05')):
        with rasterio.open(tmp_path / 'scene' / f'{band}.tif') as file:
            wanted = file.read(1, out_shape=(48, 60), resampling=Resampling.bilinear)
        # Signed integers are rounded after either axis.
        largest = {'uint16': 0, 'int16': 1, 'float32': 1e-3}[dtype]
        assert np.abs(whole[number].astype(float) - wanted).max() <= largest


def test_a_product_folder_in_a_folder_is_found(tmp_path):
    folder = tmp_path / 'cell' / 'S2B_MSIL2A_20200223T032739_N9999_R018_T48QUE_20230924T183543'
    write_folder(folder)
    with open_scene(tmp_path / 'cell') as scene:
        assert scene.sensor == 'sentinel2_l2a' and scene.path == str(folder)
    with open_scene(tmp_path / 'cell', bands=['b5', 'B1']) as scene:
        assert scene.bands == ('B05', 'B01') and scene.shape == (24, 30)
        assert scene.metres_per_pixel == pytest.approx(20)


def test_bands_of_a_file_are_named_by_file_or_user(tmp_path):
    named, image = write_stack(tmp_path / 'named.tif')
    with open_scene(named, bands=['B04', 'B02']) as scene:
        np.testing.assert_array_equal(scene.read((0, 0, 20, 30))[0], image[[2, 0]])
    plain, _ = write_stack(tmp_path / 'plain.tif', names=('', '', ''))
    with pytest.raises(ProductError, match='3 bands without names, and 0 are given; name'):
        open_scene(plain)
    with open_scene(plain, bands=['R', 'G', 'B']) as scene:
        assert scene.sensor == 'rgb' and scene.bands == ('R', 'G', 'B')
    with pytest.raises(ProductError, match='has no band B08; its bands are B02, B03, B04'):
        open_scene(named, bands=['B08'])


def test_pixels_without_data_are_told(tmp_path):
    path, image = write_stack(tmp_path / 'a.tif', dtype='float32')
    image[1, 3, 4] = np.nan
    image[2, 5, 6] = -9
    write_tif(path, image, nodata=-9)
    with open_scene(path, bands=['B2', 'B3', 'B4'], unit=10000) as scene:
        found, valid = scene.read((0, 0, 20, 30))
    assert np.argwhere(~valid).tolist() == [[3, 4], [5, 6]]
    assert not found[:, ~valid].any()
    np.testing.assert_array_equal(found[:, valid], image[:, valid])


def test_scale_and_offset_of_the_file_are_its_unit(tmp_path):
    path, _ = write_stack(tmp_path / 'a.tif')
    with rasterio.open(path, 'r+') as file:
        file.scales, file.offsets = [0.0000275] * 3, [-0.2] * 3
    with open_scene(path) as scene:
        assert scene.unit == pytest.approx(1 / 0.0000275)
        assert (100 + scene.offset) / scene.unit == pytest.approx(100 * 0.0000275 - 0.2)
    with pytest.raises(ProductError, match='unit=10000 contradicts'):
        open_scene(path, unit=10000)


def test_metres_of_degrees_are_those_on_the_ground(tmp_path):
    transform = Affine(1 / 3600, 0, 10, 0, -1 / 3600, 60)
    path, _ = write_stack(tmp_path / 'a.tif', crs='EPSG:4326', transform=transform)
    with open_scene(path) as scene:
        # A second of latitude is 30.9 m, of longitude half of it at 60 degrees.
        assert scene.metres_per_pixel == pytest.approx((30.95 * 15.5) ** 0.5, rel=0.01)


def test_bands_that_do_not_lie_on_one_another_are_refused(tmp_path):
    folder = write_folder(tmp_path / 'scene')
    write_folder(folder, sides={'B05': 2}, crs='EPSG:32632')
    with pytest.raises(ProductError, match=r'EPSG:32632.*warp all bands'):
        open_scene(folder)
    write_folder(folder, sides={'B05': 2}, transform=GRID @ Affine.translation(1, 0))
    with pytest.raises(ProductError, match=r'B05.* does not lie on .*B02'):
        open_scene(folder)
    write_folder(folder, sides={'B05': 4})
    with pytest.raises(ProductError, match='whole pixels of a ratio of 1, 2, 3, 6'):
        open_scene(folder)
    write_folder(folder, 'uint8', sides={'B05': 2})
    with pytest.raises(ProductError, match=r'holds uint16, band B05 uint8'):
        open_scene(folder)


def test_what_is_no_scene_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        open_scene(tmp_path / 'no')
    with pytest.raises(ProductError, match='holds no raster that is read'):
        open_scene(tmp_path)
    folder = write_folder(tmp_path / 'scene')
    with pytest.raises(ProductError, match='no band B08; its bands are B01, B02, B05'):
        open_scene(folder, bands=['B08'])
    with pytest.raises(ProductError, match="unknown sensor 'sentinel'"):
        open_scene(folder, sensor='sentinel')
    shutil.copy(folder / 'B02.tif', folder / 'b2.tif')
    with pytest.raises(ProductError, match='two files of band B02'):
        open_scene(folder)
    (folder / 'b2.tif').write_bytes(b'II*\0 and no more')
    (folder / 'B02.tif').unlink()
    with pytest.raises(BandFileError, match=r'b2\.tif cannot be read'):
        open_scene(folder)


def test_a_safe_folder_is_a_scene(tmp_path):
    bands = {band: scene_bands(0)[band] for band in ('B02', 'B05', 'B01')}
    bands['B02'][4, 7] = 0
    folder = write_safe(tmp_path, datetime.date(2022, 5, 4), bands)
    with open_scene(folder) as scene:
        assert (scene.bands, scene.sensor) == (('B01', 'B02', 'B05'), 'sentinel2_l2a')
        assert (scene.unit, scene.offset) == (10000, -1000)
        assert scene.date == datetime.date(2022, 5, 4) and scene.crs.to_epsg() == 32631
        image, valid = scene.read((0, 0, *scene.shape))
    assert np.argwhere(~valid).tolist() == [[4, 7]]
    np.testing.assert_array_equal(image[1], bands['B02'])
    with pytest.raises(ProductError, match='says that its offset is -1000, which offset=0'):
        open_scene(folder, offset=0)


def test_one_of_several_scenes_of_a_folder_is_named(tmp_path):
    bands = landsat_bands(0)
    for day in (3, 19):
        name = write_landsat(tmp_path, datetime.date(2021, 6, day), bands)
    with pytest.raises(ProductError, match=r'several scenes; give the path of one, such as .*0603'):
        open_scene(tmp_path)
    with open_scene(tmp_path / name) as scene:
        assert scene.sensor == 'landsat_8_9' and scene.date == datetime.date(2021, 6, 19)
        # 2.75e-05 dn - 0.2
        assert (10000 + scene.offset) / scene.unit == pytest.approx(0.075)
        np.testing.assert_array_equal(scene.read((0, 0, 24, 24))[0][3], bands['B4'])
        assert len(scene.stat()) == 7


def test_the_baseline_in_a_name_is_an_offset_unless_the_user_knows_better(tmp_path):
    folder = tmp_path / 'S2B_MSIL2A_20220223T032739_N0400_R018_T48QUE_20230924T183543'
    write_folder(folder)
    with open_scene(folder) as scene:
        assert (scene.unit, scene.offset) == (10000, -1000)
    with open_scene(folder, offset=0) as scene:
        assert (scene.unit, scene.offset) == (10000, 0)


def test_a_relative_path_stays_relative(tmp_path, monkeypatch):
    write_folder(tmp_path / 'cell' / 'scene')
    monkeypatch.chdir(tmp_path)
    with open_scene('cell') as scene:
        assert scene.path == os.path.join('cell', 'scene')


def test_maps_beside_the_bands_are_passed_by(tmp_path):
    folder = write_folder(tmp_path / 'scene')
    write_stack(folder / 'map.tif', names=('', '', ''))
    with open_scene(folder) as scene:
        assert scene.bands == ('B01', 'B02', 'B05') and scene.date is None


def test_a_file_that_is_cut_off_while_it_is_open_is_named(tmp_path):
    image = np.random.default_rng(0).integers(1, 4000, (2, 512, 512)).astype('uint16')
    path = tmp_path / 'a.tif'
    write_tif(path, image, tiled=True, blockxsize=256, blockysize=256)
    with open_scene(path, bands=['B02', 'B03']) as scene:
        np.testing.assert_array_equal(scene.read((0, 0, 40, 50))[0], image[:, :40, :50])
        with open(path, 'r+b') as file:
            file.truncate(path.stat().st_size // 2)
        with pytest.raises(
            BandFileError, match=r'a\.tif cannot be read at row 300, column 260 .*: fetch it again'
        ):
            scene.read((300, 260, 40, 50))


@pytest.mark.parametrize('dtype', ['int8', 'uint32', 'complex64'])
def test_types_that_are_no_scene_are_named(tmp_path, dtype):
    path, _ = write_stack(tmp_path / 'a.tif', dtype=dtype)
    with pytest.raises(ProductError, match=rf'a\.tif holds {dtype}; store one of uint8, uint16'):
        open_scene(path)
