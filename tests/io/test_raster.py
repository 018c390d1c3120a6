# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the reading of band files."""

import os
import struct
import zlib

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.transform import from_origin

from torchgeo_saco.io import raster as io
from torchgeo_saco.io.files import WriteError
from torchgeo_saco.io.raster import (
    BandFileError,
    open_array,
    read_bands,
    read_mask,
    read_size,
    write_tiled,
)

from ..data.archives import write_tif

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


def test_virtual_raster_under_the_name_of_a_tif_is_not_updated_step(tmp_path):
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


NUMBERS = np.arange(3 * 80 * 100, dtype='uint16').reshape(3, 80, 100)
WINDOWS = [(0, 0, 80, 100), (0, 0, 1, 1), (79, 99, 1, 1), (13, 40, 50, 17), (16, 0, 16, 100)]


@pytest.mark.parametrize('window', WINDOWS)
@pytest.mark.parametrize(
    'profile',
    [{}, {'compress': 'lzw', 'interleave': 'pixel'}, {'tiled': True, 'blockxsize': 16,
      'blockysize': 32}],
)  # fmt: skip
def test_window_is_the_part_of_the_whole(tmp_path, profile, window):
    write_tif(tmp_path / 'rgb.tif', NUMBERS, **profile)
    row, column, height, width = window
    part = NUMBERS[:, row : row + height, column : column + width]
    assert np.array_equal(read_bands(tmp_path / 'rgb.tif', 3, window=window), part)
    read = read_bands(tmp_path / 'rgb.tif', 3, window=window, channels=[2, 0])
    assert np.array_equal(read, part[[2, 0]])


@pytest.mark.parametrize(
    'window',
    [(-1, 0, 5, 5), (0, -1, 5, 5), (76, 0, 5, 5), (0, 96, 5, 5), (0, 0, 0, 5), (0, 0, 5, 0),
     (0, 0, 81, 5), (90, 0, 5, 5)],
)  # fmt: skip
def test_window_outside_the_image(tmp_path, window):
    write_tif(tmp_path / 'rgb.tif', NUMBERS)
    row, column, height, width = window
    message = (
        rf'rgb\.tif is 100 x 80 px, which does not hold the window of {width} x {height} px at '
        f'row {row}, column {column}'
    )
    with pytest.raises(BandFileError, match=message):
        read_bands(tmp_path / 'rgb.tif', 3, window=window)


def test_window_is_not_resampled(tmp_path):
    write_tif(tmp_path / 'B4.tif', RAMP)
    with pytest.raises(ValueError, match='leave out either shape or window'):
        read_bands(tmp_path / 'B4.tif', shape=(12, 12), window=(0, 0, 2, 2))


@pytest.mark.parametrize('profile', [{}, {'compress': 'deflate'}])
def test_window_reads_the_blocks_it_touches_alone(tmp_path, profile):
    path = tmp_path / 'tile.tif'
    noise = np.random.default_rng(0).integers(0, 256, (512, 64), dtype='uint8')
    write_tif(path, noise, blockysize=16, **profile)
    # The strips of the lower half are at the end of the file.
    path.write_bytes(path.read_bytes()[: 512 * 64 * 3 // 4])
    assert np.array_equal(read_bands(path, window=(200, 3, 40, 50))[0], noise[200:240, 3:53])
    with pytest.raises(BandFileError, match=r'tile\.tif cannot be read'):
        read_bands(path, window=(470, 3, 20, 50))


def test_refusals_hold_in_a_window(tmp_path):
    image = np.ones((6, 6), 'float32')
    image[5, 5] = np.nan
    write_tif(tmp_path / 'nan.tif', image)
    assert read_bands(tmp_path / 'nan.tif', window=(0, 0, 5, 6)).all()
    with pytest.raises(BandFileError, match='1 NaN or infinite values, the first at row 1, col'):
        read_bands(tmp_path / 'nan.tif', window=(4, 4, 2, 2))
    write_tif(tmp_path / 'nodata.tif', RAMP, nodata=0)
    with pytest.raises(BandFileError, match=r'has 25\.0% nodata'):
        read_bands(tmp_path / 'nodata.tif', window=(0, 0, 2, 2))


def test_size_from_the_header(tmp_path):
    path = tmp_path / 'rgb.tif'
    write_tif(path, NUMBERS)
    path.write_bytes(path.read_bytes()[:2000])
    assert read_size(path, 3) == (80, 100)
    with pytest.raises(BandFileError, match=r'rgb\.tif has 3 bands where 1 is expected'):
        read_size(path)


def scaled(file):
    file.scales = (1e-4,)


def palette(file):
    file.write_colormap(1, {0: (0, 0, 0), 1: (255, 0, 0)})


def masked(file):
    file.write_mask(np.eye(40, 50, dtype=bool))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (scaled, r'plain\.tif says that its numbers are to be multiplied by 0\.0001 and raised'),
        (palette, r'plain\.tif holds numbers of a colour table, not values; expand it'),
        (masked, r'plain\.tif has a mask of its own, which is not read; mark missing pixels'),
    ],
)
def test_numbers_that_are_not_the_values(tmp_path, change, message):
    path = tmp_path / 'plain.tif'
    profile = {'count': 1, 'height': 40, 'width': 50, 'dtype': 'uint8'}
    profile['transform'] = from_origin(1, 1, 2, 2)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, 'w', **profile) as file:
        file.write(CLASSES[None])
        change(file)
    with pytest.raises(BandFileError, match=message):
        read_bands(path)


