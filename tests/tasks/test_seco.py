# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of SeCo."""

import numpy as np
import pytest
import torch

from torchgeo_saco.tasks import SeCo
from torchgeo_saco.tasks.seco import SeasonalFeatures

from ..data import formulas
from ..data.pretraining import EASY, GROUPS, IMAGE, LOCATION, fit, history, small
from .test_moco import TOLERANCES, features, memory_of, remembering


def given_features(task, count, dtype, monkeypatch):
    """Features in place of those of the net, and the same for the formulas."""
    known = SeasonalFeatures(
        features(3, count, 2, 8, dtype=dtype), features(3, 3, count, 8, dtype=dtype)
    )
    monkeypatch.setattr(task, 'features', lambda series: known)
    query, keys = (feature.double().numpy() for feature in known)
    return query.mean(2), keys


@pytest.mark.parametrize(
    'location', [[0, 1, 2, 3], [0, 1, 0, 3]], ids=['four locations', 'one twice']
)
@pytest.mark.parametrize(('dtype', 'tolerance'), TOLERANCES)
def test_losses_equal_the_formula(dtype, tolerance, location, monkeypatch):
    task = remembering(small(SeCo), dtype)
    z, kappa = given_features(task, 4, dtype, monkeypatch)
    memory = [memory_of(queue) for queue in task.queues]
    losses = task.contrast(IMAGE, torch.tensor(location)).losses
    for space, loss in enumerate(losses.values()):
        expected = formulas.seco(space, z, kappa, location, memory, 0.07)
        assert loss.item() == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize(('count', 'size'), [(4, 12), (8, 40), (5, 7)])
def test_negatives_of_each_sub_space_are_counted(count, size):
    task = small(SeCo, queue_size=size)
    for queue in task.queues:
        queue.enqueue(torch.randn(size, 8), torch.full((size,), 99))
    keys = torch.randn(3, count, 8)
    counted = [
        (~task.negatives(space, keys, torch.arange(count))[1]).sum(1).tolist() for space in range(3)
    ]
    assert counted == [[size] * count, [size + 2 * count] * count, [size + 2 * count] * count]


def test_each_view_shows_what_the_paper_says(monkeypatch):
    task = small(SeCo)
    monkeypatch.setattr(task.views, 'cropped', lambda image: image[..., :16, :16])
    monkeypatch.setattr(task.views, 'augmented', lambda image: image[..., :16, :16] + 1)
    seen = {}
    monkeypatch.setattr(
        task, 'query', lambda view: seen.update(query=view) or torch.zeros(3, 4, 1, 8)
    )
    monkeypatch.setattr(task, 'key', lambda view: seen.update(keys=view) or torch.zeros(3, 12, 8))
    task.features(IMAGE)
    first, second, third = IMAGE[..., :16, :16].unbind(1)
    assert torch.equal(seen['query'], first)
    for shown, expected in zip(seen['keys'].chunk(3), (second + 1, third, first + 1), strict=True):
        assert torch.equal(shown, expected)


def test_each_queue_takes_the_positive_of_its_sub_space(monkeypatch):
    task = small(SeCo)
    _, kappa = given_features(task, 4, torch.float32, monkeypatch)
    task.contrast(IMAGE, LOCATION)
    for space, queue in enumerate(task.queues):
        expected = [formulas.scaled(key) for key in kappa[space, space]]
        assert np.allclose(queue.keys[:4].numpy(), expected, atol=1e-6)
        assert queue.locations[:4].tolist() == [0, 1, 2, 3]


def test_sub_spaces_have_projectors_of_their_own():
    task = small(SeCo)
    first, second, third = (p.state_dict()['0.weight'] for p in task.projector)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    copied = [p.state_dict()['0.weight'] for p in task.projector_momentum]
    assert all(torch.equal(a, b) for a, b in zip((first, second, third), copied, strict=True))


def test_gradients_reach_every_projector():
    task = remembering(small(SeCo), torch.float32)
    sum(task.contrast(IMAGE, LOCATION).losses.values()).backward()
    assert all(weight.grad.abs().sum() > 0 for weight in task.projector.parameters())
    assert all(weight.grad is None for weight in task.model_momentum.parameters())


@pytest.mark.slow
@pytest.mark.parametrize('groups', [{}, GROUPS], ids=['RGB', 'groups and texture'])
def test_loss_falls(groups, archive, tmp_path):
    task = small(SeCo, queue_size=16, bands=None, **EASY, **groups)
    losses = history(task)
    fit(task, archive, tmp_path, epochs=12, dates=3, batch_size=10)
    assert np.isfinite(losses).all()
    assert sum(losses[-8:]) < 0.9 * sum(losses[2:10])


def test_three_dates_are_needed(archive, tmp_path):
    with pytest.raises(
        ValueError,
        match=r'SeCo compares 3 dates of a location, samples have 2; set data\.init_args',
    ):
        fit(small(SeCo), archive, tmp_path, dates=2)
