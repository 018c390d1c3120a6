# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Optimizer and learning rate of the contrastive tasks."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, MultiStepLR

from ..runtime.checks import check_choice

_OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {'adam': Adam, 'adamw': AdamW, 'sgd': SGD}


def require_schedule(hparams: Mapping[str, Any], computed: Collection[str]) -> None:
    """Refuse an optimizer that does not exist, and rates that do not go together.

    Args:
        hparams: Hyperparameters of the task.
        computed: Names of those that are computed when training starts.

    Raises:
        ValueError: If they cannot work.
    """
    check_choice('optimizer', hparams['optimizer'], tuple(_OPTIMIZERS))
    if 'lr' in computed and hparams['optimizer'] == 'sgd':
        raise ValueError(
            'lr is computed for adam and adamw, and optimizer is sgd; set optimizer to one '
            'of these, or lr'
        )
    warms = hparams['warmup_steps'] or 'warmup_steps' in computed
    if warms and hparams['milestones'] and not hparams['cosine']:
        raise ValueError(
            'warmup_steps does not go with milestones; set cosine to true, milestones to [], '
            'or warmup_steps to 0'
        )


def make_optimizer(weights: Iterable[nn.Parameter], hparams: Mapping[str, Any]) -> Optimizer:
    """Make the optimizer of the weights that are trained.

    Args:
        weights: Weights of a task; frozen ones are left out.
        hparams: Its hyperparameters.

    Returns:
        The optimizer.
    """
    trained = [weight for weight in weights if weight.requires_grad]
    options: dict[str, float] = {'weight_decay': hparams['weight_decay']}
    if hparams['optimizer'] == 'sgd':
        options['momentum'] = hparams['sgd_momentum']
    return _OPTIMIZERS[hparams['optimizer']](trained, lr=hparams['lr'], **options)


def make_schedulers(
    optimizer: Optimizer, hparams: Mapping[str, Any], steps: float, epochs: int | None
) -> list[dict[str, Any]]:
    """Make the schedulers of the learning rate.

    Args:
        optimizer: The optimizer.
        hparams: Hyperparameters of the task.
        steps: Steps of the training, or infinity.
        epochs: Its epochs; None or less than 1 if no number is set.

    Returns:
        The schedulers in the form of Lightning; none if the rate stays as it is.

    Raises:
        ValueError: If the rate depends on the number of steps, and there is none.
    """
    warmup, steps = hparams['warmup_steps'], max(steps, 1)
    if hparams['cosine'] and steps == math.inf:
        raise ValueError(
            'a cosine needs the number of steps; set trainer.max_epochs or trainer.max_steps, '
            'or cosine to false'
        )

    def share(step: int) -> float:
        rise = min(1, (step + 1) / (warmup + 1))
        return rise * (1 + math.cos(math.pi * min(step / steps, 1))) / 2

    if warmup or hparams['cosine']:
        return [{'scheduler': LambdaLR(optimizer, share), 'interval': 'step'}]
    if not hparams['milestones'] or epochs is None or epochs < 1:
        return []
    ends = [round(part * epochs) for part in hparams['milestones']]
    return [{'scheduler': MultiStepLR(optimizer, ends), 'interval': 'epoch'}]
