# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import json
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
from torchgeo.datasets import PASTIS

from torchgeo_saco.synthesis.benchmarks.pastis import _BANDS, _CROPS, _cut_parcels

OCCURRING = {0, 1, 2, 3, 4, 5, 6, 8, 9, 19}


@pytest.fixture(scope='module')
def root(small_tree: Callable[[str], Path]) -> Path:
    return small_tree('pastis')


@pytest.fixture(scope='module')
def features(root: Path) -> list[dict]:
    return json.loads((root / 'PASTIS-R' / 'metadata.geojson').read_text())['features']


def series(root: Path, sensor: str, identifier: int) -> np.ndarray:
    return np.load(root / 'PASTIS-R' / f'DATA_{sensor}' / f'{sensor}_{identifier}.npy')


@pytest.mark.parametrize(
    ('bands', 'channels'), [(PASTIS.s2_bands, 10), (PASTIS.s1a_bands, 3), (PASTIS.s1d_bands, 3)]
)
def test_torchgeo_reads_every_fold(root: Path, bands: tuple[str, ...], channels: int):
    for fold in range(1, 6):
        dataset = PASTIS(root, (fold,), bands, download=False, checksum=False)
        assert len(dataset) == 1
        sample = dataset[0]
        assert sample['image'].shape[1:] == (channels, 128, 128)
        assert set(np.unique(sample['mask'])) <= OCCURRING


def test_torchgeo_reads_instances_of_one_class_each(root: Path):
    dataset = PASTIS(root, (1, 2), mode='instance', download=False, checksum=False)
    semantic = PASTIS(root, (1, 2), download=False, checksum=False)
    for index in range(2):
        sample, target = dataset[index], semantic[index]['mask']
        assert len(sample['label']) > 10
        for mask, label in zip(sample['mask'], sample['label'], strict=True):
            assert target[mask.bool()].unique().tolist() == [label]
        assert bool((sample['mask'].sum(0) == (target > 0)).all())


def test_arrays_are_as_in_the_release(root: Path, features: list[dict]):
    assert _BANDS == PASTIS.s2_bands
    for feature in features:
        known = feature['properties']
        identifier = known['ID_PATCH']
        images = series(root, 'S2', identifier)
        assert images.dtype == np.int16
        assert images.shape == (len(known['dates-S2']), 10, 128, 128)
        assert images.min() >= 0
        for sensor in ('S1A', 'S1D'):
            radar = series(root, sensor, identifier)
            assert radar.dtype == np.float32
            assert radar.shape == (len(known[f'dates-{sensor}']), 3, 128, 128)
            np.testing.assert_allclose(radar[:, 0] - radar[:, 1], radar[:, 2], atol=1e-4)
            assert -30 < np.median(radar[:, 1]) < np.median(radar[:, 0]) < 0
        target = np.load(root / 'PASTIS-R' / 'ANNOTATIONS' / f'TARGET_{identifier}.npy')
        assert target.dtype == np.uint8
        assert target.shape == (3, 128, 128)
        folder = root / 'PASTIS-R' / 'INSTANCE_ANNOTATIONS'
        instances = np.load(folder / f'INSTANCES_{identifier}.npy')
        assert instances.dtype == np.int32
        assert np.array_equal(np.unique(instances), np.arange(known['N_Parcel'] + 1))
        assert known['Parcel_Cover'] == pytest.approx((instances > 0).mean(), abs=1e-4)


def test_crops_occur_together_with_background_and_void(root: Path):
    found = set()
    for file in (root / 'PASTIS-R' / 'ANNOTATIONS').iterdir():
        found |= set(np.unique(np.load(file)[0]))
    assert {0, 19} < found <= OCCURRING
    assert len(found) > 7
    assert {PASTIS.classes[number] for _, _, number in _CROPS} == {
        'meadow',
        'soft_winter_wheat',
        'corn',
        'winter_barley',
        'winter_rapeseed',
        'spring_barley',
        'grapevine',
        'beet',
    }


def test_metadata_are_as_in_the_release(root: Path, features: list[dict]):
    table = gpd.read_file(root / 'PASTIS-R' / 'metadata.geojson')
    assert table.crs.to_epsg() == 2154
    columns = {'ID_PATCH', 'N_Parcel', 'Parcel_Cover', 'TILE', 'Fold', 'geometry'}
    assert columns | {'dates-S2', 'dates-S1A', 'dates-S1D'} <= set(table)
    assert table.ID_PATCH.tolist() == [10000, 10001, 10002, 10003, 10004]
    assert table.Fold.tolist() == [1, 2, 3, 4, 5]
    assert np.allclose(table.area, 1280**2)
    assert (
        table.to_crs(4326)
        .within(gpd.GeoSeries.from_wkt(['POLYGON((-5 42, 8 42, 8 52, -5 52, -5 42))'], crs=4326)[0])
        .all()
    )
    for feature in features:
        dates = feature['properties']['dates-S2']
        assert list(dates) == [str(rank) for rank in range(len(dates))]
        days = list(dates.values())
        assert days == sorted(set(days))
        assert 20180901 < days[0] < 20190101
        assert 20190801 < days[-1] < 20191201
    assert len({len(feature['properties']['dates-S2']) for feature in features}) > 1


@pytest.mark.parametrize('sensor', ['S2', 'S1A', 'S1D'])
def test_means_are_those_of_the_fold(root: Path, sensor: str):
    means = json.loads((root / 'PASTIS-R' / f'NORM_{sensor}_patch.json').read_text())
    assert list(means) == [f'Fold_{fold}' for fold in range(1, 6)]
    pixels = series(root, sensor, 10002).astype(np.float64)
    np.testing.assert_allclose(means['Fold_3']['mean'], pixels.mean((0, 2, 3)))
    np.testing.assert_allclose(means['Fold_3']['std'], pixels.std((0, 2, 3)), rtol=1e-6)


def test_parcels_cut_by_the_border_are_void():
    patches = np.zeros((6, 6), int)
    patches[:, 3:] = 1
    patches[0, 0] = 2
    patches[3, 2] = 3
    # Parcel 2 is small and at the border, 3 small inside, 4 no parcel.
    patches[5, 5] = 4
    assert _cut_parcels(patches, 4).tolist() == [2]
