# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Sentinel-2 products as published: reflectance times 10000, at the top or bottom of the air."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from torchgeo_saco.bands import SENTINEL2_L1C, SENTINEL2_L2A

from .patterns import noise
from .sensor import PIXEL, WAVELENGTHS, Image, Sky, aggregated, illuminated, recorded
from .spectra import BANDS

#: Stored number of reflectance 1.
UNIT = 10_000

_WAVELENGTH = np.array([WAVELENGTHS[band] for band in BANDS])

# Light scattered by the air itself, as reflectance. Rayleigh's law, set by hand to about what
# dark water shows in level 1C at sea level; approximate.
_PATH = (0.085 * (_WAVELENGTH / WAVELENGTHS['B01']) ** -4.0).astype(np.float32)

# Share of the ground's light that comes through clear air, down and up; approximate.
_TRANSMISSION = (0.97 - 1.2 * _PATH).astype(np.float32)

# Reflectance that the cirrus band shows in clear air.
_CLEAR_CIRRUS = 0.0009


def level2a(
    ground: Image, terrain: NDArray[np.float64], weather: Sky, rng: Generator
) -> dict[str, NDArray[np.uint16]]:
    """Reflectance of the ground, each of the 12 bands on its native grid.

    Args:
        ground: Reflectance (0-1) of the 5 m cells, bands by rows by columns.
        terrain: Height of the 10 m pixels in any unit with a standard deviation of one.
        weather: Illumination and air; what the correction leaves of it stays in the image.
        rng: Source of randomness.

    Returns:
        Reflectance times 10000 by band.
    """
    image = illuminated(ground, terrain, weather, rng)
    return {
        band: numbers(recorded(band, layer, rng)) for band, layer in zip(BANDS, image, strict=True)
    }


def level1c(
    ground: Image, terrain: NDArray[np.float64], weather: Sky, rng: Generator
) -> dict[str, NDArray[np.uint16]]:
    """Reflectance at the top of the atmosphere, all 13 bands on the 10 m grid.

    The air is a fixed clear one: path radiance, strongest in the blue, losses, water vapour in
    B09 and nearly nothing but cirrus in B10. Approximate.

    Args:
        ground: Reflectance (0-1) of the 5 m cells, bands by rows by columns.
        terrain: Height of the 10 m pixels in any unit with a standard deviation of one.
        weather: Illumination and haze.
        rng: Source of randomness.

    Returns:
        Reflectance times 10000 by band, in the order of the sensor.
    """
    image = illuminated(ground, terrain, weather, rng)
    transmission = _TRANSMISSION.copy()
    transmission[BANDS.index('B09')] *= np.exp(-rng.uniform(1.0, 1.6))
    cirrus = _cirrus(image.shape[-1], rng)
    image = image * transmission[:, None, None] + _PATH[:, None, None] + cirrus
    bands = {}
    for band, size in SENTINEL2_L1C.bands.items():
        if band == 'B10':
            layer = aggregated(cirrus + np.float32(_CLEAR_CIRRUS), round(size / PIXEL))
            layer = layer + 0.0001 * rng.standard_normal(layer.shape, np.float32)
        else:
            layer = recorded(band, image[BANDS.index(band)], rng)
        bands[band] = numbers(enlarged(layer, round(size / PIXEL)))
    return bands


def on_finest_grid(bands: dict[str, NDArray[np.uint16]]) -> dict[str, NDArray[np.uint16]]:
    """Bands of a level-2A product resampled to 10 m."""
    return {
        band: np.round(
            enlarged(layer.astype(np.float32), round(SENTINEL2_L2A.bands[band] / PIXEL))
        ).astype(np.uint16)
        for band, layer in bands.items()
    }


def enlarged(layer: Image, factor: int) -> Image:
    """One band on a grid *factor* times as fine, linear between the centres of its pixels."""
    for axis in (0, 1):
        count = layer.shape[axis]
        position = np.clip((np.arange(count * factor) + 0.5) / factor - 0.5, 0, count - 1)
        lower = np.minimum(position.astype(int), max(count - 2, 0))
        upper = np.minimum(lower + 1, count - 1)
        share = (position - lower).astype(np.float32)
        share = share[:, None] if axis == 0 else share
        layer = layer.take(lower, axis) * (1 - share) + layer.take(upper, axis) * share
    return layer


def numbers(reflectance: Image) -> NDArray[np.uint16]:
    """Stored numbers of reflectances."""
    return np.round(np.clip(reflectance, 0, None) * UNIT).astype(np.uint16)


def _cirrus(side: int, rng: Generator) -> Image:
    """Reflectance of thin ice clouds, in one scene of seven."""
    strength = rng.uniform(0.001, 0.006) if rng.random() < 1 / 7 else 0.0
    field = np.clip(0.6 + noise(rng, side, 450, PIXEL), 0, None)
    return (strength * field).astype(np.float32)
