# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Fixtures of the tests of embeddings."""

import numpy as np
import pytest
import torch
from affine import Affine

from ..data.archives import write_tif
from ..data.weights import write_checkpoint

BANDS = ('B02', 'B03', 'B04', 'B08')
NORTH_UP = Affine(10, 0, 500000, 0, -10, 5600000)


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    """Path of a checkpoint, and its task."""
    torch.manual_seed(0)
    return write_checkpoint(tmp_path_factory.mktemp('weights') / 'last.ckpt', BANDS)


@pytest.fixture
def scene(tmp_path):
    """Function that writes a scene, and returns its folder and the stored numbers."""

    def write(shape=(50, 44), transform=NORTH_UP, holes=(), **profile):
        image = np.random.default_rng(0).integers(500, 4000, (4, *shape)).astype('uint16')
        for rows, columns in holes:
            image[:, rows, columns] = 0
        for band, values in zip(BANDS, image, strict=True):
            write_tif(tmp_path / 'scene' / f'{band}.tif', values, transform=transform, **profile)
        return tmp_path / 'scene', image

    return write
