# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest

from torchgeo_saco.bands import SENTINEL2_L2A, band_index
from torchgeo_saco.synthesis.landscape import Landscape
from torchgeo_saco.synthesis.locations import (
    acquisition_days,
    generator,
    grid_tile,
    sample_location,
)
from torchgeo_saco.synthesis.radar import backscatter
from torchgeo_saco.synthesis.scenes import LocationScenes
from torchgeo_saco.synthesis.sensor import Sky, aggregated, observe, sky, spread
from torchgeo_saco.synthesis.spectra import BANDS, SPECTRA

CLEAR = Sky(gain=1.0, tilt=0.0, haze=0.0, cloud=0.0, azimuth=2.7, elevation=1.0)
FLAT = np.zeros((48, 48))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def ground(material: str) -> np.ndarray:
    return np.tile(SPECTRA[material].astype(np.float32)[:, None, None], (1, 96, 96))


def observed(material: str, weather: Sky) -> np.ndarray:
    scene = observe(ground(material), FLAT, weather, rng())
    return np.array([scene[band].mean() / 255 for band in BANDS])


def test_clear_sky_shows_the_spectrum_on_native_grids():
    scene = observe(ground('grass'), FLAT, CLEAR, rng())
    assert list(scene) == list(BANDS)
    for band, pixels in scene.items():
        assert pixels.dtype == np.uint8
        assert pixels.shape == (480 / SENTINEL2_L2A.bands[band],) * 2
    np.testing.assert_allclose(observed('grass', CLEAR), SPECTRA['grass'], atol=0.003)


def test_haze_lifts_blue_most():
    lift = observed('broadleaf', CLEAR._replace(haze=0.08)) - observed('broadleaf', CLEAR)
    blue, red, shortwave = lift[band_index(BANDS, ['B01', 'B04', 'B12'])]
    assert blue > red > shortwave
    assert blue > 0.05


def test_gain_and_tilt_scale_the_spectrum():
    bright = observed('grass', CLEAR._replace(gain=1.3))
    np.testing.assert_allclose(bright, 1.3 * SPECTRA['grass'], atol=0.005)
    tilted = observed('gravel', CLEAR._replace(tilt=0.1)) / observed('gravel', CLEAR)
    blue, shortwave = tilted[band_index(BANDS, ['B01', 'B12'])]
    assert blue < 1 < shortwave


def test_cloud_brightens_and_its_shadow_darkens():
    scene = observe(ground('grass'), FLAT, CLEAR._replace(cloud=0.25), rng())
    red = scene['B04'] / 255
    usual = SPECTRA['grass'][band_index(BANDS, ['B04'])[0]]
    assert red.max() > 0.3
    assert red.min() < 0.8 * usual
    assert 0.1 < (red > 1.5 * usual).mean() < 0.4


def test_slopes_towards_the_sun_are_brighter():
    towards_south = np.tile(-np.arange(48.0)[:, None], (1, 48)) * 0.1
    south = observe(ground('grass'), towards_south, CLEAR, rng())['B08'].mean()
    north = observe(ground('grass'), -towards_south, CLEAR, rng())['B08'].mean()
    assert south > 1.05 * north


def test_point_spread_keeps_the_mean_and_mixes_neighbours():
    flat = np.full((2, 8, 8), 0.25, np.float32)
    np.testing.assert_array_equal(spread(flat), np.full((2, 4, 4), 0.25))
    point = np.zeros((8, 8), np.float32)
    point[2, 2] = 1
    result = spread(point)
    assert result.sum() == pytest.approx(0.25)
    assert result[1, 1] == pytest.approx(9 / 64)
    assert result[0, 1] == pytest.approx(3 / 64)


def test_aggregation_averages_blocks():
    image = np.arange(16, dtype=np.float32).reshape(4, 4)
    np.testing.assert_array_equal(aggregated(image, 2), [[2.5, 4.5], [10.5, 12.5]])


def test_sky_varies_within_bounds_and_darkens_in_winter():
    source = rng()
    summer = [sky(source, 50.0, 172) for _ in range(300)]
    winter = [sky(source, 50.0, 355) for _ in range(300)]
    for weather in summer + winter:
        assert 0.3 < weather.gain < 2
        assert 0 <= weather.haze <= 0.1
        assert 0 <= weather.cloud <= 0.3
    assert np.mean([w.gain for w in summer]) > 1.1 * np.mean([w.gain for w in winter])
    assert summer[0].elevation > winter[0].elevation > 0
    assert 0.03 < np.mean([w.cloud > 0 for w in summer + winter]) < 0.2


def test_changed_location_differs_after_the_change_and_within_its_mask():
    place = next(
        found
        for number in range(200)
        if (found := sample_location(3, number, 48)).changed and found.label == 'pasture'
    )
    scenes = LocationScenes(place, (2018, 2019), 5, 3)
    mask = scenes.landscapes[1].change_mask().astype(bool)
    dates = np.stack([scene.bands['B04'].astype(float) for scene in scenes.optical()])
    # The median over the dates of a year is free of clouds.
    before, after = np.median(dates[:5], axis=0), np.median(dates[5:], axis=0)
    difference = np.abs(after - before)
    margin = mask.copy()
    for axis in (0, 1):
        margin |= np.roll(mask, 1, axis) | np.roll(mask, -1, axis)
    assert difference[mask].mean() > 3 * difference[~margin].mean()


def test_radar_tells_water_grass_and_roofs_apart():
    place = Landscape(96)
    third = np.arange(96) // 32
    for number, (cover, surface) in enumerate(
        [('water', 'water'), ('grass', 'grass'), ('building', 'metal_roof')]
    ):
        place.paint(rng(), np.tile(third == number, (96, 1)), cover, surface)
    scene = backscatter(place, 190, 0.3, rng())
    for pixels in scene.values():
        assert pixels.dtype == np.int16
        assert pixels.shape == (48, 48)
        water, grass, roof = (np.median(pixels[:, start : start + 16]) for start in (0, 16, 32))
        assert water + 500 < grass < roof - 500
    # Speckle of 4.4 looks: the standard deviation of the power is 1 / sqrt(4.4) of its mean.
    power = 10 ** (scene['VV'][:, :16] / 1000)
    assert power.std() / power.mean() == pytest.approx(4.4**-0.5, abs=0.05)


def test_maize_scatters_more_in_summer():
    place = Landscape(48)
    place.paint(rng(), np.ones((48, 48), bool), 'summer crop', 'maize')
    bare, leafy = (np.median(backscatter(place, day, 0.3, rng())['VH']) for day in (100, 215))
    assert leafy > bare + 200


def test_tile_follows_the_military_grid():
    # Brussels, Rome and Iowa, as in the names of Sentinel-2 products
    assert grid_tile(31, 50.85, 595_000, 5_633_000) == 'T31UES'
    assert grid_tile(33, 41.9, 290_000, 4_640_000) == 'T33TTG'
    assert grid_tile(15, 42.0, 440_000, 4_650_000) == 'T15TVG'


def test_days_spread_over_the_year():
    for number in range(20):
        days = np.array(acquisition_days(0, number, 5))
        assert 1 <= days[0] < days[-1] <= 365
        assert np.all(np.diff(days) > 50)


def test_generators_differ_by_every_argument():
    draws = {
        float(generator(*key).random()) for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    }
    assert len(draws) == 4
    assert generator(0, 0, 0).random() == generator(0, 0, 0).random()
