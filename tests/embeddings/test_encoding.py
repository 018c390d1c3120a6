# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of encoders made ready to embed."""

import pytest
import torch
from torch import nn

from torchgeo_saco.embeddings.encoding import NamedWeights, TileEncoder
from torchgeo_saco.models import load_encoder

BANDS = ['B02', 'B03', 'B04', 'B08']


def test_weights_that_are_no_checkpoint_bring_no_arguments(trained):
    assert NamedWeights.parse(trained[0]).arguments['size'] == 16
    for text in ('random', 'ResNet18_Weights.SENTINEL2_RGB_SECO'):
        weights = NamedWeights.parse(text)
        assert (weights.text, weights.arguments) == (text, {})


def test_bfloat16_needs_a_device_that_has_it(monkeypatch):
    loaded = load_encoder(
        BANDS, 'sentinel2_l2a', 'test_resnet', groups=['natural_color'], texture=False
    )
    monkeypatch.setattr('torchgeo_saco.embeddings.encoding.emulates_bfloat16', lambda device: True)
    weights = NamedWeights.parse('random')
    with pytest.raises(ValueError, match='this cpu has no bfloat16 instructions; leave out prec'):
        TileEncoder(loaded, weights, 'cpu', 'bf16')
    assert TileEncoder(loaded, weights, 'cpu').precision == '32'


# The forward of a transformer branches on shapes, so nothing is folded.
@pytest.mark.parametrize(('model', 'folded'), [('resnet18', True), ('test_vit', False)])
def test_features_are_those_of_the_encoder(model, folded):
    torch.manual_seed(0)
    loaded = load_encoder(BANDS, 'sentinel2_l2a', model=model)
    for norm in loaded.encoder.backbone.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
    encoder = TileEncoder(loaded, NamedWeights.parse('random'), 'cpu')
    before = {name: value.clone() for name, value in loaded.encoder.state_dict().items()}
    tiles = torch.rand(3, 4, 48, 48)
    with torch.no_grad():
        expected = loaded.encoder.forward_groups(tiles)
    torch.testing.assert_close(encoder(tiles), expected)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in encoder._backbone.modules())
    assert hasattr(encoder._backbone, 'graph') is folded
    # What was loaded is as it was, and can be trained on.
    after = loaded.encoder.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert all(weight.requires_grad for weight in loaded.encoder.backbone.parameters())
