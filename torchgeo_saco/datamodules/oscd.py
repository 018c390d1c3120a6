# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datamodule of OSCD."""

import os
from collections.abc import Sequence
from typing import Any, ClassVar

from torchgeo.datasets import OSCD
from torchgeo.datasets.utils import Path, download_url, extract_archive

from ..datasets.oscd import VAL_CITIES, OSCDTiles
from .benchmark import BenchmarkDataModule, Split


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
        batch_size: int = 32,
        **kwargs: Any,
    ) -> None:
        """Initialize a new OSCDTilesDataModule instance.

        Args:
            root: Folder that holds the data set.
            size: Side of a tile, in pixels. SeCo's is 96.
            val_cities: Cities of the official training list held out for validation.
            batch_size: Size of each mini-batch.
            **kwargs: See :class:`BenchmarkDataModule`.

        Raises:
            ValueError: If an argument is out of range, or a band is unknown.
        """
        super().__init__(root, batch_size=batch_size, **kwargs)
        self.size = size
        self.val_cities = val_cities

    def make_dataset(self, split: Split) -> OSCDTiles:
        """Dataset of one split, from files that are there."""
        return OSCDTiles(self.root, split, self.bands, self.size, self.val_cities)

    def obtain(self) -> None:
        """Download the images and labels, where any is absent.

        Where one of the three parts is there, TorchGeo does not fetch the others.
        """
        for name, url in OSCD.urls.items():
            path = os.path.join(self.root, name)
            if not os.path.isdir(path.removesuffix('.zip')):
                digest = OSCD.sha256s[name] if self.checksum else None
                download_url(url, self.root, name, sha256=digest)
                extract_archive(path)
