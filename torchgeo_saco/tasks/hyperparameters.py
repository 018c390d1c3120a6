# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Hyperparameters of momentum contrast computed from the length of a training."""

import math
from typing import NamedTuple

# Share of the steps over which the key encoder averages, and that the queue holds keys of.
_MEMORY = 1 / 20

# Largest share of the steps that a key encoder may average over and still follow the training.
_LARGEST_SHARE = 1 / 5


class Hyperparameters(NamedTuple):
    """What depends on the length of a training."""

    #: Temperature of the contrast.
    temperature: float

    #: Share of the key encoder that stays in each step.
    momentum: float

    #: Keys in the queue.
    queue_size: int

    #: Learning rate of Adam.
    lr: float

    #: Steps in which the learning rate rises from 0.
    warmup_steps: int


def scaled_hyperparameters(
    steps: float, batch_size: int, keys_per_image: int = 1
) -> Hyperparameters:
    r"""Compute hyperparameters for a training from random weights with Adam.

    With :math:`S` steps of :math:`B` images:

    * the key encoder averages over a twentieth of the training, as the published 0.999 does over
      some 20,000 steps: momentum :math:`1 - 20 / S`, from 0.9 to 0.999;
    * the queue holds the keys of the same steps, :math:`B S / 20` of one key an image, from 256 to
      65,536, so that no key is older than the encoder's memory;
    * the learning rate is :math:`10^{-3} \sqrt{B / 64}`, from 0.0003 to 0.003 (Krizhevsky, 2014,
      https://arxiv.org/abs/1404.5997, for the square root), and rises for a tenth of the steps,
      at most 1,000;
    * the temperature is 0.2, the value of MoCo v2 (https://arxiv.org/abs/2003.04297, table 1).

    Args:
        steps: Steps of the training, or infinity.
        batch_size: Images of a step, on all devices.
        keys_per_image: Keys of an image that enter the queue.

    Returns:
        The hyperparameters.
    """
    memory = min(max(steps * _MEMORY, 10), 1000)
    return Hyperparameters(
        temperature=0.2,
        momentum=round(1 - 1 / memory, 4),
        queue_size=min(max(int(batch_size * keys_per_image * memory), 256), 65536),
        lr=round(min(max(1e-3 * math.sqrt(batch_size / 64), 3e-4), 3e-3), 5),
        warmup_steps=int(min(steps / 10, 1000)),
    )


def momentum_advice(momentum: float, steps: float, computed: bool = False) -> str | None:
    """Say that a training is too short for its momentum.

    Args:
        momentum: Share of the key encoder that stays in each step.
        steps: Steps of the training, or infinity.
        computed: Whether the momentum was computed from them.

    Returns:
        A sentence, or None if the training is long enough.
    """
    # Rounded, since 1 - 0.9 is a little less than a tenth.
    memory = round(1 / (1 - momentum), 6) if momentum < 1 else math.inf
    if memory <= steps * _LARGEST_SHARE:
        return None
    if computed:
        return (
            f'a training of {steps:,.0f} steps is too short to learn by contrast; make 50 or more'
        )
    return (
        f'momentum={momentum} averages the key encoder over {memory:,.0f} steps, and this training '
        f'has {steps:,.0f}: too few for the values of the papers; train longer, or merge '
        'configs/pretrain/small.yaml, which computes them from the number of steps'
    )
