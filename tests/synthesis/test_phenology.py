# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest

from torchgeo_saco.bands import band_index
from torchgeo_saco.synthesis.landcover import BACKSCATTER
from torchgeo_saco.synthesis.phenology import (
    SURFACES,
    Ground,
    green_share,
    ground_spectra,
    stages,
    surface_spectra,
)
from torchgeo_saco.synthesis.spectra import BANDS

YEAR = np.arange(1.0, 366.0)
APRIL, AUGUST, JANUARY = 112.0, 222.0, 15.0


def ndvi(surface: str, day: float, vigour: float = 1.0) -> float:
    spectrum = surface_spectra([surface], np.array([day]), np.array([vigour]), Ground())[0]
    red, infrared = spectrum[band_index(BANDS, ['B04', 'B08'])]
    return (infrared - red) / (infrared + red)


@pytest.mark.parametrize('surface', SURFACES)
def test_shares_add_up_on_every_day(surface: str):
    shares = np.stack(list(stages(surface, YEAR).values()))
    assert shares.min() >= 0
    np.testing.assert_allclose(shares.sum(0), 1)


@pytest.mark.parametrize('surface', SURFACES)
def test_calendar_repeats_every_year(surface: str):
    for material, share in stages(surface, YEAR).items():
        np.testing.assert_allclose(stages(surface, YEAR + 365)[material], share, atol=1e-12)


@pytest.mark.parametrize('winter', ['wheat', 'rapeseed'])
@pytest.mark.parametrize('summer', ['maize', 'beet'])
def test_winter_crops_are_green_in_april_and_summer_crops_in_august(winter: str, summer: str):
    assert ndvi(winter, APRIL) > ndvi(summer, APRIL) + 0.3
    assert ndvi(summer, AUGUST) > ndvi(winter, AUGUST) + 0.3


def test_conifers_stay_green_and_broad_leaves_fall():
    assert np.ptp(green_share('conifer', YEAR)) == 0
    assert ndvi('conifer', JANUARY) > 0.7
    assert ndvi('broadleaf', JANUARY) < 0.5
    assert ndvi('broadleaf', AUGUST) > 0.8


def test_built_surfaces_have_no_leaves():
    assert green_share('tile_roof', YEAR).max() == 0
    assert ndvi('water', AUGUST) < 0


def test_weak_stands_show_their_soil():
    assert ndvi('maize', AUGUST, 0.5) < ndvi('maize', AUGUST)
    bare = surface_spectra(['maize'], np.array([205.0]), np.array([0.0]), Ground())[0]
    soil = ground_spectra(Ground())['soil']
    np.testing.assert_allclose(bare, soil)


def test_wet_and_dark_soil_reflect_less():
    dry, wet = (ground_spectra(Ground(moisture=m))['soil'] for m in (0.0, 1.0))
    np.testing.assert_allclose(wet, dry / 2)
    light, dark = (ground_spectra(Ground(light_soil=share))['soil'] for share in (1.0, 0.0))
    assert np.all(light > dark)


def test_patches_keep_their_order():
    days, vigour = np.array([AUGUST, AUGUST, APRIL]), np.ones(3)
    together = surface_spectra(['maize', 'water', 'maize'], days, vigour, Ground())
    for row, surface in enumerate(['maize', 'water', 'maize']):
        alone = surface_spectra([surface], days[row : row + 1], vigour[:1], Ground())
        np.testing.assert_array_equal(together[row], alone[0])


def test_radar_knows_every_surface():
    assert set(BACKSCATTER) == set(SURFACES)
