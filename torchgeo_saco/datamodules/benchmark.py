# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Base class of the datamodules of downstream benchmarks."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal
from weakref import ref

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchgeo.datamodules import NonGeoDataModule
from torchgeo.datasets import NonGeoDataset
from torchgeo.datasets.utils import Path, Sample

from ..bands import band_names
from ..datasets import pixels
from ..datasets.features import Features, collate_features
from ..runtime.checks import check_choice, check_range
from ..runtime.seeding import run_seed, torch_seeded
from ..samplers.loader import ResumableLoader, evaluation_share
from ..samplers.order import EpochOrder, EpochShare
from ..synthesis import generate_sample_benchmark
from ..transforms import Reflectance

Split = Literal['train', 'val', 'test']

#: Parts of every benchmark.
SPLITS: tuple[Split, ...] = ('train', 'val', 'test')

#: Value of pixels without a class, in every mask that a dataset of ours yields.
IGNORED = pixels.IGNORED


class BenchmarkDataModule(NonGeoDataModule):
    """Base class of the datamodules of downstream benchmarks.

    Splits are those that the benchmark publishes. Images stay stored integers until they are on
    the device, where they become reflectance; randomness is a function of seed and epoch. A
    benchmark derives from it, names its sample, sensor and bands, and makes its datasets.
    """

    #: Name of the sample tree, see :func:`~torchgeo_saco.synthesis.generate_sample_benchmark`.
    sample: ClassVar[str]

    #: Class names, in the order of the labels.
    classes: Sequence[str]

    #: Sensor of the bands, by name.
    sensor: str

    #: Bands that are read unless others are asked for.
    all_bands: ClassVar[Sequence[str]]

    #: Digital number of reflectance 1, or None to take it from the type of the files.
    unit: ClassVar[float | None] = 10000

    def __init__(
        self,
        root: Path = 'data',
        archive: Literal['official', 'sample'] = 'official',
        download: bool = False,
        checksum: bool = True,
        bands: Sequence[str] | None = None,
        augment: bool = False,
        batch_size: int = 64,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        """Initialize a new BenchmarkDataModule instance.

        Args:
            root: Root directory of the data set.
            archive: The published data set, or the synthetic sample in its layout.
            download: Download or generate the data where they are absent.
            checksum: Verify the checksums of downloads.
            bands: Bands to read, in any spelling, or None for all.
            augment: Flip and rotate the training images by quarters, at random.
            batch_size: Size of each mini-batch.
            num_workers: Number of workers for parallel data loading.
            pin_memory: Copy batches to page-locked memory, for faster transfer to a GPU.

        Raises:
            ValueError: If an argument is out of range, or a band is unknown.
        """
        # make_dataset takes the part of the dataset class.
        super().__init__(NonGeoDataset, batch_size, num_workers)  # type: ignore[type-abstract]
        check_range('batch_size', batch_size, 'int [1, inf)')
        check_range('num_workers', num_workers, 'int [0, inf)')
        self.root = root
        self.archive = check_choice('archive', archive, ('official', 'sample'))
        self.download = download
        self.checksum = checksum
        #: Names of the channels.
        self.bands = band_names(self.all_bands if bands is None else bands, self.sensor)
        self.augment = augment
        self.pin_memory = pin_memory
        self.reflectance = Reflectance(self.unit)
        #: What makes physical numbers of the stored ones of each image of a batch.
        self.scales: dict[str, Callable[[Tensor], Tensor]] = {'image': self.reflectance}
        self.train_dataset: Dataset[Sample] | None = None
        self.val_dataset: Dataset[Sample] | None = None
        self.test_dataset: Dataset[Sample] | None = None
        #: Features that are loaded in place of the images of a split.
        self.features: dict[Split, Features] = {}
        self._owner: ref[Any] | None = None

    @abstractmethod
    def make_dataset(self, split: Split) -> NonGeoDataset:
        """Dataset of one split, from files that are there."""

    @abstractmethod
    def obtain(self) -> None:
        """Download the published data where they are absent."""

    def prepare_data(self) -> None:
        """Generate or download the data."""
        if self.download and self.archive == 'sample':
            generate_sample_benchmark(self.sample, self.root)
        elif self.download:
            self.obtain()

    def setup(self, stage: str) -> None:
        """Make the datasets of a stage.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            DatasetNotFoundError: If the data are missing.
            ValueError: If a split is empty, or the data are not as published.
        """
        stages: dict[str, tuple[Split, ...]] = {'fit': ('train', 'val'), 'validate': ('val',)}
        for split in stages.get(stage, ('test',)):
            if getattr(self, f'{split}_dataset') is None:
                dataset = self.make_dataset(split)
                if not len(dataset):
                    raise ValueError(f'{self.root} has no image in split {split!r}')
                setattr(self, f'{split}_dataset', dataset)

    def cache_features(self, split: Split, features: Features, owner: object) -> None:
        """Load features in place of the images of a split.

        Args:
            split: One of 'train', 'val', or 'test'.
            features: Features of all of its images, in their order.
            owner: What computed them.
        """
        self.discard_other_features(owner)
        self._owner = ref(owner)
        self.features[split] = features

    def discard_other_features(self, owner: object) -> None:
        """Discard the features of any other owner.

        Args:
            owner: What computes features of its own.
        """
        if self._owner is not None and self._owner() is not owner:
            self.features.clear()

    def ordered_dataloader(self, split: Split) -> DataLoader[Sample]:
        """Loader of every image of a split once, in the order of the dataset.

        Args:
            split: One of 'train', 'val', or 'test'; its stage must be set up.

        Returns:
            The loader.
        """
        return self._loader(split)

    def training_order(self, size: int) -> EpochShare[Any]:
        """Order of the training images; of a data set that draws at random, with the epoch.

        Args:
            size: Number of images.
        """
        return EpochOrder(size)

    def on_after_batch_transfer(self, batch: Sample, dataloader_idx: int) -> Sample:
        """Reflectance from stored numbers, and turned images in training, on the device.

        Args:
            batch: A batch with stored numbers under ``image``, or with features already.
            dataloader_idx: The index of the dataloader.

        Returns:
            The batch with reflectance, float32; of other modalities, what :attr:`scales` says.
        """
        images = {key: scale(batch[key]) for key, scale in self.scales.items() if key in batch}
        if not images:
            return batch
        batch = {**batch, **images}
        if self.augment and self.trainer is not None and self.trainer.training:
            # Batches counted so far; this one is counted after its transfer.
            step = self.trainer.fit_loop.total_batch_idx + 1
            with torch_seeded(run_seed(), step, self.trainer.global_rank):
                symmetries = torch.randint(8, (len(next(iter(images.values()))),))
            for key in (*images, 'mask'):
                if key in batch:
                    batch[key] = apply_symmetry(batch[key], symmetries)
        return batch

    @property
    def identity(self) -> dict[str, Any]:
        """What a training that goes on must find again, as plain types; known after setup."""
        return {
            'archive': self.archive,
            'bands': list(self.bands),
            'classes': list(self.classes),
            'augment': self.augment,
        }

    def plot(self, *args: Any, **kwargs: Any) -> Figure | None:
        """See the ``plot`` method of the dataset."""
        for split in ('val', 'test', 'train'):
            dataset = getattr(self, f'{split}_dataset')
            if hasattr(dataset, 'plot'):
                return dataset.plot(*args, **kwargs)
        return None

    def _dataloader_factory(self, split: Any) -> DataLoader[Sample]:
        """Loader of a split, in seeded order for training; of the test split for prediction."""
        if split == 'predict':
            return self._loader('test')
        dataset = self._valid_attribute(f'{split}_dataset')
        if split != 'train':
            return self._loader(split, **evaluation_share(len(dataset), self.batch_size))
        order = self.training_order(len(dataset))
        # Of a data set smaller than a batch, the only batch is kept.
        drop_last = len(order) >= self.batch_size
        options = self._loading('train') | {'sampler': order, 'drop_last': drop_last}
        return ResumableLoader(trainer=lambda: self.trainer, **options)

    def _loader(self, split: Split, **options: Any) -> DataLoader[Sample]:
        """Loader of a split in its order, or as the options say."""
        return DataLoader(**(self._loading(split) | options))

    def _loading(self, split: Split) -> dict[str, Any]:
        """Arguments of all loaders."""
        features = self.features.get(split)
        # Features are in memory, so workers would only copy them.
        workers = 0 if features else self.num_workers
        return {
            'dataset': features or self._valid_attribute(f'{split}_dataset'),
            'batch_size': self.batch_size,
            'num_workers': workers,
            'collate_fn': collate_features if features else self.collate_fn,
            'pin_memory': self.pin_memory,
            'persistent_workers': workers > 0,
        }


def apply_symmetry(images: Tensor, symmetries: Tensor) -> Tensor:
    """Each image under one of the eight symmetries of the square.

    Args:
        images: Images or masks, (B, ..., H, W); H and W must be equal.
        symmetries: Number of the symmetry of each, 0 to 7: quarter turns, and 4 for a flip.

    Returns:
        The images, same shape.

    Example:
        >>> apply_symmetry(torch.tensor([[[1, 2], [3, 4]]]), torch.tensor([1]))
        tensor([[[2, 4],
                 [1, 3]]])
    """
    return torch.stack(
        [
            torch.rot90(image.flip(-1) if number >= 4 else image, number % 4, (-2, -1))
            for image, number in zip(images, symmetries.tolist(), strict=True)
        ]
    )
