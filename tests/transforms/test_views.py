# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the views."""

import pytest
import torch

from torchgeo_saco.transforms import ContrastiveViews

IMAGE = torch.rand(4, 5, 24, 24) * 0.3 + 0.05


def test_original_is_the_smoothed_image():
    views = ContrastiveViews(8)
    flat = torch.full((1, 2, 24, 24), 0.25)
    assert torch.allclose(views.original(flat), torch.full((1, 2, 8, 8), 0.25))
    mean = views.original(IMAGE).mean((2, 3))
    assert torch.allclose(mean, IMAGE.mean((2, 3)), atol=5e-3)


def test_original_at_its_own_size_is_untouched():
    assert ContrastiveViews(24).original(IMAGE) is IMAGE


def test_views_depend_on_the_generator_alone():
    views = ContrastiveViews(8)
    draws = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        draws.append(views(IMAGE))
    assert draws[0].shape == (4, 5, 8, 8)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_images_of_a_batch_are_drawn_apart():
    same = IMAGE[:1].repeat(16, 1, 1, 1)
    views = ContrastiveViews(8)(same)
    assert len({tuple(view.flatten().tolist()) for view in views}) > 8


def test_all_bands_move_and_brighten_together():
    image = IMAGE[:, :1] * torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    views = ContrastiveViews(24, shift=0)(image)
    for band in (1, 2):
        assert torch.allclose(views[:, band], (band + 1) * views[:, 0], atol=1e-4)


def test_geometry_keeps_the_range_of_values():
    views = ContrastiveViews(24, gain=0, shift=0, p=1.0)(IMAGE)
    assert views.min() >= IMAGE.min() - 1e-5
    assert views.max() <= IMAGE.max() + 1e-5


def test_views_under_autocast_are_those_of_float32():
    views, draws = ContrastiveViews(8), []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            draws.append(views(IMAGE))
    assert torch.equal(*draws)


def test_nothing_is_drawn_at_probability_zero():
    assert torch.allclose(ContrastiveViews(24, p=0.0)(IMAGE), IMAGE)


def test_gain_and_shift_are_bounded_and_not_clipped():
    flat = torch.full((64, 2, 8, 8), 1.2)
    values = ContrastiveViews(8, rotation=0, zoom=1, gain=0.1, shift=0.02, p=1.0)(flat)
    assert values.min() >= 1.2 * 0.9 - 0.02 - 1e-5
    assert values.max() <= 1.2 * 1.1 + 0.02 + 1e-5
    assert values.std() > 0.01
    assert torch.allclose(values.std((1, 2, 3)), torch.zeros(64), atol=1e-5)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'size': 0}, 'size of a view must be at least 1 px, got 0'),
        ({'zoom': 0.5}, r'zoom must be at least 1, got 0\.5'),
        ({'p': 1.5}, r'p is a probability, got 1\.5'),
        ({'gain': 1.0}, r'gain must be in \[0, 1\) and shift at least 0, got 1\.0 and 0\.01'),
        ({'shift': -0.1}, r'shift at least 0, got 0\.1 and -0\.1'),
    ],
)
def test_wrong_argument(wrong, message):
    with pytest.raises(ValueError, match=message):
        ContrastiveViews(**wrong)
