# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datamodule of BigEarthNet."""

import os
from typing import Any, ClassVar, Literal

from torchgeo.datasets import BigEarthNet, BigEarthNetV2, DatasetNotFoundError
from torchgeo.datasets.utils import Path, download_url

from ..bands import SENTINEL2_L2A
from ..datasets.bigearthnet import BigEarthNetBands, bigearthnet_classes, require_parquet
from ..datasets.scenes import require_disjoint
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
        source = _Sentinel2Folders if self.version == 1 else _Sentinel2Parts
        try:
            for split in SPLITS:
                self.make_dataset(split)
        except DatasetNotFoundError:
            source(self.root, bands='s2', download=True, checksum=self.checksum)

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


class _Sentinel2Folders(BigEarthNet):
    """Download of version 1.

    TorchGeo fetches all images again where a list is absent, so lists come first.
    """

    def _verify(self) -> None:
        """Fetch what is absent and extract it."""
        for part in self.splits_metadata.values():
            if not os.path.isfile(os.path.join(self.root, part['filename'])):
                self._download(part['url'], part['filename'], part['md5'])
        super()._verify()


class _Sentinel2Parts(BigEarthNetV2):
    """Download of version 2.

    TorchGeo 0.10 fetches radar and maps too, does not extract what an interrupted run has
    fetched (torchgeo#3210), and takes the MD5 digests of the smaller files for SHA-256.
    """

    metadata_locs: ClassVar[dict[str, dict[str, dict[str, str]]]] = {
        key: BigEarthNetV2.metadata_locs[key] for key in ('s2', 'metadata')
    }

    def _verify(self) -> None:
        """Fetch what is absent and extract it."""
        self._download()
        if not os.path.isdir(os.path.join(self.root, self.dir_file_names['s2'])):
            self._extract()

    def _download(self) -> None:
        """Fetch the files that are absent or damaged."""
        for part in self.metadata_locs.values():
            for name, digest in part['files'].items():
                md5, sha256 = (digest, None) if len(digest) == 32 else (None, digest)
                if not self.checksum:
                    md5 = sha256 = None
                download_url(self.url.format(name), self.root, name, md5=md5, sha256=sha256)
