# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Windows of the months of DynamicEarthNet."""

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torchgeo.datasets import DatasetNotFoundError
from torchgeo.datasets.utils import Path, Sample

from ..bands import PLANETSCOPE, band_index
from ..io.raster import BandFileError, read_bands, read_size
from .pixels import IGNORED, LabelledPixels
from .scenes import listed_scenes
from .tiles import require_steps, tiles

_SPLITS = ('train', 'val', 'test')

#: Folder of the lists of the splits.
LISTS = 'dynnet_training_splits'

#: Classes that are scored; the labels have one band for each, and a last one for snow and ice.
CLASSES = (
    'impervious surface',
    'agriculture',
    'forest and other vegetation',
    'wetlands',
    'soil',
    'water',
)

_BANDS = tuple(PLANETSCOPE.bands)

# Snow and ice come last; it is not scored.
_NUMBERS = np.array([*range(len(CLASSES)), IGNORED])

# Stored number of the class of a pixel.
_SET = 255

_IMAGES = (np.dtype(np.uint16), np.dtype(np.int16))

_LINE = (
    r'/(?:planet|reprocess-cropped/UTM-24000)/(?P<tile>\w+/[\w-]+)/(?P<area>\w+)/PF-SR'
    r' /(?P<scene>labels/[\w/-]+\.tif) (?P<month>\d{4}-(?:0[1-9]|1[0-2]))'
)
_FORM = (
    "'/planet/<zone>/<tile>/<area>/PF-SR /labels/<folders>/<file>.tif <yyyy-mm>', as the published "
    'lists have it'
)


class LabelledMonth(NamedTuple):
    """Files of one month of an area."""

    #: Name of the area.
    area: str

    #: First day of the month, such as 20180101.
    date: int

    #: Image of that day.
    image: str

    #: Classes of the month.
    labels: str