CLASSES = np.random.default_rng(0).integers(0, 16, (40, 50), dtype='uint8')


def stored_mask(folder, kind):
    """The classes in one of the formats that are read."""
    if kind == 'tif':
        write_tif(folder / 'mask.tif', CLASSES)
        return folder / 'mask.tif'
    image = Image.fromarray(CLASSES).convert('P' if kind == 'palette' else kind)
    if kind == 'palette':
        image.putpalette([level for level in range(256) for _ in range(3)])
    image.save(folder / 'mask.png')
    return folder / 'mask.png'


@pytest.mark.parametrize('kind', ['tif', 'L', 'LA', 'RGB', 'RGBA', 'palette'])
def test_mask_of_any_format(tmp_path, kind):
    path = stored_mask(tmp_path, kind)
    mask = read_mask(path, (40, 50), range(16), 'image.tif')
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, CLASSES)
    part = read_mask(path, (40, 50), range(16), 'image.tif', window=(7, 30, 5, 20))
    assert np.array_equal(part, CLASSES[7:12, 30:])
    with pytest.raises(BandFileError, match=r'50 x 40 px, which does not hold the window'):
        read_mask(path, (40, 50), range(16), 'image.tif', window=(7, 31, 5, 20))


def test_mask_of_one_bit(tmp_path):
    Image.fromarray(CLASSES > 7).save(tmp_path / 'mask.png')
    mask = read_mask(tmp_path / 'mask.png', (40, 50), (0, 255), 'image.tif')
    assert np.array_equal(mask, 255 * (CLASSES > 7))


@pytest.mark.parametrize('kind', ['tif', 'L'])
def test_mask_of_another_size_than_the_image(tmp_path, kind):
    path = stored_mask(tmp_path, kind)
    message = rf'{path.name} is 50 x 40 px, its image image\.tif is 40 x 50 px; fetch both'
    with pytest.raises(BandFileError, match=message):
        read_mask(path, (50, 40), range(16), 'image.tif')


@pytest.mark.parametrize('kind', ['tif', 'L'])
def test_mask_with_other_values(tmp_path, kind):
    path = stored_mask(tmp_path, kind)
    wrong = np.count_nonzero((CLASSES > 3) & (CLASSES != 9))
    message = rf'{path.name} holds 4, 5, 6, 7, 8, \.\.\. in {wrong} pixels, .* 0, 1, 2, 3, 9; fetch'
    with pytest.raises(BandFileError, match=message):
        read_mask(path, (40, 50), (0, 1, 9, 2, 3), 'image.tif')


@pytest.mark.parametrize(
    ('dtype', 'value', 'shown'),
    [('int16', -1, '-1'), ('uint16', 256, '256'), ('float32', 0.5, '0.5'), ('int16', 255, '255')],
)
def test_mask_with_a_value_that_is_no_class(tmp_path, dtype, value, shown):
    mask = np.ones((4, 4), dtype)
    write_tif(tmp_path / 'good.tif', mask)
    assert read_mask(tmp_path / 'good.tif', (4, 4), (0, 1), 'image.tif').dtype == np.uint8
    mask[2, 2] = value
    write_tif(tmp_path / 'mask.tif', mask)
    with pytest.raises(BandFileError, match=rf'mask\.tif holds {shown} in 1 pixels'):
        read_mask(tmp_path / 'mask.tif', (4, 4), (0, 1), 'image.tif')


