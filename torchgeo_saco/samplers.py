# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Sampling orders that depend on seed and epoch alone."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from .randomness import mixed_seed, run_seed


class Draw(NamedTuple):
    """An item, and the epoch that draws it."""

    #: Position in the dataset.
    item: int

    #: Epoch, which the dataset mixes into its random numbers.
    epoch: int


class EpochOrder(Sampler[int]):
    """Shuffles a dataset by (seed, epoch), so that a resumed run sees the same order.

    Lightning calls :meth:`set_epoch`.
    """

    def __init__(self, size: int) -> None:
        """Initialize a new EpochOrder instance.

        Args:
            size: Number of items of the dataset.
        """
        self.size = size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of that epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        """Items of the epoch."""
        generator = np.random.default_rng(mixed_seed(run_seed(), self.epoch))
        yield from generator.permutation(self.size).tolist()

    def __len__(self) -> int:
        """Number of items."""
        return self.size


class EpochSampler(Sampler[Draw]):
    """Order of :class:`EpochOrder`, for datasets that draw at random themselves.

    The epoch travels with every index, so workers that live through the whole run draw as
    fresh ones do.
    """

    def __init__(self, size: int) -> None:
        """See :class:`EpochOrder`."""
        self.order = EpochOrder(size)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of that epoch."""
        self.order.set_epoch(epoch)

    def __iter__(self) -> Iterator[Draw]:
        """Draws of the epoch."""
        return (Draw(item, self.order.epoch) for item in self.order)

    def __len__(self) -> int:
        """Number of draws."""
        return len(self.order)
