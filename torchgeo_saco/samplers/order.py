# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Sampling orders that depend on seed and epoch alone, shared out over processes."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch.utils.data import DistributedSampler

from ..runtime.distributed import process_rank, world_size
from ..runtime.seeding import mixed_seed, run_seed

# Items turned into Python numbers at once.
_BLOCK = 4096


class EpochIndex(NamedTuple):
    """An item, and the epoch that draws it."""

    #: Position in the dataset.
    item: int

    #: Epoch, which the dataset mixes into its random numbers.
    epoch: int


class Share[Index](DistributedSampler[Index]):
    """Share of a dataset that one rank takes.

    They take items in turn. So their batches of a step are together the batch of one process
    that takes as many at once as all. Lightning leaves samplers of this type as they are.
    """

    def __init__(self, size: int) -> None:
        """Initialize a new Share instance.

        Args:
            size: Number of items of the dataset.
        """
        # The dataset counts by its length alone.
        super().__init__(range(size), world_size(), process_rank(), shuffle=False)  # type: ignore[arg-type]
        self.size = size
        #: Items of this process that the next pass over them leaves out, to go on after them.
        self.skip = 0

    @abstractmethod
    def __iter__(self) -> Iterator[Index]:
        """Items of this process."""


class EpochShare[Index](Share[Index]):
    """Shuffles a dataset by (seed, epoch), so that a resumed run sees the same order.

    Lightning calls ``set_epoch``. Every process gets equally many items; the few that remain
    are skipped of this epoch, and others of the next one.
    """

    def items(self) -> Iterator[int]:
        """Items of this process in the epoch."""
        # 4 bytes an item, for data sets of millions; the order does not depend on the type.
        order = np.arange(self.size, dtype=np.int32 if self.size < 2**31 else np.int64)
        np.random.default_rng(mixed_seed(run_seed(), self.epoch)).shuffle(order)
        skip, self.skip = self.skip, 0
        share = order[self.rank :: self.num_replicas][skip : len(self)]
        for start in range(0, len(share), _BLOCK):
            yield from share[start : start + _BLOCK].tolist()

    def __len__(self) -> int:
        """Number of items of this process."""
        return self.size // self.num_replicas


class EpochOrder(EpochShare[int]):
    """Shuffled order of a dataset, see :class:`EpochShare`."""

    def __iter__(self) -> Iterator[int]:
        """Items of this process in the epoch."""
        return self.items()


class EpochSampler(EpochShare[EpochIndex]):
    """Order of :class:`EpochOrder`, for datasets that draw at random themselves.

    The epoch travels with every index, so workers that live through the whole run draw as
    fresh ones do.
    """

    def __iter__(self) -> Iterator[EpochIndex]:
        """Draws of this process in the epoch."""
        epoch = self.epoch
        for item in self.items():
            yield EpochIndex(item, epoch)


class EvaluationOrder(Share[int]):
    """Items in the order of the dataset, each on one process alone.

    Processes may differ by one item, as nothing is repeated to make them even.
    """

    def __iter__(self) -> Iterator[int]:
        """Items of this process."""
        return iter(range(self.rank, self.size, self.num_replicas))

    def __len__(self) -> int:
        """Number of items of this process."""
        return len(range(self.rank, self.size, self.num_replicas))


def even_batch_size(size: int, batch_size: int) -> int:
    """Batch size by which all processes evaluate equally many batches.

    They wait for one another at every batch, so one batch more on one of them would be waited for
    without end.

    Args:
        size: Number of items, at least one a process.
        batch_size: Batch size asked for.

    Returns:
        The smallest one that is not below it and splits the shares evenly.
    """
    share, rest = divmod(size, world_size())
    while rest and share % batch_size == 0:
        batch_size += 1
    return batch_size
