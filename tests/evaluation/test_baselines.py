# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of features that no encoder computes."""

import numpy as np
import torch
from skimage.feature import local_binary_pattern

from torchgeo_saco.evaluation import ColorAndTexture, ImageStatistics, LBPHistograms

NUMBERS = torch.randint(0, 4096, (2, 3, 20, 24), generator=torch.Generator().manual_seed(0))
IMAGE = NUMBERS / 4096


def test_statistics_are_those_of_numpy():
    found = ImageStatistics()(IMAGE)
    bands = IMAGE.double().numpy().reshape(2, 3, -1)
    quantiles = np.quantile(bands, (0, 0.25, 0.5, 0.75, 1), axis=-1).transpose(1, 2, 0)
    wanted = np.concatenate(
        [bands.mean(-1), bands.std(-1, ddof=1), quantiles.reshape(2, -1)], axis=1
    )
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_histograms_are_those_of_scikit_image():
    found = LBPHistograms()(IMAGE).reshape(2, 3, 18)
    for image, histograms in zip(NUMBERS.numpy(), found, strict=True):
        for band, histogram in zip(image, histograms, strict=True):
            codes = local_binary_pattern(band, 16, 2, 'uniform').astype(int)
            wanted = np.bincount(codes.ravel(), minlength=18) / codes.size
            np.testing.assert_allclose(histogram, wanted, atol=3 / codes.size)


def test_color_and_texture_weigh_equally():
    found = ColorAndTexture()(IMAGE)
    assert found.shape == (2, 3 * (7 + 18))
    torch.testing.assert_close(found[:, :21].norm(dim=1), torch.ones(2))
    torch.testing.assert_close(found[:, 21:].norm(dim=1), torch.ones(2))


def test_all_dates_of_a_series_are_embedded():
    series = torch.stack([IMAGE, IMAGE.flip(0)], dim=1)
    found = ImageStatistics().embed({'image': series})
    torch.testing.assert_close(found, ImageStatistics()(series.flatten(0, 1)))
