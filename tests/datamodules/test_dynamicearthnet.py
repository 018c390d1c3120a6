# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the datamodule of DynamicEarthNet."""

import pytest

from torchgeo_saco.datamodules import DynamicEarthNetWindowsDataModule

from ..data.benchmark_trees import write_den


def test_arguments_of_the_windows(tmp_path):
    data = DynamicEarthNetWindowsDataModule(write_den(tmp_path), size=32, stride=16, bands=['B03'])
    data.setup('fit')
    assert len(data.train_dataset) == 4 * 16
    assert len(data.val_dataset) == 2 * 9
    assert data.train_dataset[0]['image'].shape == (1, 32, 32)


def test_download_says_where_the_data_are(tmp_path):
    data = DynamicEarthNetWindowsDataModule(tmp_path / 'new', download=True)
    with pytest.raises(
        ValueError, match=r'train.txt is missing, .* cannot be downloaded.*1650201.*1738088'
    ):
        data.prepare_data()
    root = write_den(tmp_path / 'there')
    data = DynamicEarthNetWindowsDataModule(root, download=True, size=32)
    data.prepare_data()
    (root / 'dynnet_training_splits' / 'test.txt').unlink()
    with pytest.raises(ValueError, match=r'test.txt is missing'):
        data.prepare_data()
