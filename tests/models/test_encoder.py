# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the encoder of band groups."""

import pytest
import torch
from torch import nn

from torchgeo_saco.bands import SENTINEL2_L2A
from torchgeo_saco.models import (
    Encoder,
    EncoderConfig,
    GroupInputs,
    create_backbone,
    fit_input_statistics,
    group_features,
)
from torchgeo_saco.transforms import local_binary_pattern

BANDS = tuple(SENTINEL2_L2A.bands)
IMAGE = torch.rand(4, 12, 16, 16)


class Backbone(nn.Module):
    """Mean of each channel, and the number of calls."""

    calls = 0

    def forward(self, image):
        self.calls += 1
        return image.mean((2, 3))


def test_groups_come_first_then_their_textures():
    images = GroupInputs(BANDS, ['urban', 'near_infrared'], texture=True)
    assert images.names == ['urban', 'near_infrared', 'urban_texture', 'near_infrared_texture']
    raw = images.unnormalized(IMAGE)
    assert raw.shape == (4, 4, 3, 16, 16)
    urban = IMAGE[:, [BANDS.index(band) for band in ('B12', 'B11', 'B04')]]
    assert torch.equal(raw[:, 0], urban)
    assert torch.allclose(raw[:, 2], local_binary_pattern(urban) / 17)


@pytest.mark.parametrize(
    ('texture', 'count'), [(True, 14), (False, 7), (['urban', 'agriculture'], 9), ([], 7)]
)
def test_which_textures(texture, count):
    images = GroupInputs(BANDS, texture=texture)
    assert len(images.names) == count
    assert images(IMAGE).shape == (4, count, 3, 16, 16)


@pytest.mark.parametrize('texture', [True, ['urban', 'agriculture']])
def test_each_band_has_one_texture_whatever_the_groups(texture, monkeypatch):
    images = GroupInputs(BANDS, texture=texture)
    seen = []
    draw = images.texture.forward
    monkeypatch.setattr(images.texture, 'forward', lambda image: seen.append(image) or draw(image))
    raw = images.unnormalized(IMAGE)
    used = {band for name in images.textured for band in images.channels[name]}
    assert [part.shape[1] for part in seen] == [len(used)]
    for number, name in enumerate(images.names):
        bands = IMAGE[:, [BANDS.index(band) for band in images.channels[name]]]
        expected = local_binary_pattern(bands) / 17 if name.endswith('_texture') else bands
        assert torch.equal(raw[:, number], expected)


def test_image_of_other_channels_is_refused():
    for texture in (True, False):
        with pytest.raises(ValueError, match=r'the image must have 12 channels .*, got 5'):
            GroupInputs(BANDS, texture=texture)(IMAGE[:, :5])


def test_texture_of_a_group_that_is_left_out_is_left_out():
    images = GroupInputs(BANDS[:4], texture=['urban', 'natural_color'])
    assert images.names == ['natural_color', 'natural_color_texture']


def test_texture_of_an_unknown_group():
    with pytest.raises(ValueError, match=r'texture is asked of moisture, which is no group here'):
        GroupInputs(BANDS, texture=['moisture'])


def test_channels_are_standardized():
    images = GroupInputs(BANDS)
    image = IMAGE * 0.1 + torch.arange(12)[:, None, None] * 0.02
    groups = images(image)
    assert torch.allclose(groups.mean((0, 3, 4)), torch.zeros(14, 3), atol=1e-4)
    assert torch.allclose(groups[:, :7].std((0, 3, 4)), torch.ones(7, 3), atol=1e-3)


def test_texture_is_the_same_under_autocast():
    images = GroupInputs(BANDS).eval()
    with torch.autocast('cpu', torch.bfloat16):
        under = images.unnormalized(IMAGE)
    assert torch.equal(under, images.unnormalized(IMAGE))


def test_all_groups_take_one_call_of_the_backbone():
    backbone = Backbone()
    groups = torch.rand(4, 7, 3, 8, 8)
    features = group_features(backbone, groups)
    assert backbone.calls == 1
    assert torch.allclose(features, groups.mean((3, 4)))


def test_encoder_averages_the_groups():
    encoder = Encoder(GroupInputs(BANDS), Backbone()).eval()
    assert encoder.forward_groups(IMAGE).shape == (4, 14, 3)
    assert torch.allclose(encoder(IMAGE), encoder.forward_groups(IMAGE).mean(1))


