# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of coarse bands on a finer grid."""

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling

from torchgeo_saco.io.resampling import enlarged

from ..data.archives import write_tif


@pytest.mark.parametrize('method', ['nearest', 'bilinear'])
@pytest.mark.parametrize('ratio', [1, 2, 3, 6])
@pytest.mark.parametrize('dtype', ['uint8', 'uint16'])
def test_same_numbers_as_gdal(tmp_path, dtype, ratio, method):
    top = np.iinfo(dtype).max
    image = np.random.default_rng(ratio).integers(0, top, (41, 53), dtype, endpoint=True)
    image[:9, :9] = top
    image[20:22] = 0
    write_tif(tmp_path / 'band.tif', image)
    shape = (41 * ratio, 53 * ratio)
    with rasterio.open(tmp_path / 'band.tif') as file:
        expected = file.read(1, out_shape=shape, resampling=Resampling[method])
    found = enlarged(image, shape, method)
    assert found.dtype == image.dtype
    assert np.array_equal(found, expected)


@pytest.mark.parametrize('shape', [(1, 1), (1, 4), (4, 1)])
def test_images_of_one_row_or_column(shape):
    image = np.arange(4, dtype='uint8')[: shape[0] * shape[1]].reshape(shape)
    found = enlarged(image, (2 * shape[0], 2 * shape[1]))
    # Halves are rounded up, and beyond the edge lies the outermost pixel.
    line = {1: [0, 0], 4: [0, 0, 1, 1, 2, 2, 3, 3]}[max(shape)]
    assert np.array_equal(
        found, np.tile(line, (2, 1)) if shape[0] == 1 else np.tile(line, (2, 1)).T
    )


@pytest.mark.parametrize(
    ('image', 'shape', 'method', 'message'),
    [
        (np.zeros((4, 4), 'uint8'), (8, 4), 'bilinear', r'\(4, 4\) pixels cannot be enlarged to'),
        (np.zeros((4, 4), 'uint8'), (9, 9), 'bilinear', 'cannot be enlarged'),
        (np.zeros((4, 4), 'uint8'), (28, 28), 'bilinear', 'cannot be enlarged'),
        (np.zeros((4, 4), 'float32'), (8, 8), 'bilinear', 'float32 is not enlarged by bilinear'),
        (np.zeros((4, 4), 'uint8'), (8, 8), 'cubic', 'uint8 is not enlarged by cubic'),
    ],
)
def test_what_is_not_exact_is_refused(image, shape, method, message):
    with pytest.raises(ValueError, match=message):
        enlarged(image, shape, method)
