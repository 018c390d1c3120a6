# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the tiles of large scenes."""

import numpy as np
import pytest
import torch

from torchgeo_saco.datasets.tiles import Tile, tiles


def times_seen(shape, size, stride=None):
    """How often each pixel of a scene counts."""
    seen = np.zeros(shape, int)
    for tile in tiles(shape, size, 'scene.tif', stride):
        row, column, height, width = tile.window
        assert 0 <= row <= shape[0] - height
        assert 0 <= column <= shape[1] - width
        mask = tile.ignore_seen(torch.zeros(size, size, dtype=torch.long))
        seen[row : row + height, column : column + width] += (mask == 0).numpy()
    return seen


@pytest.mark.parametrize('height', range(96, 201, 13))
def test_every_pixel_counts_once(height):
    for width in range(96, 201):
        assert (times_seen((height, width), 96) == 1).all()


@pytest.mark.parametrize('size', [1, 2, 3, 5, 7, 11])
def test_every_pixel_counts_once_whatever_the_size(size):
    for height in range(size, 3 * size + 2):
        for width in range(size, 3 * size + 2):
            assert (times_seen((height, width), size) == 1).all()


@pytest.mark.parametrize('stride', [1, 2, 3, 4])
def test_every_pixel_is_in_some_tile_where_tiles_overlap(stride):
    for height in range(5, 14):
        assert (times_seen((height, 11), 5, stride) >= 1).all()


def test_tiles_are_listed_row_by_row():
    assert tiles((5, 4), 3, 'scene.tif') == [
        Tile(0, 0, 3, 0, 0),
        Tile(0, 1, 3, 0, 2),
        Tile(2, 0, 3, 1, 0),
        Tile(2, 1, 3, 1, 2),
    ]
    assert tiles((3, 6), 3, 'scene.tif', 2) == [
        Tile(0, 0, 3, 0, 0),
        Tile(0, 2, 3, 0, 0),
        Tile(0, 3, 3, 0, 0),
    ]


def test_mask_given_is_left_as_it_was():
    mask = torch.ones(3, 3, dtype=torch.long)
    assert Tile(0, 0, 3, 1, 2).ignore_seen(mask).tolist() == [[-1] * 3, [-1, -1, 1], [-1, -1, 1]]
    assert mask.all()


@pytest.mark.parametrize('shape', [(95, 200), (200, 95)])
def test_scene_smaller_than_a_tile(shape):
    message = rf'scene\.tif is {shape[1]} x {shape[0]} px, smaller than a tile of 96 x 96 px; lower'
    with pytest.raises(ValueError, match=message):
        tiles(shape, 96, 'scene.tif')


@pytest.mark.parametrize(
    ('size', 'stride', 'message'),
    [
        (0, None, 'size must be at least 1, got 0'),
        (4, 0, 'stride must be from 1 to size=4, so that no pixel is lost, got 0'),
        (4, 5, 'stride must be from 1 to size=4, so that no pixel is lost, got 5'),
    ],
)
def test_wrong_steps(size, stride, message):
    with pytest.raises(ValueError, match=message):
        tiles((10, 10), size, 'scene.tif', stride)
