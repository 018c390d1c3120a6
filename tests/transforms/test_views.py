# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the views."""

import math

import pytest
import torch
from kornia.filters import gaussian_blur2d
from kornia.geometry.transform import get_affine_matrix2d, warp_affine

from torchgeo_saco.transforms import ContrastiveViews
from torchgeo_saco.transforms.views import Window, gaussian_blur, window_view

IMAGE = torch.rand(4, 5, 24, 24) * 0.3 + 0.05

#: Nothing is drawn.
STILL = {'p': 0.0, 'jitter': 0.0}


def window(image, **changes):
    """The whole of each image, but for some parts of the window."""
    count, _, height, width = image.shape
    whole = Window(
        torch.zeros(count), torch.ones(count), torch.zeros(count, 2), torch.zeros(count, 2),
        torch.tensor([float(width), float(height)]).repeat(count, 1),
    )  # fmt: skip
    return whole._replace(**{name: torch.tensor(value) for name, value in changes.items()})


def ramps(height, width):
    """Column and row of every pixel, (1, 2, H, W)."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    return torch.stack([columns, rows])[None].float()


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


@pytest.mark.parametrize('size', [8, 24])
@pytest.mark.parametrize('still', [STILL, {'rotation': 0, 'zoom': 1, 'gain': 0, 'shift': 0}])
def test_what_cannot_be_drawn_leaves_the_original(size, still):
    views = ContrastiveViews(size, **(still | {'p': 0.0}))
    assert torch.equal(views(IMAGE), views.original(IMAGE))


def test_images_that_stay_are_untouched():
    views = ContrastiveViews(24, p=0.2, jitter=0.0)(IMAGE.repeat(16, 1, 1, 1))
    same = (views == IMAGE.repeat(16, 1, 1, 1)).all(-1).all(-1).all(-1).float().mean()
    # Neither turned, nor enlarged, nor flipped in either way.
    assert 0.8**4 - 0.15 < same < 0.8**4 + 0.15


def test_window_is_what_kornia_warps():
    image = torch.rand(3, 2, 41, 57)
    angle, scale = [30.0, -75.0, 180.0], [1.0, 1.7, 1.3]
    motion = [[0.0, 0.0], [4.0, -3.0], [-6.5, 2.25]]
    view = window_view(image, window(image, angle=angle, scale=scale, motion=motion), (41, 57))
    # Kornia turns clockwise, around a centre in pixels, whose own centres are whole numbers.
    centre = torch.tensor([[28.0, 20.0]]).repeat(3, 1)
    scales = torch.tensor(scale)[:, None].repeat(1, 2)
    none = torch.zeros(3, 2)
    turned = get_affine_matrix2d(none, centre, torch.ones(3, 2), -torch.tensor(angle))
    moved = get_affine_matrix2d(torch.tensor(motion), centre, scales, torch.zeros(3))
    expected = warp_affine(image, (moved @ turned)[:, :2], (41, 57), align_corners=True)
    inside = warp_affine(
        torch.ones_like(image), (moved @ turned)[:, :2], (41, 57), align_corners=True
    )
    inside = inside > 0.999
    assert inside.float().mean() > 0.6
    assert torch.allclose(view[inside], expected[inside], atol=2e-4)


def test_part_of_the_frame_lies_where_it_says():
    ground = ramps(40, 60)
    view = window_view(ground, window(ground, centre=[[5.0, -8.0]], extent=[[30.0, 10.0]]), (5, 6))
    # 30 columns around 29.5 + 5 and 10 rows around 19.5 - 8, by six steps of 5 and five of 2.
    assert torch.allclose(view[0, 0, 0], 34.5 + 5 * (torch.arange(6) - 2.5), atol=1e-4)
    assert torch.allclose(view[0, 1, :, 0], 11.5 + 2.0 * (torch.arange(5) - 2), atol=1e-4)


def test_turns_by_right_angles_are_those_of_torch():
    square = IMAGE[:1]
    for quarters in range(4):
        view = window_view(square, window(square, angle=[90.0 * quarters]), (24, 24))
        assert torch.allclose(view, square.rot90(quarters, (2, 3)), atol=1e-5)


def test_half_a_turn_twice_is_none():
    half = window(IMAGE[:, :, :, :17], angle=[180.0] * 4)
    twice = window_view(window_view(IMAGE[..., :17], half, (24, 17)), half, (24, 17))
    assert torch.allclose(twice, IMAGE[..., :17], atol=1e-4)


def test_ground_beyond_the_edge_is_reflected():
    image = IMAGE[:1]
    view = window_view(image, window(image, motion=[[6.0, 0.0]]), (24, 24))
    assert torch.allclose(view[..., 6:], image[..., :-6], atol=1e-5)
    assert torch.allclose(view[..., :6], image[..., :6].flip(-1), atol=1e-5)


def test_flips_are_exact():
    views = ContrastiveViews(8, rotation=0, zoom=1, p=1.0, jitter=0)
    assert torch.equal(views(IMAGE), views.original(IMAGE).flip(-1, -2))


def test_each_flip_is_drawn_on_its_own():
    image = torch.arange(4.0).reshape(1, 1, 2, 2).expand(4096, 1, 2, 2)
    corners = ContrastiveViews(2, rotation=0, zoom=1, p=0.3, jitter=0)(image)[:, 0, 0, 0]
    # Which pixel comes to the upper left: as it was, from the right, from below, from both.
    for corner, chance in enumerate((0.49, 0.21, 0.21, 0.09)):
        assert abs((corners == corner).float().mean() - chance) < 0.03


@pytest.mark.parametrize('sigma', [0.1, 0.7, 2.0])
def test_blur_is_that_of_kornia(sigma):
    blurred = gaussian_blur(IMAGE, torch.full((4,), sigma))
    assert torch.allclose(blurred, gaussian_blur2d(IMAGE, 13, (sigma, sigma)), atol=1e-6)


def test_blur_of_an_image_smaller_than_its_kernel():
    small = IMAGE[:, :, :4, :4]
    assert torch.allclose(
        gaussian_blur(small, torch.full((4,), 2.0)),
        gaussian_blur2d(small, 7, (2.0, 2.0)),
        atol=1e-6,
    )


def drawn(views, image=None, count=4096):
    """Windows of many images, and which of them are moved."""
    return views._motion(torch.empty(count, 1, 40, 60) if image is None else image)


def test_turn_and_enlargement_are_drawn_alike_and_apart():
    motion, moved = drawn(ContrastiveViews(rotation=45.0, zoom=3.0, p=0.25))
    turned, enlarged = motion.angle != 0, motion.scale != 1
    for flags, chance in ((turned, 0.25), (enlarged, 0.25), (turned & enlarged, 1 / 16)):
        assert abs(flags.float().mean() - chance) < 4 * math.sqrt(chance / 4096)
    assert torch.equal(moved, turned | enlarged)
    for values, low, high in (
        (motion.angle[turned], -45, 45), (motion.scale[enlarged], 1, 3),
        (motion.motion[enlarged][:, 0], -20, 20), (motion.motion[enlarged][:, 1], -40 / 3, 40 / 3),
    ):  # fmt: skip
        assert low <= values.min() < low + 0.02 * (high - low)
        assert high >= values.max() > high - 0.02 * (high - low)
        assert abs(values.mean() - (low + high) / 2) < 0.04 * (high - low)
    assert not motion.motion[~enlarged].any()


def test_parts_are_drawn_as_in_torchvision():
    views = ContrastiveViews(crop=0.2)
    part = views._part(drawn(ContrastiveViews(p=0.0))[0])
    share = part.extent.prod(1) / (40 * 60)
    ratio = part.extent[:, 0] / part.extent[:, 1]
    assert 0.2 <= share.min() < 0.22
    assert 3 / 4 - 1e-4 < ratio.min() < 0.77
    assert 4 / 3 + 1e-4 > ratio.max() > 1.31
    room = (torch.tensor([60.0, 40.0]) - part.extent) / 2
    assert (part.extent <= torch.tensor([60.0, 40.0])).all()
    assert (part.centre.abs() <= room + 1e-4).all()
    assert (part.centre / room.clamp_min(1)).abs().max() > 0.95


def test_gain_shift_and_gray_are_drawn_by_their_chances():
    flat = torch.tensor([0.25, 0.75])[:, None, None].expand(4096, 2, 2, 2)
    views = ContrastiveViews(2, **STILL | {'jitter': 0.3}, gain=0.2, shift=0.1, grayscale=0.4)(flat)
    first, second = views[:, :, 0, 0].unbind(1)
    grey = first == second
    # Of what is left in colour, the gain spreads the bands and the shift moves both.
    gain = (second - first)[~grey] * 2
    shift = first[~grey] - 0.25 * gain
    assert abs(grey.float().mean() - 0.4) < 0.03
    assert abs(((gain - 1).abs() > 1e-5).float().mean() - 0.3) < 0.04
    assert abs((shift.abs() > 1e-5).float().mean() - 0.3) < 0.04
    assert 0.8 - 1e-5 <= gain.min() < 0.82
    assert 1.18 < gain.max() <= 1.2 + 1e-5
    assert shift.abs().max() <= 0.1 + 1e-5


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
