# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datamodule of EuroSAT."""

import os
from typing import Any, ClassVar

from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torchgeo.datasets import EuroSAT, EuroSATSpatial
from torchgeo.datasets.utils import Path

from ..datasets.eurosat import EuroSATBands
from ..datasets.scenes import require_disjoint
from ..io.downloads import Source, download, obtain
from .benchmark import BenchmarkDataModule, Split


class EuroSATBandsDataModule(BenchmarkDataModule):
    """LightningDataModule implementation for EuroSAT with bands by name."""

    sample: ClassVar[str] = 'eurosat'
    classes = EuroSATBands.classes

    sensor = 'sentinel2_l1c'
    all_bands = EuroSAT.all_band_names

    def __init__(self, root: Path = 'data/eurosat', spatial: bool = False, **kwargs: Any) -> None:
        """Initialize a new EuroSATBandsDataModule instance.

        Args:
            root: Folder that holds the data set.
            spatial: Split by longitude. The other split puts neighbours on both sides.
            **kwargs: See :class:`BenchmarkDataModule`.

        Raises:
            ValueError: If an argument is out of range, or a band is unknown.
        """
        super().__init__(root, **kwargs)
        self.spatial = spatial

    def make_dataset(self, split: Split) -> EuroSATBands:
        """Dataset of one split, from files that are there."""
        return EuroSATBands(self.root, split, self.bands, self.spatial)

    def obtain(self) -> None:
        """Download the images, and the lists that are absent."""
        lists = EuroSATSpatial if self.spatial else EuroSAT
        for split, name in lists.split_filenames.items():
            if not os.path.isfile(os.path.join(self.root, name)):
                digest = lists.split_sha256s[split] if self.checksum else None
                download(Source(lists.url + name, name, digest), self.root)
        digest = EuroSAT.sha256 if self.checksum else None
        images = Source(EuroSAT.url + EuroSAT.filename, EuroSAT.filename, digest)
        obtain(self.root, [images], [EuroSAT.base_dir])

    def setup(self, stage: str) -> None:
        """Make the datasets of a stage, and name the classes that a split lacks.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            DatasetNotFoundError: If the data are missing.
            ValueError: If a split is empty, or the data are not as published, or two splits
                share images.
        """
        super().setup(stage)
        parts = (self.train_dataset, self.val_dataset, self.test_dataset)
        made = [part for part in parts if isinstance(part, EuroSATBands)]
        require_disjoint(made)
        for part in made:
            if part.absent_classes:
                rank_zero_info(
                    f'{self.root}: split {part.split!r} has no image of '
                    f'{", ".join(part.absent_classes)}; means over classes leave them out'
                )
