# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datamodule of BigEarthNet."""

import os
from typing import Any, ClassVar, Literal

from torchgeo.datasets import BigEarthNet, BigEarthNetV2, DatasetNotFoundError
from torchgeo.datasets.utils import Path

from ..bands import SENTINEL2_L2A
from ..datasets.bigearthnet import BigEarthNetBands, bigearthnet_classes, require_parquet
from ..datasets.scenes import require_disjoint
from ..io.downloads import Source, download, obtain
from .benchmark import SPLITS, BenchmarkDataModule, Split


class BigEarthNetBandsDataModule(BenchmarkDataModule):
    """LightningDataModule implementation for BigEarthNet with bands by name."""

    sample: ClassVar[str] = 'bigearthnet'

    sensor = 'sentinel2_l2a'
    all_bands = tuple(SENTINEL2_L2A.bands)

    def __init__(
        self,
        root: Path = 'data/bigearthnet',
        num_classes: Literal[19, 43] = 19,
        version: Literal[1, 2] = 1,
        **kwargs: Any,
    ) -> None:
        """Initialize a new BigEarthNetBandsDataModule instance.

        Args:
            root: Folder that holds the data set.
            num_classes: Either 19, or 43 in version 1.
            version: Either 1 or 2. Version 2 needs the package ``pyarrow``.
            **kwargs: See :class:`BenchmarkDataModule`.

        Raises:
            ValueError: If an argument is out of range, or a band is unknown.
        """
        super().__init__(root, **kwargs)
        self.classes = bigearthnet_classes(num_classes, version)
        self.num_classes = num_classes
        self.version = version
        if self.archive == 'sample' and version != 1:
            raise ValueError(f'the sample has the layout of version 1, got version {version}')

    def make_dataset(self, split: Split) -> BigEarthNetBands:
        """Dataset of one split, from files that are there."""
        return BigEarthNetBands(self.root, split, self.bands, self.num_classes, self.version)

    def obtain(self) -> None:
        """Download the images of Sentinel-2 and the lists, where any is absent."""
        if self.version == 2:
            require_parquet()
        try:
            for split in SPLITS:
                self.make_dataset(split)
        except DatasetNotFoundError:
            first = self.version == 1
            images, folder, lists = _first_version() if first else _second_version()
            for source in lists:
                if not os.path.isfile(os.path.join(self.root, source.name)):
                    download(self._checked(source), self.root)
            obtain(self.root, [self._checked(source) for source in images], [folder])

    def _checked(self, source: Source) -> Source:
        """Source whose digest is verified if that is asked for."""
        return source if self.checksum else source._replace(digest=None)

    def setup(self, stage: str) -> None:
        """Make the datasets of a stage.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            DatasetNotFoundError: If the data are missing.
            ValueError: If a split is empty, or the data are not as published, or two splits
                share images.
        """
        super().setup(stage)
        parts = (self.train_dataset, self.val_dataset, self.test_dataset)
        require_disjoint([part for part in parts if isinstance(part, BigEarthNetBands)])


def _first_version() -> tuple[list[Source], str, list[Source]]:
    """Parts of the images of Sentinel-2, the folder that they extract to, and the lists."""
    images, *lists = (
        Source(part['url'], part['filename'], part['md5'])
        for part in (BigEarthNet.metadata['s2'], *BigEarthNet.splits_metadata.values())
    )
    return [images], BigEarthNet.metadata['s2']['directory'], lists


def _second_version() -> tuple[list[Source], str, list[Source]]:
    """See :func:`_first_version`; TorchGeo 0.10 takes MD5 digests of version 2 for SHA-256."""
    images, lists = (
        [
            Source(BigEarthNetV2.url.format(name), name, digest)
            for name, digest in BigEarthNetV2.metadata_locs[part]['files'].items()
        ]
        for part in ('s2', 'metadata')
    )
    return images, BigEarthNetV2.dir_file_names['s2'], lists
