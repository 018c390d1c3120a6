# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Base class of all tasks: their checkpoints, and what one must agree on to go on from it."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from lightning.pytorch import Callback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torchgeo.tasks import BaseTask

from ..io.checkpoint import CheckpointError, install_checkpoint_io
from ..runtime.agreement import require_agreement
from ..runtime.checks import check_range
from ..runtime.distributed import world_size
from ..runtime.nonfinite import require_finite_state
from ..runtime.precision import require_float32_weights
from ..runtime.ranks import RankWatch
from ..runtime.seeding import run_seed
from ..runtime.threads import SingleThread

# Arguments of a trainer that change what a step does, or which batches there are.
_TRAINER = (
    'accumulate_grad_batches', 'gradient_clip_val', 'gradient_clip_algorithm', 'precision',
    'limit_train_batches',
)  # fmt: skip

# Arguments of a trainer that Lightning does not check.
_TRAINER_RANGES = {
    'accumulate_grad_batches': 'int [1, inf)',
    'gradient_clip_val': '[0, inf) or None',
    'log_every_n_steps': 'int [0, inf)',
}

# What a trainer needs to go on.
_TRAINING_KEYS = ('loops', 'optimizer_states', 'lr_schedulers')


class ResumableTask(BaseTask):
    """Base class of the tasks of this package.

    Checkpoints are whole or absent, hold finite numbers, and are read without running code,
    whichever way the trainer was made. A training goes on only from a checkpoint that agrees with
    it on

    * the class of the task and its arguments, but for :attr:`free`: the state of the optimizer
      and its schedule come from the checkpoint, so that another ``lr`` would have no effect;
    * the data: class of the datamodule and its ``identity``, if it has one;
    * seed, batch size and number of processes;
    * precision, accumulation, clipping and ``limit_train_batches`` of the trainer.

    All else may change: workers, callbacks, loggers, the accelerator, how long to train. A
    warning says where a CPU has another number of threads, since the weights then differ in their
    last digits; with ``deterministic=True`` of the trainer a CPU computes on a single thread.
    """

    #: Arguments that may change when a training goes on from a checkpoint.
    free: ClassVar[frozenset[str]] = frozenset({'compile', 'cache_gib'})

    #: Arguments that the checkpoint decides, if the training computed them.
    _computed: tuple[str, ...] | list[str] = ()

    def configure_callbacks(self) -> list[Callback]:
        """Have the trainer keep checkpoints whole, and end all ranks with one of them.

        Returns:
            The callback that watches the other ranks, if there are any, and the one that leaves a
            CPU a single thread, if PyTorch is to be deterministic.

        Raises:
            ValueError: If the trainer would keep the weights in another type than float32, or an
                argument of it is out of range.
        """
        trainer: Any = self.trainer
        require_float32_weights(str(trainer.precision))
        for name, interval in _TRAINER_RANGES.items():
            check_range(f'trainer.{name}', getattr(trainer, name), interval)
        install_checkpoint_io(trainer)
        needed: list[type[Callback]] = [RankWatch] if trainer.world_size > 1 else []
        if self._threads not in (None, torch.get_num_threads()):
            needed.append(SingleThread)
        there = {type(callback) for callback in trainer.callbacks}
        return [callback() for callback in needed if callback not in there]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the names of the task, which only the command line would add, and of the run.

        Args:
            checkpoint: The checkpoint.

        Raises:
            ValueError: If a weight or statistic is not finite.
        """
        require_finite_state(self, checkpoint.get('state_dict', {}))
        checkpoint['task'] = type(self).__name__
        if self._fits or (self._trainer is not None and self.trainer.global_step):
            checkpoint['run'] = self._run()
            checkpoint['threads'] = self._threads

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the checkpoint of another task, and to go on where a training would differ.

        Args:
            checkpoint: The checkpoint.

        Raises:
            CheckpointError: If it is of another task, or holds no training to go on with.
            ValueError: If the run that wrote it would go on differently.
        """
        name, path = type(self).__name__, self._checkpoint_path
        # Earlier versions did not name it in those of downstream tasks that Python wrote.
        unnamed = name if 'encoder' in checkpoint else None
        named = checkpoint.get('hyper_parameters', {}).get('_class_path') or unnamed
        trained = checkpoint.get('task') or (named and str(named).rsplit('.', 1)[-1])
        if trained not in {parent.__name__ for parent in type(self).__mro__}:
            of = f'of {trained}' if trained else 'of no task of torchgeo_saco'
            raise CheckpointError(
                f'{path} is {of}, and this is {name}; give it to {name} as weights, or give a '
                f'checkpoint of {name}'
            )
        if not self._fits:
            return
        missing = [key for key in _TRAINING_KEYS if key not in checkpoint]
        if not missing and 'run' not in checkpoint:
            raise CheckpointError(
                f'{path} does not say what it was trained on, as those of earlier versions; no '
                f'training can go on from it: give it to {name} as weights'
            )
        if missing:
            raise CheckpointError(
                f'{path} has no {missing[0]}, so no training can go on from it; set '
                'save_weights_only of ModelCheckpoint to false, or give it to the task as weights'
            )
        then = self._arguments(checkpoint.get('hyper_parameters', {})) | checkpoint['run']
        require_agreement(then, self._arguments(self.hparams) | self._run(), path)
        threads = checkpoint.get('threads')
        if threads and self._threads and threads != self._threads:
            rank_zero_warn(
                f'{path} is of a run with {threads} threads of PyTorch, and this one has '
                f'{self._threads}: sums are in another order, so the weights will differ in their '
                f'last digits; set OMP_NUM_THREADS={threads} for the same weights'
            )

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load weights and other state.

        Args:
            state_dict: Tensors by name.
            strict: Whether all must be there, and no other.
            assign: Whether they take the place of those here, see PyTorch.

        Returns:
            Missing and unexpected names.

        Raises:
            CheckpointError: If they do not fit.
        """
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError as error:
            own = self.state_dict()
            wrong = [f'{key} is missing' for key in own if key not in state_dict]
            wrong += [f'{key} is unknown' for key in state_dict if key not in own]
            wrong += [
                f'{key} is {tuple(state_dict[key].shape)} in place of {tuple(own[key].shape)}'
                for key in own
                if key in state_dict and own[key].shape != state_dict[key].shape
            ]
            what = f'{len(wrong)} tensors, such as: {wrong[0]}' if wrong else str(error)[:200]
            raise CheckpointError(
                f'{self._checkpoint_path} does not fit this {type(self).__name__} in {what}; give '
                'the task the arguments that it was trained with'
            ) from error

    @property
    def _fits(self) -> bool:
        """Whether a trainer trains this task."""
        return self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING

    @property
    def _checkpoint_path(self) -> str:
        """Name of the checkpoint that is loaded, for messages."""
        path = self.trainer.ckpt_path if self._trainer is not None else None
        return str(path or 'the checkpoint')

    @property
    def _threads(self) -> int | None:
        """Threads that sum on a CPU; None where another device does."""
        if self.trainer.strategy.root_device.type != 'cpu':
            return None
        return 1 if torch.are_deterministic_algorithms_enabled() else torch.get_num_threads()

    def _arguments(self, hparams: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of the task that must agree."""
        out = {*self.free, *self._computed}
        return {key: hparams[key] for key in hparams if key not in out and key[:1] != '_'}

    def _run(self) -> dict[str, Any]:
        """What must agree beside the arguments, as plain types."""
        trainer: Any = self.trainer
        settings = {name: getattr(trainer, name) for name in _TRAINER}
        datamodule: Any = trainer.datamodule
        return {
            'data': {'class': type(datamodule).__name__} | getattr(datamodule, 'identity', {}),
            'batch_size': getattr(datamodule, 'batch_size', None),
            'seed': run_seed(),
            'processes': world_size(),
            # Enums are no plain types.
            # No clipping is None or 0.
            'trainer': {n: getattr(value, 'value', value) or None for n, value in settings.items()},
        }
