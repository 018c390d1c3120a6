# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""One small archive, copied quickly, whose files are then spoilt; and its use as a user would."""

import shutil
from functools import cache
from pathlib import Path

import numpy as np
import rasterio

from torchgeo_saco.datamodules import SeasonalDataModule

from .archives import write_archive, write_tif
from .folders import process_folder

BANDS = ('B1', 'B2', 'B4', 'B8', 'B11')
DATES = ('20180410', '20190715')
SIDE = 12


@cache
def _written(dtype: str) -> Path:
    """Folder of the archive, which lasts as long as the process."""
    return write_archive(process_folder() / 'tree', 4, DATES, BANDS, SIDE, dtype, suffix='')


def copy_archive(root: Path, dtype: str = 'uint8') -> Path:
    """Four locations with two dates of five bands."""
    shutil.copytree(_written(dtype), root, dirs_exist_ok=True)
    return root


def band_file(root: Path, band: str = 'B4', location: int = 0, date: int = 0) -> Path:
    """File of a band."""
    return root / f'{location:06d}' / DATES[date] / f'{band}.tif'


def rewrite(path: Path, image=None, **profile) -> Path:
    """Write a band anew where it lies: other numbers, or another header."""
    with rasterio.open(path) as file:
        stored = file.read()
        kept = {'transform': file.transform, 'crs': file.crs}
    path.unlink()
    write_tif(path, stored if image is None else np.asarray(image), **(kept | profile))
    return path


def rewrite_all(root: Path, change, bands=BANDS, **profile) -> Path:
    """Write all files of some bands anew, by a function of the stored numbers (1, H, W)."""
    for path in sorted(root.glob('*/*/*.tif')):
        if path.stem in bands:
            with rasterio.open(path) as file:
                image = change(file.read())
            rewrite(path, image, **profile)
    return root


def open_small(root: Path, **kwargs) -> SeasonalDataModule:
    """Set an archive up for training."""
    datamodule = SeasonalDataModule(root=str(root), **({'batch_size': 2, 'dates': 1} | kwargs))
    datamodule.setup('fit')
    return datamodule


def read_small(root: Path, **kwargs) -> SeasonalDataModule:
    """Set an archive up for training, and read every image of it."""
    datamodule = open_small(root, **kwargs)
    for index in range(len(datamodule.predict_dataset)):
        datamodule.predict_dataset[index]
    return datamodule