def test_mask_of_16_bits(tmp_path):
    Image.fromarray(CLASSES.astype('uint16')).save(tmp_path / 'mask.png')
    with pytest.raises(BandFileError, match=r'mask\.png holds I;16 where 8 bits are expected'):
        read_mask(tmp_path / 'mask.png', (40, 50), range(16), 'image.tif')


def test_truncated_mask(tmp_path):
    path = stored_mask(tmp_path, 'L')
    whole = path.read_bytes()
    # What follows the last pixel is not missed.
    for length in range(0, len(whole) - 30, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(BandFileError, match=r'mask\.png cannot be read as a PNG .* again'):
            read_mask(path, (40, 50), range(16), 'image.tif')


def test_mask_in_disguise(tmp_path):
    Image.fromarray(CLASSES).save(tmp_path / 'mask.png', format='TIFF')
    with pytest.raises(BandFileError, match=r'mask\.png cannot be read as a PNG file'):
        read_mask(tmp_path / 'mask.png', (40, 50), range(16), 'image.tif')
    with pytest.raises(BandFileError, match=r'none\.png is missing'):
        read_mask(tmp_path / 'none.png', (40, 50), range(16), 'image.tif')


@pytest.mark.parametrize('width', [12001, 10**6])
def test_size_declared_by_a_hostile_mask(tmp_path, width):
    path = stored_mask(tmp_path, 'L')
    header = bytearray(path.read_bytes())
    header[16:24] = struct.pack('>II', width, width)
    header[29:33] = struct.pack('>I', zlib.crc32(header[12:29]))
    path.write_bytes(header)
    with pytest.raises(BandFileError, match=r'mask\.png (declares 12001|cannot be read as a PNG)'):
        read_mask(path, (40, 50), range(16), 'image.tif')


def test_array_stays_on_disk(tmp_path):
    np.save(tmp_path / 'series.npy', NUMBERS)
    array = open_array(tmp_path / 'series.npy')
    assert isinstance(array, np.memmap)
    assert not array.flags.writeable
    assert np.array_equal(array, NUMBERS)


def test_damaged_array(tmp_path):
    path = tmp_path / 'series.npy'
    np.save(path, NUMBERS)
    whole = path.read_bytes()
    for damaged in (b'', b'PK', whole[:50], whole[:-1], whole[:60] + b'("' + whole[62:], b'<html>'):
        path.write_bytes(damaged)
        with pytest.raises(BandFileError, match=r'series\.npy cannot be read as an array .* again'):
            open_array(path)


@pytest.mark.parametrize('wrong', ['objects', 'text', 'zip'])
def test_array_of_anything_but_numbers(tmp_path, wrong):
    path = tmp_path / 'series.npy'
    if wrong == 'zip':
        with open(path, 'wb') as file:
            np.savez(file, NUMBERS)
    else:
        np.save(path, np.array(['a', 'b'], object if wrong == 'objects' else None))
    with pytest.raises(BandFileError, match=r'series\.npy cannot be read as an array'):
        open_array(path)


def test_missing_array(tmp_path):
    with pytest.raises(BandFileError, match=r'series\.npy is missing'):
        open_array(tmp_path / 'series.npy')


def test_file_of_tiles(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (3, 300, 700), dtype='uint8')
    path = tmp_path / 'new' / 'tile.tif'
    write_tiled(path, image)
    assert [entry.name for entry in path.parent.iterdir()] == ['tile.tif']
    assert np.array_equal(read_bands(path, 3), image)
    with pytest.warns(NotGeoreferencedWarning):
        opened = rasterio.open(path)
    with opened as file:
        assert file.block_shapes == [(256, 256)] * 3
        assert file.compression.name == 'deflate'
    write_tiled(path, image[:1])
    assert np.array_equal(read_bands(path), image[:1])


def test_file_of_tiles_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / 'tile.tif'
    write_tiled(path, CLASSES[None])
    monkeypatch.setattr(io, 'read_bands', lambda path, count: np.zeros((count, 40, 50), 'uint8'))
    with pytest.raises(WriteError, match=r'tile\.tif cannot be written whole; the disk may be'):
        write_tiled(path, CLASSES[None] + np.uint8(1))
    assert [entry.name for entry in tmp_path.iterdir()] == ['tile.tif']
    monkeypatch.undo()
    assert np.array_equal(read_bands(path)[0], CLASSES)


def test_file_of_tiles_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(*args, **profile):
        raise RasterioError('no space')

    monkeypatch.setattr(rasterio, 'open', refuse)
    with pytest.raises(OSError, match=r'tile\.tif cannot be written \(no space\)'):
        write_tiled(tmp_path / 'tile.tif', CLASSES[None])
