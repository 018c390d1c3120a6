# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the calls of the backbone that sees all groups."""

import copy

import pytest
import torch
from torch import nn

from torchgeo_saco.models import create_backbone, group_features, group_maps

GROUPS = torch.rand(4, 3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return create_backbone('test_resnet')


def in_a_loop(backbone):
    """Features of group after group, as autograd keeps all of them."""
    images = (group.contiguous(memory_format=torch.channels_last) for group in GROUPS.unbind(1))
    return torch.stack([backbone(part) for part in images], dim=1)


def test_groups_one_by_one_are_a_loop_over_groups(backbone):
    other = copy.deepcopy(backbone)
    features = group_features(backbone, GROUPS, one_by_one=True)
    expected = in_a_loop(other)
    assert torch.equal(features, expected)
    for result in (features, expected):
        result.square().mean().backward()
    for ours, theirs in zip(backbone.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)
    buffers = dict(other.named_buffers())
    assert buffers
    for name, buffer in backbone.named_buffers():
        assert torch.equal(buffer, buffers[name])
    assert backbone.bn1.num_batches_tracked == 3


def test_groups_one_by_one_are_one_call_in_evaluation(backbone):
    backbone.eval()
    assert torch.allclose(
        group_features(backbone, GROUPS, one_by_one=True),
        group_features(backbone, GROUPS),
        atol=1e-5,
    )


def test_groups_one_by_one_draw_the_same_when_they_are_repeated():
    # A mask drawn anew in the backward pass would give another gradient.
    dropping = nn.Sequential(nn.Flatten(), nn.Dropout(0.5))
    groups = GROUPS.clone().requires_grad_()
    features = group_features(dropping, groups, one_by_one=True)
    features.sum().backward()
    assert torch.equal(groups.grad != 0, (features != 0).view(groups.shape))


def test_groups_one_by_one_keep_less_for_the_backward_pass(backbone):
    kept = []
    for one_by_one in (False, True):
        sizes = {}
        hooks = torch.autograd.graph.saved_tensors_hooks(
            lambda tensor, sizes=sizes: (
                sizes.setdefault(tensor.data_ptr(), tensor.nbytes) and tensor
            ),
            lambda tensor: tensor,
        )
        with hooks:
            features = group_features(backbone, GROUPS, one_by_one)
        kept.append(sum(sizes.values()))
        del features
    assert kept[1] < 0.2 * kept[0]


def test_features_are_float32_whatever_the_autocast(backbone):
    with torch.autocast('cpu', torch.bfloat16):
        for one_by_one in (False, True):
            assert group_features(backbone, GROUPS, one_by_one).dtype == torch.float32
    assert group_features(backbone.double(), GROUPS.double()).dtype == torch.float64


def test_some_levels_are_those_of_all_maps(backbone):
    backbone.eval()
    every, some = group_maps(backbone, GROUPS), group_maps(backbone, GROUPS, [0, 2])
    assert len(some) == 2
    for level, found in zip((0, 2), some, strict=True):
        assert torch.equal(found, every[level])


def test_backbones_without_feature_maps_are_refused():
    backbone = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4))
    with pytest.raises(ValueError, match=r'Sequential yields no feature maps; choose a timm model'):
        group_maps(backbone, GROUPS)


@pytest.mark.parametrize('one_by_one', [False, True])
def test_other_errors_of_a_backbone_are_its_own(backbone, one_by_one):
    # Not of a size: this one takes any.
    with pytest.raises(RuntimeError, match=r'expected input.* to have 3 channels, but got 2'):
        group_features(backbone, GROUPS[:, :, :2], one_by_one)
