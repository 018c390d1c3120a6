# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the projection heads."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from torchgeo_saco.models import Projectors

FEATURES = torch.randn(5, 3, 6, generator=torch.Generator().manual_seed(0))


def layers(projectors: Projectors) -> list[list[type]]:
    return [[type(layer) for layer in projector] for projector in projectors]


def test_plain_heads_are_linear_layers_with_relu_in_between():
    projectors = Projectors(6, [4], 2, spaces=2)
    assert layers(projectors) == [[nn.Linear, nn.ReLU, nn.Linear]] * 2
    projected = projectors(FEATURES)
    for space, projector in enumerate(projectors):
        hidden = F.relu(FEATURES @ projector[0].weight.T + projector[0].bias)
        expected = hidden @ projector[2].weight.T + projector[2].bias
        torch.testing.assert_close(projected[space], expected)


def test_hidden_layers_follow_each_other():
    (projector,) = Projectors(6, [4, 3], 2)
    linear = [layer for layer in projector if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(6, 4), (4, 3), (3, 2)]
    assert Projectors(6, [4, 3], 2)(FEATURES).shape == (1, 5, 3, 2)


def test_norm_follows_every_layer_and_takes_the_location_of_the_bias():
    projectors = Projectors(6, [4], 2, norm=True)
    kinds = [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d]
    assert layers(projectors) == [kinds]
    (projector,) = projectors
    assert projector[0].bias is None
    assert projector[3].bias is None
    # The last layer standardizes the projections of all groups, with nothing to learn.
    assert projector[4].weight is None
    flat = projectors(FEATURES)[0].flatten(0, 1)
    torch.testing.assert_close(flat.mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(flat.var(0, unbiased=False), torch.ones(2), atol=1e-3, rtol=0)


def test_one_hidden_layer_as_wide_as_the_feature_by_default():
    (projector,) = Projectors(6)
    assert [layer.out_features for layer in projector if isinstance(layer, nn.Linear)] == [6, 128]


def test_projections_are_float32_or_wider():
    assert Projectors(6).bfloat16()(FEATURES.bfloat16()).dtype == torch.float32
    assert Projectors(6).double()(FEATURES.double()).dtype == torch.float64


@pytest.mark.parametrize(('hidden', 'dim'), [([0], 2), ([4], 0)])
def test_widths_are_positive(hidden, dim):
    with pytest.raises(ValueError, match='must be at least 1, got'):
        Projectors(6, hidden, dim)
