# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of files that appear at once and whole."""

import pytest

from torchgeo_saco.io.files import atomic_file, file_sha256, write_file


def test_a_file_is_replaced_at_the_end(tmp_path):
    path = tmp_path / 'folder' / 'file.txt'
    write_file(path, b'old')
    with atomic_file(path) as partial:
        partial.write_bytes(b'new')
        assert path.read_bytes() == b'old'
        assert (partial.suffix, partial.name[0]) == ('.txt', '.')
    assert path.read_bytes() == b'new'
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / 'file'
    write_file(path, b'old')

    def full(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('os.fsync', full)
    with pytest.raises(OSError, match='the disk is full'):
        write_file(path, b'new')
    assert path.read_bytes() == b'old'
    assert [path.name for path in tmp_path.iterdir()] == ['file']


def test_the_hash_of_a_file_is_that_of_the_standard(tmp_path):
    # FIPS 180-2, example B.1
    (tmp_path / 'abc').write_bytes(b'abc')
    expected = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'
    assert file_sha256(tmp_path / 'abc') == expected
