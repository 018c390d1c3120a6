# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datamodule of PASTIS."""

import itertools
import json
import os
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torchgeo.datasets import PASTIS
from torchgeo.datasets.utils import Path, Sample, download_url, extract_archive

from ..bands import band_index
from ..datasets.pastis import METADATA, PASTISFolds, known_folds, pad_dates
from .benchmark import BenchmarkDataModule, Split


class PASTISFoldsDataModule(BenchmarkDataModule):
    """LightningDataModule implementation for PASTIS by its official folds.

    Series of a batch are padded to the longest; ``length`` tells how many dates each has.
    """

    sample: ClassVar[str] = 'pastis'
    classes = PASTISFolds.classes

    #: Mean reflectance of each band in the training folds, known after :meth:`setup`.
    mean: Tensor

    #: Standard deviation of the same.
    std: Tensor

    def __init__(
        self,
        root: Path = 'data/pastis',
        archive: Literal['official', 'sample'] = 'official',
        download: bool = False,
        checksum: bool = True,
        bands: Sequence[str] | None = None,
        dates: int | None = None,
        train_folds: Sequence[int] = (1, 2, 3),
        val_folds: Sequence[int] = (4,),
        test_folds: Sequence[int] = (5,),
        normalize: bool = False,
        augment: bool = False,
        batch_size: int = 4,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        """Initialize a new PASTISFoldsDataModule instance.

        Args:
            root: Folder that holds the data set.
            archive: The published data set, or the synthetic sample in its layout.
            download: Download or generate the data where they are absent.
            checksum: Verify the checksums of downloads.
            bands: Bands to read, in any spelling, or None for all 10.
            dates: How many dates to read of each series, spread evenly over it, or None for all.
            train_folds: Folds to train on.
            val_folds: Folds to validate on.
            test_folds: Folds to test on.
            normalize: Subtract the mean of the training folds from the reflectance of each band,
                and divide by their standard deviation, for tasks that do not do so themselves.
            augment: Flip and turn the training images by quarters, at random.
            batch_size: Size of each mini-batch.
            num_workers: Number of workers for parallel data loading.
            pin_memory: Copy batches to page-locked memory, for faster transfer to a GPU.

        Raises:
            ValueError: If an argument is out of range, a band is unknown, or folds overlap.
        """
        super().__init__(
            root,
            archive,
            download,
            checksum,
            PASTIS.s2_bands if bands is None else bands,
            'sentinel2_l2a',
            10000,
            augment,
            batch_size,
            num_workers,
            pin_memory,
        )
        self.dates = dates
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
        self.normalize = normalize
        self.collate_fn = pad_dates

    def make_dataset(self, split: Split) -> PASTISFolds:
        """Dataset of one split, from files that are there."""
        return PASTISFolds(self.root, self.folds[split], self.bands, self.dates)

    def obtain(self) -> None:
        """Download the data where they are absent."""
        # TorchGeo takes a folder that was extract_features in part for the whole.
        if not os.path.isfile(os.path.join(self.root, PASTIS.directory, METADATA)):
            digest = PASTIS.md5 if self.checksum else None
            download_url(PASTIS.url, self.root, PASTIS.filename, md5=digest)
            extract_archive(os.path.join(self.root, PASTIS.filename), self.root)

    def setup(self, stage: str) -> None:
        """Make the datasets of a stage, and read mean and standard deviation.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            DatasetNotFoundError: If the data are missing.
            ValueError: If a fold is empty, or the data are not as published.
        """
        super().setup(stage)
        self.mean, self.std = self._statistics()

    def on_after_batch_transfer(self, batch: Sample, dataloader_idx: int) -> Sample:
        """See :class:`BenchmarkDataModule`; normalized if asked for, padding left at zero."""
        batch = super().on_after_batch_transfer(batch, dataloader_idx)
        if not self.normalize or 'image' not in batch:
            return batch
        image = batch['image']
        mean, std = (values.to(image.device)[:, None, None] for values in (self.mean, self.std))
        there = torch.arange(image.shape[1], device=image.device) < batch['length'][:, None]
        image = (image - mean) / std * there[:, :, None, None, None]
        return {**batch, 'image': image}

    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the training folds, each the mean over the folds."""
        path = os.path.join(self.root, PASTIS.directory, 'NORM_S2_patch.json')
        channels = band_index(PASTIS.s2_bands, self.bands)
        try:
            with open(path, encoding='utf-8') as file:
                table: dict[str, Any] = json.load(file)
            folds = [table[f'Fold_{fold}'] for fold in self.folds['train']]
            values = np.array([[fold[key] for fold in folds] for key in ('mean', 'std')], float)
            whole = values.shape[2:] == (len(PASTIS.s2_bands),) and np.isfinite(values).all()
            if not whole or not (values[1] > 0).all():
                raise ValueError('numbers are missing, or a std is not above 0')
        except FileNotFoundError as error:
            raise ValueError(f'{path} is missing; fetch it again') from error
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{path} has no mean and std of {len(PASTIS.s2_bands)} bands for each of the folds '
                f'{", ".join(map(str, self.folds["train"]))} ({error!r}); fetch it again'
            ) from error
        mean, std = self.reflectance(torch.from_numpy(values.mean(1)[:, channels]))
        return mean, std
