# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
import torch

from torchgeo_saco.transforms import Backscatter
from torchgeo_saco.transforms.backscatter import require_decibel, scale_by_maximum


def test_decibels_from_minus_25_to_0_become_0_to_1():
    image = torch.tensor([-40.0, -25.0, -12.5, 0.0, 5.0]).view(1, 1, 5)
    assert Backscatter()(image).flatten().tolist() == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize('shape', [(2, 8, 8), (3, 2, 8, 8), (3, 4, 2, 8, 8)])
def test_stored_integers_and_floats_are_one(shape):
    decibel = torch.from_numpy(np.random.default_rng(0).uniform(-24, -1, shape)).round(decimals=2)
    scaled = Backscatter()(decibel)
    assert scaled.dtype == torch.float32
    assert scaled.shape == shape
    hundredths = (decibel * 100).round().to(torch.int16)
    for stored, unit in ((hundredths, None), (hundredths, 100), (decibel * 50, 50)):
        torch.testing.assert_close(Backscatter(unit)(stored), scaled, atol=1e-5, rtol=0)


def test_every_channel_of_an_image_reaches_one_by_its_maximum():
    image = torch.full((2, 2, 4, 4), -20.0)
    image[0, 0, 1, 1], image[1, 1, 2, 2] = -10.0, -5.0
    scaled = Backscatter(scaling='maximum')(image)
    np.testing.assert_allclose(scaled.amax((-2, -1)), 1, atol=1e-4)
    # As the original code writes it: clip, add 25, divide by the largest.
    clipped = np.clip(image.numpy(), -25, 0) + 25
    wanted = clipped / (clipped.max((-2, -1), keepdims=True) + 25e-5)
    np.testing.assert_allclose(scaled, wanted, atol=1e-6)
    assert scale_by_maximum(torch.zeros(1, 2, 2)).eq(0).all()


def test_nan_is_kept_unless_it_is_filled():
    image = torch.full((1, 2, 16, 16), -10.0)
    image[0, 0, :, :4] = torch.nan
    assert Backscatter()(image).isnan().sum() == 64
    for speckle_filter in (False, True):
        filled = Backscatter(speckle_filter=speckle_filter, fill_nan=True)(image)
        assert filled[0, 0, :, 0].eq(0).all()
        torch.testing.assert_close(filled[0, 0, :, 10:], torch.full((16, 6), 0.6))


def test_the_filter_calms_speckle_and_keeps_the_mean():
    rng = np.random.default_rng(0)
    power = 0.05 * rng.gamma(4.4, 1 / 4.4, (1, 2, 64, 64))
    image = torch.from_numpy(10 * np.log10(power)).float()
    raw, calm = Backscatter()(image), Backscatter(speckle_filter=True)(image)
    assert calm.std() < raw.std() / 3
    # The mean of dB is below dB of the mean.
    assert 0 < calm.mean() - raw.mean() < 0.05


def test_ratios_of_powers_are_refused():
    with pytest.raises(
        ValueError, match=r'^a\.tif holds numbers from 0\.01 to 0\.2, which .*10 log'
    ):
        require_decibel('a.tif', torch.tensor([0.01, 0.2, torch.nan]))
    for image in (torch.tensor([-20.0, 3.0]), torch.tensor([torch.nan]), torch.zeros(3)):
        require_decibel('a.tif', image)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'unit': 0.0}, 'unit must be from 0.001 to 1000000000 or None, got 0'),
        ({'scaling': 'patch'}, 'scaling must be one of fixed, maximum'),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Backscatter(**arguments)
