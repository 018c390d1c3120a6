# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Loaders of training batches that go on within an epoch where an interrupted run stopped."""

from collections.abc import Callable, Iterator
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch.utils.data import DataLoader, Dataset
from torchgeo.datasets.utils import Sample

from ..runtime.agreement import require_agreement
from ..runtime.distributed import world_size
from ..runtime.seeding import run_seed
from .order import EpochShare, EvaluationOrder, even_batch_size


class ResumableLoader(DataLoader[Sample]):
    """Loader of training batches that a resumed run goes on with at the batch it was to do next.

    Lightning counts the batches that were trained on, keeps the count in the checkpoint, and
    asks for the next one; it calls the methods here because they are there. The checkpoint also
    holds what the order of the batches depends on, and a run that would go on in another order is
    refused.
    """

    def __init__(
        self, dataset: Dataset[Sample], trainer: Callable[[], Trainer | None], **options: Any
    ) -> None:
        """Initialize a new ResumableLoader instance.

        Args:
            dataset: The dataset.
            trainer: The trainer that asks for the batches, or None without one.
            options: See :class:`torch.utils.data.DataLoader`.
        """
        super().__init__(dataset, **options)
        self.trainer = trainer
        self._restored = False

    def __iter__(self) -> Iterator[Sample]:  # type: ignore[override]
        """Batches of the epoch, or those of it that are left."""
        # A generator, so nothing is read, nor by workers, before Lightning has told the sampler
        # the epoch and knows the batch; it makes iterators earlier than that.
        self._go_on()
        yield from super().__iter__()

    def state_dict(self) -> dict[str, int]:
        """Return what the order of the batches depends on, and the number done of the epoch."""
        return self._order() | {'batches': _next_batch(self.trainer())}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Go on with the next pass over the data where the run that was saved stopped.

        Args:
            state_dict: What :meth:`state_dict` gave.

        Raises:
            ValueError: If the batches would be others.
        """
        order = {name: state_dict.get(name) for name in self._order()}
        require_agreement(order, self._order(), 'the order of the batches')
        self._restored = True

    def _order(self) -> dict[str, int]:
        """Return what the order of the batches depends on."""
        return {
            'items': len(self.dataset),  # type: ignore[arg-type]
            'batch_size': self.batch_size or 1,
            'processes': world_size(),
            'seed': run_seed(),
        }

    def _go_on(self) -> None:
        """Let the sampler skip what an interrupted run has done of the epoch."""
        restored, self._restored = self._restored, False
        trainer = self.trainer()
        if not restored or trainer is None:
            return
        _count_epoch(trainer)
        if isinstance(self.sampler, EpochShare):
            self.sampler.skip = _next_batch(trainer) * (self.batch_size or 1)


def _next_batch(trainer: Trainer | None) -> int:
    """Number within the epoch of the training batch that a run does next, 0 without a run."""
    return trainer.fit_loop.batch_idx + 1 if trainer is not None else 0


def _count_epoch(trainer: Trainer) -> None:
    """Count the epoch that begins, where a resumed run of Lightning does not.

    Lightning 2.6 leaves it out after a checkpoint of the last batch of an epoch. Checkpoints
    that follow would say that no epoch is under way, and a run resumed from one would begin it
    anew.
    """
    epochs = trainer.fit_loop.epoch_progress
    if epochs.current.ready == epochs.current.processed:  # type: ignore[attr-defined]
        epochs.increment_ready()
        epochs.increment_started()
        trainer.fit_loop.epoch_loop.val_loop.batch_progress.total.reset()


def report_batches(items: int, batch_size: int) -> None:
    """Say how an epoch is cut into batches, and how many items are skipped of it.

    Args:
        items: Training items.
        batch_size: Batch size of one process.

    Raises:
        ValueError: If there are too few items for one batch of every process.
    """
    processes = world_size()
    joined = processes * batch_size
    if items < joined:
        raise ValueError(
            f'batch_size={batch_size} on each of {processes} processes needs {joined} training '
            f'items, and there are {items}; set data.init_args.batch_size to at most '
            f'{items // processes}'
        )
    each = f' on each of {processes} processes, {joined} together' if processes > 1 else ''
    left = f', and {items % joined} items that fill no batch, others in every epoch'
    rank_zero_info(
        f'batches of {batch_size}{each}: {items // joined} an epoch{left if items % joined else ""}'
    )


def evaluation_share(items: int, batch_size: int, pairs: bool = False) -> dict[str, Any]:
    """Arguments of a loader by which processes evaluate every item once, in equally many batches.

    Args:
        items: Number of items.
        batch_size: Batch size asked for.
        pairs: Whether measures are taken of pairs within a batch, so that one process needs two.

    Returns:
        Sampler and batch size; none if this process is alone.

    Raises:
        ValueError: If a process would be left with fewer.
    """
    processes = world_size()
    if processes == 1:
        return {}
    needed = processes + pairs
    if items < needed:
        raise ValueError(
            f'{items} items cannot be evaluated by {processes} processes, which need {needed}; '
            'hold out more, such as by data.init_args.val_fraction, or set '
            'trainer.limit_val_batches to 0'
        )
    return {'sampler': EvaluationOrder(items), 'batch_size': even_batch_size(items, batch_size)}
