# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the measures of an embedding."""

import math

import numpy as np
import pytest
import torch

from torchgeo_saco.metrics import (
    alignment,
    effective_rank,
    feature_std,
    same_location_auc,
    uniformity,
)


def test_feature_std_is_one_on_the_sphere_and_zero_at_a_point():
    assert feature_std(torch.randn(4096, 64)).item() == pytest.approx(1, abs=0.02)
    assert feature_std(torch.ones(8, 64)).item() == 0


def test_alignment_of_orthogonal_pairs_is_two():
    first, second = torch.eye(4)[:2], torch.eye(4)[2:]
    assert alignment(first, second).item() == pytest.approx(2)
    assert alignment(first, 5 * first).item() == pytest.approx(0)


def test_uniformity_of_two_points():
    features = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert uniformity(features).item() == pytest.approx(-2 * 2)
    assert uniformity(torch.ones(3, 2)).item() == pytest.approx(0)


def test_uniformity_of_three_points():
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    expected = math.log((2 * math.exp(-4) + math.exp(-8)) / 3)
    assert uniformity(features).item() == pytest.approx(expected)


@pytest.mark.parametrize('rank', [1, 3, 8])
def test_effective_rank_counts_equal_directions(rank):
    features = torch.eye(8)[torch.arange(64) % rank]
    assert effective_rank(features).item() == pytest.approx(rank, rel=1e-4)


def test_feature_std_against_numpy():
    features = np.random.default_rng(0).normal([3, 0, 0, -1], [0.1, 1, 2, 0.5], (50, 4))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    expected = unit.std(0, ddof=1).mean() * 2
    assert feature_std(torch.from_numpy(features)).item() == pytest.approx(expected)


def test_effective_rank_of_halves_and_of_nothing():
    features = torch.eye(8)[torch.arange(64) % 3]
    for dtype in (torch.float16, torch.bfloat16):
        assert effective_rank(features.to(dtype)).item() == pytest.approx(3, rel=1e-3)
    assert effective_rank(torch.zeros(6, 4)).item() == 1


def test_same_location_auc_counts_pairs():
    random = torch.Generator().manual_seed(0)
    # Rounded, so that cosines tie; one location has a single image.
    features = torch.randn(14, 3, generator=random).round() + 0.5
    features[3] = features[4]
    locations = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 3, 3, 4])
    unit = torch.nn.functional.normalize(features.double(), dim=1)
    cosine = (unit @ unit.T).round(decimals=12)
    found = same_location_auc(features, locations)
    for i in range(13):
        own = [cosine[i, j] for j in range(14) if j != i and locations[j] == locations[i]]
        others = [cosine[i, j] for j in range(14) if locations[j] != locations[i]]
        wins = sum(float(a > b) + 0.5 * float(a == b) for a in own for b in others)
        assert found[i].item() == pytest.approx(wins / (len(own) * len(others)), abs=0.02)
    assert found[13].isnan()


def test_same_location_auc_of_separate_and_of_random_locations():
    locations = torch.arange(20).repeat_interleave(5)
    apart = torch.eye(20)[locations] + 0.01 * torch.randn(100, 20)
    assert same_location_auc(apart, locations).min() == 1
    assert same_location_auc(-torch.ones(6, 2), locations[:6]).nanmean() == 0.5
    random = torch.randn(100, 20, generator=torch.Generator().manual_seed(0))
    assert same_location_auc(random, locations).mean().item() == pytest.approx(0.5, abs=0.03)


def test_same_location_auc_of_single_images_is_unknown():
    found = same_location_auc(torch.randn(5, 3), torch.arange(5))
    assert found.shape == (5,) and found.isnan().all() and found.dtype == torch.float64
