# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of lists of the locations of each split."""

import pytest

from torchgeo_saco.archives.splits import split_positions

NAMES = ['Forest/Forest_1.jpg', 'Forest/Forest_2.jpg', 'River/River_1.jpg', 'S2A_36_85']


def lists(root, **splits):
    for split, lines in splits.items():
        (root / f'{split}.txt').write_text('\n'.join(lines) + '\n')
    return '{split}.txt'


def positions(pattern, root, **arguments):
    found = split_positions(pattern, root, NAMES, **arguments)
    return [None if part is None else part.tolist() for part in found]


def test_lines_name_locations_files_or_patches(tmp_path):
    pattern = lists(
        tmp_path,
        train=['Forest_2.jpg', 'Forest/Forest_1.jpg'],
        val=['', 'River_1'],
        test=['S2A_36_85,S1A_36_85'],
    )
    assert positions(pattern, tmp_path) == [[0, 1], [2], [3]]
    # The folder of the lists may be another.
    assert positions(str(tmp_path / pattern), 'elsewhere') == [[0, 1], [2], [3]]


def test_endings_of_lists_may_differ_from_those_of_files(tmp_path):
    pattern = lists(tmp_path, train=['Forest_1.tif'], val=['River_1.tif'])
    assert positions(pattern, tmp_path) == [[0], [2], None]


@pytest.mark.parametrize(
    ('splits', 'error', 'message'),
    [
        ({'train': ['Forest_1']}, FileNotFoundError, r'val\.txt is missing; correct split_files'),
        ({'train': ['Forest_1', 'Sea_1'], 'val': ['River_1']}, ValueError,
         r"train\.txt lists 1 locations that .* has not, such as 'Sea_1'; complete it"),
        ({'train': ['Forest_1'], 'val': ['Forest_1']}, ValueError,
         r'val\.txt lists Forest/Forest_1\.jpg, which is of split train already'),
        ({'train': ['Forest_1'], 'val': []}, ValueError, r'val\.txt lists no location of'),
    ],
)  # fmt: skip
def test_wrong_lists(tmp_path, splits, error, message):
    pattern = lists(tmp_path, **splits)
    with pytest.raises(error, match=message):
        positions(pattern, tmp_path)


def test_listed_locations_that_are_not_there_may_be_dropped(tmp_path):
    pattern = lists(tmp_path, train=['Forest_1', 'Sea_1'], val=['River_1'])
    assert positions(pattern, tmp_path, drop=True) == [[0], [2], None]


def test_names_of_two_files_are_told_apart_by_folder_alone(tmp_path):
    names = ['a/1.jpg', 'b/1.jpg', 'c/2.jpg']
    pattern = lists(tmp_path, train=['a/1.jpg', 'b/1.jpg'], val=['2.jpg'])
    train, val, _ = split_positions(pattern, tmp_path, names)
    assert (train.tolist(), val.tolist()) == ([0, 1], [2])
    pattern = lists(tmp_path, train=['1.jpg'], val=['2.jpg'])
    with pytest.raises(ValueError, match=r"has not, such as '1\.jpg'"):
        split_positions(pattern, tmp_path, names)
