# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of reflectance from stored numbers."""

import pytest
import torch

from torchgeo_saco.transforms import Reflectance
from torchgeo_saco.transforms.reflectance import require_reflectance


@pytest.mark.parametrize(
    ('dtype', 'stored'), [('uint8', 51), ('uint16', 2000), ('int16', 2000), ('int32', 2000)]
)
def test_unit_follows_the_type(dtype, stored):
    image = torch.tensor([[0, stored]], dtype=getattr(torch, dtype))
    reflectance = Reflectance()(image)
    assert reflectance.dtype == torch.float32
    assert torch.allclose(reflectance, torch.tensor([[0, 0.2]]))


def test_floats_are_reflectance():
    image = torch.tensor([0.0, 0.2], dtype=torch.float64)
    assert torch.allclose(Reflectance()(image), image.float())


def test_unit_and_offset():
    image = torch.tensor([1000, 3000], dtype=torch.int16)
    assert torch.allclose(Reflectance(offset=-1000)(image), torch.tensor([0.0, 0.2]))
    assert torch.allclose(Reflectance(5000)(image), torch.tensor([0.2, 0.6]))


def test_bright_cloud_is_not_clipped():
    assert Reflectance()(torch.tensor([20000], dtype=torch.uint16)) == 2


@pytest.mark.parametrize('unit', [0, -255])
def test_wrong_unit(unit):
    with pytest.raises(ValueError, match=f'unit must be .*, got {unit}'):
        Reflectance(unit)


def test_floats_that_are_no_reflectance_are_refused_by_name():
    require_reflectance('a.tif', 20)
    with pytest.raises(ValueError, match=r'a\.tif holds floats up to 9000.*set unit to the number'):
        require_reflectance('a.tif', 9000)
