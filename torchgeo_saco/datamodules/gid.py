# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datamodule of GID."""

from typing import Any, ClassVar, Literal

from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torchgeo.datasets import GID15
from torchgeo.datasets.utils import Path

from ..bands import RGB
from ..datasets.gid import GIDWindows, gid_classes
from ..datasets.gid_layout import Part, Release, copy_labels, listed_tiles
from ..io.downloads import Source, obtain
from .benchmark import BenchmarkDataModule, Split

_PARTS: tuple[Part, Part] = ('train', 'val')


class GIDWindowsDataModule(BenchmarkDataModule):
    """LightningDataModule implementation for windows of GID.

    The masks of the official test tiles are not public: the official validation tiles are the
    ``test`` here, and ``val`` is held out from the official training tiles, by whole tiles.
    """

    sample: ClassVar[str] = 'gid'

    sensor = 'rgb'
    unit = 255
    all_bands = tuple(RGB.bands)

    def __init__(
        self,
        root: Path = 'data/gid',
        classes: Literal[15, 5] = 15,
        release: Release = 'gid15',
        size: int = 256,
        stride: int | None = None,
        val_fraction: float = 0.2,
        keep_unlabelled: bool = False,
        cache: Path | None = None,
        batch_size: int = 32,
        **kwargs: Any,
    ) -> None:
        """Initialize a new GIDWindowsDataModule instance.

        Args:
            root: Folder that holds the data set.
            classes: Either 15, or 5.
            release: Which release is in *root*, see
                :class:`~torchgeo_saco.datasets.gid.GIDWindows`.
            size: Side of a window, in pixels.
            stride: Pixels from one training window to the next, or None for *size*.
            val_fraction: Share of the official training tiles held out for validation.
            keep_unlabelled: Keep training windows without any labelled pixel.
            cache: Folder for copies of the masks, one for each data set, or None to have them
                beside the release.
            batch_size: Size of each mini-batch.
            **kwargs: See :class:`BenchmarkDataModule`.

        Raises:
            ValueError: If an argument is out of range, a band is unknown, or release ``gid5`` is
                to be downloaded or generated.
        """
        super().__init__(root, batch_size=batch_size, **kwargs)
        self.classes = gid_classes(classes, release)
        if release == 'gid5' and (self.download or self.archive == 'sample'):
            raise ValueError(
                "release 'gid5' can be neither downloaded nor generated; fetch it from "
                'https://captain-whu.github.io/GID/ and set download to false'
            )
        self.release: Release = release
        self.size = size
        self.stride = stride
        self.val_fraction = val_fraction
        self.keep_unlabelled = keep_unlabelled
        self.cache = cache

    def make_dataset(self, split: Split) -> GIDWindows:
        """Dataset of one split, from files that are there."""
        return GIDWindows(
            self.root,
            split,
            len(self.classes),
            self.release,
            self.size,
            self.stride,
            self.bands,
            self.val_fraction,
            self.keep_unlabelled,
            self.cache,
        )

    def obtain(self) -> None:
        """Download the data where they are absent."""
        try:
            for part in _PARTS:
                listed_tiles(self.root, part, self.release)
        except FileNotFoundError:
            source = Source(GID15.url, GID15.filename, GID15.md5 if self.checksum else None)
            folders = (f'{name}/{part}' for name in ('img_dir', 'ann_dir') for part in _PARTS)
            obtain(self.root, [source], [f'{GID15.directory}/{folder}' for folder in folders])

    def prepare_data(self) -> None:
        """Generate or download the data, and copy masks to files of which windows can be read."""
        super().prepare_data()
        try:
            found = [listed_tiles(self.root, part, self.release, self.cache) for part in _PARTS]
        except FileNotFoundError:
            # The stages say so.
            return
        listed = [tile for part in found for tile in part]
        stored = 15 if self.release == 'gid15' else len(self.classes)
        copied = sum(copy_labels(tile, stored) for tile in listed)
        if copied:
            rank_zero_info(f'{self.root}: copied {copied} masks to GeoTIFFs of tiles, once')

    def setup(self, stage: str) -> None:
        """Make the datasets of a stage, and say what is skipped.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            DatasetNotFoundError: If the data are missing.
            ValueError: If a split is empty, or the data are not as published.
        """
        made = self.train_dataset is not None
        super().setup(stage)
        if not made and isinstance(self.train_dataset, GIDWindows) and self.train_dataset.skipped:
            rank_zero_info(
                f'{self.root}: skipped {self.train_dataset.skipped} training windows without a '
                f'labelled pixel, {len(self.train_dataset)} remain; set keep_unlabelled to keep '
                'them'
            )
