# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest

from torchgeo_saco.bands import SENTINEL2_L1C, band_index
from torchgeo_saco.synthesis.products import enlarged, level1c, level2a, numbers, on_finest_grid
from torchgeo_saco.synthesis.sensor import Sky
from torchgeo_saco.synthesis.spectra import BANDS, SPECTRA

CLEAR = Sky(gain=1.0, tilt=0.0, haze=0.0, cloud=0.0, azimuth=2.7, elevation=1.0)
FLAT = np.zeros((48, 48))


def ground(material: str) -> np.ndarray:
    return np.tile(SPECTRA[material].astype(np.float32)[:, None, None], (1, 96, 96))


def means(scene: dict[str, np.ndarray]) -> dict[str, float]:
    return {band: layer.mean() / 10_000 for band, layer in scene.items()}


def test_level_2a_is_reflectance_times_10000_on_native_grids():
    scene = level2a(ground('grass'), FLAT, CLEAR, np.random.default_rng(0))
    assert list(scene) == list(BANDS)
    assert {layer.dtype for layer in scene.values()} == {np.dtype('uint16')}
    assert [scene[band].shape for band in ('B02', 'B05', 'B09')] == [(48, 48), (24, 24), (8, 8)]
    np.testing.assert_allclose(list(means(scene).values()), SPECTRA['grass'], atol=0.003)


def test_level_1c_has_every_band_of_the_sensor_on_the_10_m_grid():
    scene = level1c(ground('grass'), FLAT, CLEAR, np.random.default_rng(0))
    assert list(scene) == list(SENTINEL2_L1C.bands)
    for layer in scene.values():
        assert layer.dtype == np.uint16
        assert layer.shape == (48, 48)
        assert layer.std() > 0


def test_air_adds_most_in_the_blue_and_takes_water_vapour():
    scene = means(level1c(ground('conifer'), FLAT, CLEAR, np.random.default_rng(1)))
    surface = dict(zip(BANDS, SPECTRA['conifer'], strict=True))
    lift = [scene[band] - surface[band] for band in ('B01', 'B02', 'B03', 'B04')]
    assert lift == sorted(lift, reverse=True)
    assert lift[0] > 0.06
    assert lift[3] > 0.01
    assert 0.15 < scene['B09'] / surface['B09'] < 0.4
    assert scene['B08'] == pytest.approx(surface['B08'], rel=0.1)


def test_cirrus_band_sees_ice_clouds_only_and_seldom():
    cirrus = []
    for seed in range(40):
        scene = level1c(ground('concrete'), FLAT, CLEAR, np.random.default_rng(seed))
        cirrus.append(means(scene)['B10'])
    assert np.median(cirrus) == pytest.approx(0.0009, abs=0.0001)
    assert 1 <= sum(value > 0.0012 for value in cirrus) <= 15
    assert max(cirrus) < 0.02


def test_enlarged_is_linear_between_centres():
    layer = np.array([[0.0, 4.0]], np.float32)
    np.testing.assert_allclose(enlarged(layer, 2), [[0, 1, 3, 4]] * 2)
    assert np.array_equal(enlarged(layer, 1), layer)
    np.testing.assert_allclose(enlarged(np.full((1, 1), 3.0, np.float32), 6), np.full((6, 6), 3))


def test_finest_grid_keeps_10_m_bands():
    scene = level2a(ground('grass'), FLAT, CLEAR, np.random.default_rng(0))
    fine = on_finest_grid(scene)
    assert {layer.shape for layer in fine.values()} == {(48, 48)}
    assert np.array_equal(fine['B04'], scene['B04'])
    assert fine['B11'].mean() == pytest.approx(scene['B11'].mean(), rel=0.01)


def test_numbers_round_and_do_not_wrap():
    stored = numbers(np.array([-0.1, 0.00004, 0.00006, 1.0], np.float32))
    assert stored.tolist() == [0, 0, 1, 10_000]


def test_order_of_bands_is_that_of_the_sensor():
    assert band_index(list(SENTINEL2_L1C.bands), ['B8A', 'B10']) == [8, 10]
