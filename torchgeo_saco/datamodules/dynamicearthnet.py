# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datamodule of DynamicEarthNet."""

import os
from typing import Any, ClassVar

from torchgeo.datasets.utils import Path

from ..bands import PLANETSCOPE
from ..datasets.dynamicearthnet import CLASSES, DynamicEarthNetWindows, split_list
from .benchmark import SPLITS, BenchmarkDataModule, Split


class DynamicEarthNetWindowsDataModule(BenchmarkDataModule):
    """LightningDataModule implementation for windows of the months of DynamicEarthNet.

    Snow and ice are not scored, as by the authors.
    """

    sample: ClassVar[str] = 'dynamicearthnet'
    classes = CLASSES

    sensor = 'planetscope'
    all_bands = tuple(PLANETSCOPE.bands)

    def __init__(
        self,
        root: Path = 'data/dynamicearthnet',
        size: int = 256,
        stride: int | None = None,
        batch_size: int = 32,
        **kwargs: Any,
    ) -> None:
        """Initialize a new DynamicEarthNetWindowsDataModule instance.

        Args:
            root: Folder that holds the data set.
            size: Side of a window, in pixels.
            stride: Pixels from one training window to the next, or None for *size*.
            batch_size: Size of each mini-batch.
            **kwargs: See :class:`BenchmarkDataModule`.

        Raises:
            ValueError: If an argument is out of range, or a band is unknown.
        """
        super().__init__(root, batch_size=batch_size, **kwargs)
        self.size = size
        self.stride = stride

    def make_dataset(self, split: Split) -> DynamicEarthNetWindows:
        """Dataset of one split, from files that are there."""
        return DynamicEarthNetWindows(self.root, split, self.size, self.stride, self.bands)

    def obtain(self) -> None:
        """Say where the data are, if they are absent: they are fetched by hand.

        Raises:
            ValueError: If the list of a split is missing.
        """
        missing = [split for split in SPLITS if not os.path.isfile(split_list(self.root, split))]
        if missing:
            raise ValueError(
                f'{split_list(self.root, missing[0])} is missing, and DynamicEarthNet cannot be '
                'downloaded from here; fetch planet and labels from '
                'https://mediatum.ub.tum.de/1650201, the labels of the validation and test areas '
                'from https://mediatum.ub.tum.de/1738088 and the lists as '
                'https://github.com/aysim/dynnet says, and set download to false'
            )
