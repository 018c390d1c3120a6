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
    assert torch.allclose(ContrastiveViews(24, p=0.0, jitter=0.0)(IMAGE), IMAGE)


def test_gain_and_shift_are_bounded_and_not_clipped():
    flat = torch.full((64, 2, 8, 8), 1.2)
    values = ContrastiveViews(8, rotation=0, zoom=1, gain=0.1, shift=0.02, p=1.0, jitter=1.0)(flat)
    assert values.min() >= 1.2 * 0.9 - 0.02 - 1e-5
    assert values.max() <= 1.2 * 1.1 + 0.02 + 1e-5
    assert values.std() > 0.01
    assert torch.allclose(values.std((1, 2, 3)), torch.zeros(64), atol=1e-5)


def test_crops_show_a_part_and_change_nothing_else():
    ramp = torch.linspace(0, 1, 64).expand(32, 2, 64, 64)
    views = ContrastiveViews(16, crop=0.25)
    shown = views.cropped(ramp)
    assert shown.shape == (32, 2, 16, 16)
    spans = shown[:, 0, 0, -1] - shown[:, 0, 0, 0]
    # A share of the area from 0.25 to 1, of sides from 3:4 to 4:3.
    assert spans.min() > (0.25 * 3 / 4) ** 0.5 * 0.9
    assert spans.max() <= 1 + 1e-5
    assert spans.std() > 0.05
    assert torch.allclose(shown[:, 0], shown[:, 1])
    steps = shown[:, 0, 0].diff(dim=-1)
    assert torch.allclose(steps, steps.mean(1, keepdim=True).expand_as(steps), atol=1e-4)


def test_whole_image_is_cropped_to_itself():
    assert torch.equal(ContrastiveViews(24).cropped(IMAGE), IMAGE)


def test_grayscale_is_the_mean_of_all_bands():
    views = ContrastiveViews(24, p=0.0, jitter=0.0, grayscale=1.0)(IMAGE)
    assert torch.allclose(views, IMAGE.mean(1, keepdim=True).expand_as(IMAGE), atol=1e-6)


def test_blur_keeps_the_mean_and_takes_the_detail():
    noise = torch.rand(32, 3, 32, 32)
    views = ContrastiveViews(32, p=0.0, jitter=0.0, blur=1.0)(noise)
    assert torch.allclose(views.mean((2, 3)), noise.mean((2, 3)), atol=0.02)
    assert views.std((2, 3)).mean() < 0.7 * noise.std((2, 3)).mean()


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'crop': 0.0}, 'crop is a share of the ground above 0 and up to 1, got 0'),
        ({'jitter': -1.0}, r'jitter is a probability, got -1\.0'),
        ({'grayscale': 2.0}, r'grayscale is a probability, got 2\.0'),
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
