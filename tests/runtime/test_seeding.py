# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of seeded randomness and of the order of samples."""

import torch

from torchgeo_saco.runtime.seeding import mixed_seed, run_seed, torch_seeded
from torchgeo_saco.samplers.order import EpochIndex, EpochSampler


def test_seed_of_the_run(monkeypatch):
    assert run_seed() == 0
    monkeypatch.setenv('PL_GLOBAL_SEED', '7')
    assert run_seed() == 7
    monkeypatch.delenv('PL_GLOBAL_SEED')
    assert run_seed() == 0


def test_mixed_seeds_differ_by_part_and_location():
    seeds = {mixed_seed(a, b) for a in range(20) for b in range(20)}
    assert len(seeds) == 400
    assert mixed_seed(3) != mixed_seed(3, 0)


def test_block_is_seeded_and_leaves_no_trace():
    state = torch.random.get_rng_state()
    with torch_seeded(1, 2):
        first = torch.rand(3)
    assert torch.equal(torch.random.get_rng_state(), state)
    with torch_seeded(1, 2):
        assert torch.equal(torch.rand(3), first)
    with torch_seeded(2, 1):
        assert not torch.equal(torch.rand(3), first)


def test_order_is_a_function_of_seed_and_epoch(monkeypatch):
    sampler, other = EpochSampler(50), EpochSampler(50)
    first = list(sampler)
    assert sorted(draw.item for draw in first) == list(range(50))
    assert len(sampler) == 50
    sampler.set_epoch(1)
    assert [draw.item for draw in sampler] != [draw.item for draw in first]
    assert next(iter(sampler)).epoch == 1
    sampler.set_epoch(0)
    assert list(sampler) == list(other) == first
    monkeypatch.setenv('PL_GLOBAL_SEED', '1')
    assert list(sampler) != first
    assert isinstance(first[0], EpochIndex)
