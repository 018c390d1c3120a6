# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""BigEarthNet with bands by name."""

import importlib.util
import os
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torchgeo.datasets import (
    BigEarthNet,
    BigEarthNetV2,
    DatasetNotFoundError,
    DependencyNotFoundError,
)
from torchgeo.datasets.utils import Path, Sample

from ..archives.labels import bigearthnet_classes, bigearthnet_targets, multi_hot, read_patch_labels
from ..bands import SENTINEL2_L2A
from ..io.raster import read_bands
from .scenes import LabelledScenes, listed_scenes, require_uint16

_COLUMNS = ['patch_id', 'split', 'labels']


class BigEarthNetBands(LabelledScenes):
    """Sentinel-2 patches of BigEarthNet with bands by name, as stored.

    Reads the trees of :class:`torchgeo.datasets.BigEarthNet` and
    :class:`torchgeo.datasets.BigEarthNetV2`, and of those the files of the bands asked for
    only. Radar and maps need not be there. Bands of 20 and 60 m are brought to 10 m by
    bilinear interpolation.

    Dataset features:

    * Sentinel-2 L2A, 120 x 120 px at 10 m, 12 bands
    * several labels an image: 43 classes of CORINE, or 19 joined from them
    * official lists of train, val and test

    Of version 1, a patch has no label at all where none of its 43 classes is among the 19.

    If you use this dataset in your research, please cite:

    * https://doi.org/10.1109/IGARSS.2019.8900532
    * https://arxiv.org/abs/2407.03653
    """

    def __init__(
        self,
        root: Path = 'data',
        split: str = 'train',
        bands: Sequence[str] = tuple(SENTINEL2_L2A.bands),
        num_classes: int = 19,
        version: int = 1,
        transforms: Callable[[Sample], Sample] | None = None,
    ) -> None:
        """Initialize a new BigEarthNetBands instance.

        Args:
            root: Folder that holds the data set.
            split: One of 'train', 'val', or 'test'.
            bands: Bands to read, in any spelling.
            num_classes: Either 19, or 43 in version 1.
            version: Either 1 or 2. Version 2 needs the package ``pyarrow``.
            transforms: Transform of a sample.

        Raises:
            DatasetNotFoundError: If the list of the split or the folder of patches is missing.
            DependencyNotFoundError: If pandas lacks a reader of Parquet files for version 2.
            ValueError: If an argument is out of range, a band is unknown, or the list is not
                as published.
        """
        super().__init__(
            root, split, BigEarthNetV2.valid_splits, bands, 'sentinel2_l2a', transforms
        )
        self.classes = bigearthnet_classes(num_classes, version)
        self.version = version
        self._targets = bigearthnet_targets(num_classes, version)
        self._labels: list[Tensor] = []
        self._folder, path = bigearthnet_paths(root, split, version)
        if not os.path.isfile(path) or not os.path.isdir(self._folder):
            raise DatasetNotFoundError(self)
        if version == 1:
            patch = r'[A-Za-z]\w*'
            matches = listed_scenes(
                path, rf'(?P<scene>{patch}),{patch}', 'a Sentinel-2 and a Sentinel-1 patch'
            )
            self.scenes = [match['scene'] for match in matches]
        else:
            self._list_table(path)

    def read_image(self, position: int) -> np.ndarray:
        """Stored numbers of one patch.

        Args:
            position: Position in the list of the split.

        Returns:
            Array (C, 120, 120), uint16.

        Raises:
            BandFileError: If a file cannot be read or is not as published.
        """
        images = []
        for band in self.bands:
            path = f'{self._stem(position)}_{band}.tif'
            image = read_bands(path, shape=BigEarthNet.image_size)
            require_uint16(path, image)
            images.append(image)
        return np.concatenate(images)

    def read_label(self, position: int) -> Tensor:
        """Classes of one patch.

        Args:
            position: Position in the list of the split.

        Returns:
            1 for each class of the patch and 0 for the others, int64.

        Raises:
            ValueError: If the file of labels is missing, damaged, or names an unknown class.
        """
        if self.version == 2:
            return self._labels[position].long()
        path = f'{self._stem(position)}_labels_metadata.json'
        return self._multi_hot(read_patch_labels(path), path).long()

    def _stem(self, position: int) -> str:
        """Beginning of the paths of the files of a patch."""
        patch = self.scenes[position]
        tile = patch.rsplit('_', 2)[0] if self.version == 2 else ''
        return os.path.join(self._folder, tile, patch, patch)

    def _list_table(self, path: str) -> None:
        """Patches and labels of the split from the table of version 2."""
        table = _read_table(path)
        table = table[table['split'] == BigEarthNetV2.split_map[self.split]]
        self.scenes = table['patch_id'].tolist()
        for patch in self.scenes:
            if not re.fullmatch(r'[A-Za-z]\w*_\d+_\d+', str(patch), re.ASCII):
                raise ValueError(
                    f'{path}: {patch!r} is no patch, which is named <tile>_<column>_<row>; '
                    'fetch the file again'
                )
        twice = table['patch_id'][table['patch_id'].duplicated()]
        if len(twice):
            raise ValueError(f'{path} lists {twice.iloc[0]} twice; remove one row')
        self._labels = [
            self._multi_hot(names, f'{path}: {patch}')
            for patch, names in zip(self.scenes, table['labels'], strict=True)
        ]

    def _multi_hot(self, names: Iterable[str], source: str) -> Tensor:
        """One 0 or 1 for each class, uint8."""
        label = multi_hot(names, self._targets, len(self.classes), source)
        return torch.from_numpy(label).to(torch.uint8)


def bigearthnet_paths(root: Path, split: str, version: int) -> tuple[str, str]:
    """Folder of the patches, and the list of a split.

    Args:
        root: Folder that holds the data set.
        split: One of 'train', 'val', or 'test'.
        version: Either 1 or 2.

    Returns:
        The two paths.
    """
    if version == 1:
        names = (
            BigEarthNet.metadata['s2']['directory'],
            BigEarthNet.splits_metadata[split]['filename'],
        )
    else:
        names = BigEarthNetV2.dir_file_names['s2'], BigEarthNetV2.dir_file_names['metadata']
    return os.path.join(root, names[0]), os.path.join(root, names[1])


def require_parquet() -> None:
    """Refuse to go on where pandas has no reader of Parquet files.

    Raises:
        DependencyNotFoundError: If it has none.
    """
    if not any(map(importlib.util.find_spec, ('pyarrow', 'fastparquet'))):
        raise DependencyNotFoundError(
            'version 2 of BigEarthNet lists its patches in a Parquet file, which needs the '
            'package pyarrow: pip install pyarrow'
        )


def _read_table(path: str) -> pd.DataFrame:
    """Patches, splits and labels of version 2."""
    require_parquet()
    try:
        return pd.read_parquet(path, columns=_COLUMNS)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(
            f'{path} cannot be read as a Parquet file with columns {", ".join(_COLUMNS)} '
            f'({error}); fetch it again'
        ) from error
