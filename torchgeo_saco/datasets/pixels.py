# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Base class of the data sets of labelled pixels."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torchgeo.datasets import NonGeoDataset, RGBBandsMissingError
from torchgeo.datasets.utils import Path, Sample

from ..bands import band_names, known_sensor, natural_color
from ..plots import Color, PredictionRow, plot_predictions

#: Value of pixels without a class, in every mask that a dataset of ours yields.
IGNORED = -1

# Inches of a panel, and of a row of the legend.
_PANEL, _LEGEND_ROW = 3.2, 0.25


class LabelledPixels(NonGeoDataset):
    """Images or series of a benchmark, each with the class of every pixel.

    Bands are read by name and stay the stored integers.
    """

    #: Names of the classes, in the order of their numbers in the masks.
    classes: Sequence[str]

    #: Colours of the classes in figures, or None for distinct ones.
    colors: Sequence[Color] | None = None

    #: Nothing is downloaded here, but by the datamodule; TorchGeo's message on missing data
    #: tells so.
    download = False

    def __init__(
        self,
        root: Path,
        bands: Sequence[str],
        sensor: str,
        transforms: Callable[[Sample], Sample] | None,
    ) -> None:
        """Initialize a new LabelledPixels instance.

        Args:
            root: Folder that holds the data set.
            bands: Bands to read, in any spelling.
            sensor: Sensor of the bands, a key of :data:`torchgeo_saco.bands.SENSORS`.
            transforms: Transform of a sample.

        Raises:
            ValueError: If a band is unknown.
        """
        self.root = root
        self.sensor = known_sensor(sensor)
        #: Names of the channels.
        self.bands = band_names(bands, sensor)
        self.transforms = transforms

    @abstractmethod
    def __len__(self) -> int:
        """Number of samples."""

    @abstractmethod
    def read_sample(self, position: int) -> Sample:
        """One sample: ``image`` as stored, ``mask`` int64, and where it lies."""

    @abstractmethod
    def panels(self, sample: Sample, image: Tensor) -> Mapping[str, Tensor]:
        """Images (3, H, W) to plot of a sample by title, from its natural colour."""

    def __getitem__(self, index: int) -> Sample:
        """One sample.

        Args:
            index: Position in the data set.

        Returns:
            The sample, see :meth:`read_sample`.

        Raises:
            IndexError: If *index* is out of range.
            ValueError: If a file is missing, damaged, or not as published; the message names it.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f'item {index} of a data set with {len(self)} items')
        sample = self.read_sample(index % len(self))
        return sample if self.transforms is None else self.transforms(sample)

    def plot(self, sample: Sample, show_titles: bool = True, suptitle: str | None = None) -> Figure:
        """Plot a sample in natural colour, and its classes with a legend of those that occur.

        Args:
            sample: A sample returned by :meth:`__getitem__`, and maybe a ``prediction`` in the
                form of its mask. Reflectance will do as well as stored numbers.
            show_titles: Whether to write titles above the panels.
            suptitle: Title of the figure.

        Returns:
            The figure.

        Raises:
            RGBBandsMissingError: If the bands of natural colour were not read.
        """
        channels = natural_color(self.bands, self.sensor)
        if channels is None:
            raise RGBBandsMissingError()
        image = sample['image'].float()[..., channels, :, :]
        panels = self.panels(sample, image)
        height, width = sample['mask'].shape[-2:]
        maps: dict[str, Tensor] = {
            key: sample[key].reshape(height, width)
            for key in ('mask', 'prediction')
            if key in sample
        }
        target = maps.pop('mask')
        figure = plot_predictions(
            [PredictionRow(panels, target, maps)], self.classes, self.colors, suptitle
        )
        names = len(torch.cat([target, *maps.values()]).unique())
        count = len(panels) + 1 + len(maps)
        rows = math.ceil(names / max(2, 2 * count // 3))
        below = _LEGEND_ROW * rows + (0.5 if suptitle is None else 0.9)
        figure.set_size_inches(_PANEL * count, _PANEL * height / width + below)
        if not show_titles:
            for axis in figure.axes:
                axis.set_title('')
        return figure
