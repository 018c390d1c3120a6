# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Small runs that are saved at every step, killed, and resumed, in processes of their own."""

import hashlib
import os
import signal
from pathlib import Path

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.tasks import CACo

#: Two years of a location, in each of which three dates are drawn.
YEARS = {'item': 'years', 'dates': 3, 'on_missing': 'drop'}


class Death(Callback):
    """Kills the process in a hook of the trainer, as if the machine had gone."""

    def __init__(self, step: int, hook: str) -> None:
        """Die in the hook once so many steps are done."""
        setattr(self, hook, lambda trainer, *args: self.meet(trainer.global_step >= step))

    def meet(self, now: bool) -> None:
        """Die."""
        if now:
            os.kill(os.getpid(), signal.SIGKILL)


def trained(root, folder, resume=None, epochs=3, callbacks=(), trainer=None, **options):
    """Train a task whose state is of all kinds, save it at every step, and return its trainer."""
    torch.manual_seed(1)
    task = CACo(
        model='test_resnet', size=16, queue_size=8, hidden_dims=[16], output_dim=8, crop=0.5,
        milestones=[0.4], lr=0.01,
    )  # fmt: skip
    saver = ModelCheckpoint(folder, '{step}', every_n_train_steps=1, save_top_k=-1, save_last=True)
    run = Trainer(
        default_root_dir=folder, max_epochs=epochs, accelerator='cpu', logger=False,
        callbacks=[*callbacks, saver], enable_progress_bar=False, enable_model_summary=False,
        **(trainer or {}),
    )  # fmt: skip
    data = SeasonalDataModule(root=root, **({'batch_size': 2} | YEARS | options))
    run.fit(task, data, ckpt_path=resume)
    return run


def digest(trainer: Trainer) -> str:
    """SHA-256 of all state that training changes."""
    total = hashlib.sha256()
    states = [optimizer.state_dict() for optimizer in trainer.optimizers]
    states += [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs]
    for state in [trainer.lightning_module.state_dict(), *states, trainer.global_step]:
        _add(total, state)
    return total.hexdigest()


def _add(total, state) -> None:
    """Add a nested state to a hash."""
    if isinstance(state, dict):
        for name, part in state.items():
            total.update(str(name).encode())
            _add(total, part)
    elif isinstance(state, list | tuple):
        for part in state:
            _add(total, part)
    elif isinstance(state, torch.Tensor):
        total.update(state.numpy().tobytes())
    else:
        total.update(repr(state).encode())


def run_to_the_end_or_death(root, folder, result, death=None, **options) -> None:
    """Go on from the last checkpoint if there is one; write the digest of the end to a file."""
    torch.set_num_threads(1)
    last = Path(folder) / 'last.ckpt'
    callbacks = [] if death is None else [Death(*death)]
    trainer = trained(
        root, folder, str(last) if last.exists() else None, callbacks=callbacks, **options
    )
    Path(result).write_text(digest(trainer))
