# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest
import rasterio
import torch

from torchgeo_saco.archives.packing import pack_archive
from torchgeo_saco.datamodules import PairedDataModule, SeasonalDataModule

from ..data.archives import write_archive, write_radar_archive


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
    """Folders of six locations of Sentinel-2 and of Sentinel-1."""
    folder = tmp_path_factory.mktemp('paired')
    return (
        write_archive(folder / 's2', bands=('B2', 'B3', 'B4')),
        write_radar_archive(folder / 's1'),
    )


def made(roots, stage='fit', **arguments):
    datamodule = PairedDataModule(
        root=roots[0], second_root=roots[1], batch_size=2, dates=1, **arguments
    )
    datamodule.setup(stage)
    return datamodule


def batch(datamodule, split='train'):
    found = next(iter(getattr(datamodule, f'{split}_dataloader')()))
    return found, datamodule.on_after_batch_transfer(found, 0)


def test_numbers_become_reflectance_and_backscatter(roots):
    datamodule = made(roots)
    stored, scaled = batch(datamodule)
    torch.testing.assert_close(scaled['image'], stored['image'] / 255)
    torch.testing.assert_close(scaled['s1'], (stored['s1'] + 25) / 25)
    assert datamodule.modality_bands == {'s2': ('B02', 'B03', 'B04'), 's1': ('VV', 'VH')}
    assert datamodule.modality_sensors == {'s2': 'sentinel2_l1c', 's1': 'sentinel1'}
    # Splits are those of the first archive alone.
    alone = SeasonalDataModule(root=roots[0], batch_size=2, dates=1)
    alone.setup('fit')
    assert datamodule.val_dataset.locations.names == alone.val_dataset.locations.names


def test_every_channel_reaches_one_by_its_maximum(roots):
    _, scaled = batch(made(roots, scaling='maximum'), 'val')
    for name in ('image', 's1'):
        torch.testing.assert_close(
            scaled[name].amax((-2, -1)), torch.ones(scaled[name].shape[:-2]), atol=1e-3, rtol=0
        )


def test_either_sensor_may_be_the_first(roots):
    datamodule = PairedDataModule(
        root=roots[1], sensor='sentinel1', second_root=roots[0], second_sensor=None, batch_size=2,
        dates=1,
    )  # fmt: skip
    datamodule.setup('predict')
    assert datamodule.sensor == 'sentinel1'
    assert list(datamodule.modality_bands) == ['s1', 's2']
    _, scaled = batch(datamodule, 'predict')
    assert scaled['image'].shape[2] == 2
    assert scaled['s2'].shape[2] == 3
    assert 0 < scaled['image'].mean() < 1
    assert 0 < scaled['s2'].mean() < 1


def test_packed_archives_of_both_sensors_give_the_same_batches(roots, tmp_path):
    stores = []
    for name, root, sensor in (('s2', roots[0], 'sentinel2_l1c'), ('s1', roots[1], 'sentinel1')):
        stores.append(tmp_path / f'{name}.zarr')
        pack_archive(root, stores[-1], sensor=sensor, progress=False)
    folders, packed = made(roots), made(stores)
    for name, image in batch(folders)[1].items():
        torch.testing.assert_close(image, batch(packed)[1][name])


@pytest.mark.slow
def test_backscatter_in_other_units_and_powers(roots, tmp_path):
    hundredths = write_radar_archive(tmp_path / 'hundredths', unit=100)
    wanted = batch(made(roots))[1]['s1']
    torch.testing.assert_close(
        batch(made((roots[0], hundredths)))[1]['s1'], wanted, atol=1e-3, rtol=0
    )
    power = write_radar_archive(tmp_path / 'power')
    for path in power.rglob('*.tif'):
        with rasterio.open(path, 'r+') as file:
            file.write(10 ** (file.read() / 10))
    with pytest.raises(
        ValueError, match='which are no backscatter in dB; convert ratios of powers'
    ):
        made((roots[0], power))


@pytest.mark.slow
def test_borders_without_data_end_a_run_or_are_dropped(roots, tmp_path):
    second = write_radar_archive(tmp_path / 's1')
    path = next(second.glob('000003/2018*/VV.tif'))
    with rasterio.open(path, 'r+') as file:
        image = file.read()
        image[0, :, :4] = np.nan
        file.write(image)
    pair = roots[0], second

    def missing(datamodule):
        loader = datamodule.predict_dataloader()
        scaled = [datamodule.on_after_batch_transfer(part, 0)['s1'] for part in loader]
        return int(torch.cat(scaled).isnan().sum())

    with pytest.raises(ValueError, match=r"VV.tif .*on_invalid='drop'"):
        missing(made(pair, 'predict'))
    dropped = made(pair, 'predict', on_invalid='drop')
    assert missing(dropped) == 0
    assert any('000003' in reason for reason in dropped.predict_dataset.skipped)


def test_unknown_arguments_are_refused():
    with pytest.raises(ValueError, match='scaling must be one of fixed, maximum'):
        PairedDataModule(scaling='patch')
    with pytest.raises(TypeError, match='second_band'):
        PairedDataModule(second_band=['VV'])
