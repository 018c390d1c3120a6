# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of images of a batch in the axes of the tasks."""

import pytest
import torch

from torchgeo_saco.tasks.channels import batch_image, require_floats, unfold_dates

BANDS = ['B02', 'B03', 'B04', 'B08']


def test_image_of_a_batch():
    image, first, second = torch.rand(3, 2, 4, 5, 6)
    assert batch_image({'image': image, 'image1': first, 'image2': second}) is image
    joined = batch_image({'image1': first, 'image2': second})
    assert torch.equal(joined, torch.stack([first, second], 1))
    with pytest.raises(ValueError, match='the batch has no image, but image1, mask; give'):
        batch_image({'image1': first, 'mask': second})
    with pytest.raises(ValueError, match='the batch has no image, but nothing; give'):
        batch_image({})


def test_unfolded_dates_are_those_that_were_stacked():
    dates = torch.rand(2, 3, 4, 5, 6)
    assert torch.equal(unfold_dates(dates.flatten(1, 2), BANDS), dates)
    assert torch.equal(unfold_dates(dates, BANDS), dates)
    assert torch.equal(unfold_dates(dates[:, 0], BANDS), dates[:, :1])
    years = torch.rand(2, 2, 3, 4, 5, 6)
    assert torch.equal(unfold_dates(years, BANDS), years)


@pytest.mark.parametrize(
    ('shape', 'message'),
    [
        ((2, 6, 5, 5), r'image has 6 channels, .* of the 4 bands B02, B03, B04, B08; set bands'),
        ((2, 0, 5, 5), 'image has 0 channels, which are no whole dates'),
        ((2, 3, 3, 5, 5), r'\(B, T, 4, H, W\) or \(B, 4, H, W\) .* B08, got \(2, 3, 3, 5, 5\)'),
        ((2, 2, 3, 8, 5, 5), r'got \(2, 2, 3, 8, 5, 5\)'),
        ((2, 2, 2, 3, 4, 5, 5), r'got \(2, 2, 2, 3, 4, 5, 5\)'),
        ((4, 5, 5), r'got \(4, 5, 5\)'),
        ((5, 5), r'got \(5, 5\)'),
    ],
)
def test_other_shapes_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        unfold_dates(torch.rand(shape), BANDS)


def test_without_names_of_bands_no_channels_are_dates():
    with pytest.raises(ValueError, match='no whole dates of the 0 bands'):
        unfold_dates(torch.rand(2, 4, 5, 5), [])


@pytest.mark.parametrize('shape', [(2, 4, 5, 5), (2, 3, 4, 5, 5)])
def test_integers_are_refused(shape):
    with pytest.raises(ValueError, match='image holds int16, and the encoder takes reflectance'):
        unfold_dates(torch.ones(shape, dtype=torch.int16), BANDS)
    require_floats(torch.ones(shape, dtype=torch.bfloat16))
