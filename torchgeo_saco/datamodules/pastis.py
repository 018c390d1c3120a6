# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datamodule of PASTIS."""

import itertools
import os
from collections.abc import Sequence
from typing import Any, ClassVar

from torchgeo.datasets import PASTIS
from torchgeo.datasets.utils import Path

from ..datasets.pastis import METADATA, PASTISFolds, known_folds, pad_dates
from ..io.downloads import Source, obtain
from .benchmark import BenchmarkDataModule, Split


class PASTISFoldsDataModule(BenchmarkDataModule):
    """LightningDataModule implementation for PASTIS by its official folds.

    Series of a batch are padded to the longest; ``length`` tells how many dates each has.
    """

    sample: ClassVar[str] = 'pastis'
    classes = PASTISFolds.classes

    sensor = 'sentinel2_l2a'
    all_bands = PASTIS.s2_bands

    def __init__(
        self,
        root: Path = 'data/pastis',
        dates: int | None = None,
        time_axis: bool = True,
        train_folds: Sequence[int] = (1, 2, 3),
        val_folds: Sequence[int] = (4,),
        test_folds: Sequence[int] = (5,),
        batch_size: int = 4,
        **kwargs: Any,
    ) -> None:
        """Initialize a new PASTISFoldsDataModule instance.

        Args:
            root: Folder that holds the data set.
            dates: How many dates to read of each series, spread evenly over it, or None for all.
            time_axis: Whether images have an axis of dates. Without it, an image is the mean of
                the dates that are read, (B, C, H, W), as TorchGeo's SemanticSegmentation takes it.
            train_folds: Folds to train on.
            val_folds: Folds to validate on.
            test_folds: Folds to test on.
            batch_size: Size of each mini-batch.
            **kwargs: See :class:`BenchmarkDataModule`.

        Raises:
            ValueError: If an argument is out of range, a band is unknown, or folds overlap.
        """
        super().__init__(root, batch_size=batch_size, **kwargs)
        self.dates = dates
        self.time_axis = time_axis
        self.folds: dict[Split, tuple[int, ...]] = {
            'train': known_folds(train_folds),
            'val': known_folds(val_folds),
            'test': known_folds(test_folds),
        }
        for one, other in itertools.combinations(self.folds, 2):
            shared = set(self.folds[one]) & set(self.folds[other])
            if shared:
                raise ValueError(
                    f'fold {min(shared)} is in {one}_folds and {other}_folds; remove it from one'
                )
        self.collate_fn = pad_dates

    def make_dataset(self, split: Split) -> PASTISFolds:
        """Dataset of one split, from files that are there."""
        return PASTISFolds(self.root, self.folds[split], self.bands, self.dates, self.time_axis)

    def setup(self, stage: str) -> None:
        """Make the datasets of a stage.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            DatasetNotFoundError: If the data are missing.
            ValueError: If a split is empty, the data are not as published, or the task takes
                images where these are series.
        """
        # TorchGeo's tasks take seconds to import, and who trains one has done so.
        from torchgeo.tasks import SemanticSegmentation

        task = getattr(self.trainer, 'lightning_module', None)
        if self.time_axis and isinstance(task, SemanticSegmentation):
            raise ValueError(
                'SemanticSegmentation takes one image, and PASTIS has series of dates; set '
                'data.init_args.time_axis to false for the mean of the dates, or train '
                'SpatioTemporalSegmentation or GroupSegmentation'
            )
        super().setup(stage)

    def obtain(self) -> None:
        """Download the data where they are absent."""
        source = Source(PASTIS.url, PASTIS.filename, PASTIS.md5 if self.checksum else None)
        # TorchGeo takes a partly extracted folder for the whole.
        obtain(self.root, [source], [os.path.join(PASTIS.directory, METADATA)])
