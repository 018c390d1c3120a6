# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of sampling orders."""

import random

import numpy as np
import pytest
import torch

from torchgeo_saco.randomness import mixed_seed
from torchgeo_saco.samplers import Draw, EpochOrder, EpochSampler


def order(size, epoch):
    sampler = EpochOrder(size)
    sampler.set_epoch(epoch)
    return list(sampler)


@pytest.mark.parametrize('size', [0, 1, 2, 17, 1000])
def test_every_item_is_visited_once(size):
    assert sorted(order(size, 3)) == list(range(size))
    assert len(EpochOrder(size)) == len(EpochSampler(size)) == size


def test_order_is_the_seeded_permutation():
    expected = np.random.default_rng(mixed_seed(0, 5)).permutation(20).tolist()
    assert order(20, 5) == expected


def test_items_are_plain_integers():
    assert {type(item) for item in order(5, 0)} == {int}


def test_order_changes_with_the_epoch_and_is_repeated_with_it():
    orders = [order(20, epoch) for epoch in range(5)]
    assert len(set(map(tuple, orders))) == 5
    assert order(20, 3) == orders[3]


def test_order_of_a_sampler_is_the_same_until_the_epoch_is_set():
    sampler = EpochOrder(20)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) == order(20, 1) != first


def test_order_changes_with_the_seed_of_the_run(monkeypatch):
    first = order(20, 0)
    monkeypatch.setenv('PL_GLOBAL_SEED', '1')
    assert order(20, 0) != first


def test_order_depends_on_no_other_generator():
    first = order(20, 0)
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(7)
    state = torch.random.get_rng_state()
    assert order(20, 0) == first
    assert torch.equal(torch.random.get_rng_state(), state)


def test_draws_are_that_order_with_the_epoch():
    sampler = EpochSampler(20)
    assert list(sampler) == [Draw(item, 0) for item in order(20, 0)]
    sampler.set_epoch(4)
    draws = list(sampler)
    assert draws == [Draw(item, 4) for item in order(20, 4)]
    assert draws[0].epoch == 4
