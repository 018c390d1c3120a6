# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""A task and a datamodule of seconds, and configurations that use them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import yaml
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn
from torch.optim import SGD
from torch.utils.data import DataLoader
from torchgeo.datamodules import BaseDataModule
from torchgeo.datasets.utils import Sample
from torchgeo.tasks import BaseTask

from torchgeo_saco.metrics import ConfusionScores, MultilabelScores
from torchgeo_saco.transforms import Reflectance

Kind = Literal['class', 'labels', 'mask', 'change', 'series']

CLASSES = ('water', 'wood', 'wheat')


class FakeDataModule(BaseDataModule):
    """Images of 4 bands whose class is the brightest of the first three."""

    classes = CLASSES
    sensor = 'sentinel2_l2a'
    bands = ('B02', 'B03', 'B04', 'B08')
    prepared: ClassVar[list[str]] = []

    def __init__(
        self,
        root: str = 'data',
        archive: Literal['official', 'sample'] = 'official',
        kind: Kind = 'class',
        size: int = 12,
        batch_size: int = 5,
    ) -> None:
        super().__init__(torch.utils.data.Dataset, batch_size, 0)
        self.root = root
        self.kind = kind
        self.size = size
        self.colors = ['blue', (0, 128, 0), (255, 200, 0)] if kind == 'mask' else None

    def prepare_data(self) -> None:
        self.prepared.append(self.root)

    def setup(self, stage: str) -> None:
        splits = ('train', 'val') if stage == 'fit' else ('test',)
        for number, split in enumerate(('train', 'val', 'test')):
            if split in splits:
                setattr(
                    self, f'{split}_samples', [self._sample(number, i) for i in range(self.size)]
                )

    def ordered_dataloader(self, split: str) -> DataLoader[Sample]:
        return DataLoader(getattr(self, f'{split}_samples'), self.batch_size)

    def train_dataloader(self) -> DataLoader[Sample]:
        return self.ordered_dataloader('train')

    def val_dataloader(self) -> DataLoader[Sample]:
        return self.ordered_dataloader('val')

    def test_dataloader(self) -> DataLoader[Sample]:
        return self.ordered_dataloader('test')

    def on_after_batch_transfer(self, batch: Sample, dataloader_idx: int) -> Sample:
        # A task of frozen features has put them in place of the images.
        return batch if 'image' not in batch else {**batch, 'image': batch['image'] / 100}

    def _sample(self, split: int, index: int) -> Sample:
        generator = torch.Generator().manual_seed(100 * split + index)
        image = torch.rand(4, 8, 8, generator=generator) * 20
        if self.kind in ('class', 'labels'):
            image[index % 3] += 50
            label = torch.tensor(index % 3)
            one_hot = nn.functional.one_hot(label, 3)
            return {'image': image, 'label': label if self.kind == 'class' else one_hot}
        mask = (torch.arange(8)[:, None] // 3).expand(8, 8).clone()
        image[:3] += 50 * nn.functional.one_hot(mask, 3).permute(2, 0, 1)
        mask[0] = -1
        dates = {'mask': 0, 'change': 2, 'series': 5}[self.kind]
        return {'image': torch.stack([image] * dates) if dates else image, 'mask': mask}


class FakeTask(BaseTask):
    """Says which of the first three bands is the brightest, by trained weights."""

    #: Arguments of every task that was made.
    made: ClassVar[list[dict[str, Any]]] = []

    test_confusion: Tensor | None = None

    def __init__(
        self,
        model: str = 'tiny',
        weights: str | bool | None = None,
        kind: Kind = 'class',
        lr: float = 0.5,
        frozen: bool = False,
        failing_seed: int | None = None,
    ) -> None:
        super().__init__()
        self.made.append({'model': model, 'weights': weights, 'lr': lr})
        if kind in ('class', 'labels'):
            # Tasks of masks have none.
            self.embed = self._embed

    def configure_models(self) -> None:
        self.model = nn.Linear(3, 3)

    def configure_metrics(self) -> None:
        kinds = {'class': 'classification', 'mask': 'segmentation'}
        if self.hparams['kind'] == 'labels':
            self.scores: Any = MultilabelScores(CLASSES)
        else:
            self.scores = ConfusionScores(CLASSES, kinds.get(self.hparams['kind'], 'segmentation'))

    def configure_optimizers(self) -> SGD:
        return SGD(self.parameters(), self.hparams['lr'])

    def _embed(self, batch: Sample) -> Tensor:
        return batch['image'].mean((-2, -1))[:, :3]

    def forward(self, batch: Sample) -> Tensor:
        if self.hparams['kind'] in ('class', 'labels'):
            return self.model(self._embed(batch))
        image = batch['image'] if batch['image'].ndim == 4 else batch['image'].mean(1)
        return self.model(image[:, :3].movedim(1, -1)).movedim(-1, 1)

    def training_step(self, batch: Sample, batch_idx: int) -> Tensor:
        if self.hparams['failing_seed'] == torch.initial_seed():
            raise ValueError('the weights have caught fire')
        if batch_idx == 0:
            rank_zero_info('one group is skipped')
        self.log('train_loss', loss := self._loss(batch))
        return loss

    def validation_step(self, batch: Sample, batch_idx: int) -> None:
        self.log('val_loss', self._loss(batch), batch_size=1)

    def test_step(self, batch: Sample, batch_idx: int) -> None:
        target = batch['label'] if 'label' in batch else batch['mask']
        logits = self(batch)
        self.scores.update(logits.sigmoid() if self.hparams['kind'] == 'labels' else logits, target)

    def on_test_epoch_end(self) -> None:
        self.log_dict({f'test_{name}': score for name, score in self.scores.compute().items()})
        if self.hparams['kind'] != 'labels':
            self.test_confusion = self.scores.matrix

    def predict_step(self, batch: Sample, batch_idx: int) -> dict[str, Tensor]:
        logits = self(batch)
        return {'prediction': (logits > 0).long() if self._labels else logits.argmax(1)}

    @property
    def _labels(self) -> bool:
        return self.hparams['kind'] == 'labels'

    def _loss(self, batch: Sample) -> Tensor:
        logits = self(batch)
        if self._labels:
            return nn.functional.binary_cross_entropy_with_logits(logits, batch['label'].float())
        target = batch['label'] if 'label' in batch else batch['mask']
        return nn.functional.cross_entropy(logits, target, ignore_index=-1)


def benchmark(kind: Kind = 'class', **parts: Any) -> dict[str, Any]:
    """Specification of a benchmark."""
    return {
        'model': {'class_path': 'tests.data.fakes.FakeTask', 'init_args': {'kind': kind}},
        'data': {'class_path': 'tests.data.fakes.FakeDataModule', 'init_args': {'kind': kind}},
        'trainer': {'max_epochs': 2, 'accelerator': 'cpu'},
        **parts,
    }


def write_config(folder: Path, **parts: Any) -> Path:
    """A configuration of two encoders, one benchmark and two seeds."""
    given = {
        'output': str(folder / 'report'),
        'seeds': [0, 1],
        'encoders': {'random': {'weights': None}, 'other': {'lr': 0.1}},
        'benchmarks': {'Fake': benchmark()},
        **parts,
    }
    path = folder / 'report.yaml'
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    return path


class FakeReflectance(Reflectance):
    """Reflectance that a function makes of an image."""

    def __init__(self, make: Callable[[Tensor], Tensor]) -> None:
        """Make it by this function."""
        super().__init__()
        self.make = make

    def forward(self, image: Tensor) -> Tensor:
        """What the function makes."""
        return self.make(image)
