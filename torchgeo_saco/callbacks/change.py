# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figures of which locations a change-aware task takes to have changed."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from ..change.figures import plot_change_histogram, plot_change_locations
from ..datasets import SeasonalArchive
from ..models.change import ChangeEstimate
from ..runtime.checks import check_range
from .figures import after_epochs, save_figure


class ChangeFigures(Callback):
    """Change ratios and the most and least changed locations, at epoch ends.

    ``change_ratio_epoch001`` shows the ratios of all locations seen so far, both components of
    their mixture, and the threshold between changed and unchanged; ``changed_locations_epoch001``
    the extreme locations at one season of both years. Works for every task with an attribute
    ``change``, a :class:`~torchgeo_saco.models.change.ChangeEstimate`; images need a datamodule
    whose ``train_dataset`` is a :class:`~torchgeo_saco.datasets.SeasonalArchive`.
    """

    def __init__(self, pairs: int = 4, every_n_epochs: int = 1) -> None:
        """Initialize a new ChangeFigures instance.

        Args:
            pairs: Locations of either kind that are shown.
            every_n_epochs: Epochs between two figures; the last epoch always gets one.

        Raises:
            ValueError: If a number is not positive.
        """
        self.pairs = check_range('pairs', pairs, 'int [1, inf)')
        self.every_n_epochs = check_range('every_n_epochs', every_n_epochs, 'int [1, inf)')

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what cannot be shown."""
        if _estimate(pl_module) is None:
            rank_zero_info(f'no figures of change: {type(pl_module).__name__} does not estimate it')
        elif _archive(trainer) is None:
            rank_zero_info(
                'no images of changed locations: the datamodule has no SeasonalArchive '
                'train_dataset'
            )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw this epoch."""
        epochs = trainer.current_epoch + 1
        estimate = _estimate(pl_module)
        if estimate is None or (epochs % self.every_n_epochs and epochs != trainer.max_epochs):
            return
        # Callbacks come before the task's own hook, which decides the same once more.
        estimate.decide()
        if not trainer.is_global_zero or estimate.ratio.isnan().all():
            return
        title = f'{_changed_title(estimate)}, {after_epochs(epochs)}'
        figure = plot_change_histogram(estimate.ratio.cpu(), estimate.mixture, title)
        save_figure(trainer, f'change_ratio_epoch{epochs:03d}', figure)
        self._draw_locations(trainer, estimate, epochs)

    def _draw_locations(self, trainer: Trainer, estimate: ChangeEstimate, epochs: int) -> None:
        """Images of the extreme locations."""
        archive = _archive(trainer)
        if archive is None:
            return
        # Mean over the years that were seen; NaN where none was.
        means = estimate.ratio.nanmean(1).tolist()
        numbers = archive.location_index
        ratios = {name: means[i] for name, i in numbers.items() if means[i] == means[i]}
        if len(ratios) < 2:
            return
        title = f'most changed locations (left) and least changed ones, {after_epochs(epochs)}'
        figure = plot_change_locations(archive, ratios, self.pairs, title)
        save_figure(trainer, f'changed_locations_epoch{epochs:03d}', figure)


def _estimate(pl_module: LightningModule) -> ChangeEstimate | None:
    """The estimate of a task, if it has one."""
    estimate = getattr(pl_module, 'change', None)
    return estimate if isinstance(estimate, ChangeEstimate) else None


def _archive(trainer: Trainer) -> SeasonalArchive | None:
    """The archive that is trained on, if images can be read of it."""
    datamodule: Any = getattr(trainer, 'datamodule', None)
    dataset = getattr(datamodule, 'train_dataset', None)
    return dataset if isinstance(dataset, SeasonalArchive) else None


def _changed_title(estimate: ChangeEstimate) -> str:
    """How many locations have changed, in words."""
    seen = estimate.changed >= 0
    if estimate.mixture is None:
        return f'{int(seen.sum())} ratios without two components'
    return f'{int((estimate.changed == 1).sum())} of {int(seen.sum())} ratios above the threshold'
