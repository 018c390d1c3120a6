# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the views."""

import math
from pathlib import Path

import pytest
import torch
import yaml
from kornia import augmentation as K
from kornia.filters import gaussian_blur2d
from kornia.geometry.transform import get_affine_matrix2d, warp_affine

from torchgeo_saco.transforms import ContrastiveViews
from torchgeo_saco.transforms.views import gaussian_blur, warp

IMAGE = torch.rand(4, 5, 24, 24) * 0.3 + 0.05

#: Nothing is drawn.
STILL = {'p': 0.0, 'jitter': 0.0, 'horizontal_flip': 0.0}


def window(image, **changes):
    """Parameters that show the whole of each image, but for some of them."""
    count, _, height, width = image.shape
    whole = {
        'angle': torch.zeros(count), 'scale': torch.ones(count),
        'translation': torch.zeros(count, 2), 'center': torch.zeros(count, 2),
        'extent': torch.tensor([float(width), float(height)]).repeat(count, 1),
    }  # fmt: skip
    return whole | {name: torch.tensor(value) for name, value in changes.items()}


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
    views = ContrastiveViews(24, shift=0, crop=0.5, vertical_flip=0.5)(image)
    for band in (1, 2):
        assert torch.allclose(views[:, band], (band + 1) * views[:, 0], atol=1e-4)


def test_geometry_keeps_the_range_of_values():
    views = ContrastiveViews(24, contrast=0, shift=0, p=1.0)(IMAGE)
    assert views.min() >= IMAGE.min() - 1e-5
    assert views.max() <= IMAGE.max() + 1e-5


def test_views_under_autocast_are_those_of_float32():
    views, draws = ContrastiveViews(8), []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            draws.append(views(IMAGE))
    assert torch.equal(*draws)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float64])
def test_views_have_the_type_of_the_image(dtype):
    # A CPU cannot resize a whole image in bfloat16.
    views = ContrastiveViews(
        8, crop=0.5, p=1.0, jitter=1.0, grayscale=1.0, blur=1.0, vertical_flip=1.0
    )
    torch.manual_seed(0)
    plain = views(IMAGE)
    torch.manual_seed(0)
    found = views(IMAGE.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), plain, rtol=0.03, atol=0.01)


@pytest.mark.parametrize('size', [8, 24])
@pytest.mark.parametrize('still', [STILL, {'rotation': 0, 'zoom': 1, 'contrast': 0, 'shift': 0}])
def test_what_cannot_be_drawn_leaves_the_original(size, still):
    views = ContrastiveViews(size, **(still | {'p': 0.0, 'horizontal_flip': 0.0}))
    assert torch.equal(views(IMAGE), views.original(IMAGE))


@pytest.mark.parametrize('moving', [{'rotation': 90.0, 'zoom': 1}, {'rotation': 0, 'zoom': 3.0}])
def test_images_are_rotated_and_enlarged_each_on_its_own(moving):
    views = ContrastiveViews(24, **(STILL | {'p': 1.0} | moving))
    params = views.generate_parameters(IMAGE.shape)
    assert params['moved'].all()
    view = views.augmented(IMAGE, params)
    assert torch.equal(view, warp(IMAGE, params, (24, 24)))
    assert not torch.isclose(view, IMAGE, atol=1e-3).all((1, 2, 3)).any()


def test_where_nothing_moves_no_image_is_said_to():
    for views in (ContrastiveViews(24, **STILL), ContrastiveViews(24, crop=0.5, **STILL)):
        moved = views.generate_parameters(IMAGE.shape)['moved']
        assert moved.dtype == torch.bool and moved.shape == (4,) and not moved.any()


def test_defaults_are_the_views_of_saco():
    config = Path(__file__).parents[2] / 'configs/pretrain/sa_moco.yaml'
    given = yaml.safe_load(config.read_text())['model']['init_args']
    views = ContrastiveViews()
    for name in ('size', 'crop', 'rotation', 'zoom', 'contrast', 'shift', 'jitter', 'grayscale',
                 'blur'):  # fmt: skip
        assert getattr(views, name) == given[name], name


