# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figures of what a contrastive task sees, in TensorBoard and as files."""

import os

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor
from torchgeo.datasets.utils import Sample

from ..models import BandInputs, GroupInputs
from ..plots import plot_groups, plot_panels, write_figure
from ..runtime.checks import check_range
from ..runtime.seeding import run_seed, torch_seeded
from ..tasks import ContrastiveTask
from ..tasks.channels import batch_image, unfold_dates


def log_folder(trainer: Trainer) -> str:
    """Folder of the log of a run, as its first process knows it."""
    logger = trainer.logger
    # Not trainer.log_dir, in which all processes wait for one another.
    folder = getattr(logger, 'log_dir', None) or getattr(logger, 'save_dir', None)
    return folder or trainer.default_root_dir


def figure_folder(trainer: Trainer) -> str:
    """Folder of the figures of a run, as its first process knows it."""
    return os.path.join(log_folder(trainer), 'figures')


def after_epochs(epochs: int) -> str:
    """Words for how long an encoder was trained. Lightning's progress bar counts epochs from 0.

    Args:
        epochs: Finished epochs.
    """
    return f'after {epochs} epoch{"s" * (epochs > 1)}' if epochs else 'untrained'


def save_figure(trainer: Trainer, name: str, figure: Figure) -> None:
    """Write a figure to TensorBoard and to ``figures`` in the folder of the run, and close it.

    Args:
        trainer: The trainer.
        name: Name without ending.
        figure: The figure.
    """
    if trainer.is_global_zero:
        folder = figure_folder(trainer)
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                tag = name.split('_epoch')[0]
                logger.experiment.add_figure(tag, figure, trainer.global_step, close=False)
        write_figure(figure, os.path.join(folder, f'{name}.png'))
    plt.close(figure)


class ContrastiveFigures(Callback):
    """Groups, textures and views of the first training batch, once a run."""

    def __init__(self, samples: int = 4) -> None:
        """Initialize a new ContrastiveFigures instance.

        Args:
            samples: Images whose query and key views are shown.

        Raises:
            ValueError: If *samples* is not positive.
        """
        self.samples = check_range('samples', samples, 'int [1, inf)')

    @torch.no_grad()
    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Sample, batch_idx: int
    ) -> None:
        """Draw the first batch."""
        if trainer.global_step or batch_idx or not isinstance(pl_module, ContrastiveTask):
            return
        images = pl_module.inputs
        if images is None or not trainer.is_global_zero:
            return
        image = unfold_dates(batch_image(batch)[: self.samples], pl_module.bands or ())
        image = image.flatten(1, -4)
        raw = images.unnormalized(pl_module.views.original(image[:1, 0]))[0]
        if isinstance(images, BandInputs):
            bands = raw[0].unsqueeze(1).expand(-1, 3, -1, -1)
            save_figure(trainer, 'bands', plot_groups(bands, list(images.bands)))
        else:
            titles = {g.name: f'{g.name}\n{" ".join(g.bands)}' for g in images.spectral.groups}
            count = len(titles)
            save_figure(trainer, 'groups', plot_groups(raw[:count], list(titles.values())))
            if images.textured:
                textured = [titles[name] for name in images.textured]
                save_figure(trainer, 'textures', plot_groups(raw[count:], textured))
        with torch_seeded(run_seed(), 0, trainer.global_rank, device=pl_module.device):
            views = [
                ('cropped', pl_module.views.cropped(image[:, 0])),
                ('same date', pl_module.views.augmented(image[:, 0])),
                ('other date', pl_module.views.augmented(image[:, -1])),
            ]
        rows = [
            [(name, _visible(images, view[i : i + 1])) for name, view in views]
            for i in range(len(image))
        ]
        save_figure(trainer, 'views', plot_panels(rows, 'query and key views', columns=3))


def _visible(images: GroupInputs | BandInputs, view: Tensor) -> Tensor:
    """Three channels of a view: natural colour, else what comes first."""
    channels = list(images.channels)
    first = channels.index('natural_color') if 'natural_color' in channels else 0
    image = images.unnormalized(view)[0, first]
    # One image of all bands: three of them, or one of them thrice.
    return image[:3] if len(image) >= 3 else image[:1].expand(3, -1, -1)
