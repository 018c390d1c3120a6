# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the reading of band files."""

import os

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from torchgeo_saco.io import BandFileError, read_bands

from .archives import write_tif

RAMP = np.arange(36, dtype='uint16').reshape(6, 6)


def test_reads_stored_numbers(tmp_path):
    write_tif(tmp_path / 'B4.tif', RAMP)
    image = read_bands(tmp_path / 'B4.tif')
    assert image.dtype == np.uint16
    assert np.array_equal(image[0], RAMP)


@pytest.mark.parametrize('ratio', [2, 3, 6])
def test_coarse_band_keeps_its_mean_on_the_fine_grid(tmp_path, ratio):
    write_tif(tmp_path / 'B11.tif', RAMP)
    image = read_bands(tmp_path / 'B11.tif', 1, (6 * ratio, 6 * ratio), 'nearest')
    assert np.array_equal(image[0], RAMP.repeat(ratio, 0).repeat(ratio, 1))


def test_bilinear_resampling_lies_on_a_linear_ramp(tmp_path):
    ramp = np.tile(np.arange(0, 600, 100, dtype='float32'), (6, 1))
    write_tif(tmp_path / 'B11.tif', ramp)
    row = read_bands(tmp_path / 'B11.tif', 1, (12, 12))[0, 6]
    # Centres of fine pixels lie a quarter of a coarse pixel beside those of coarse ones.
    assert np.allclose(row[1:-1], np.arange(25, 500, 50))


@pytest.mark.parametrize('length', [0, 1, 8, 100, 200, -20, -1])
def test_truncated_file_is_named(tmp_path, length):
    path = tmp_path / 'B4.tif'
    generator = np.random.default_rng(0)
    write_tif(path, generator.integers(0, 60000, (64, 64), dtype='uint16'))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(BandFileError, match=r'B4\.tif cannot be read as a GeoTIFF .* again'):
        read_bands(path)


def test_missing_file(tmp_path):
    with pytest.raises(BandFileError, match=r'B4\.tif is missing'):
        read_bands(tmp_path / 'B4.tif')


def test_folder_and_fifo_are_no_band(tmp_path):
    (tmp_path / 'B4.tif').mkdir()
    os.mkfifo(tmp_path / 'B3.tif')
    for name in ('B4.tif', 'B3.tif'):
        with pytest.raises(BandFileError, match=f'{name} is not a regular file'):
            read_bands(tmp_path / name)


def test_unreadable_file(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, 'Permission denied', path)

    monkeypatch.setattr(os, 'stat', refuse)
    with pytest.raises(BandFileError, match=r'B4\.tif cannot be read: permission denied'):
        read_bands(tmp_path / 'B4.tif')


def test_virtual_raster_under_the_name_of_a_tif_is_not_followed(tmp_path):
    write_tif(tmp_path / 'secret.tif', RAMP)
    (tmp_path / 'B4.tif').write_text(
        '<VRTDataset rasterXSize="6" rasterYSize="6"><VRTRasterBand dataType="UInt16" band="1">'
        f'<SimpleSource><SourceFilename>{tmp_path}/secret.tif</SourceFilename></SimpleSource>'
        '</VRTRasterBand></VRTDataset>'
    )
    with pytest.raises(BandFileError, match=r'B4\.tif cannot be read'):
        read_bands(tmp_path / 'B4.tif')


def test_wrong_number_of_bands(tmp_path):
    write_tif(tmp_path / 'B4.tif', np.stack([RAMP, RAMP]))
    with pytest.raises(BandFileError, match=r'B4\.tif has 2 bands where 1 is expected'):
        read_bands(tmp_path / 'B4.tif')


def test_complex_numbers(tmp_path):
    write_tif(tmp_path / 'B4.tif', RAMP.astype('complex64'))
    with pytest.raises(BandFileError, match=r'B4\.tif holds complex64'):
        read_bands(tmp_path / 'B4.tif')


def test_size_declared_by_a_hostile_header(tmp_path):
    with rasterio.open(
        tmp_path / 'B4.tif',
        'w',
        driver='GTiff',
        count=1,
        height=60000,
        width=60000,
        dtype='uint8',
        sparse_ok=True,
        crs='EPSG:4326',
        transform=from_origin(0, 0, 1, 2),
    ):
        pass
    with pytest.raises(BandFileError, match='declares 60000 x 60000 px'):
        read_bands(tmp_path / 'B4.tif')


@pytest.mark.parametrize('shape', [(13, 12), (24, 24), (7, 7), (3, 3)])
def test_grid_that_does_not_fit(tmp_path, shape):
    write_tif(tmp_path / 'B11.tif', RAMP)
    with pytest.raises(BandFileError, match=r'B11\.tif is 6 x 6 px, which does not fit'):
        read_bands(tmp_path / 'B11.tif', 1, shape)


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_nan_is_counted_and_located(tmp_path, bad):
    image = np.ones((6, 6), 'float32')
    image[2, 3] = image[5, 5] = bad
    write_tif(tmp_path / 'B4.tif', image)
    with pytest.raises(BandFileError, match=r'B4\.tif holds 2 NaN .* at row 2, column 3'):
        read_bands(tmp_path / 'B4.tif')


def test_nodata_is_refused_or_zero(tmp_path):
    image = RAMP.copy()
    image[:2] = 65535
    write_tif(tmp_path / 'B4.tif', image, nodata=65535)
    with pytest.raises(BandFileError, match=r'B4\.tif has 33\.3% nodata, more than max_nodata=0'):
        read_bands(tmp_path / 'B4.tif')
    read = read_bands(tmp_path / 'B4.tif', max_nodata=0.5)[0]
    assert not read[:2].any()
    assert np.array_equal(read[2:], RAMP[2:])
