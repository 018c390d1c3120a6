# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of what is known of a device's bfloat16."""

import pytest
import torch

from torchgeo_saco.models import create_backbone
from torchgeo_saco.runtime.precision import emulates_bfloat16, single_pixel_layer

CPU, GPU = torch.device('cpu'), torch.device('cuda')


@pytest.mark.parametrize(
    ('capabilities', 'emulated'),
    [
        ({'avx512_f': True, 'avx512_bf16': True, 'amx_bf16': False}, False),
        ({'avx512_f': False, 'avx512_bf16': False, 'amx_bf16': True}, False),
        ({'avx512_f': True, 'avx512_bf16': False, 'amx_bf16': False}, True),
        ({'bf16': True}, False),
    ],
)
def test_cpu_is_known_by_its_instructions(capabilities, emulated, monkeypatch):
    monkeypatch.setattr(torch.cpu, 'get_capabilities', lambda: capabilities, raising=False)
    assert emulates_bfloat16(CPU) == emulated


@pytest.mark.parametrize('native', [True, False])
def test_gpu_is_asked_for_more_than_emulation(native, monkeypatch):
    monkeypatch.setattr(
        torch.cuda,
        'is_bf16_supported',
        lambda including_emulation=True: native or including_emulation,
    )
    assert emulates_bfloat16(GPU) != native


def test_what_is_not_known_is_not_said(monkeypatch):
    monkeypatch.delattr(torch.cpu, 'get_capabilities', raising=False)
    assert not emulates_bfloat16(CPU)
    assert not emulates_bfloat16(torch.device('mps'))


@pytest.mark.parametrize(
    ('model', 'side', 'layer'),
    [
        ('resnet18', 16, 'layer4.0.conv1'),
        ('resnet18', 17, None),
        ('resnet18', 64, None),
        ('test_resnet', 16, 'layer4.0.conv1'),
        ('test_resnet', 24, None),
    ],
)
def test_layers_that_see_one_pixel_are_found(model, side, layer):
    backbone = create_backbone(model, None, 3).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    assert single_pixel_layer(backbone, 3, side) == layer
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(module.training for module in backbone.modules())
