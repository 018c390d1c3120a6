# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import pytest

from torchgeo_saco.bands import band_index
from torchgeo_saco.synthesis.spectra import BANDS, SOURCES, SPECTRA, SPECTRUM_SOURCES

GREEN = ['broadleaf', 'conifer', 'cereal', 'maize', 'beet', 'grass']
WATER = ['clear_water', 'turbid_water']


def value(material: str, band: str) -> float:
    return SPECTRA[material][band_index(BANDS, [band])[0]]


@pytest.mark.parametrize('material', SPECTRA)
def test_spectrum_is_a_reflectance_of_every_band_with_a_source(material: str):
    assert SPECTRA[material].shape == (12,)
    assert np.all((SPECTRA[material] > 0) & (SPECTRA[material] < 0.7))
    assert SPECTRUM_SOURCES[material] in SOURCES


@pytest.mark.parametrize('material', GREEN)
def test_leaves_have_a_red_edge_and_a_green_peak(material: str):
    assert value(material, 'B08') > 5 * value(material, 'B04')
    assert value(material, 'B03') > value(material, 'B02')
    assert value(material, 'B03') > value(material, 'B04')
    assert value(material, 'B06') > 2 * value(material, 'B05')
    assert value(material, 'B11') < value(material, 'B08')


@pytest.mark.parametrize('material', WATER)
def test_water_is_dark_in_the_infrared(material: str):
    assert value(material, 'B12') < 0.01
    assert value(material, 'B11') < 0.01
    assert value(material, 'B08') < value(material, 'B03')


@pytest.mark.parametrize('material', ['light_soil', 'dark_soil', 'gravel'])
def test_soil_brightens_up_to_the_short_wave_infrared(material: str):
    order = band_index(BANDS, ['B01', 'B02', 'B03', 'B04', 'B08', 'B8A', 'B11'])
    assert np.all(np.diff(SPECTRA[material][order]) > 0)
    assert value(material, 'B12') < value(material, 'B11')


def test_conifers_are_darker_than_broad_leaves():
    assert np.all(SPECTRA['conifer'] < SPECTRA['broadleaf'])
