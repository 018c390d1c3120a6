# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Small pre-training tasks and runs, shared by the tests of the methods."""

import inspect

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from torchgeo_saco import tasks
from torchgeo_saco.bands import SENTINEL2_L2A
from torchgeo_saco.datamodules import SeasonalDataModule

#: Names of the pre-training tasks of one sensor; every contract test runs on all of them.
METHODS = [
    name
    for name in tasks.__all__
    if issubclass(getattr(tasks, name), tasks.ContrastiveTask)
    and not issubclass(getattr(tasks, name), tasks.DualTask)
    and not inspect.isabstract(getattr(tasks, name))
]

#: Names of those of two sensors.
DUAL_METHODS = [
    name
    for name in tasks.__all__
    if issubclass(getattr(tasks, name), tasks.DualTask)
    and not inspect.isabstract(getattr(tasks, name))
]

BANDS = tuple(SENTINEL2_L2A.bands)
IMAGE = torch.rand(4, 3, 12, 36, 36, generator=torch.Generator().manual_seed(0)) * 0.3
LOCATION = torch.arange(4)

#: As the groups of SACo+, with few textures.
GROUPS = {'groups': None, 'texture': ['urban']}

#: Learns within a few steps.
EASY = {
    'lr': 1e-3, 'optimizer': 'adam', 'momentum': 0.9, 'projector_norm': True, 'temperature': 0.2,
    'output_dim': 32, 'crop': 1.0, 'contrast': 0.1, 'shift': 0.0, 'grayscale': 0.0, 'blur': 0.0,
}  # fmt: skip


def small(method, **arguments):
    """A task with a small backbone."""
    torch.manual_seed(1)
    defaults = {
        'model': 'test_resnet', 'bands': BANDS, 'size': 16, 'queue_size': 12, 'hidden_dims': [16],
        'output_dim': 8,
    }  # fmt: skip
    return method(**(defaults | arguments))


def fit(task, root, folder, epochs=1, resume=None, **arguments):
    """Train on an archive; the trainer and its last checkpoint."""
    data = SeasonalDataModule(root=root, **({'batch_size': 4} | arguments))
    saver = ModelCheckpoint(folder, save_last=True)
    trainer = Trainer(
        default_root_dir=folder, max_epochs=epochs, accelerator='cpu', logger=False,
        callbacks=[saver], enable_progress_bar=False, enable_model_summary=False,
        log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(task, data, ckpt_path=resume)
    return trainer, saver.last_model_path


def same(first, second):
    """Whether two state dicts are equal, bit for bit."""
    return set(first) == set(second) and all(
        torch.equal(first[k], second[k]) or ((first[k].isnan() & second[k].isnan()).any()
        and torch.equal(first[k].nan_to_num(), second[k].nan_to_num())) for k in first
    )  # fmt: skip


def history(task):
    """Losses of all steps, collected while the task trains."""
    losses = []
    task.on_train_batch_end = lambda out, *args: losses.append(out['loss'].item())
    return losses