def test_images_that_stay_are_untouched():
    views = ContrastiveViews(24, p=0.2, jitter=0.0, horizontal_flip=0.2, vertical_flip=0.2)(
        IMAGE.repeat(16, 1, 1, 1)
    )
    same = (views == IMAGE.repeat(16, 1, 1, 1)).all(-1).all(-1).all(-1).float().mean()
    # Neither turned, nor enlarged, nor flipped in either way.
    assert 0.8**4 - 0.15 < same < 0.8**4 + 0.15


def test_window_is_what_kornia_warps():
    image = torch.rand(3, 2, 41, 57)
    angle, scale = [30.0, -75.0, 180.0], [1.0, 1.7, 1.3]
    motion = [[0.0, 0.0], [4.0, -3.0], [-6.5, 2.25]]
    view = warp(image, window(image, angle=angle, scale=scale, translation=motion), (41, 57))
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
    view = warp(ground, window(ground, center=[[5.0, -8.0]], extent=[[30.0, 10.0]]), (5, 6))
    # 30 columns around 29.5 + 5 and 10 rows around 19.5 - 8, by six steps of 5 and five of 2.
    assert torch.allclose(view[0, 0, 0], 34.5 + 5 * (torch.arange(6) - 2.5), atol=1e-4)
    assert torch.allclose(view[0, 1, :, 0], 11.5 + 2.0 * (torch.arange(5) - 2), atol=1e-4)


def test_turns_by_right_angles_are_those_of_torch():
    square = IMAGE[:1]
    for quarters in range(4):
        view = warp(square, window(square, angle=[90.0 * quarters]), (24, 24))
        assert torch.allclose(view, square.rot90(quarters, (2, 3)), atol=1e-5)


def test_half_a_turn_twice_is_none():
    half = window(IMAGE[:, :, :, :17], angle=[180.0] * 4)
    twice = warp(warp(IMAGE[..., :17], half, (24, 17)), half, (24, 17))
    assert torch.allclose(twice, IMAGE[..., :17], atol=1e-4)


def test_ground_beyond_the_edge_is_reflected():
    image = IMAGE[:1]
    view = warp(image, window(image, translation=[[6.0, 0.0]]), (24, 24))
    assert torch.allclose(view[..., 6:], image[..., :-6], atol=1e-5)
    assert torch.allclose(view[..., :6], image[..., :6].flip(-1), atol=1e-5)


def test_flips_are_exact():
    views = ContrastiveViews(8, **STILL | {'horizontal_flip': 1.0}, vertical_flip=1.0)
    assert torch.equal(views(IMAGE), views.original(IMAGE).flip(-1, -2))


def test_each_flip_is_drawn_on_its_own():
    image = torch.arange(4.0).reshape(1, 1, 2, 2).expand(4096, 1, 2, 2)
    views = ContrastiveViews(2, **STILL | {'horizontal_flip': 0.3}, vertical_flip=0.1)
    corners = views(image)[:, 0, 0, 0]
    # Which pixel comes to the upper left: as it was, from the right, from below, from both.
    for corner, chance in enumerate((0.63, 0.27, 0.07, 0.03)):
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


def test_rotation_and_enlargement_are_drawn_alike_and_apart():
    views = ContrastiveViews(rotation=45.0, zoom=3.0, p=0.25)
    params = views.generate_parameters((4096, 1, 40, 60))
    rotated, enlarged = params['angle'] != 0, params['scale'] != 1
    for flags, chance in ((rotated, 0.25), (enlarged, 0.25), (rotated & enlarged, 1 / 16)):
        assert abs(flags.float().mean() - chance) < 4 * math.sqrt(chance / 4096)
    assert torch.equal(params['moved'], rotated | enlarged)
    translation = params['translation']
    for values, low, high in (
        (params['angle'][rotated], -45, 45), (params['scale'][enlarged], 1, 3),
        (translation[enlarged][:, 0], -20, 20), (translation[enlarged][:, 1], -40 / 3, 40 / 3),
    ):  # fmt: skip
        assert low <= values.min() < low + 0.02 * (high - low)
        assert high >= values.max() > high - 0.02 * (high - low)
        assert abs(values.mean() - (low + high) / 2) < 0.04 * (high - low)
    assert not translation[~enlarged].any()


