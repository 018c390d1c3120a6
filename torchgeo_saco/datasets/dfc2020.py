# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Data Fusion Contest 2020: classes of patches that Sentinel-1 and Sentinel-2 see."""

import copy
import os
import re
import zlib
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor
from torchgeo.datasets import DatasetNotFoundError, RGBBandsMissingError
from torchgeo.datasets.utils import Path, Sample, quantile_normalization

from ..archives.layout import list_tifs
from ..archives.readers import centred
from ..bands import SENTINEL1, SENTINEL2_L1C, band_index, natural_color
from ..io.raster import BandFileError, read_bands, read_mask, read_size
from ..runtime.checks import check_choice, check_range
from ..runtime.seeding import mixed_seed, run_seed
from ..samplers.order import EpochIndex
from ..synthesis.landcover import SIMPLIFIED_IGBP
from ..transforms.backscatter import require_decibel
from .scenes import LabelledScenes, require_uint16

Modality = Literal['s1', 's2']
LabelKind = Literal['multiclass', 'multilabel']

#: Bands of the files of each modality, in their order.
MODALITY_BANDS = {'s1': tuple(SENTINEL1.bands), 's2': tuple(SENTINEL2_L1C.bands)}

# Published part that each split is of.
_PARTS = {'train': 'validation', 'val': 'validation', 'test': 'test'}

# Savanna is hardly told from its neighbours, and there is no snow.
_KEPT = [
    number for number, name in enumerate(SIMPLIFIED_IGBP, 1) if name not in ('Savanna', 'Snow/Ice')
]

# What a map of classes may hold: 0 and 255 are no data.
_NUMBERS = (*range(len(SIMPLIFIED_IGBP) + 1), 255)

# A class of which a patch has this share is one of its labels: one tenth.
_SHARE = 10


