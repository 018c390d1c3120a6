# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of shards, against Zarr's own reader."""

import hashlib
import json
import os
import shutil
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from torchgeo_saco.archives.store import StoreDescription, StoredImages, StoreError
from torchgeo_saco.archives.store import images as images_module
from torchgeo_saco.archives.store.description import read_description
from torchgeo_saco.archives.store.files import LocalFiles, Range
from torchgeo_saco.archives.store.shards import checksum, decode_index, index_length, write_shard

zarr = pytest.importorskip('zarr', reason='the extra "store" is not installed')

SHAPE = (7, 3, 6, 5)


def numbers(dtype):
    return (1000 * np.random.default_rng(0).random(SHAPE)).astype(dtype)


def write(folder, dtype='uint16', shard=3):
    """A store of 7 scenes in shards of 3, without tables."""
    description = StoreDescription('sentinel2_l1c', ('B02', 'B03', 'B04'), dtype, SHAPE, shard)
    checksums = []
    for number in range(description.shards):
        path = folder / description.shard_name(number)
        path.parent.mkdir(parents=True)
        scenes = numbers(dtype)[number * shard : (number + 1) * shard]
        checksums += write_shard(path, scenes, shard)
    for name, content in description.metadata().items():
        (folder / name).write_bytes(content)
    return StoredImages(LocalFiles(folder), description, SimpleNamespace(checksums=checksums))


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
        fresh = StoredImages(LocalFiles(tmp_path), images.description, images._listing)
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


def change_metadata(folder, change, signed):
    path = folder / 'zarr.json'
    group = json.loads(path.read_bytes())
    ours = group['attributes']['torchgeo_saco'] | change
    if signed:
        del ours['sha256']
        content = json.dumps(ours, sort_keys=True).encode()
        ours['sha256'] = hashlib.sha256(content).hexdigest()
    group['attributes']['torchgeo_saco'] = ours
    path.write_text(json.dumps(group))


FORGED = [
    {'colour': 'red'},
    {'shape': None},
    {'shape': [7, 3, 6, -5]},
    {'shape': [7, 3, 6, 5.0]},
    {'shard': 0},
    {'bands': ['B02', 'B03']},
    {'bands': ['B02', 'B03', 'B03']},
    {'bands': ['B02', 'B03', 4]},
    {'classes': ['a', 'a']},
    {'dtype': 'complex64'},
    {'dtype': 'object'},
    {'dtype': 'none such'},
]


@pytest.mark.parametrize('change', [*FORGED, {'bands': ['B03', 'B02', 'B04']}, {'sensor': 'rgb'}])
def test_metadata_that_were_changed(tmp_path, change):
    write(tmp_path)
    change_metadata(tmp_path, change, signed=False)
    with pytest.raises(StoreError, match=r'zarr\.json was changed after packing, for its SHA-256'):
        read_description(LocalFiles(tmp_path))


@pytest.mark.parametrize('change', FORGED)
def test_metadata_that_no_run_writes(tmp_path, change):
    write(tmp_path)
    change_metadata(tmp_path, change, signed=True)
    with pytest.raises(StoreError, match=r'was not written by torchgeo-saco pack, or its zarr'):
        read_description(LocalFiles(tmp_path))


@pytest.mark.parametrize('change', [{'format': 1}, {'format': 2}, {'format': None}])
def test_metadata_of_another_version(tmp_path, change):
    write(tmp_path)
    change_metadata(tmp_path, change, signed=False)
    with pytest.raises(StoreError, match='is of another version of torchgeo_saco; pack it again'):
        read_description(LocalFiles(tmp_path))


def test_a_shard_that_was_copied_over_another(tmp_path):
    images = write(tmp_path)
    names = [tmp_path / images.description.shard_name(number) for number in range(2)]
    shutil.copy(names[0], names[1])
    image = np.empty(SHAPE[1:], 'uint16')
    images.fill([0], [image])
    for row in (3, 4, 5):
        with pytest.raises(StoreError, match=rf'images/c/1/0/0/0 holds another scene in .* {row};'):
            images.fill([row], [image])


def test_a_shard_that_is_a_pipe(tmp_path):
    images = write(tmp_path)
    path = tmp_path / images.description.shard_name(0)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(StoreError, match=r'images/c/0/0/0/0 cannot be read .* is no regular file'):
        images.require_shard(0)
    with pytest.raises(StoreError, match=r'cannot be read at 0 .* is no regular file'):
        images.fill([0], [np.empty(SHAPE[1:], 'uint16')])


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


def test_of_several_shards_the_one_that_is_missing_is_named(tmp_path):
    images = write(tmp_path)
    (tmp_path / images.description.shard_name(1)).unlink()
    found = np.empty((7, *SHAPE[1:]), 'uint16')
    with pytest.raises(StoreError, match=r'images/c/1/0/0/0 cannot be read at 3 .*No such file'):
        images.fill([0, 6, 3], list(found[:3]))
    images.fill([0, 6, 2], list(found[:3]))
    assert np.array_equal(found[:3], numbers('uint16')[[0, 6, 2]])


def test_few_indices_of_shards_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(images_module, '_KEPT', 2)
    images = write(tmp_path, shard=1)
    found = np.empty(SHAPE, 'uint16')
    for rows in ([6, 5, 4, 3, 2, 1, 0], [0], [3, 4], list(range(7))):
        images.fill(rows, list(found[: len(rows)]))
        assert np.array_equal(found[: len(rows)], numbers('uint16')[rows])
        assert len(images._indices) <= 2


def test_what_a_file_system_gives_in_pieces_is_put_together(tmp_path, monkeypatch):
    content = bytes(range(100))
    (tmp_path / 'shard').write_bytes(content)
    real = os.preadv

    def short(number, buffers, start):
        # At most 7 bytes, of the first buffer.
        return real(number, [buffers[0][:7]], start)

    monkeypatch.setattr(os, 'preadv', short)
    buffers = [memoryview(bytearray(length)) for length in (3, 20, 1, 30)]
    LocalFiles(tmp_path).fill([Range('shard', 11, buffers)])
    assert [bytes(buffer) for buffer in buffers] == [
        content[11:14], content[14:34], content[34:35], content[35:65],
    ]  # fmt: skip