@pytest.mark.parametrize('rotation', [0.0, 90.0])
def test_crops_are_drawn_as_in_torchvision(rotation):
    views = ContrastiveViews(crop=0.2, rotation=rotation, zoom=1.0)
    params = views.generate_parameters((4096, 1, 40, 60))
    extent, center = params['extent'], params['center']
    share, ratio = extent.prod(1) / (40 * 60), extent[:, 0] / extent[:, 1]
    assert 0.2 <= share.min() < 0.22
    assert 3 / 4 - 1e-4 < ratio.min() < 0.77
    assert 4 / 3 + 1e-4 > ratio.max() > 1.31
    # The frame is wider than 4:3, so that no crop shows all of it.
    assert share.max() > 0.85
    assert 0.42 < share.mean() < 0.5
    room = (torch.tensor([60.0, 40.0]) - extent) / 2
    assert (extent <= torch.tensor([60.0, 40.0])).all()
    assert (center.abs() <= room + 1e-4).all()
    where = center / room.clamp_min(1)
    for axis in (0, 1):
        assert where[:, axis].max() > 0.95
        assert where[:, axis].min() < -0.95
        assert abs(where[:, axis].mean()) < 0.05


def test_contrast_shift_and_gray_are_drawn_by_their_probabilities():
    # The mean of both bands is 0.5 and 0.7; two pixels lie 0.25 from it.
    ramp = torch.tensor([[0.25, 0.75], [0.45, 0.95]])[:, None].expand(4096, 2, 1, 2)
    views = ContrastiveViews(1, **STILL | {'jitter': 0.3}, contrast=0.2, shift=0.1, grayscale=0.4)
    params = views.generate_parameters(ramp.shape)
    views = views._jitter(ramp, params)
    first, second = views[:, 0, 0].unbind(1)
    gray = params['grayscale']
    assert torch.equal(gray, (views[:, 0] == views[:, 1]).all(-1).all(-1))
    contrast, shift = (second - first) * 2, (second + first) / 2 - torch.where(gray, 0.6, 0.5)
    assert abs(gray.float().mean() - 0.4) < 0.03
    assert abs(((contrast - 1).abs() > 1e-5).float().mean() - 0.3) < 0.04
    assert abs((shift.abs() > 1e-5).float().mean() - 0.3) < 0.04
    assert 0.8 - 1e-5 <= contrast.min() < 0.81
    assert 1.19 < contrast.max() <= 1.2 + 1e-5
    assert -0.1 - 1e-5 <= shift.min() < -0.095
    assert 0.095 < shift.max() <= 0.1 + 1e-5
    assert abs(contrast.mean() - 1) < 0.01


@pytest.mark.parametrize(('contrast', 'shift'), [(0.5, 0.0), (0.0, 0.02)])
def test_contrast_keeps_the_mean_of_a_band_and_shift_its_spread(contrast, shift):
    image = torch.rand(64, 2, 8, 8) + 0.7
    views = ContrastiveViews(8, **STILL | {'jitter': 1.0}, contrast=contrast, shift=shift)(image)
    moved = (views - image).mean((2, 3))
    spread = views.std((2, 3)) / image.std((2, 3))
    assert (moved.abs().max() > 0.01) == (shift > 0)
    assert moved.abs().max() <= shift + 1e-5
    assert ((spread - 1).abs().max() > 0.3) == (contrast > 0)
    # Both bands alike, and not clipped.
    assert torch.allclose(moved[:, 0], moved[:, 1], atol=1e-5)
    assert torch.allclose(spread[:, 0], spread[:, 1], atol=1e-4)


def test_shrunk_crops_do_not_alias():
    stripes = (torch.arange(96) % 2).float().expand(16, 1, 96, 96)
    views = ContrastiveViews(24, crop=0.8, rotation=30.0, zoom=1.0)
    for view in (views.cropped(stripes), views.augmented(stripes)):
        # Four columns of 0 and 1 are one pixel of their mean.
        assert view.std() < 0.2
        assert abs(view.mean() - 0.5) < 0.05
    whole = warp(stripes, window(stripes), (24, 24))
    assert torch.allclose(whole, views.original(stripes), atol=0.04)


