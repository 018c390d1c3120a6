# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datamodule of seasonal archives."""

import hashlib
import inspect
import zlib
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from matplotlib.figure import Figure
from torch.utils.data import DataLoader
from torchgeo.datamodules import NonGeoDataModule
from torchgeo.datasets.utils import Path, Sample

from ..archives.listing import Locations
from ..archives.registry import archive_folder, obtain_archive
from ..archives.splits import split_positions
from ..archives.store import is_store
from ..datasets import SeasonalArchive
from ..runtime.checks import check_range
from ..samplers.collate import collate
from ..samplers.loader import ResumableLoader, evaluation_share, report_batches
from ..samplers.order import EpochIndex, EpochSampler
from ..transforms import Backscatter, Reflectance

# Reasons that are reported one by one.
_REASONS = 100

# Above this, reading keeps a GPU waiting long enough to be worth a line.
_MANY_FILES = 50_000

# Attributes of a dataset that change what a sample is.
_OPTIONS = ('item', 'other_dates', 'year_rule', 'same_season')

# Classes that are named.
_LISTED_CLASSES = 20

# Names turned into Python texts at a time.
_BLOCK = 1 << 16


class SeasonalDataModule(NonGeoDataModule):
    """LightningDataModule implementation for seasonal archives.

    Locations, not images, are split into training and validation, by a hash of their names: a
    location is never on both sides. Images travel to the device as stored integers and become
    reflectance there.
    """

    def __init__(
        self,
        archive: Literal[
            'folder', 'sample', 'sen12ms_sample', 'seco_100k', 'seco_1m', 'caco'
        ] = 'folder',
        root: Path = 'data',
        download: bool = False,
        dates: int = 2,
        unit: float | None = None,
        offset: float = 0.0,
        val_fraction: float = 0.2,
        batch_size: int = 64,
        num_workers: int = 0,
        pin_memory: bool = False,
        split_files: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Initialize a new SeasonalDataModule instance.

        Args:
            archive: Which archive: a folder of your own, or a key of
                :data:`torchgeo_saco.archives.registry.ARCHIVES`.
            root: Folder that holds the archive; or folder or URL of a store of it.
            download: Generate or download the archive where it is absent.
            dates: Dates of a location in one training sample, or in each of its years.
            unit: Digital number of reflectance 1, or None to take it from the type of the files.
            offset: Added to stored numbers before that, see
                :class:`~torchgeo_saco.transforms.Reflectance`.
            val_fraction: Share of the locations held out for validation.
            batch_size: Size of each mini-batch.
            num_workers: Number of workers for parallel data loading.
            pin_memory: Copy batches to page-locked memory, for faster transfer to a GPU.
            split_files: Lists of the locations of the splits, with ``{split}`` in place of train,
                val and test (which may be absent), such as ``eurosat_rgb-{split}.txt``, below the
                root or anywhere; or None to hold out *val_fraction*. A line names a location, its
                file or its patch; of several between commas, any.
            **kwargs: See :class:`~torchgeo_saco.datasets.SeasonalArchive`.

        Raises:
            TypeError: If an argument is unknown.
            ValueError: If an argument is out of range.
        """
        super().__init__(SeasonalArchive, batch_size, num_workers)
        # A typo is an error here, not when the archive is opened.
        inspect.signature(SeasonalArchive).bind_partial(**kwargs)
        self.kwargs = kwargs
        self.collate_fn = collate
        self.archive = archive
        self.root = root
        self.folder = archive_folder(archive, root)
        self.download = download
        self.pin_memory = pin_memory
        self.dates = dates
        self.val_fraction = check_range('val_fraction', val_fraction, '[0, 1)')
        # One location alone has nothing to be contrasted with.
        check_range('batch_size', batch_size, 'int [2, inf)')
        check_range('num_workers', num_workers, 'int [0, inf)')
        if split_files is not None and '{split}' not in split_files:
            raise ValueError(
                f'split_files must hold {{split}} in place of train, val and test, got '
                f'{split_files!r}'
            )
        self.split_files = split_files
        self.given = Reflectance(unit, offset)
        #: Reflectance of the stored numbers, that which is given until :meth:`setup`.
        self.reflectance: Reflectance | Backscatter = self.given
        #: Names of the channels, known after :meth:`setup`.
        self.bands: tuple[str, ...] | None = None
        #: Class names, empty without a table of labels; known after :meth:`setup`.
        self.classes: list[str] = []
        self.train_dataset: SeasonalArchive | None = None
        self.val_dataset: SeasonalArchive | None = None
        self.predict_dataset: SeasonalArchive | None = None
        self._test_dataset: SeasonalArchive | None = None

    def prepare_data(self) -> None:
        """Generate or download the archive."""
        if self.download:
            obtain_archive(self.archive, self.root)

    def setup(self, stage: str) -> None:
        """List the archive and split its locations; to predict, all dates of all of them.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict', which asks for no number of
                locations or dates and for no split.

        Raises:
            FileNotFoundError: If the archive is missing.
            ValueError: If it is incomplete, or too small for the batch or the split.
        """
        if stage == 'predict' and self.predict_dataset is None:
            self._list_to_predict()
        elif stage != 'predict' and self.train_dataset is None:
            self._list_archive()
        if stage == 'fit' and self.train_dataset is not None:
            items = len(self.train_dataset)
            if items < self.batch_size:
                raise ValueError(
                    f'batch_size={self.batch_size} is larger than the {items} training items of '
                    f'{self.folder}; set data.init_args.batch_size to at most {items}'
                )

    def probe_dataloaders(self, dates_per_location: int = 2) -> tuple[DataLoader, DataLoader]:
        """Labelled single-date images: of training locations to learn from, of held-out to judge.

        Args:
            dates_per_location: Dates used of every location, spread evenly over its series.

        Returns:
            Loaders of the two, in fixed order.

        Raises:
            ValueError: If no location has a label, or none is held out.
        """
        if not self.classes or self.train_dataset is None or self.val_dataset is None:
            raise ValueError(
                f'{self.folder} has no labels; add labels.csv with columns location and label'
            )
        if self.train_dataset.multilabel:
            raise ValueError(
                f'locations of {self.folder} have several labels each; judge the encoder by '
                'torchgeo-saco evaluate, or on BigEarthNetBandsDataModule'
            )
        if not len(self.val_dataset):
            raise ValueError('no location is held out; set val_fraction above 0')
        loaders = []
        for part, name in ((self.train_dataset, 'training'), (self.val_dataset, 'held-out')):
            labelled = np.flatnonzero(part.label_numbers >= 0)
            if not len(labelled):
                raise ValueError(f'{self.folder}/labels.csv labels no {name} location; add some')
            chosen = part.part(labelled, 1, 'date')
            loaders.append(self._loader(chosen, _spread(chosen, dates_per_location)))
        return loaders[0], loaders[1]

    @property
    def years(self) -> int:
        """Years of a location in a training sample, an axis of its own if there are two."""
        return 2 if self.train_dataset is not None and self.train_dataset.item == 'years' else 1

    @property
    def sensor(self) -> str | None:
        """Sensor of the bands, by name; known after :meth:`setup`."""
        dataset = self.train_dataset or self.predict_dataset
        return None if dataset is None else dataset.sensor_name

    @property
    def train_items(self) -> int:
        """Training samples of an epoch, known after :meth:`setup`."""
        return len(self.train_dataset) if self.train_dataset is not None else 0

    @property
    def locations(self) -> int:
        """Number of locations, which ``location`` of samples counts; known after :meth:`setup`."""
        return len(self.predict_dataset.locations) if self.predict_dataset is not None else 0

    @property
    def identity(self) -> dict[str, Any]:
        """What a training that goes on must find again, as plain types; known after :meth:`setup`.

        Names and dates of the locations are there as hashes, and the folder is not: an archive may
        be moved, or packed.
        """
        dataset = self.train_dataset
        if dataset is None or self.predict_dataset is None:
            return {}
        whole = self.predict_dataset.locations
        options = {name: getattr(dataset, name) for name in _OPTIONS}
        return options | {
            'dates': self.dates,
            'bands': list(dataset.bands),
            'shape': list(dataset.shape),
            'scale': scale_settings(self.reflectance),
            'locations': _hash(whole),
            'training_locations': _hash(dataset.locations),
        }

    def ordered_dataloader(
        self, split: Literal['train', 'val', 'test'], labelled: bool = True, shuffled: bool = False
    ) -> DataLoader:
        """Single-date images in fixed order, to evaluate a frozen encoder.

        These splits are not those of training: only ``test`` is of the locations held out. With
        *split_files* they are those of the lists; without a list of test, ``test`` is as before.

        Args:
            split: ``test``: the locations held out; ``train`` and ``val``: three quarters and one
                quarter of the training locations.
            labelled: Whether locations without a label are left out.
            shuffled: Whether the order is random, always the same, and not that of the names.

        Returns:
            Loader of samples with ``image`` (1, C, H, W) and ``label`` where there is one.

        Raises:
            ValueError: If labels are asked for, and no location of the split has one.
        """
        if self.train_dataset is None or self.val_dataset is None:
            raise ValueError('call setup first')
        if self._test_dataset is None:
            dataset = self.val_dataset if split == 'test' else self.train_dataset
            # The order of the split by hash, which depends on names alone.
            order = _by_hash(dataset.locations.names)
            quarter = len(order) // 4
            chosen = {'train': order[quarter:], 'val': order[:quarter], 'test': order}[split]
        else:
            parts = (self.train_dataset, self.val_dataset, self._test_dataset)
            dataset = dict(zip(('train', 'val', 'test'), parts, strict=True))[split]
            chosen = np.arange(len(dataset.locations))
        if labelled:
            chosen = chosen[dataset.label_numbers[chosen] >= 0]
        if labelled and not len(chosen):
            raise ValueError(
                f'{self.folder}/labels.csv labels no location of the {split} split; add some'
            )
        part = dataset.part(np.sort(chosen), 1, 'date', label_vectors=labelled)
        numbers: Any = range(len(part))
        if shuffled:
            numbers = np.random.default_rng(0).permutation(len(part))
        return self._loader(part, numbers)

    def test_dataloader(self) -> Any:
        """Loader of the locations held out, as for validation."""
        return self.val_dataloader()

    def val_dataloader(self) -> Any:
        """Loader of the locations held out, or none."""
        return super().val_dataloader() if self.val_dataset else []

    def on_after_batch_transfer(self, batch: Sample, dataloader_idx: int) -> Sample:
        """Reflectance from stored numbers, on the device.

        Args:
            batch: A batch with stored numbers under ``image``.
            dataloader_idx: The index of the dataloader.

        Returns:
            The batch with reflectance, float32.
        """
        return {**batch, 'image': self.reflectance(batch['image'])}

    def plot(self, *args: Any, **kwargs: Any) -> Figure | None:
        """See :meth:`torchgeo_saco.datasets.SeasonalArchive.plot`."""
        dataset = self.val_dataset or self.train_dataset or self.predict_dataset
        return dataset.plot(*args, **kwargs) if dataset else None

    def open_archive(self, **kwargs: Any) -> SeasonalArchive:
        """Open the archive.

        Args:
            **kwargs: See :class:`~torchgeo_saco.datasets.SeasonalArchive`.

        Returns:
            The dataset.
        """
        return SeasonalArchive(self.folder, **kwargs)

    def _take_scale(self, whole: SeasonalArchive) -> None:
        """Take the scale of the stored numbers from the archive."""
        self.reflectance = whole.reflectance(self.given)

    def _list_to_predict(self) -> None:
        """List every date of every location."""
        alone = {'dates': 1, 'item': 'date', 'other_dates': 'any', 'transforms': None}
        whole = self.open_archive(**{**self.kwargs, **alone})
        self._take_scale(whole)
        self.bands, self.classes = whole.bands, whole.classes
        self.predict_dataset = whole
        rank_zero_info(
            f'{self.folder}: {len(whole)} dates of {len(whole.locations)} locations, '
            f'{len(whole.bands)} bands ({", ".join(whole.bands)}), '
            f'{whole.shape[1]} x {whole.shape[0]} px'
        )
        self._report_skipped(whole)

    def _list_archive(self) -> None:
        """Read the listing once and share it between the parts."""
        # transforms is named, so that configurations are not offered it.
        whole = self.open_archive(dates=self.dates, transforms=None, **self.kwargs)
        self._take_scale(whole)
        self.bands, self.classes = whole.bands, whole.classes
        train, val, test = self._splits(whole)
        count = len(whole.locations)
        if count == 1:
            raise ValueError(
                f'{self.folder} has 1 location, and contrasting compares several: add locations to '
                'train on; one alone can be embedded by an encoder that was trained on others'
            )
        if len(train) < 2:
            raise ValueError(
                f'{self.folder} has {count} locations, {count - len(train)} of them held out; '
                'contrasting needs at least 2 to train on: add locations, or lower val_fraction'
            )
        self.train_dataset, self.val_dataset = whole.part(train), whole.part(val)
        self._test_dataset = None if test is None else whole.part(test)
        self.predict_dataset = whole.part(np.arange(count), 1, 'date')
        self._report(whole)

    def _splits(self, whole: SeasonalArchive) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Positions of the locations to train on, to validate on, and of a list of test."""
        if self.split_files is not None:
            names = whole.locations.names.to_pylist()
            drop = self.kwargs.get('on_missing') == 'drop'
            return split_positions(self.split_files, self.folder, names, drop)
        held_out = self._held_out(whole)
        return np.flatnonzero(~held_out), np.flatnonzero(held_out), None

    def _held_out(self, whole: SeasonalArchive) -> np.ndarray:
        """Whether each location is held out.

        The split is of all locations as listed, so it stays the same whatever a method leaves out.
        """
        names = whole.locations.names
        if self.val_fraction == 0:
            return np.zeros(len(names), bool)
        listed = whole.source.listed
        chosen = _by_hash(listed)[: max(1, round(self.val_fraction * len(listed)))]
        held_out = pc.is_in(names, listed.take(pa.array(chosen))).to_numpy(zero_copy_only=False)
        if not held_out.any():
            held_out = np.arange(len(names)) == _by_hash(names)[0]
        return held_out

    def _report(self, whole: SeasonalArchive) -> None:
        """Say what was found, and what was skipped."""
        train, val = self.train_dataset, self.val_dataset
        if train is None or val is None:
            return
        rank_zero_info(
            f'{self.folder}: {len(train.locations)} locations to train on, {len(val.locations)} '
            f'held out, {len(train)} training items, {len(whole.bands)} bands '
            f'({", ".join(whole.bands)}), {whole.shape[1]} x {whole.shape[0]} px, '
            f'{str(whole.dtype).removeprefix("torch.")}'
        )
        parts = (train, val, self._test_dataset)
        unlisted = len(whole.locations) - sum(len(part.locations) for part in parts if part)
        if unlisted:
            rank_zero_info(f'{unlisted} locations are in no list of split_files, and are left out')
        self._report_classes(whole, dict(zip(('train', 'val', 'test'), parts, strict=True)))
        dates = len(self.predict_dataset or ())
        files = dates * whole.source.files_per_scene
        if files > _MANY_FILES and not self.kwargs.get('cache') and not is_store(self.folder):
            rank_zero_info(
                f'{self.folder} is read from {files} files: a worker reads 4 to 9 times as fast '
                'what torchgeo-saco pack makes of them once, see docs/scale.md'
            )
        self._report_skipped(whole)

    def _report_classes(
        self, whole: SeasonalArchive, parts: Mapping[str, SeasonalArchive | None]
    ) -> None:
        """Say which classes a split lacks: what is measured there says nothing of them."""
        if whole.multilabel:
            return
        for split, part in parts.items():
            if part is None or not len(part.locations):
                continue
            absent = set(range(len(whole.classes))) - set(part.label_numbers.tolist())
            names = ', '.join(whole.classes[number] for number in sorted(absent)[:_LISTED_CLASSES])
            if absent:
                rank_zero_info(
                    f'{len(absent)} of {len(whole.classes)} classes are in no location of the '
                    f'{split} split: {names}'
                )

    def _report_skipped(self, whole: SeasonalArchive) -> None:
        """Say what was passed over."""
        if whole.skipped_files:
            rank_zero_info(
                f'passed over, for {whole.source.skipped_reason}: {", ".join(whole.skipped_files)}'
            )
        for note in whole.source.notes:
            rank_zero_info(note)
        for reason in whole.skipped[:_REASONS]:
            rank_zero_info(f'skipped: {reason}')
        if len(whole.skipped) > _REASONS:
            rank_zero_info(f'skipped: {len(whole.skipped) - _REASONS} more')

    def _dataloader_factory(self, split: str) -> DataLoader[Sample]:
        """Loader of one part, in seeded order for training."""
        dataset = self._valid_attribute(f'{split}_dataset')
        if split == 'train':
            report_batches(len(dataset), self.batch_size)
            return ResumableLoader(
                trainer=lambda: self.trainer,
                drop_last=True,
                **self._loading(dataset, EpochSampler(len(dataset))),
            )
        return self._loader(dataset, range(len(dataset)), shared=split == 'val')

    def _loader(
        self, dataset: SeasonalArchive, order: Any, shared: bool = False
    ) -> DataLoader[Sample]:
        """Loader of a dataset in the order given, shared out over processes or not."""
        options = self._loading(dataset, order)
        if shared:
            # The spread of a single image is not defined.
            options |= evaluation_share(len(dataset), self.batch_size, pairs=True)
        return DataLoader(**options)

    def _loading(self, dataset: SeasonalArchive, order: Any) -> dict[str, Any]:
        """Arguments of all loaders."""
        return {
            'dataset': dataset,
            'batch_size': self.batch_size,
            'sampler': order,
            'num_workers': self.num_workers,
            'multiprocessing_context': dataset.worker_context if self.num_workers else None,
            'collate_fn': self.collate_fn,
            'pin_memory': self.pin_memory,
            'persistent_workers': self.num_workers > 0,
        }


def scale_settings(scale: Reflectance | Backscatter) -> dict[str, Any]:
    """Settings of what makes physical numbers of stored ones, as plain types.

    Args:
        scale: The module.
    """
    names = ('unit', 'offset', 'scaling', 'speckle_filter')
    return {name: getattr(scale, name) for name in names if hasattr(scale, name)}


def _hash(locations: Locations) -> str:
    """Count of locations, and beginning of a hash of their names, dates and numbers."""
    total = hashlib.sha256()
    for start in range(0, len(locations), _BLOCK):
        block = locations.names.slice(start, _BLOCK).to_pylist()
        total.update('\0'.join([*block, '']).encode())
    first = locations.listing.first
    dated = np.zeros(first[-1] + 1, np.int64)
    # Each scene counts if its location is one of them.
    np.add.at(dated, first[locations.chosen], 1)
    np.add.at(dated, first[locations.chosen + 1], -1)
    days = np.asarray(locations.listing.days)[dated.cumsum()[:-1] > 0]
    for part in (locations.counts, locations.numbers, days):
        total.update(np.ascontiguousarray(part, np.int64).tobytes())
    return f'{len(locations)} ({total.hexdigest()[:12]})'


def _by_hash(names: pa.StringArray) -> np.ndarray:
    """Positions of names by what locations are split by: a hash, then the name.

    Args:
        names: Names in alphabetical order, (locations,).
    """
    hashes = np.empty(len(names), np.uint32)
    for start in range(0, len(names), _BLOCK):
        block = names.slice(start, _BLOCK).to_pylist()
        hashes[start : start + _BLOCK] = [zlib.crc32(name.encode()) for name in block]
    return np.argsort(hashes, kind='stable')


def _spread(dataset: SeasonalArchive, dates_per_location: int) -> list[EpochIndex]:
    """Items with evenly spread dates of every location."""
    order = []
    start = 0
    for count in dataset.locations.counts.tolist():
        taken = min(dates_per_location, count)
        order += [EpochIndex(start + (2 * i + 1) * count // (2 * taken), 0) for i in range(taken)]
        start += count
    return order
