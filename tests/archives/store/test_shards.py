# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of shards, against Zarr's own reader."""

import json
import shutil
import warnings

import numpy as np
import pytest

from torchgeo_saco.archives.store import StoreDescription, StoredImages, StoreError
from torchgeo_saco.archives.store.description import read_description
from torchgeo_saco.archives.store.files import LocalFiles
from torchgeo_saco.archives.store.shards import checksum, decode_index, index_length, write_shard

zarr = pytest.importorskip('zarr', reason='the extra "store" is not installed')

SHAPE = (7, 3, 6, 5)


def numbers(dtype):
    return (1000 * np.random.default_rng(0).random(SHAPE)).astype(dtype)


def write(folder, dtype='uint16', shard=3):
    """A store of 7 scenes in shards of 3, without tables."""
    description = StoreDescription('sentinel2_l1c', ('B02', 'B03', 'B04'), dtype, SHAPE, shard)
    for number in range(description.shards):
        path = folder / description.shard_name(number)
        path.parent.mkdir(parents=True)
        write_shard(path, numbers(dtype)[number * shard : (number + 1) * shard], shard)
    for name, content in description.metadata().items():
        (folder / name).write_bytes(content)
    return StoredImages(LocalFiles(folder), description)


@pytest.mark.parametrize('dtype', ['uint8', 'uint16', 'int16', 'int32', 'float32', 'float64'])
def test_zarr_reads_what_is_written(tmp_path, dtype):
    images = write(tmp_path, dtype)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        array = zarr.open_group(tmp_path, mode='r')['images']
    assert array.dtype == np.dtype(dtype)
    assert array.metadata.dimension_names == ('scene', 'band', 'y', 'x')
    assert (array.chunks, array.shards) == ((1, *SHAPE[1:]), (3, *SHAPE[1:]))
    assert np.array_equal(array[:], numbers(dtype))
    assert read_description(images.files) == images.description


@pytest.mark.parametrize('dtype', ['uint8', 'float32'])
def test_what_zarr_writes_is_read(tmp_path, dtype):
    images = write(tmp_path, dtype)
    shutil.rmtree(tmp_path / 'images')
    zarr.create_array(
        tmp_path / 'images',
        shape=SHAPE,
        dtype=dtype,
        chunks=(1, *SHAPE[1:]),
        shards=(3, *SHAPE[1:]),
        compressors=[zarr.codecs.Crc32cCodec()],
        fill_value=0,
    )[:] = numbers(dtype)
    assert read_description(LocalFiles(tmp_path)) == images.description
    found = np.empty((4, *SHAPE[1:]), dtype)
    images.fill([6, 0, 4, 5], list(found))
    assert np.array_equal(found, numbers(dtype)[[6, 0, 4, 5]])


@pytest.mark.parametrize(
    'codecs', [{}, {'compressors': None}, {'shards': None}, {'chunks': (3, *SHAPE[1:])}]
)
def test_other_arrays_are_refused(tmp_path, codecs):
    write(tmp_path)
    shutil.rmtree(tmp_path / 'images')
    options = {'chunks': (1, *SHAPE[1:]), 'shards': (3, *SHAPE[1:])} | codecs
    zarr.create_array(tmp_path / 'images', shape=SHAPE, dtype='uint16', **options)
    with pytest.raises(StoreError, match=r'has an array whose .*(codecs|chunk_grid).* are not as'):
        read_description(LocalFiles(tmp_path))


def test_every_flipped_byte_is_an_error_that_names_the_scene(tmp_path):
    images = write(tmp_path)
    path = tmp_path / images.description.shard_name(1)
    whole = path.read_bytes()
    image = np.empty(SHAPE[1:], 'uint16')
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= 16
        path.write_bytes(changed)
        fresh = StoredImages(LocalFiles(tmp_path), images.description)
        failed = 0
        for row in (3, 4, 5):
            try:
                fresh.fill([row], [image], lambda row: f'location/scene{row}')
            except StoreError as error:
                assert f'location/scene{row}' in str(error)
                assert str(tmp_path) in str(error)
                failed += 1
        # In a scene it is that one, in the index all.
        assert failed == (1 if position < len(whole) - index_length(3) else 3)


@pytest.mark.parametrize('length', [0, 10, 100, -1, -60])
def test_shard_that_was_cut_off(tmp_path, length):
    images = write(tmp_path)
    path = tmp_path / images.description.shard_name(0)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(StoreError, match=r'images/c/0/0/0/0 cannot be read at 1 \(.*copy it anew'):
        images.fill([1], [np.empty(SHAPE[1:], 'uint16')])


def test_shard_or_scene_that_is_not_there(tmp_path):
    images = write(tmp_path)
    image = np.empty(SHAPE[1:], 'uint16')
    with pytest.raises(StoreError, match='does not hold 7; pack the archive again'):
        images.fill([7], [image])
    (tmp_path / images.description.shard_name(1)).unlink()
    with pytest.raises(StoreError, match=r'images/c/1/0/0/0 cannot be read at 3 .*No such file'):
        images.fill([3], [image])


def test_file_that_shrinks_while_it_is_open(tmp_path):
    images = write(tmp_path)
    image = np.empty(SHAPE[1:], 'uint16')
    images.fill([0], [image])
    with open(tmp_path / images.description.shard_name(0), 'r+b') as file:
        file.truncate(250)
    with pytest.raises(StoreError, match='ends at byte 250'):
        images.fill([1], [image])


def test_few_files_stay_open(tmp_path):
    files = LocalFiles(tmp_path)
    for number in range(100):
        (tmp_path / str(number)).write_bytes(bytes(number))
    assert [files.size(str(number)) for number in range(100)] == list(range(100))
    assert len(files._open) == 64
    assert files.size('0') == 0


def test_checksum_of_the_specification():
    # RFC 3720, B.4: 32 bytes of zeros.
    assert checksum(bytes(32)) == (0x8A9136AA).to_bytes(4, 'little')


def test_index_of_another_length():
    with pytest.raises(ValueError, match='checksum of its index is wrong'):
        decode_index(bytes(index_length(3)), 2)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'format': 1}, 'is of another version of torchgeo_saco; pack it again'),
        ({'colour': 'red'}, 'was not written by torchgeo-saco pack, or its zarr.json is damaged'),
        ({'shape': None}, 'was not written by torchgeo-saco pack'),
    ],
)
def test_metadata_of_another_kind(tmp_path, change, message):
    write(tmp_path)
    path = tmp_path / 'zarr.json'
    group = json.loads(path.read_bytes())
    group['attributes']['torchgeo_saco'] |= change
    path.write_text(json.dumps(group))
    with pytest.raises(StoreError, match=message):
        read_description(LocalFiles(tmp_path))


@pytest.mark.parametrize('content', ['', '{}', '[]', '{"attributes": 3}'])
def test_damaged_metadata(tmp_path, content):
    (tmp_path / 'zarr.json').write_text(content)
    with pytest.raises(StoreError, match=r'or its zarr\.json is damaged'):
        read_description(LocalFiles(tmp_path))


def test_scenes_that_a_shard_lacks_are_marked_as_zarr_does(tmp_path):
    images = write(tmp_path)
    content = (tmp_path / images.description.shard_name(2)).read_bytes()
    index = decode_index(content[-index_length(3) :], 3)
    # https://zarr-specs.readthedocs.io: both numbers of an empty chunk are 2^64 - 1.
    assert index.tolist() == [[0, 3 * 6 * 5 * 2 + 4], *[[0xFFFF_FFFF_FFFF_FFFF] * 2] * 2]
