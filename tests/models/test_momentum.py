# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the key encoder and the key queue."""

from collections import deque

import pytest
import torch
from torch import nn

from torchgeo_saco.losses import info_nce, l2_normalize
from torchgeo_saco.models.momentum import KeyQueue, key_copy


def numbered(start, count):
    """Keys that are told apart by their angle."""
    angles = torch.arange(start, start + count) * 1e-3
    return torch.stack([angles.cos(), angles.sin()], 1)


@pytest.mark.parametrize('size', range(1, 18))
@pytest.mark.parametrize('batch', range(1, 18))
def test_queue_keeps_every_key_in_order(size, batch):
    queue, expected = KeyQueue(size, 2), deque(maxlen=size)
    for step in range(5):
        first = step * batch
        queue.enqueue(numbered(first, batch), torch.arange(first, first + batch))
        expected.extend(range(first, first + batch))
        kept = torch.roll(queue.locations, -int(queue.pointer))
        kept = kept[kept >= 0]
        assert kept.tolist() == list(expected)
        angles = torch.roll(queue.keys, -int(queue.pointer), 0)[-len(kept) :]
        assert torch.equal(angles, l2_normalize(numbered(0, first + batch))[kept])


def test_unfilled_slots_and_the_own_location_are_no_negatives():
    queue = KeyQueue(4, 2)
    queue.enqueue(numbered(0, 3), torch.tensor([5, 0, 5]))
    keys, excluded = queue.negatives(torch.tensor([5, 0, 7]))
    assert excluded.tolist() == [
        [True, False, True, True],
        [False, True, False, True],
        [False, False, False, True],
    ]
    assert keys.shape == (4, 2)


def test_empty_queue_gives_no_negative():
    _, excluded = KeyQueue(3, 2).negatives(torch.tensor([0, 1]))
    assert excluded.all()


def test_keys_are_stored_at_length_one():
    queue = KeyQueue(2, 2)
    queue.enqueue(torch.tensor([[3.0, 4.0]]), torch.tensor([0]))
    assert torch.allclose(queue.keys[0], torch.tensor([0.6, 0.8]))


def test_queue_is_in_the_checkpoint():
    queue, other = KeyQueue(3, 2), KeyQueue(3, 2)
    queue.enqueue(numbered(1, 2), torch.tensor([1, 2]))
    other.load_state_dict(queue.state_dict())
    assert set(queue.state_dict()) == {'keys', 'locations', 'pointer'}
    other.enqueue(numbered(3, 2), torch.tensor([3, 4]))
    assert other.locations.tolist() == [4, 2, 3]


def test_newer_keys_do_not_break_backward():
    queue = KeyQueue(3, 2)
    queue.enqueue(numbered(0, 3), torch.arange(3))
    query = numbered(5, 2).requires_grad_()
    keys, excluded = queue.negatives(torch.tensor([8, 9]))
    loss = info_nce(query, numbered(6, 2), keys, 0.5, excluded)
    queue.enqueue(numbered(9, 3), torch.arange(3))
    loss.backward()
    assert torch.isfinite(query.grad).all()


@pytest.mark.slow
def test_queue_compiles():
    torch._dynamo.reset()
    queue = KeyQueue(5, 2)
    torch.compile(queue.enqueue, fullgraph=True, backend='eager')(numbered(0, 3), torch.arange(3))
    assert queue.locations.tolist() == [0, 1, 2, -1, -1]


@pytest.mark.parametrize('size', [0, -1])
def test_queue_without_room(size):
    with pytest.raises(ValueError, match=f'queue_size must be at least 1, got {size}'):
        KeyQueue(size, 2)


def test_key_network_starts_as_an_exact_copy_without_gradients():
    query = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    key = key_copy(query)
    for ours, theirs in zip(key.parameters(), query.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert ours is not theirs
        assert not ours.requires_grad
        assert theirs.requires_grad


def test_enqueued_keys_carry_no_graph():
    queue, keys = KeyQueue(4, 2), torch.randn(3, 2, requires_grad=True)
    queue.enqueue(keys, torch.arange(3))
    assert queue.keys.grad_fn is None
    queue.extend(keys * 2, torch.arange(3))
    assert queue.keys.grad_fn is None
    assert not queue.keys.requires_grad
