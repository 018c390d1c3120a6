# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of files that appear at once and whole."""

import pytest

from torchgeo_saco.io.files import atomic_file, write_file


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