def test_encoder_does_not_know_the_order_of_bands():
    order = torch.randperm(12).tolist()
    backbone = create_backbone('test_resnet').eval()
    encoders = [
        Encoder(GroupInputs(bands), backbone).eval() for bands in (BANDS, [BANDS[i] for i in order])
    ]
    assert torch.equal(encoders[0](IMAGE), encoders[1](IMAGE[:, order]))


def test_random_backbone_has_three_channels_and_no_classes():
    backbone = create_backbone('test_resnet')
    assert backbone(torch.rand(2, 3, 32, 32)).shape == (2, backbone.num_features)
    first = next(backbone.parameters())
    assert not torch.equal(first, next(create_backbone('test_resnet', False).parameters()))


def test_weights_from_a_checkpoint(tmp_path):
    source = create_backbone('test_resnet')
    state = {f'model.{key}': value for key, value in source.state_dict().items()}
    torch.save(
        {'state_dict': state, 'hyper_parameters': {'model': 'test_resnet'}}, tmp_path / 'a.ckpt'
    )
    loaded = create_backbone('test_resnet', str(tmp_path / 'a.ckpt'))
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, source.state_dict()[key])


def test_weights_by_name(tmp_path, monkeypatch):
    from torchgeo.models import ResNet18_Weights

    source = create_backbone('resnet18')
    monkeypatch.setattr(
        ResNet18_Weights, 'get_state_dict', lambda self, *args, **kwargs: source.state_dict()
    )
    for weights in (ResNet18_Weights.SENTINEL2_RGB_SECO, 'ResNet18_Weights.SENTINEL2_RGB_SECO'):
        loaded = create_backbone('resnet18', weights)
        assert torch.equal(loaded.conv1.weight, source.conv1.weight)


def test_unknown_weights():
    with pytest.raises(ValueError, match=r"weights 'nowhere\.ckpt' is neither a file nor the name"):
        create_backbone('test_resnet', 'nowhere.ckpt')


def test_weights_of_another_model(tmp_path):
    state = {f'model.{k}': v for k, v in create_backbone('resnet10t').state_dict().items()}
    torch.save({'state_dict': state, 'hyper_parameters': {'model': 'x'}}, tmp_path / 'a.ckpt')
    with pytest.raises(ValueError, match=r'a\.ckpt.* do not fit test_resnet: .* such as conv1'):
        create_backbone('test_resnet', str(tmp_path / 'a.ckpt'))


def test_image_net_weights_that_cannot_be_fetched(tmp_path, monkeypatch):
    # As without a network, and nothing fetched before.
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path))
    with pytest.raises(
        ValueError, match=r'ImageNet weights of resnet18 cannot be .* set weights to'
    ):
        create_backbone('resnet18', True)


def test_groups_without_their_textures_or_these_alone():
    torch.manual_seed(0)
    config = EncoderConfig(
        'test_resnet', list(BANDS), 'sentinel2_l2a',
        {'urban': ['B12', 'B11', 'B04'], 'natural_color': ['B04', 'B03', 'B02']}, ['urban'],
        texture_histograms=True,
    )  # fmt: skip
    encoder = config.encoder().eval()
    assert encoder.names == ['urban', 'natural_color', 'urban_texture']
    whole = encoder.forward_groups(IMAGE)
    for chosen in ([0, 1], [1], [2], [0, 2]):
        torch.testing.assert_close(encoder.forward_groups(IMAGE, chosen), whole[:, chosen])


def test_scaling_of_weights_is_kept_where_statistics_are_fitted():
    scaling = {'mean': [0.1], 'std': [0.2], 'low': [0.0], 'high': [1.0]}
    groups = {'natural_color': ['B04', 'B03', 'B02']}
    config = EncoderConfig('test_resnet', list(BANDS), 'sentinel2_l2a', groups, [], scaling=scaling)
    encoder = config.encoder().eval()
    before = encoder.inputs(IMAGE)
    norm = encoder.backbone.bn1.running_mean.clone()
    fit_input_statistics(encoder, lambda: [IMAGE, IMAGE])
    assert torch.equal(encoder.inputs(IMAGE), before)
    assert torch.equal(encoder.backbone.bn1.running_mean, norm)
    fit_input_statistics(encoder, lambda: [IMAGE, IMAGE], backbone=True)
    assert torch.equal(encoder.inputs(IMAGE), before)
    assert not torch.equal(encoder.backbone.bn1.running_mean, norm)