def test_mask_and_image_share_the_geometry():
    edge = (torch.arange(32) >= 13).float().expand(8, 1, 32, 32)
    views = ContrastiveViews(32, **STILL | {'p': 1.0, 'horizontal_flip': 0.5}, vertical_flip=0.5)
    params = views.generate_parameters(edge.shape)
    image, mask = views(edge, params), views.apply_mask(edge.long(), params)
    assert mask.dtype == torch.long
    inside = (image < 0.01) | (image > 0.99)
    assert inside.float().mean() > 0.8
    assert torch.equal(image[inside].round(), mask[inside].float())
    assert not torch.equal(views(edge), image)


def test_containers_of_kornia_augment_image_and_mask_alike():
    image = torch.rand(4, 3, 16, 16)
    views = ContrastiveViews(16, **STILL | {'horizontal_flip': 0.5}, vertical_flip=0.5)
    augment = K.AugmentationSequential(views, data_keys=['input', 'mask'])
    view, mask = augment(image, image[:, :1])
    assert torch.equal(view[:, :1], mask)
    assert not torch.equal(view, image)
    assert torch.equal(torch.nn.Sequential(ContrastiveViews(16, **STILL))(image), image)


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
    steps = shown[:, 0, 0].diff(dim=-1)[:, 1:-1]
    assert torch.allclose(steps, steps.mean(1, keepdim=True).expand_as(steps), atol=1e-4)


def test_whole_image_is_cropped_to_itself():
    assert torch.equal(ContrastiveViews(24).cropped(IMAGE), IMAGE)


def test_grayscale_is_the_mean_of_all_bands():
    views = ContrastiveViews(24, **STILL, grayscale=1.0)(IMAGE)
    assert torch.allclose(views, IMAGE.mean(1, keepdim=True).expand_as(IMAGE), atol=1e-6)


def test_blur_keeps_the_mean_and_takes_the_detail():
    noise = torch.rand(32, 3, 32, 32)
    views = ContrastiveViews(32, **STILL, blur=1.0)(noise)
    assert torch.allclose(views.mean((2, 3)), noise.mean((2, 3)), atol=0.02)
    assert views.std((2, 3)).mean() < 0.7 * noise.std((2, 3)).mean()


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'crop': 0.0}, 'crop must be above 0 and at most 1, got 0'),
        ({'jitter': -1.0}, r'jitter must be from 0 to 1, got -1\.0'),
        ({'grayscale': 2.0}, r'grayscale must be from 0 to 1, got 2\.0'),
        ({'size': 0}, 'size must be at least 1, got 0'),
        ({'zoom': 0.5}, r'zoom must be from 1 to 1000, got 0\.5'),
        ({'zoom': math.inf}, 'zoom must be a finite number from 1 to 1000, got inf'),
        ({'rotation': math.nan}, 'rotation must be a finite number from 0 to 360, got nan'),
        ({'vertical_flip': 1.5}, r'vertical_flip must be from 0 to 1, got 1\.5'),
        ({'p': 1.5}, r'p must be from 0 to 1, got 1\.5'),
        ({'contrast': 1.0}, r'contrast must be at least 0 and below 1, got 1\.0'),
        ({'shift': -0.1}, r'shift must be from 0 to 1000, got -0\.1'),
    ],
)
def test_wrong_argument(wrong, message):
    with pytest.raises(ValueError, match=message):
        ContrastiveViews(**wrong)


@pytest.mark.parametrize('key', ['bbox_xyxy', 'keypoints'])
def test_boxes_and_points_are_refused_where_the_ground_moves(key):
    views = K.AugmentationSequential(ContrastiveViews(size=8), data_keys=['input', key])
    data = torch.zeros(1, 1, 4) if key == 'bbox_xyxy' else torch.zeros(1, 1, 2)
    with pytest.raises(ValueError, match='moves images and masks; leave boxes and keypoints out'):
        views(torch.rand(1, 3, 16, 16), data)
