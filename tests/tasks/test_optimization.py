# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of optimizer and learning rate of the contrastive tasks."""

import math

import pytest
import torch
from torch import nn

from torchgeo_saco.tasks import MoCo
from torchgeo_saco.tasks.optimization import make_schedulers

from ..data.pretraining import fit, small


@pytest.mark.parametrize('optimizer', ['adam', 'adamw', 'sgd'])
def test_arguments_reach_the_optimizer(optimizer):
    task = small(MoCo, optimizer=optimizer, weight_decay=0.25, lr=0.5, sgd_momentum=0.7)
    made = task.configure_optimizers()
    assert type(made).__name__.lower() == optimizer
    (group,) = made.param_groups
    assert (group['weight_decay'], group['lr']) == (0.25, 0.5)
    assert optimizer != 'sgd' or group['momentum'] == 0.7


def test_what_cannot_be_computed_is_refused():
    with pytest.raises(ValueError, match=r'lr is computed for adam and adamw, .* sgd; set opt'):
        small(MoCo, lr=None, optimizer='sgd')
    for warmup in (5, None):
        with pytest.raises(ValueError, match='warmup_steps does not go with milestones; set cos'):
            small(MoCo, warmup_steps=warmup)


CONSTANT = {'warmup_steps': 0, 'cosine': False, 'milestones': []}


def learning_rates(hparams, steps, epochs):
    """Learning rates of the first ten steps or epochs, from 1."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    found = make_schedulers(optimizer, CONSTANT | hparams, steps, epochs)
    values = []
    for _ in range(10):
        values.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for each in found:
            each['scheduler'].step()
    return values, [each['interval'] for each in found]


def test_schedules():
    # Neither epochs nor steps are known: the rate stays.
    assert learning_rates({'milestones': [0.5]}, math.inf, None) == ([1.0] * 10, [])
    assert learning_rates({'milestones': [0.5]}, math.inf, -1) == ([1.0] * 10, [])
    assert learning_rates({}, 10, 10) == ([1.0] * 10, [])
    fallen, interval = learning_rates({'milestones': [0.25, 0.5]}, 80, 8)
    assert fallen == pytest.approx([1, 1, 0.1, 0.1, *[0.01] * 6])
    assert interval == ['epoch']
    # To 0 at the last step, and not up again.
    cosine, interval = learning_rates({'cosine': True, 'warmup_steps': 1}, 8, None)
    wanted = [math.cos(math.pi * step / 16) ** 2 for step in range(8)]
    assert cosine == pytest.approx([wanted[0] / 2, *wanted[1:], 0, 0])
    assert interval == ['step']


@pytest.mark.slow
def test_learning_rate_falls_at_the_milestones(archive, tmp_path):
    task = small(MoCo, lr=0.1, milestones=[0.5, 0.75])
    rates = []
    task.on_train_epoch_start = lambda: rates.append(task.optimizers().param_groups[0]['lr'])
    fit(task, archive, tmp_path, epochs=4)
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.001])


@pytest.mark.slow
def test_learning_rate_rises_and_falls_along_a_cosine(archive, tmp_path):
    task = small(MoCo, bands=None, lr=1.0, warmup_steps=2, cosine=True)
    rates = []
    task.on_train_batch_start = lambda *args: rates.append(task.optimizers().param_groups[0]['lr'])
    trainer, _ = fit(task, archive, tmp_path, epochs=3)
    steps = trainer.global_step
    wanted = [
        min(1, (step + 1) / 3) * (1 + math.cos(math.pi * step / steps)) / 2 for step in range(steps)
    ]
    assert len(rates) > 4
    assert rates == pytest.approx(wanted)


def test_a_cosine_needs_an_end(archive, tmp_path):
    with pytest.raises(ValueError, match=r'a cosine needs the number of steps; set trainer\.max'):
        fit(small(MoCo, bands=None, cosine=True), archive, tmp_path, epochs=-1)
