# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""PASTIS by its official folds, with bands by name and dates."""

import json
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import default_collate
from torchgeo.datasets import PASTIS, DatasetNotFoundError
from torchgeo.datasets.utils import Path, Sample

from ..bands import band_index
from ..io.raster import BandFileError, open_array
from ..plots import PALETTE
from ..runtime.checks import check_range
from .pixels import LabelledPixels

#: Official folds, https://github.com/VSainteuf/pastis-benchmark
FOLDS = (1, 2, 3, 4, 5)

#: File that lists the patches.
METADATA = 'metadata.geojson'

_SIDE = 128


class _PatchSeries(NamedTuple):
    """One patch, as the metadata list it."""

    #: Its number, ``ID_PATCH``.
    number: int

    #: Its fold.
    fold: int

    #: Days of its images as the metadata give them; they are parsed when it is read.
    dates: Any


class PASTISFolds(LabelledPixels):
    """Sentinel-2 series of PASTIS with bands by name and dates, as stored.

    Reads the tree of :class:`torchgeo.datasets.PASTIS`, in the same order, and of the series
    only the dates and bands asked for. Radar need not be there.

    Dataset features:

    * 2,433 series of Sentinel-2 L2A, 128 x 128 px at 10 m, 10 bands, 38 to 61 dates
    * class of every pixel: 18 crops, background (0), and void (19) for parcels cut by the border
    * 5 official folds, apart from each other on the ground

    If you use this dataset in your research, please cite:

    * https://doi.org/10.1109/ICCV48922.2021.00483
    * https://doi.org/10.1016/j.isprsjprs.2022.03.012
    """

    classes = PASTIS.classes
    # TorchGeo's colours hold three greys, which a legend does not tell apart.
    colors = ('#000000', *PALETTE[: len(PASTIS.classes) - 2], '#ffffff')

    def __init__(
        self,
        root: Path = 'data',
        folds: Sequence[int] = FOLDS,
        bands: Sequence[str] = PASTIS.s2_bands,
        dates: int | None = None,
        time_axis: bool = True,
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        """Initialize a new PASTISFolds instance.

        Args:
            root: Folder that holds the data set.
            folds: Folds to read, of 1 to 5.
            bands: Bands to read, in any spelling.
            dates: How many dates to read, spread evenly over the series and always the same;
                all of a series that has fewer. None for all of every series.
            time_axis: Whether images have an axis of dates. Without it, an image is the mean of
                the dates that are read, (C, H, W).
            transforms: Transform of a sample.

        Raises:
            DatasetNotFoundError: If the metadata are missing.
            ValueError: If an argument is out of range, a fold has no patch, or the metadata are
                not as published.
        """
        super().__init__(root, bands, 'sentinel2_l2a', transforms)
        self._channels = band_index(PASTIS.s2_bands, self.bands)
        self.folds = known_folds(folds)
        self.dates = check_range('dates', dates, 'int [1, inf) or None')
        self.time_axis = time_axis
        self.folder = os.path.join(root, PASTIS.directory)
        #: Path of the list of patches.
        self.metadata = os.path.join(self.folder, METADATA)
        if not os.path.isfile(self.metadata):
            raise DatasetNotFoundError(self)
        self._patches = self._listed_patches()

    def __len__(self) -> int:
        """Number of patches."""
        return len(self._patches)

    def read_sample(self, position: int) -> Sample:
        """Series and classes of one patch.

        Args:
            position: Position in the metadata, other folds skipped.

        Returns:
            ``image`` (T, C, 128, 128), int16, or without *time_axis* the mean over T, float32;
            ``mask`` (128, 128), 0 to 19; ``date`` (T), such
            as 20181231; ``length``, T; ``location``, the ``ID_PATCH``. All but the image are
            int64.

        Raises:
            ValueError: If a file is missing, damaged or not as published, or the metadata lack
                the dates.
        """
        patch = self._patches[position]
        series = self._series(patch)
        days = self._days(patch, len(series))
        chosen = evenly_spread(len(series), self.dates)
        image = np.ascontiguousarray(series[np.ix_(chosen, self._channels)])
        pixels = torch.from_numpy(image)
        return {
            'image': pixels if self.time_axis else pixels.float().mean(0),
            'mask': torch.from_numpy(self._classes(patch)).long(),
            'date': torch.tensor([days[number] for number in chosen]),
            'length': torch.tensor(len(chosen)),
            'location': torch.tensor(patch.number),
        }

    def panels(self, sample: Sample, image: Tensor) -> dict[str, Tensor]:
        """First, middle and last date."""
        if image.ndim == 3:
            return {'mean of the dates': image}
        count = int(sample['length'])
        days = sample['date'].tolist()
        return {
            f'{days[i] // 10000}-{days[i] // 100 % 100:02d}-{days[i] % 100:02d}': image[i]
            for i in sorted({0, count // 2, count - 1})
        }

    def _path(self, kind: str, patch: _PatchSeries) -> str:
        """File of a patch."""
        return os.path.join(self.folder, f'{PASTIS.prefix[kind]}{patch.number}.npy')

    def _series(self, patch: _PatchSeries) -> np.ndarray:
        """The whole series, on disk."""
        path = self._path('s2', patch)
        series = open_array(path)
        wanted = (len(PASTIS.s2_bands), _SIDE, _SIDE)
        if series.ndim != 4 or series.shape[1:] != wanted or not len(series):
            raise BandFileError(
                f'{path} has shape {series.shape} where (dates, {", ".join(map(str, wanted))}) is '
                'expected; fetch it again'
            )
        if series.dtype != np.int16:
            raise BandFileError(
                f'{path} holds {series.dtype} where int16 is expected; fetch it again, or store '
                'reflectance x 10000 as int16'
            )
        return series

    def _classes(self, patch: _PatchSeries) -> np.ndarray:
        """Class of every pixel."""
        path = self._path('semantic', patch)
        target = open_array(path)
        if target.ndim != 3 or target.shape[1:] != (_SIDE, _SIDE) or not len(target):
            raise BandFileError(
                f'{path} has shape {target.shape}, which does not fit the {_SIDE} x {_SIDE} px of '
                f'{self._path("s2", patch)}; fetch both again'
            )
        if target.dtype.kind not in 'iu':
            raise BandFileError(f'{path} holds {target.dtype}; store classes as integers')
        # The other two channels count parcels, which TorchGeo leaves out as well.
        mask = np.array(target[0], np.int64)
        unknown = np.unique(mask[(mask < 0) | (mask >= len(self.classes))])
        if len(unknown):
            raise BandFileError(
                f'{path} holds class {", ".join(map(str, unknown[:5]))}, where classes are 0 to '
                f'{len(self.classes) - 1}; fetch it again'
            )
        return mask

    def _days(self, patch: _PatchSeries, count: int) -> list[int]:
        """Days of the images of a patch."""
        dates = patch.dates
        try:
            dates = json.loads(dates) if isinstance(dates, str) else dates
            days = [day for _, day in sorted((int(rank), int(day)) for rank, day in dates.items())]
            for day in days:
                datetime.strptime(str(day), '%Y%m%d')
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f'{self.metadata}: patch {patch.number} has no dates-S2 such as '
                f'{{"0": 20180917, ...}} ({error}); fetch the file again'
            ) from error
        if len(days) != count:
            raise ValueError(
                f'{self.metadata}: patch {patch.number} has {len(days)} dates-S2, its file '
                f'{self._path("s2", patch)} {count} images; fetch both again'
            )
        return days

    def _listed_patches(self) -> list[_PatchSeries]:
        """Patches of the folds, in the order of the metadata."""
        patches: dict[int, _PatchSeries] = {}
        for number, properties in enumerate(self._properties()):
            try:
                patch = _PatchSeries(
                    int(properties['ID_PATCH']), int(properties['Fold']), properties.get('dates-S2')
                )
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise ValueError(
                    f'{self.metadata}: entry {number} has no ID_PATCH or Fold ({error!r}); fetch '
                    'the file again'
                ) from error
            if patch.number in patches:
                raise ValueError(f'{self.metadata} lists patch {patch.number} twice; remove one')
            patches[patch.number] = patch
        empty = set(self.folds) - {patch.fold for patch in patches.values()}
        if empty:
            raise ValueError(
                f'{self.metadata} has no patch of fold {", ".join(map(str, sorted(empty)))}; fetch '
                'the file again, or leave the fold out'
            )
        return [patch for patch in patches.values() if patch.fold in self.folds]

    def _properties(self) -> list[dict[str, Any]]:
        """Read the metadata of each patch."""
        try:
            with open(self.metadata, encoding='utf-8') as file:
                return [feature['properties'] for feature in json.load(file)['features']]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{self.metadata} is no list of patches in GeoJSON ({error!r}); fetch it again'
            ) from error


def known_folds(folds: Sequence[int]) -> tuple[int, ...]:
    """Folds, if there are such.

    Args:
        folds: Numbers of folds.

    Returns:
        The same.

    Raises:
        ValueError: If there is none, one is no fold, or one is named twice.
    """
    if isinstance(folds, str | int) or not folds or not set(folds) <= set(FOLDS):
        raise ValueError(
            f'folds must be a list of some of {", ".join(map(str, FOLDS))}, got {folds!r}'
        )
    if len(set(folds)) < len(folds):
        raise ValueError(f'a fold is listed twice in {list(folds)}; remove one')
    return tuple(folds)


def evenly_spread(count: int, wanted: int | None) -> list[int]:
    """Positions spread evenly over a series, the same at every call.

    Args:
        count: Length of the series.
        wanted: How many; all if the series has fewer, or None for all.

    Returns:
        The middle of each of *wanted* equal parts.

    Example:
        >>> evenly_spread(10, 3), evenly_spread(10, 1), evenly_spread(2, 3)
        ([1, 5, 8], [5], [0, 1])
    """
    taken = count if wanted is None else min(wanted, count)
    return [(2 * part + 1) * count // (2 * taken) for part in range(taken)]


def pad_dates(samples: Sequence[Sample]) -> Sample:
    """A batch of series, padded with zeros to the longest of them.

    Args:
        samples: Samples of :class:`PASTISFolds`.

    Returns:
        The batch: ``image`` (B, T, C, H, W) and ``date`` (B, T) are zero from ``length`` on;
        images without an axis of dates stay (B, C, H, W).
    """
    return {
        key: pad_sequence([sample[key] for sample in samples], batch_first=True)
        # An image without an axis of dates is as large as the others.
        if key == 'date' or (key == 'image' and samples[0][key].ndim == 4)
        else default_collate([sample[key] for sample in samples])
        for key in samples[0]
    }
