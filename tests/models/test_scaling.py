# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the scaling of published weights."""

import pytest
import torch
from torch import nn
from torchgeo.models import ResNet18_Weights

from torchgeo_saco.models.scaling import weight_scaling


def test_seco_is_scaled_as_it_was_trained():
    # 8-bit quantiles of SeCo: B04 0-129, B03 2-103, B02 3-88; then ImageNet's mean and deviation.
    scaling = weight_scaling(ResNet18_Weights.SENTINEL2_RGB_SECO)
    image = torch.tensor([[0.0, 129, 200], [2, 103, 0], [3, 88, 45.5]])[None, :, None] / 255
    stretched = torch.tensor([[0, 1, 1], [0, 1, 0], [0, 1, 0.5]])
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    wanted = (stretched - mean[:, None]) / std[:, None]
    torch.testing.assert_close(scaling(image)[0, :, 0], wanted)


@pytest.mark.parametrize('name', ['SENTINEL2_ALL_MOCO', 'SENTINEL2_RGB_MOCO'])
def test_scaling_equals_the_transforms_of_torchgeo(name):
    weights = ResNet18_Weights[name]
    numbers = torch.randint(0, 10000, (2, weights.meta['in_chans'], 300, 300)).float()
    ours = nn.Sequential(weights.transforms[0], weights.transforms[1])(numbers) / 10000
    torch.testing.assert_close(
        weight_scaling(weights)(ours), weights.transforms(numbers.clone()), atol=1e-6, rtol=1e-5
    )


def test_weights_for_other_than_reflectance_take_the_statistics_of_the_images():
    assert weight_scaling(ResNet18_Weights.LANDSAT_TM_TOA_MOCO) is None