class DFC2020(LabelledScenes):
    """Patches of DFC2020 with one or several classes each, of Sentinel-1 and Sentinel-2.

    Reads both published layouts, with folders such as ``ROIs0000_validation/s1_0`` or
    ``s1_validation``. :class:`torchgeo.datasets.CopernicusBenchDFC2020S1` and its S2 are of another
    data set: Copernicus-Bench has chosen patches, keeps them in a layout of its own, gives one
    modality at a time, and the class of every pixel.

    Dataset features:

    * Sentinel-1, VV and VH in dB, and Sentinel-2 L1C, 13 bands; 256 x 256 px at 10 m
    * 8 classes of the simplified scheme of IGBP; Savanna and Snow/Ice do not count
    * 986 patches published for validation, from which both ``train`` and ``val`` are, and 5128
      for test

    One label is the most frequent class of the patch; several are all classes that fill a tenth of
    it. They are of the whole patch, also where a window is read.

    If you use this dataset in your research, please cite:

    * https://doi.org/10.21227/rha7-m332
    """

    classes = tuple(SIMPLIFIED_IGBP[number - 1] for number in _KEPT)

    def __init__(
        self,
        root: Path = 'data',
        split: str = 'train',
        bands: Sequence[str] = MODALITY_BANDS['s2'],
        modalities: Sequence[Modality] = ('s1', 's2'),
        task: LabelKind = 'multiclass',
        size: int | None = None,
        val_fraction: float = 0.1,
        allow_nan: bool = False,
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        """Initialize a new DFC2020 instance.

        Args:
            root: Folder that holds the data set.
            split: One of 'train', 'val', or 'test'.
            bands: Bands of Sentinel-2 to read, in any spelling.
            modalities: What to read: 's1', 's2' or both. Samples lack the others.
            task: One of 'multiclass' or 'multilabel'.
            size: Side of the window to read, in pixels, or None for the whole patch.
            val_fraction: Share of the patches published for validation that is ``val``, chosen by a
                hash of their names; the others are ``train``.
            allow_nan: Whether Sentinel-1 may be NaN, as beyond the border of a swath.
            transforms: Transform of a sample.

        Raises:
            DatasetNotFoundError: If no folder of the split is there.
            ValueError: If an argument is out of range, a band is unknown, a patch lacks a file, or
                a map of classes is not as published.
        """
        super().__init__(root, split, tuple(_PARTS), bands, 'sentinel2_l1c', transforms)
        if not modalities or len(set(modalities)) < len(modalities):
            raise ValueError(f"modalities must be of 's1' and 's2', each once, got {modalities!r}")
        for modality in modalities:
            check_choice('modalities', modality, get_args(Modality))
        check_range('val_fraction', val_fraction, '(0, 1)')
        self.modalities = tuple(modalities)
        self.task = check_choice('task', task, get_args(LabelKind))
        self.size = check_range('size', size, 'int [1, inf) or None')
        self.allow_nan = allow_nan
        self._channels = band_index(MODALITY_BANDS['s2'], self.bands)
        part = _PARTS[split]
        if not holds_part(root, part):
            raise DatasetNotFoundError(self)
        self._paths = _list_patches(root, part, ('dfc', *self.modalities))
        #: Patches that are left out, with the reason.
        self.skipped: list[str] = []
        names = list(self._paths)
        if part == 'validation':
            held_out = _held_out(names, val_fraction)
            names = [name for name in names if (name in held_out) == (split == 'val')]
        #: Class of each patch, (patches,), or 0 or 1 for each class, (patches, classes); int64.
        self.labels = self._read_labels(names)

    @property
    def absent_classes(self) -> list[str]:
        """Names of the classes that the split has no patch of."""
        count = len(self.classes)
        if self.task == 'multilabel':
            present = self.labels.any(0)
        else:
            present = np.bincount(self.labels, minlength=count) > 0
        return [name for name, found in zip(self.classes, present, strict=True) if not found]

    def part(self, positions: np.ndarray) -> 'DFC2020':
        """The same data set with the patches at some positions only.

        Args:
            positions: Positions in the list of the split; one that occurs twice is there twice.

        Returns:
            The data set.
        """
        part = copy.copy(self)
        part.scenes = [self.scenes[position] for position in positions]
        part.labels = self.labels[positions]
        return part

    def __getitem__(self, index: int | EpochIndex) -> Sample:
        """Stored numbers and label of one patch.

        Args:
            index: Position in the list of the split, for the centred window; or with the epoch, for
                a window at random that depends on seed, epoch and position.

        Returns:
            ``image`` (C, H, W) of Sentinel-2 and ``s1`` (2, H, W), VV and VH, as stored, as far as
            they are asked for; ``label``, int64: the class, or (number of classes) with 1 for each
            class of the patch.

        Raises:
            IndexError: If *index* is out of range.
            ValueError: If a file is missing, damaged, or not as published; the message names it.
        """
        position, epoch = index if isinstance(index, tuple) else (index, None)
        if not -len(self) <= position < len(self):
            raise IndexError(f'item {position} of split {self.split!r} with {len(self)} images')
        position %= len(self)
        images: dict[str, np.ndarray] = {}
        if 's2' in self.modalities:
            images['image'] = self.read_image(position)
        if 's1' in self.modalities:
            images['s1'] = self.read_backscatter(position)
        window = self._window(position, epoch, [image.shape[-2:] for image in images.values()])
        sample: Sample = {
            key: torch.from_numpy(np.ascontiguousarray(image[:, *window]))
            for key, image in images.items()
        }
        sample['label'] = self.read_label(position)
        return sample if self.transforms is None else self.transforms(sample)

    def read_image(self, position: int) -> np.ndarray:
        """Stored numbers of Sentinel-2 of one patch.

        Args:
            position: Position in the list of the split.

        Returns:
            Array (C, H, W), uint16.

        Raises:
            BandFileError: If the file cannot be read or is not as published.
        """
        path = self._path(position, 's2')
        image = read_bands(path, count=len(MODALITY_BANDS['s2']), channels=self._channels)
        require_uint16(path, image)
        return image

    def read_backscatter(self, position: int) -> np.ndarray:
        """Backscatter of one patch.

        Args:
            position: Position in the list of the split.

        Returns:
            Array (2, H, W), VV and VH, in dB.

        Raises:
            ValueError: If the file cannot be read, or does not hold dB as floats.
        """
        path = self._path(position, 's1')
        image = read_bands(path, count=len(MODALITY_BANDS['s1']), allow_nan=self.allow_nan)
        if image.dtype.kind != 'f':
            raise BandFileError(
                f'{path} holds {image.dtype} where backscatter in dB is expected as float32; fetch '
                'it again, or convert it'
            )
        require_decibel(path, torch.from_numpy(image))
        return image

    def read_label(self, position: int) -> Tensor:
        """Class of one patch, or one 0 or 1 for each class, int64."""
        return torch.tensor(self.labels[position])

    def plot(self, sample: Sample, show_titles: bool = True, suptitle: str | None = None) -> Figure:
        """Plot a sample: Sentinel-2 in natural colour, and VV, VH and VV - VH of Sentinel-1.

        Args:
            sample: A sample returned by :meth:`__getitem__`, and maybe a ``prediction`` in the
                form of its label.
            show_titles: Whether to write the modality above each panel, and the classes.
            suptitle: Title of the figure.

        Returns:
            The figure.

        Raises:
            RGBBandsMissingError: If the bands of natural colour were not read.
        """
        panels: dict[str, Tensor] = {}
        if 'image' in sample:
            channels = natural_color(self.bands, self.sensor)
            if channels is None:
                raise RGBBandsMissingError()
            panels['Sentinel-2'] = sample['image'].float()[channels]
        if 's1' in sample:
            vv, vh = sample['s1'].float()
            panels['Sentinel-1: VV, VH, VV - VH'] = torch.stack([vv, vh, vv - vh])
        figure, axes = plt.subplots(
            ncols=len(panels), squeeze=False, figsize=(4 * len(panels), 4.5), layout='constrained'
        )
        lines = self._titles(sample)
        for axis, (title, panel) in zip(axes[0], panels.items(), strict=True):
            colors = torch.stack([quantile_normalization(band) for band in panel.nan_to_num()])
            axis.imshow(colors.permute(1, 2, 0).numpy())
            axis.axis('off')
            if show_titles:
                axis.set_title('\n'.join([*lines, title]), fontsize='medium')
            lines = []
        if suptitle is not None:
            figure.suptitle(suptitle)
        return figure

    def _read_labels(self, names: Sequence[str]) -> np.ndarray:
        """Labels of the patches that have any, whose names become the scenes."""
        scenes, labels = [], []
        for name in names:
            paths = self._paths[name]
            modality = self.modalities[0]
            shape = read_size(paths[modality], len(MODALITY_BANDS[modality]))
            numbers = read_mask(paths['dfc'], shape, _NUMBERS, paths[modality])
            counts = np.bincount(numbers.ravel(), minlength=len(SIMPLIFIED_IGBP) + 1)[_KEPT]
            if not counts.any():
                self.skipped.append(f'{paths["dfc"]} has no pixel of any class that counts')
                continue
            scenes.append(name)
            several = self.task == 'multilabel'
            labels.append(_SHARE * counts >= numbers.size if several else counts.argmax())
        self.scenes = scenes
        shape_of_all = (-1, len(self.classes)) if self.task == 'multilabel' else (-1,)
        return np.array(labels, np.int64).reshape(shape_of_all)

    def _path(self, position: int, product: str) -> str:
        """File of a patch."""
        return self._paths[self.scenes[position]][product]

    def _window(
        self, position: int, epoch: int | None, shapes: list[tuple[int, int]]
    ) -> tuple[slice, slice]:
        """Rows and columns to read, the same of all modalities."""
        shape = shapes[0]
        if any(other != shape for other in shapes):
            paths = [self._path(position, modality) for modality in ('s2', 's1')]
            (height, width), (rows, columns) = shapes
            raise BandFileError(
                f'{paths[0]} is {width} x {height} px and {paths[1]} {columns} x {rows} px; fetch '
                'both again, or bring them to one size'
            )
        window = centred(shape, self.size)
        if window is None:
            path = self._path(position, self.modalities[0])
            raise BandFileError(
                f'{path} is {shape[1]} x {shape[0]} px, too small for a window of size={self.size}'
            )
        if self.size is None or epoch is None:
            return window
        generator = np.random.default_rng(mixed_seed(run_seed(), epoch, position))
        top, left = (int(generator.integers(side - self.size + 1)) for side in shape)
        return slice(top, top + self.size), slice(left, left + self.size)


def holds_part(root: Path, part: str) -> bool:
    """Whether a folder holds anything of a published part.

    Args:
        root: Folder that holds the data set.
        part: Either 'validation' or 'test'.
    """
    return any(_folder(root, part, product) for product in ('dfc', *MODALITY_BANDS))


def _folder(root: Path, part: str, product: str) -> str | None:
    """Folder of a product of a part, in any of the published layouts."""
    season = os.path.join(root, f'ROIs0000_{part}')
    candidates = (
        os.path.join(season, f'{product}_0'),
        os.path.join(season, f'{product}_{part}'),
        os.path.join(root, f'{product}_{part}'),
    )
    return next((folder for folder in candidates if os.path.isdir(folder)), None)


def _list_patches(root: Path, part: str, products: Sequence[str]) -> dict[str, dict[str, str]]:
    """File of each product of each patch, in the order of their numbers.

    Args:
        root: Folder that holds the data set.
        part: Either 'validation' or 'test'.
        products: What is read: 'dfc', 's1' or 's2'.

    Returns:
        Paths by product, by the name of the patch, such as ``ROIs0000_test_0_p12``.

    Raises:
        ValueError: If a product or a file of it is missing.
    """
    found: dict[str, dict[str, str]] = {}
    order: dict[str, tuple[int, int]] = {}
    for product in products:
        folder = _folder(root, part, product)
        if folder is None:
            raise ValueError(
                f'{root} has no folder ROIs0000_{part}/{product}_0 or {product}_{part}, but others '
                f'of part {part!r}; {_remedy(product)}'
            )
        pattern = re.compile(rf'ROIs0000_{part}_{product}_(\d+)_p(\d+)\.tif', re.ASCII)
        for match in filter(None, map(pattern.fullmatch, list_tifs(folder))):
            name = f'ROIs0000_{part}_{match[1]}_p{match[2]}'
            found.setdefault(name, {})[product] = os.path.join(folder, match[0])
            order[name] = int(match[1]), int(match[2])
    for name, paths in found.items():
        for product in products:
            if product not in paths:
                raise ValueError(
                    f'{root} has no file of {product} for patch {name}, beside '
                    f'{next(iter(paths.values()))}; {_remedy(product)}'
                )
    return {name: found[name] for name in sorted(found, key=order.__getitem__)}


def _remedy(product: str) -> str:
    """What to do where a product is missing."""
    return 'fetch it' + (f', or leave {product} out of modalities' if product != 'dfc' else '')


def _held_out(names: Sequence[str], val_fraction: float) -> set[str]:
    """Names of the patches of ``val``: those of the lowest hashes."""
    by_hash = sorted(names, key=lambda name: (zlib.crc32(name.encode()), name))
    return set(by_hash[: max(1, round(val_fraction * len(names)))])
