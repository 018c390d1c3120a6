# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Nearest-neighbour accuracy on held-out locations while an encoder trains."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader
from torchmetrics.functional.classification import multiclass_accuracy

from ..losses import l2_normalize
from ..losses.contrastive import TEMPERATURE_RANGE
from ..plots import plot_embeddings
from ..runtime.checks import check_range
from ..runtime.modes import evaluation_mode
from ..tasks import ContrastiveTask
from .figures import after_epochs, save_figure


class KNNProbe(Callback):
    """k-nearest-neighbour accuracy of the embedding, before training and at epoch ends.

    Votes are weighted by similarity, as is usual while training; ``torchgeo-saco evaluate`` counts
    a majority of five, see :func:`~torchgeo_saco.metrics.knn_scores`, and gives other numbers.

    Labelled images of training locations are the neighbours, images of held-out locations the
    questions; no weight is trained on a label. The first row is the net before training, with
    BatchNorm statistics taken from the same images, so that it does not look worse than it is.

    Works for every task whose ``forward`` maps (B, C, H, W) to an embedding (or to a tuple that
    ends in one), with a datamodule that has ``probe_dataloaders`` and ``classes``.

    References:
        Wu et al., 2018, https://arxiv.org/abs/1805.01978, section 3.4: votes weighted by
        exp(cosine / temperature).
    """

    def __init__(
        self,
        k: int = 10,
        temperature: float = 0.07,
        every_n_epochs: int = 1,
        dates_per_location: int = 2,
    ) -> None:
        """Initialize a new KNNProbe instance.

        Args:
            k: Number of neighbours; where fewer images are labelled, all vote, and the run says so.
            temperature: Divides the cosines before they weigh the votes.
            every_n_epochs: Epochs between two rows; the last epoch always gets one.
            dates_per_location: Dates of each location that are embedded.

        Raises:
            ValueError: If a number is out of range.
        """
        self.k = check_range('k', k, 'int [1, inf)')
        self.temperature = check_range('temperature', temperature, TEMPERATURE_RANGE)
        self.every_n_epochs = check_range('every_n_epochs', every_n_epochs, 'int [1, inf)')
        self.dates_per_location = check_range(
            'dates_per_location', dates_per_location, 'int [1, inf)'
        )
        #: Epochs trained, and accuracy from 0 to 1.
        self.rows: list[tuple[int, float]] = []
        self._loaders: tuple[DataLoader, DataLoader] | None = None
        # Neighbours that vote: k, or all images if they are fewer.
        self._counted = self.k

    def state_dict(self) -> dict[str, Any]:
        """Rows so far, for a resumed run to go on with."""
        return {'rows': self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the rows of an interrupted run."""
        self.rows = [(int(epoch), float(accuracy)) for epoch, accuracy in state_dict['rows']]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Row of the untrained net."""
        datamodule: Any = getattr(trainer, 'datamodule', None)
        if not hasattr(datamodule, 'probe_dataloaders'):
            rank_zero_info('no kNN accuracy: the datamodule has no probe_dataloaders')
            return
        try:
            self._loaders = datamodule.probe_dataloaders(self.dates_per_location)
        except ValueError as reason:
            rank_zero_info(f'no kNN accuracy: {reason}')
            return
        if not self.rows:
            with _fitted_statistics(trainer, pl_module, self._loaders[0]):
                self._probe(trainer, pl_module, 0)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Row of this epoch."""
        epochs = trainer.current_epoch + 1
        if epochs % self.every_n_epochs == 0 or epochs == trainer.max_epochs:
            self._probe(trainer, pl_module, epochs)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Print all rows, after the progress bar has ended."""
        if stage == 'fit' and self.rows and trainer.is_global_zero:
            Console(soft_wrap=True).print(self.table())
        self._loaders = None

    def table(self) -> Table:
        """Rows as a table."""
        table = Table(title=f'{self._counted}-nearest-neighbour accuracy on held-out locations')
        table.add_column('encoder')
        table.add_column('accuracy', justify='right')
        for epochs, accuracy in self.rows:
            table.add_row(after_epochs(epochs), f'{accuracy:.1%}')
        return table

    def _probe(self, trainer: Trainer, pl_module: LightningModule, epochs: int) -> None:
        """Add a row, log it, and draw the embeddings."""
        if self._loaders is None:
            return
        classes = trainer.datamodule.classes  # type: ignore[attr-defined]
        bank, held_out = (_embeddings(trainer, pl_module, loader) for loader in self._loaders)
        if self.k > len(bank[0]) and not self.rows:
            rank_zero_info(
                f'kNN accuracy: k is {self.k}, and {len(bank[0])} images are labelled: all vote'
            )
        # BatchNorm saw other images on every process; the row is that of the first one.
        accuracy = trainer.strategy.broadcast(self._accuracy(bank, held_out, len(classes)))
        self.rows.append((epochs, accuracy))
        if trainer.logger is not None:
            trainer.logger.log_metrics({'val_knn_accuracy': accuracy}, step=trainer.global_step)
        title = f'held-out locations, {after_epochs(epochs)}: kNN accuracy {accuracy:.1%}'
        figure = plot_embeddings(*held_out, classes, title)
        save_figure(trainer, f'embeddings_epoch{epochs:03d}', figure)

    def _accuracy(
        self, bank: tuple[Tensor, Tensor], held_out: tuple[Tensor, Tensor], classes: int
    ) -> float:
        """Share of held-out images whose neighbours vote for the right class."""
        # It brings the other name of Lightning with it, which takes a while to import.
        from lightly.utils.benchmarking import knn_predict

        self._counted = min(self.k, len(bank[0]))
        votes = knn_predict(
            l2_normalize(held_out[0]),
            l2_normalize(bank[0]).T.contiguous(),
            bank[1],
            classes,
            self._counted,
            self.temperature,
        )
        return multiclass_accuracy(votes[:, 0], held_out[1], classes, average='micro').item()


@torch.no_grad()
def _embeddings(
    trainer: Trainer, pl_module: LightningModule, loader: DataLoader, train: bool = False
) -> tuple[Tensor, Tensor]:
    """Embeddings and labels of all images of a loader; the mode of the net is kept."""
    features, labels = [], []
    with evaluation_mode(pl_module):
        pl_module.train(train)
        for batch in loader:
            batch = trainer.strategy.batch_to_device(batch)
            if isinstance(pl_module, ContrastiveTask):
                image = pl_module.images(batch).flatten(0, -4)
            else:
                image = batch['image'].flatten(0, -4)
            embedding = pl_module(image)
            features.append(embedding[-1] if isinstance(embedding, tuple) else embedding)
            labels.append(batch['label'].repeat_interleave(len(image) // len(batch['label'])))
    return torch.cat(features), torch.cat(labels)


@contextmanager
def _fitted_statistics(
    trainer: Trainer, pl_module: LightningModule, loader: DataLoader
) -> Iterator[None]:
    """Fit the statistics of BatchNorm to the images of a loader, and restore them afterwards."""
    kept = {name: buffer.clone() for name, buffer in pl_module.named_buffers()}
    _embeddings(trainer, pl_module, loader, train=True)
    yield
    with torch.no_grad():
        for name, buffer in pl_module.named_buffers():
            buffer.copy_(kept[name])
