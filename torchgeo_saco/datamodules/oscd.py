# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datamodule of OSCD."""

from collections.abc import Sequence
from typing import Any, ClassVar

import kornia
import kornia.augmentation as K
import torch
from torchgeo.datasets import OSCD
from torchgeo.datasets.utils import Path

from ..datasets.oscd import VAL_CITIES, OSCDTiles
from ..io.downloads import Source, obtain
from .benchmark import IGNORED, SPLITS, BenchmarkDataModule, Split


class OSCDTilesDataModule(BenchmarkDataModule):
    """LightningDataModule implementation for tiles of OSCD with bands by name.

    Every pixel of the test cities is evaluated once. Nothing is chosen by them: ``val`` is made
    of cities held out from the official training list.
    """

    sample: ClassVar[str] = 'oscd'
    classes = OSCDTiles.classes

    sensor = 'sentinel2_l1c'
    all_bands = OSCD.all_bands

    def __init__(
        self,
        root: Path = 'data/oscd',
        size: int = 96,
        val_cities: Sequence[str] = VAL_CITIES,
        mask_channel: bool = False,
        batch_size: int = 32,
        **kwargs: Any,
    ) -> None:
        """Initialize a new OSCDTilesDataModule instance.

        Args:
            root: Folder that holds the data set.
            size: Side of a tile, in pixels. SeCo's is 96.
            val_cities: Cities of the official training list held out for validation.
            mask_channel: Whether masks have a channel, (B, 1, H, W), as TorchGeo's
                ChangeDetection takes them. Give that task ``ignore_index: -1``, for a pixel in
                two tiles is -1 in one of them, and another loss than 'bce', which ignores none.
            batch_size: Size of each mini-batch.
            **kwargs: See :class:`BenchmarkDataModule`.

        Raises:
            ValueError: If an argument is out of range, or a band is unknown.
        """
        super().__init__(root, batch_size=batch_size, **kwargs)
        self.size = size
        self.val_cities = val_cities
        self.mask_channel = mask_channel

    def make_dataset(self, split: Split) -> OSCDTiles:
        """Dataset of one split, from files that are there."""
        return OSCDTiles(
            self.root, split, self.bands, self.size, self.val_cities, self.mask_channel
        )

    def setup(self, stage: str) -> None:
        """Make the datasets of a stage.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            DatasetNotFoundError: If the data are missing.
            ValueError: If a split is empty, the data are not as published, or the task is a stock
                one that would learn pixels that are to be ignored.
        """
        super().setup(stage)
        datasets = [getattr(self, f'{split}_dataset') for split in SPLITS]
        if any(dataset is not None and dataset.ignores_pixels for dataset in datasets):
            self._require_ignored()
        if stage in ('fit', 'validate'):
            self._require_figures()

    def _require_figures(self) -> None:
        """Refuse a logger that a stock task would fail to draw in."""
        # TorchGeo's tasks take seconds to import, and who trains one has done so.
        from torchgeo.tasks import ChangeDetection

        task: Any = getattr(self.trainer, 'lightning_module', None)
        if not isinstance(task, ChangeDetection) or _draws_series():
            return
        if hasattr(getattr(task.logger, 'experiment', None), 'add_figure'):
            raise ValueError(
                'ChangeDetection cannot draw its validation images with kornia '
                f'{kornia.__version__}, which wants as many masks as dates; set trainer.logger to '
                'lightning.pytorch.loggers.CSVLogger or to false'
            )

    def _require_ignored(self) -> None:
        """Refuse a stock task whose loss would count pixels that are ignored."""
        task = getattr(self.trainer, 'lightning_module', None)
        arguments: Any = getattr(task, 'hparams', {})
        # Ours know what to ignore, and have no such argument.
        if 'ignore_index' not in arguments:
            return
        if arguments['ignore_index'] != IGNORED or arguments['loss'] == 'bce':
            raise ValueError(
                f'{type(task).__name__} has ignore_index={arguments["ignore_index"]} and '
                f'loss={arguments["loss"]}, but pixels that lie in two tiles of size={self.size} '
                f'are {IGNORED} in one; set model.init_args.ignore_index to {IGNORED} and loss to '
                "another than 'bce', such as 'focal', or 'ce' with task multiclass"
            )

    def obtain(self) -> None:
        """Download the images and labels, where any is absent.

        Where one of the three parts is there, TorchGeo does not fetch the others.
        """
        for name, url in OSCD.urls.items():
            source = Source(url, name, OSCD.sha256s[name] if self.checksum else None)
            obtain(self.root, [source], [name.removesuffix('.zip')])


def _draws_series() -> bool:
    """Whether Kornia takes two dates with one mask, as ChangeDetection of TorchGeo gives them."""
    scale = K.Denormalize(torch.tensor(0.0), torch.tensor(1.0))
    transform = K.AugmentationSequential(K.VideoSequential(scale), data_keys=None, keepdim=True)
    try:
        transform({'image': torch.zeros(1, 2, 1, 4, 4), 'mask': torch.zeros(1, 1, 4, 4)})
    except ValueError:
        return False
    return True
