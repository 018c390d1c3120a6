# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the transforms that pick bands."""

import pytest
import torch

from torchgeo_saco.bands import BandGroup, SkippedGroup
from torchgeo_saco.transforms import SelectBands, SemanticGroups

BANDS = ['B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B09', 'B11', 'B12']

# Order of the files of EuroSAT
EUROSAT_BANDS = [*BANDS[:8], 'B09', 'B10', 'B11', 'B12', 'B8A']

LEADING = [(), (2,), (2, 3), (2, 3, 2)]


def numbered(bands, *leading, dtype=torch.float32):
    """Image in which every number occurs once."""
    shape = (*leading, len(bands), 3, 5)
    return torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype)


def band(image, bands, name):
    return image[..., bands.index(name), :, :]


@pytest.mark.parametrize('leading', LEADING)
def test_select_picks_bands_by_name_in_the_order_wanted(leading):
    image = numbered(BANDS, *leading)
    selected = SelectBands(BANDS, ['b8a', 'B4', 'B1'])(image)
    assert selected.shape == (*leading, 3, 3, 5)
    for channel, name in enumerate(('B8A', 'B04', 'B01')):
        assert torch.equal(selected[..., channel, :, :], band(image, BANDS, name))


def test_select_in_two_orders_gives_the_image_back():
    image = numbered(EUROSAT_BANDS, 2)
    order = sorted(EUROSAT_BANDS, reverse=True)
    there, back = SelectBands(EUROSAT_BANDS, order), SelectBands(order, EUROSAT_BANDS)
    assert not torch.equal(there(image), image)
    assert torch.equal(back(there(image)), image)


def test_select_from_another_sensor():
    image = numbered('RGB')
    assert torch.equal(SelectBands(['red', 'green', 'blue'], ['B'], 'rgb')(image), image[2:])


@pytest.mark.parametrize(
    ('bands', 'wanted', 'message'),
    [
        (['B2', 'B3'], ['B4'], 'the image has no band B04; its bands are B02, B03'),
        (['B2', 'B3'], ['B2', 'b02'], 'B02 is listed twice'),
        (['B2', 'B2'], ['B2'], 'B02 is listed twice'),
        (['B2', 'B33'], ['B2'], "no band 'B33'; did you mean 'B03'"),
        (['B2'], [], 'bands is empty'),
    ],
)
def test_select_refuses_what_names_no_bands(bands, wanted, message):
    with pytest.raises(ValueError, match=message):
        SelectBands(bands, wanted)


@pytest.mark.parametrize('leading', LEADING)
def test_groups_hold_their_bands_in_order(leading):
    image = numbered(BANDS, *leading)
    transform = SemanticGroups(BANDS)
    grouped = transform(image)
    assert grouped.shape == (*leading, 7, 3, 3, 5)
    for index, group in enumerate(transform.groups):
        for channel, name in enumerate(group.bands):
            found = grouped[..., index, channel, :, :]
            assert torch.equal(found, band(image, BANDS, name))


def test_groups_do_not_depend_on_the_order_of_the_bands():
    image = numbered(BANDS, 2)
    order = sorted(BANDS, reverse=True)
    shuffled = SelectBands(BANDS, order)(image)
    assert torch.equal(SemanticGroups(order)(shuffled), SemanticGroups(BANDS)(image))


def test_groups_of_eurosat_are_the_published_ones():
    image = numbered(EUROSAT_BANDS)
    agriculture = SemanticGroups(EUROSAT_BANDS, ['agriculture'])(image)[0]
    # B11, B8A and B02 stand at 10, 12 and 1 of its files.
    assert torch.equal(agriculture, image[[10, 12, 1]])


@pytest.mark.parametrize('leading', LEADING)
def test_flat_groups_share_the_channel_axis(leading):
    image = numbered(BANDS, *leading)
    flat = SemanticGroups(BANDS, flatten=True)(image)
    assert flat.shape == (*leading, 21, 3, 5)
    assert torch.equal(flat.unflatten(-3, (7, 3)), SemanticGroups(BANDS)(image))


def test_groups_tell_what_they_formed_and_left_out():
    transform = SemanticGroups(['B2', 'B3', 'B4', 'B7', 'B8', 'B9'])
    assert transform.groups == [
        BandGroup('natural_color', ('B04', 'B03', 'B02')),
        BandGroup('near_infrared', ('B08', 'B04', 'B03')),
        BandGroup('complementary_2', ('B07', 'B08', 'B09')),
    ]
    assert transform.skipped[0] == SkippedGroup('urban', 'the image lacks B12, B11')
    assert len(transform.skipped) == 4


def test_own_groups_of_another_sensor():
    transform = SemanticGroups(
        ['B5', 'B6', 'B7'],
        {'first': ['B7', 'B6', 'B5'], 'again': ['B5', 'B6', 'B7']},
        'landsat_8_9',
    )
    image = numbered('567', 2)
    assert torch.equal(transform(image), torch.stack([image.flip(-3), image], dim=1))


@pytest.mark.parametrize(
    ('bands', 'groups', 'message'),
    [
        (['B2', 'B3'], None, 'no group can be formed'),
        (BANDS, ['urbann'], "did you mean 'urban'"),
        (BANDS, {'x': ['B2', 'B3']}, "group 'x' needs three bands"),
        ([*BANDS, 'B8a'], None, 'B8A is listed twice'),
    ],
)
def test_groups_refuse_what_forms_none(bands, groups, message):
    with pytest.raises(ValueError, match=message):
        SemanticGroups(bands, groups)


@pytest.mark.parametrize('transform', [SelectBands(BANDS, ['B04']), SemanticGroups(BANDS)])
@pytest.mark.parametrize('channels', [1, 11, 13])
def test_a_wrong_number_of_channels_is_refused_with_the_bands(transform, channels):
    message = rf'must have 12 channels \(B01, .*, B12\), got {channels}; name the bands'
    with pytest.raises(ValueError, match=message):
        transform(torch.zeros(2, channels, 4, 4))


@pytest.mark.parametrize('transform', [SelectBands(BANDS, ['B04']), SemanticGroups(BANDS)])
@pytest.mark.parametrize('shape', [(), (12,), (12, 4)])
def test_what_is_no_image_is_refused(transform, shape):
    with pytest.raises(ValueError, match=r'image must be \(\.\.\., C, H, W\), got shape'):
        transform(torch.zeros(shape))


@pytest.mark.parametrize(
    'dtype',
    [
        torch.uint8,
        torch.int16,
        torch.uint16,
        torch.int32,
        torch.float16,
        torch.bfloat16,
        torch.bool,
    ],
)
def test_values_of_any_type_pass_unchanged(dtype):
    image = numbered(BANDS, dtype=dtype)
    selected = SelectBands(BANDS, ['B12', 'B01'])(image)
    assert selected.dtype == dtype
    assert torch.equal(selected[1], image[0])
    assert SemanticGroups(BANDS)(image).dtype == dtype


def test_gradients_reach_the_bands_used():
    image = torch.zeros(1, 12, 2, 2, requires_grad=True)
    SemanticGroups(BANDS, ['natural_color', 'near_infrared'])(image).sum().backward()
    uses = dict.fromkeys(BANDS, 0) | {'B02': 1, 'B03': 2, 'B04': 2, 'B08': 1}
    assert image.grad[0, :, 0, 0].tolist() == list(uses.values())
