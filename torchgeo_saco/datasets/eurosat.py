# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""EuroSAT with bands by name."""

import os
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torchgeo.datasets import DatasetNotFoundError, EuroSAT, EuroSATSpatial
from torchgeo.datasets.utils import Path, Sample

from ..bands import band_index
from ..io.raster import BandFileError, read_bands
from .scenes import LabelledScenes, listed_scenes, require_uint16

_SIDE = 64


class EuroSATBands(LabelledScenes):
    """EuroSAT with bands by name, as stored.

    Reads the tree of :class:`torchgeo.datasets.EuroSAT`; labels and splits are the same.

    Dataset features:

    * 27,000 images of Sentinel-2 L1C, 64 x 64 px at 10 m, all 13 bands brought to that grid
    * 10 classes of land cover
    * official lists of train, val and test, at random over all images or by longitude

    If you use this dataset in your research, please cite:

    * https://doi.org/10.1109/JSTARS.2019.2918242
    """

    # In alphabetical order, as ImageFolder numbers the folders of TorchGeo's class.
    classes = (
        'AnnualCrop',
        'Forest',
        'HerbaceousVegetation',
        'Highway',
        'Industrial',
        'Pasture',
        'PermanentCrop',
        'Residential',
        'River',
        'SeaLake',
    )

    def __init__(
        self,
        root: Path = 'data',
        split: str = 'train',
        bands: Sequence[str] = EuroSAT.all_band_names,
        spatial: bool = False,
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        """Initialize a new EuroSATBands instance.

        Args:
            root: Folder that holds the data set.
            split: One of 'train', 'val', or 'test'.
            bands: Bands to read, in any spelling.
            spatial: Split by longitude. The other split puts neighbours on both sides.
            transforms: Transform of a sample.

        Raises:
            DatasetNotFoundError: If the list of the split or the folder of images is missing.
            ValueError: If the split or a band is unknown, or the list is not as published.
        """
        super().__init__(root, split, EuroSAT.splits, bands, 'sentinel2_l1c', transforms)
        self._channels = band_index(EuroSAT.all_band_names, self.bands)
        lists = (EuroSATSpatial if spatial else EuroSAT).split_filenames
        path = os.path.join(root, lists[split])
        if not os.path.isfile(path) or not os.path.isdir(os.path.join(root, EuroSAT.base_dir)):
            raise DatasetNotFoundError(self)
        matches = listed_scenes(
            path,
            rf'(?P<scene>(?P<cover>{"|".join(self.classes)})_[0-9]+)\.(jpg|tif)',
            f'<class>_<number>.jpg with one of the classes {", ".join(self.classes)}',
        )
        self.scenes = [match['scene'] for match in matches]
        self._labels = [self.classes.index(match['cover']) for match in matches]

    @property
    def absent_classes(self) -> list[str]:
        """Names of the classes that the split has no image of."""
        present = set(self._labels)
        return [name for number, name in enumerate(self.classes) if number not in present]

    def read_image(self, position: int) -> np.ndarray:
        """Stored numbers of one image.

        Args:
            position: Position in the list of the split.

        Returns:
            Array (C, 64, 64), uint16.

        Raises:
            BandFileError: If the file cannot be read or is not as published.
        """
        folder = self.classes[self._labels[position]]
        path = os.path.join(self.root, EuroSAT.base_dir, folder, f'{self.scenes[position]}.tif')
        image = read_bands(path, count=len(EuroSAT.all_band_names))
        require_uint16(path, image)
        height, width = image.shape[-2:]
        if (height, width) != (_SIDE, _SIDE):
            raise BandFileError(
                f'{path} is {width} x {height} px where {_SIDE} x {_SIDE} are expected; '
                'fetch it again'
            )
        return image[self._channels]

    def read_label(self, position: int) -> Tensor:
        """Class of one image, int64."""
        return torch.tensor(self._labels[position])
