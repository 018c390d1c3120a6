# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of whole scenes."""

import shutil

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import Resampling

from torchgeo_saco.io.raster import BandFileError
from torchgeo_saco.io.scene import open_scene
from torchgeo_saco.io.scene_reader import SceneError

from ..data.archives import write_tif

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
    with pytest.raises(SceneError, match='3 bands without names, and 0 are given; name'):
        open_scene(plain)
    with open_scene(plain, bands=['R', 'G', 'B']) as scene:
        assert scene.sensor == 'rgb' and scene.bands == ('R', 'G', 'B')
    with pytest.raises(SceneError, match='has no band B08; its bands are B02, B03, B04'):
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
    with pytest.raises(SceneError, match='unit=10000 contradicts'):
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
    with pytest.raises(SceneError, match=r'EPSG:32632.*warp all bands'):
        open_scene(folder)
    write_folder(folder, sides={'B05': 2}, transform=GRID @ Affine.translation(1, 0))
    with pytest.raises(SceneError, match=r'B05.* does not lie on .*B02'):
        open_scene(folder)
    write_folder(folder, sides={'B05': 4})
    with pytest.raises(SceneError, match='whole pixels of a ratio of 1, 2, 3, 6'):
        open_scene(folder)
    write_folder(folder, 'uint8', sides={'B05': 2})
    with pytest.raises(SceneError, match=r'holds uint16, band B05 uint8'):
        open_scene(folder)


def test_what_is_no_scene_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist'):
        open_scene(tmp_path / 'no')
    with pytest.raises(SceneError, match='is no scene: neither'):
        open_scene(tmp_path)
    folder = write_folder(tmp_path / 'scene')
    with pytest.raises(SceneError, match='no file of band B08; it has B01, B02, B05'):
        open_scene(folder, bands=['B08'])
    with pytest.raises(SceneError, match="unknown sensor 'sentinel'"):
        open_scene(folder, sensor='sentinel')
    shutil.copy(folder / 'B02.tif', folder / 'b2.tif')
    with pytest.raises(SceneError, match='two files of band B02'):
        open_scene(folder)
    (folder / 'b2.tif').write_bytes(b'II*\0 and no more')
    (folder / 'B02.tif').unlink()
    with pytest.raises(BandFileError, match=r'b2\.tif cannot be read'):
        open_scene(folder)