class DynamicEarthNetWindows(LabelledPixels):
    """Windows of the labelled months of DynamicEarthNet, as stored.

    An image is that of the first day of a month, and has the classes of that month; other days and
    Sentinel-1 and -2 are not read.

    Dataset features:

    * 75 areas, 24 months each: Planet Fusion, 1024 x 1024 px at 3 m; blue, green, red, near
      infrared, reflectance x 10000
    * 6 classes of land cover; -1 for snow and ice, which the authors do not score, for pixels
      without a class, and where every band is 0 or nodata
    * official splits by area: 55, 10 and 10, of which the published training list lacks two,
      1417_3281_13 and 2235_3403_13

    Files, as the authors' code, lists and issues show them:

    * ``planet/<zone>/<tile>/<area>/PF-SR/<yyyy-mm-dd>.tif``, four bands
    * ``labels/<area>_<zone>/Labels/Raster/<name>/<name>-<yyyy_mm_dd>.tif``, seven bands of 0 or
      255, one a class
    * ``dynnet_training_splits/{train,val,test}.txt``, lines of folder, labels and month; the
      folder starts with ``/reprocess-cropped/UTM-24000/`` in place of ``/planet/``

    The type of the images is not documented; those of 16 bits are read.

    If you use this dataset in your research, please cite:

    * https://arxiv.org/abs/2203.12560
    """

    classes = CLASSES
    # Palette of the authors, https://github.com/aysim/dynnet
    colors = ((96, 96, 96), (204, 204, 0), (0, 204, 0), (0, 0, 153), (153, 76, 0), (0, 128, 255))

    def __init__(
        self,
        root: Path = 'data',
        split: str = 'train',
        size: int = 256,
        stride: int | None = None,
        bands: Sequence[str] = _BANDS,
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        """Initialize a new DynamicEarthNetWindows instance.

        Args:
            root: Folder that holds ``planet``, ``labels`` and ``dynnet_training_splits``.
            split: One of 'train', 'val', or 'test'.
            size: Side of a window, in pixels.
            stride: Pixels from one training window to the next, or None for *size*. Closer
                windows overlap. Those of other splits always stand side by side.
            bands: Bands to read, in any spelling.
            transforms: Transform of a sample.

        Raises:
            DatasetNotFoundError: If the list of the split is missing.
            ValueError: If an argument is out of range, the list is not as published, or an image
                or its labels are missing or differ in size.
        """
        super().__init__(root, bands, 'planetscope', transforms)
        self._channels = band_index(_BANDS, self.bands)
        if split not in _SPLITS:
            raise ValueError(f'split must be one of {", ".join(_SPLITS)}, got {split!r}')
        require_steps(size, stride)
        self.split = split
        self.size = size
        if not os.path.isfile(split_list(root, split)):
            raise DatasetNotFoundError(self)
        #: Months of the split, in the order of its list.
        self.months = _listed_months(root, split)
        #: Names of the areas; ``location`` counts them.
        self.areas = list(dict.fromkeys(month.area for month in self.months))
        self._windows = [
            (number, window)
            for number, month in enumerate(self.months)
            for window in tiles(
                _image_size(month), size, month.image, stride if split == 'train' else None
            )
        ]

    def __len__(self) -> int:
        """Number of windows."""
        return len(self._windows)

    def read_sample(self, position: int) -> Sample:
        """Image and classes of one window.

        Args:
            position: Position in the data set, month by month as listed, row by row.

        Returns:
            ``image`` (C, size, size), as stored; ``mask`` (size, size), -1 where no class is
            scored or an earlier window holds the pixel; ``location``, the number of the area;
            ``date``, such as 20180101; ``row`` and ``column`` of the upper left pixel. All but
            the image are int64.

        Raises:
            BandFileError: If a file cannot be read or is not as published.
        """
        number, window = self._windows[position]
        month = self.months[number]
        image = read_bands(month.image, len(_BANDS), max_nodata=1, window=window.window)
        if image.dtype not in _IMAGES:
            raise BandFileError(
                f'{month.image} holds {image.dtype} where 16-bit integers are expected; fetch it '
                'again, or store reflectance x 10000 as uint16'
            )
        mask = _read_classes(month.labels, window.window)
        mask[(image == 0).all(0)] = IGNORED
        return {
            'image': torch.from_numpy(image[self._channels]),
            'mask': window.ignore_seen(torch.from_numpy(mask)),
            'location': torch.tensor(self.areas.index(month.area)),
            'date': torch.tensor(month.date),
            'row': torch.tensor(window.row),
            'column': torch.tensor(window.column),
        }

    def panels(self, sample: Sample, image: Tensor) -> dict[str, Tensor]:
        """The image, under its month."""
        date = int(sample['date'])
        return {f'{date // 10000}-{date // 100 % 100:02d}': image}


def split_list(root: Path, split: str) -> str:
    """Path of the list of a split.

    Args:
        root: Folder of the data set.
        split: One of 'train', 'val', or 'test'.

    Returns:
        The path, whether or not the file is there.
    """
    return os.path.join(root, LISTS, f'{split}.txt')


def _listed_months(root: Path, split: str) -> list[LabelledMonth]:
    """Months of a split, in the order of its list."""
    return [
        LabelledMonth(
            match['area'],
            int(f'{match["month"].replace("-", "")}01'),
            os.path.join(
                root, 'planet', match['tile'], match['area'], 'PF-SR', f'{match["month"]}-01.tif'
            ),
            os.path.join(root, match['scene']),
        )
        for match in listed_scenes(split_list(root, split), _LINE, _FORM)
    ]


def _image_size(month: LabelledMonth) -> tuple[int, int]:
    """Height and width of a month, if its labels are there and fit."""
    if not os.path.isfile(month.labels):
        raise BandFileError(
            f'{month.labels} is missing, the labels of {month.image}; fetch those of the training '
            'areas from https://mediatum.ub.tum.de/1650201 and the others from '
            'https://mediatum.ub.tum.de/1738088, or take the line out of the list'
        )
    shape = read_size(month.image, len(_BANDS))
    labels = read_size(month.labels, len(_NUMBERS))
    if labels != shape:
        raise BandFileError(
            f'{month.labels} is {labels[1]} x {labels[0]} px, its image {month.image} is '
            f'{shape[1]} x {shape[0]} px; fetch both again'
        )
    return shape


def _read_classes(path: str, window: tuple[int, int, int, int]) -> np.ndarray:
    """Class of each pixel of a window, int64."""
    stored = read_bands(path, len(_NUMBERS), window=window)
    if stored.dtype != np.uint8:
        raise BandFileError(f'{path} holds {stored.dtype} where uint8 is expected; fetch it again')
    chosen = stored == _SET
    wrong = np.unique(stored[(stored != 0) & ~chosen])
    if len(wrong):
        raise BandFileError(
            f'{path} holds {", ".join(map(str, wrong[:5]))} where 0 and {_SET} are expected; fetch '
            'it again'
        )
    count = chosen.sum(0)
    twice = np.argwhere(count > 1)
    if len(twice):
        row, column = (int(number) for number in twice[0])
        names = [
            (*CLASSES, 'snow and ice')[band] for band in np.flatnonzero(chosen[:, row, column])
        ]
        raise BandFileError(
            f'{path} has {" and ".join(names)} at row {window[0] + row}, column '
            f'{window[1] + column}; set one class a pixel'
        )
    return np.where(count, _NUMBERS[chosen.argmax(0)], IGNORED)
