# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of GeoTIFFs that are decoded without GDAL."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from torchgeo_saco.io import raster as io
from torchgeo_saco.io.raster import BandFileError, read_bands
from torchgeo_saco.io.tiff import decode_plain

from ..data.archives import write_tif

PROFILES = {
    'plain': {},
    'strips': {'blockysize': 7},
    'one strip': {'blockysize': 61},
    'lzw': {'compress': 'lzw', 'blockysize': 7},
    'lzw differences': {'compress': 'lzw', 'predictor': 2},
    'deflate': {'compress': 'deflate', 'blockysize': 7},
    'deflate differences': {'compress': 'deflate', 'predictor': 2},
    'bands apart': {'interleave': 'band', 'compress': 'deflate'},
}

OTHERS = {
    'tiles': {'tiled': True, 'blockxsize': 16, 'blockysize': 16},
    'nodata': {'nodata': 7},
    'big': {'bigtiff': 'yes'},
    'big-endian': {'endianness': 'big'},
    'zstd': {'compress': 'zstd'},
    'white is zero': {'photometric': 'miniswhite'},
    'signed': {'dtype': 'int16'},
    'float': {'dtype': 'float32'},
    'few bits': {'nbits': 12, 'dtype': 'uint16'},
    'two bands': {'count': 2},
    'sparse': {'sparse_ok': True},
}


def noise(dtype='uint16', shape=(61, 47)):
    """Numbers with runs, so that compression has something to do."""
    generator = np.random.default_rng(0)
    image = generator.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    image[10:30] = 7
    return image


@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
@pytest.mark.parametrize('kind', PROFILES)
def test_same_numbers_as_gdal(tmp_path, kind, dtype):
    image = noise(dtype)
    write_tif(tmp_path / 'band.tif', image, **PROFILES[kind])
    found, _ = decode_plain((tmp_path / 'band.tif').read_bytes(), 100)
    assert found.dtype == image.dtype
    assert np.array_equal(found, image)


@pytest.mark.parametrize('kind', OTHERS)
def test_other_files_are_left_to_gdal(tmp_path, kind):
    profile = dict(OTHERS[kind])
    image = noise('uint8')
    image = {'sparse': np.zeros_like(image)}.get(kind, image)
    image = image.astype(profile.pop('dtype', 'uint8'))
    image = np.stack([image] * profile.pop('count', 1))
    path = tmp_path / 'band.tif'
    write_tif(path, image, **profile)
    assert decode_plain(path.read_bytes(), 100)[0] is None
    expected = np.where(image == 7, 0, image) if kind == 'nodata' else image
    assert np.array_equal(read_bands(path, len(image), max_nodata=1), expected)


def test_file_that_is_too_large_is_left_to_gdal(tmp_path):
    write_tif(tmp_path / 'band.tif', noise())
    content = (tmp_path / 'band.tif').read_bytes()
    assert decode_plain(content, 60)[0] is None
    assert decode_plain(content, 61)[0] is not None


@pytest.mark.parametrize('kind', PROFILES)
def test_what_is_decoded_of_a_damaged_file_is_what_gdal_decodes(tmp_path, kind, monkeypatch):
    path = tmp_path / 'band.tif'
    write_tif(path, noise('uint8'), **PROFILES[kind])
    whole = path.read_bytes()
    monkeypatch.setattr(io, 'decode_plain', lambda *_: (None, None))
    generator = np.random.default_rng(1)
    # Tags come first; what is cut off or flipped there matters most.
    damaged = [whole[:length] for length in range(0, len(whole), len(whole) // 12)]
    for number in range(80):
        changed = bytearray(whole)
        changed[generator.integers(len(whole) if number % 2 else 300)] ^= 1 << number % 8
        damaged.append(bytes(changed))
    decoded = 0
    for content in damaged:
        found, _ = decode_plain(content, 100)
        if found is not None:
            decoded += 1
            path.write_bytes(content)
            try:
                expected = read_bands(path)[0]
            # GDAL refuses a damaged georeference, too, which pixels do not depend on.
            except BandFileError:
                expected = noise('uint8')
            assert np.array_equal(found, expected)
    assert 5 < decoded < len(damaged) - 12


# Width and height, bits, how it is compressed, what 0 is, where strips begin, samples, rows of a
# strip, and how differences are stored: number, type, how many, value.
TAGS = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 273: 8, 277: 1, 278: 16, 284: 1, 317: 2}


def deflated(content, **other):
    """A file of 16 x 16 pixels in one strip, with other tags where they are given."""
    strip = zlib.compress(content)
    tags = [(tag, 4, 1, value) for tag, value in (TAGS | {279: len(strip)}).items()]
    tags = [other.get(f't{tag[0]}', tag) for tag in sorted(tags)]
    directory = b''.join(struct.pack('<HHII', *tag) for tag in tags)
    start = struct.pack('<4sI', b'II*\0', 8 + len(strip))
    return start + strip + struct.pack('<H', len(tags)) + directory + bytes(4)


@pytest.mark.parametrize(
    'tag', [(317, 3, 2, 2), (259, 3, 2, 8), (284, 3, 2, 1), (284, 3, 1, 7), (279, 4, 1, 400)]
)
def test_tags_that_gdal_takes_otherwise_are_left_to_it(tag):
    assert decode_plain(deflated(bytes(256)), 100)[0].shape == (16, 16)
    # The last one stands twice.
    location = 't278' if tag[0] == 279 else f't{tag[0]}'
    assert decode_plain(deflated(bytes(256), **{location: tag}), 100)[0] is None


def test_a_strip_that_unpacks_to_more_than_its_pixels_is_not_unpacked():
    content = deflated(bytes(50_000_000))
    tracemalloc.start()
    found, _ = decode_plain(content, 100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found is None
    assert peak < 1_000_000


def test_what_lies_beside_a_file_is_not_updated_step(tmp_path):
    image = noise('uint8').astype('float32')
    write_tif(tmp_path / 'band.tif', image)
    (tmp_path / 'band.tif.aux.xml').write_text(
        '<PAMDataset><PAMRasterBand band="1"><NoDataValue>7</NoDataValue></PAMRasterBand>'
        '</PAMDataset>'
    )
    assert np.array_equal(read_bands(tmp_path / 'band.tif')[0], image)
