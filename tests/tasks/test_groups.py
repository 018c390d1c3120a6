# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of how the groups of the query are contrasted."""

import pytest
import torch

from torchgeo_saco.losses import info_nce
from torchgeo_saco.tasks import CACo, CACoSimCLR, MoCo, SACo, SeCo

from ..data.pretraining import GROUPS, IMAGE, LOCATION, fit, small


def filled(task, count=9):
    """The task with keys of locations in its queues."""
    for number, queue in enumerate(task.queues):
        keys = torch.randn(count, 8, generator=torch.Generator().manual_seed(number))
        queue.enqueue(keys, torch.arange(count) % 7)
    return task


def test_every_group_is_drawn_to_the_key():
    task = filled(small(MoCo, contrast_groups=True, **GROUPS))
    query = torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(5))
    key = torch.randn(4, 8, generator=torch.Generator().manual_seed(6))
    negatives, excluded = task.queue().negatives(LOCATION)
    wanted = [info_nce(group, key, negatives, 0.07, excluded) for group in query.unbind(1)]
    torch.testing.assert_close(
        task.info_nce(query, key, negatives, excluded), torch.stack(wanted).mean()
    )
    torch.testing.assert_close(
        task.info_nce(query, key, negatives, excluded[0]),
        torch.stack(
            [info_nce(q, key, negatives, 0.07, excluded[0]) for q in query.unbind(1)]
        ).mean(),
    )


@pytest.mark.parametrize('method', [MoCo, SACo, SeCo])
def test_one_group_is_its_own_mean(method):
    losses = []
    for contrast_groups in (False, True):
        task = filled(small(method, groups=['urban'], texture=False,
                            contrast_groups=contrast_groups))  # fmt: skip
        torch.manual_seed(0)
        losses.append(task.contrast(IMAGE, LOCATION).losses)
    assert losses[0] == losses[1]


@pytest.mark.parametrize('method', [MoCo, SACo, SeCo])
def test_the_query_leaves_groups_out_and_the_key_does_not(method):
    task = small(method, group_dropout=0.5, **GROUPS)
    names = task.inputs.names
    seen, stored = [], []
    forward, keyed = task.projector.forward, task.projector_momentum.forward
    task.projector.forward = lambda features: seen.append(features) or forward(features)
    task.projector_momentum.forward = lambda features: stored.append(features) or keyed(features)
    torch.manual_seed(0)
    drawn = [tuple(task._draw_groups()) for _ in range(60)]
    assert {len(set(numbers)) for numbers in drawn} == {round(len(names) / 2)}
    assert {number for numbers in drawn for number in numbers} == set(range(len(names)))
    assert task.contrast(IMAGE, LOCATION).query.shape[2] == round(len(names) / 2)
    assert seen[0].shape[1] == round(len(names) / 2)
    assert {features.shape[1] for features in stored} == {len(names)}
    task.eval()
    assert task.query(task.views.original(IMAGE[:, 0])).shape[2] == len(names)


@pytest.mark.parametrize(
    ('dropout', 'arguments'),
    [
        (0.1, {'groups': ['urban', 'near_infrared']}),
        # One of each kind stays.
        (0.5, {'groups': ['urban'], 'texture': ['urban'], 'texture_histograms': True}),
    ],
)
def test_dropout_that_leaves_out_no_group_is_refused(dropout, arguments, archive, tmp_path):
    task = small(MoCo, bands=None, group_dropout=dropout, **({'texture': False} | arguments))
    with pytest.raises(ValueError, match=rf'^group_dropout={dropout} leaves out none .* urban'):
        fit(task, archive, tmp_path)
    assert not task.trainer.global_step


def test_left_out_groups_are_those_of_the_encoder():
    task = small(SACo, **GROUPS).eval()
    image = task.views.original(IMAGE[:, 0])
    chosen = [1, 4]
    torch.testing.assert_close(
        task.encoder.forward_groups(image, chosen), task.encoder.forward_groups(image)[:, chosen]
    )


@pytest.mark.slow
def test_a_training_with_groups_left_out_is_a_function_of_its_seed(archive, tmp_path):
    states = []
    for name in ('first', 'second'):
        task = small(SACo, bands=None, group_dropout=0.5, contrast_groups=True, **GROUPS)
        fit(task, archive, tmp_path / name)
        states.append(task.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_wrong_arguments():
    with pytest.raises(ValueError, match=r'group_dropout must be at least 0 and below 1, got 1\.0'):
        small(SACo, group_dropout=1.0)
    with pytest.raises(ValueError, match='CACoSimCLR has no key encoder to draw groups to'):
        small(CACoSimCLR, contrast_groups=True)
    assert small(CACo, contrast_groups=True).hparams['contrast_groups']
