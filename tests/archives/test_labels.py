# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of tables of labels."""

import builtins

import pytest

from torchgeo_saco.archives.labels import read_labels


def write(root, *lines):
    (root / 'labels.csv').write_text('\n'.join(['location,label', *lines]) + '\n')


def test_names_of_no_location_are_passed_over_unless_all_are(tmp_path):
    write(tmp_path, 'a,town', 'other,field')
    assert read_labels(tmp_path, {'a', 'b'}) == (['field', 'town'], {'a': 1, 'other': 0})
    write(tmp_path, '1,town', '2,field')
    with pytest.raises(
        ValueError, match=r"labels\.csv lists no location of the archive; its first is '1': write"
    ):
        read_labels(tmp_path, {'000001', '000002'})


def test_a_table_that_may_not_be_read_is_not_missing(tmp_path, monkeypatch):
    write(tmp_path, 'a,town')
    path = str(tmp_path / 'labels.csv')
    real = builtins.open

    def refuse(file, *args, **options):
        if str(file) == path:
            raise PermissionError(13, 'Permission denied', path)
        return real(file, *args, **options)

    monkeypatch.setattr(builtins, 'open', refuse)
    with pytest.raises(ValueError, match=r'labels\.csv cannot be read: permission denied'):
        read_labels(tmp_path, {'a'})
