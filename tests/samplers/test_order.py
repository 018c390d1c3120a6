# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of sampling orders."""

import random
import tracemalloc

import numpy as np
import pytest
import torch
from torch.utils.data import BatchSampler

from torchgeo_saco.runtime.seeding import mixed_seed
from torchgeo_saco.samplers import order as samplers
from torchgeo_saco.samplers.order import (
    EpochIndex,
    EpochOrder,
    EpochSampler,
    EvaluationOrder,
    even_batch_size,
)


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
    assert list(sampler) == [EpochIndex(item, 0) for item in order(20, 0)]
    sampler.set_epoch(4)
    draws = list(sampler)
    assert draws == [EpochIndex(item, 4) for item in order(20, 4)]
    assert draws[0].epoch == 4


def shares(make, processes, monkeypatch):
    """Samplers of all processes."""
    monkeypatch.setattr(samplers, 'world_size', lambda: processes)
    made = []
    for rank in range(processes):
        monkeypatch.setattr(samplers, 'process_rank', lambda rank=rank: rank)
        made.append(make())
    return made


@pytest.mark.parametrize(('size', 'processes'), [(24, 2), (25, 2), (26, 3), (7, 4), (2, 4)])
def test_batches_of_all_processes_are_together_those_of_one(size, processes, monkeypatch):
    parts = shares(lambda: EpochOrder(size), processes, monkeypatch)
    for epoch in (0, 3):
        whole = np.random.default_rng(mixed_seed(0, epoch)).permutation(size).tolist()
        batches = []
        for part in parts:
            part.set_epoch(epoch)
            assert len(part) == size // processes
            batches.append(list(BatchSampler(part, 2, drop_last=True)))
        for step, joined in enumerate(zip(*batches, strict=True)):
            items = [item for row in zip(*joined, strict=True) for item in row]
            assert items == whole[2 * processes * step :][: 2 * processes]
        assert sum(map(len, batches)) * 2 >= size - 3 * processes


def test_what_is_left_out_is_others_in_every_epoch(monkeypatch):
    (part, _) = parts = shares(lambda: EpochOrder(9), 2, monkeypatch)
    left = set()
    for epoch in range(20):
        for part in parts:
            part.set_epoch(epoch)
        left |= set(range(9)) - {item for part in parts for item in part}
    assert len(left) > 5


@pytest.mark.parametrize(('size', 'processes'), [(9, 2), (8, 2), (5, 3), (3, 3)])
def test_evaluation_visits_every_item_once(size, processes, monkeypatch):
    parts = shares(lambda: EvaluationOrder(size), processes, monkeypatch)
    assert sorted(item for part in parts for item in part) == list(range(size))
    assert [len(part) for part in parts] == [len(list(part)) for part in parts]


@pytest.mark.parametrize('processes', [1, 2, 3, 7])
@pytest.mark.parametrize('batch_size', [1, 2, 5, 64])
def test_all_processes_evaluate_equally_many_batches(batch_size, processes, monkeypatch):
    monkeypatch.setattr(samplers, 'world_size', lambda: processes)
    for size in range(processes, 300):
        chosen = even_batch_size(size, batch_size)
        assert batch_size <= chosen <= batch_size + 6
        counts = {-(-len(range(rank, size, processes)) // chosen) for rank in range(processes)}
        assert len(counts) == 1


@pytest.mark.parametrize('make', [EpochOrder, EpochSampler])
def test_resumed_order_leaves_out_what_was_done_once(make):
    sampler = make(20)
    sampler.set_epoch(2)
    whole = list(sampler)
    sampler.skip = 13
    assert list(sampler) == whole[13:]
    assert list(sampler) == whole
    assert len(sampler) == 20


def test_order_of_many_items_takes_little_memory():
    sampler = EpochSampler(1_000_000)
    tracemalloc.start()
    iterator = iter(sampler)
    draws = [next(iterator) for _ in range(10)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len({draw.item for draw in draws}) == 10
    assert peak < 5 * 1_000_000
