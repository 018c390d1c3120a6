# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datamodule of DFC2020."""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor
from torchgeo.datasets.utils import Path

from ..bands import SENTINEL2_L1C
from ..datasets.dfc2020 import DFC2020, MODALITY_BANDS, LabelKind, Modality, holds_part
from ..runtime.checks import check_range
from ..samplers.order import EpochOrder, EpochSampler, EpochShare
from ..transforms.backscatter import Backscatter, Scaling, scale_by_maximum
from .benchmark import BenchmarkDataModule, Split

_SENSORS = {'s2': 'sentinel2_l1c', 's1': 'sentinel1'}

_PARTS = ('validation', 'test')


class DFC2020DataModule(BenchmarkDataModule):
    """LightningDataModule implementation for DFC2020, of Sentinel-1 and Sentinel-2.

    ``train`` and ``val`` are of the patches published for validation, ``test`` is published. Few
    labels are drawn from different patches, before any is repeated to balance the classes.
    """

    sample: ClassVar[str] = 'dfc2020'
    classes = DFC2020.classes

    sensor = 'sentinel2_l1c'
    all_bands = tuple(SENTINEL2_L1C.bands)

    def __init__(
        self,
        root: Path = 'data/dfc2020',
        modalities: Sequence[Modality] = ('s1', 's2'),
        task: LabelKind = 'multiclass',
        size: int | None = None,
        val_fraction: float = 0.1,
        fraction: float = 1.0,
        fraction_seed: int = 0,
        balanced: bool = False,
        scaling: Scaling = 'fixed',
        speckle_filter: bool = False,
        fill_nan: bool = False,
        batch_size: int = 32,
        **kwargs: Any,
    ) -> None:
        """Initialize a new DFC2020DataModule instance.

        Args:
            root: Folder that holds the data set.
            modalities: What to read: 's1', 's2' or both. Batches lack the others.
            task: One of 'multiclass' or 'multilabel'.
            size: Side of the window to read, at random in training and in the centre else, or None
                for whole patches. Features that are taken once, of a frozen encoder without
                *augment*, are of the centre.
            val_fraction: Share of the patches published for validation that is ``val``.
            fraction: Share of the training patches that is trained on, drawn at random.
            fraction_seed: Seed of that draw. Of one seed, a smaller share is part of a larger one.
            balanced: Whether patches of rarer classes occur several times in an epoch, so that all
                classes occur about equally often.
            scaling: ``fixed``, or ``maximum`` to divide every channel of an image by its largest
                value, after clipping reflectance and backscatter to 0-1, as the code of
                Dual-SimCLR does.
            speckle_filter: Whether speckle of Sentinel-1 is filtered, see
                :class:`~torchgeo_saco.transforms.Backscatter`.
            fill_nan: Whether NaN of Sentinel-1 counts as -25 dB; else it is an error.
            batch_size: Size of each mini-batch.
            **kwargs: See :class:`BenchmarkDataModule`.

        Raises:
            ValueError: If an argument is out of range, a band is unknown, or classes of patches
                that have several are to be balanced.
        """
        super().__init__(root, batch_size=batch_size, **kwargs)
        check_range('fraction', fraction, '(0, 1]')
        if balanced and task == 'multilabel':
            raise ValueError(
                "balanced=True needs one class for each patch; set task to 'multiclass', or "
                'balanced to false'
            )
        self.modalities = tuple(modalities)
        self.task = task
        self.size = size
        self.val_fraction = val_fraction
        self.fraction = fraction
        self.fraction_seed = fraction_seed
        self.balanced = balanced
        self.fill_nan = fill_nan
        read = [modality for modality in _SENSORS if modality in self.modalities]
        #: Names of the channels of each modality that is read, that of ``image`` first.
        self.modality_bands: dict[str, tuple[str, ...]] = {
            modality: self.bands if modality == 's2' else MODALITY_BANDS[modality]
            for modality in read
        }
        #: Sensor of each modality that is read, by name.
        self.modality_sensors = {modality: _SENSORS[modality] for modality in read}
        if scaling == 'maximum':
            self.scales['image'] = self._scaled_reflectance
        self.scales['s1'] = Backscatter(
            scaling=scaling, speckle_filter=speckle_filter, fill_nan=fill_nan
        )

    def make_dataset(self, split: Split) -> DFC2020:
        """Dataset of one split, from files that are there; of train, the share to train on."""
        dataset = DFC2020(
            self.root,
            split,
            self.bands,
            self.modalities,
            self.task,
            self.size,
            self.val_fraction,
            self.fill_nan,
        )
        if split != 'train' or not len(dataset):
            return dataset
        order = np.random.default_rng(self.fraction_seed).permutation(len(dataset))
        chosen = np.sort(order[: max(1, round(self.fraction * len(dataset)))])
        if self.balanced:
            chosen = np.repeat(chosen, _repeats(dataset.labels[chosen]))
        return dataset.part(chosen)

    def obtain(self) -> None:
        """Refuse to download what lies behind a login, unless it is there.

        Raises:
            ValueError: If a part is missing.
        """
        if not all(holds_part(self.root, part) for part in _PARTS):
            raise ValueError(
                f'{self.root} does not hold DFC2020, which cannot be downloaded without an account '
                'of IEEE DataPort; fetch it from https://ieee-dataport.org/competitions/'
                '2020-ieee-grss-data-fusion-contest, or set archive to sample'
            )

    def training_order(self, size: int) -> EpochShare[Any]:
        """See :meth:`BenchmarkDataModule.training_order`; windows are drawn anew in every epoch."""
        drawn = self.size is not None and 'train' not in self.features
        return EpochSampler(size) if drawn else EpochOrder(size)

    def setup(self, stage: str) -> None:
        """Make the datasets of a stage, and say what is skipped and which classes a split lacks.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            DatasetNotFoundError: If the data are missing.
            ValueError: If a split is empty, or the data are not as published.
        """
        before = {self.train_dataset, self.val_dataset, self.test_dataset}
        super().setup(stage)
        for dataset in (self.train_dataset, self.val_dataset, self.test_dataset):
            if not isinstance(dataset, DFC2020) or dataset in before:
                continue
            for reason in dataset.skipped:
                rank_zero_info(f'skipped: {reason}')
            if dataset.absent_classes:
                rank_zero_info(
                    f'{self.root}: split {dataset.split!r} has no image of '
                    f'{", ".join(dataset.absent_classes)}'
                    + ('' if dataset.split == 'train' else '; means over classes leave them out')
                )

    def _scaled_reflectance(self, image: Tensor) -> Tensor:
        """Reflectance clipped to 0-1, every channel of every image divided by its largest value."""
        return scale_by_maximum(self.reflectance(image))


def _repeats(labels: np.ndarray) -> np.ndarray:
    """How often each patch is to occur for all classes to occur about equally often.

    Args:
        labels: Class of each patch.

    Returns:
        Whole numbers from 1.
    """
    counts = np.bincount(labels)[labels]
    return np.rint(counts.max() / counts).astype(int)
