# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Number of threads that compute on a CPU."""

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info


class SingleThread(Callback):
    """Compute on one thread while a trainer runs, and on as many as before afterwards.

    PyTorch splits sums among its threads, so with another number of them results differ in their
    last digits, also where its algorithms are deterministic.
    """

    def __init__(self) -> None:
        """Initialize a new SingleThread instance."""
        self._before: int | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave one thread.

        Args:
            trainer: The trainer.
            pl_module: Its module.
            stage: Either 'fit', 'validate', 'test', or 'predict'.
        """
        if self._before is None and torch.get_num_threads() > 1:
            self._before = torch.get_num_threads()
            rank_zero_info(f'deterministic: 1 thread computes in place of {self._before}')
            torch.set_num_threads(1)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Put the number of threads back.

        Args:
            trainer: The trainer.
            pl_module: Its module.
            stage: Either 'fit', 'validate', 'test', or 'predict'.
        """
        self._restore()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Put the number of threads back, since a run that fails is not torn down.

        Args:
            trainer: The trainer.
            pl_module: Its module.
            exception: Why it ends.
        """
        self._restore()

    def _restore(self) -> None:
        if self._before is not None:
            torch.set_num_threads(self._before)
        self._before = None
