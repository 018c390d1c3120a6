# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Sentinel-2 level-2A reflectance of the ground on one date."""

import math
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from torchgeo_saco.bands import SENTINEL2_L2A

from .patterns import noise
from .spectra import BANDS

Image = NDArray[np.float32]

#: Metres along a pixel of the finest bands.
PIXEL = 10.0

# https://sentiwiki.copernicus.eu/web/s2-mission, central wavelengths of Sentinel-2A, nm
WAVELENGTHS = {
    'B01': 442.7,
    'B02': 492.7,
    'B03': 559.8,
    'B04': 664.6,
    'B05': 704.1,
    'B06': 740.5,
    'B07': 782.8,
    'B08': 832.8,
    'B8A': 864.7,
    'B09': 945.1,
    'B11': 1613.7,
    'B12': 2202.4,
}

_WAVELENGTH = np.array([WAVELENGTHS[band] for band in BANDS])

# Haze left by the atmospheric correction falls with wavelength, about as fine aerosol does
# (Angstrom exponent near 1.5).
_HAZE = ((_WAVELENGTH / WAVELENGTHS['B01']) ** -1.5).astype(np.float32)

# Clouds are white in the visible and darker where ice and droplets absorb.
_CLOUD = np.interp(_WAVELENGTH, [440, 950, 1600, 2200], [0.72, 0.7, 0.5, 0.38]).astype(np.float32)


class Sky(NamedTuple):
    """Illumination and air on one date."""

    #: Brightness of the scene, 1 on average; what the correction of the sun angle leaves.
    gain: float

    #: Change of brightness per octave of wavelength, 0 on average.
    tilt: float

    #: Reflectance (0-1) that haze adds in B01.
    haze: float

    #: Share (0-1) of the scene under cloud.
    cloud: float

    #: Direction of the sun in radians, clockwise from north.
    azimuth: float

    #: Height of the sun above the horizon in radians.
    elevation: float


def sky(rng: Generator, latitude: float, day: int) -> Sky:
    """Illumination and air on one date, drawn at random.

    Args:
        rng: Source of randomness.
        latitude: Degrees north.
        day: Day of the year.

    Returns:
        The sky.
    """
    declination = math.radians(-23.44) * math.cos(2 * math.pi * (day + 10) / 365)
    noon = math.pi / 2 - math.radians(latitude) + declination
    # Sentinel-2 passes at 10:30, about 0.1 of the half day before noon.
    elevation = max(0.93 * noon, math.radians(10))
    low_sun = 0.25 * (math.sin(elevation) - math.sin(math.radians(50)))
    return Sky(
        gain=math.exp(low_sun + rng.normal(0, 0.16)),
        tilt=rng.normal(0, 0.06),
        haze=min(rng.exponential(0.025), 0.1),
        cloud=rng.uniform(0.05, 0.3) if rng.random() < 0.1 else 0.0,
        azimuth=math.radians(rng.uniform(140, 170)),
        elevation=elevation,
    )


def observe(
    ground: Image, terrain: NDArray[np.float64], weather: Sky, rng: Generator
) -> dict[str, NDArray[np.uint8]]:
    """Bands of one scene.

    Args:
        ground: Reflectance (0-1) of the 5 m cells, bands by rows by columns.
        terrain: Height of the 10 m pixels in any unit with a standard deviation of one.
        weather: Illumination and air.
        rng: Source of randomness.

    Returns:
        Reflectance times 255 by band, each on its native grid of 10, 20 or 60 m.
    """
    image = illuminated(ground, terrain, weather, rng)
    return {
        band: np.round(recorded(band, layer, rng) * 255).astype(np.uint8)
        for band, layer in zip(BANDS, image, strict=True)
    }


def illuminated(ground: Image, terrain: NDArray[np.float64], weather: Sky, rng: Generator) -> Image:
    """Light that comes from each 10 m pixel, through haze and clouds.

    Args:
        ground: Reflectance (0-1) of the 5 m cells, bands by rows by columns.
        terrain: Height of the 10 m pixels in any unit with a standard deviation of one.
        weather: Illumination and air.
        rng: Source of randomness.

    Returns:
        Reflectance (0-1) of the 10 m pixels, bands by rows by columns.
    """
    image = spread(ground)
    octaves = np.log2(_WAVELENGTH / WAVELENGTHS['B04'])
    gain = (weather.gain * (1 + weather.tilt * octaves)).astype(np.float32)
    image *= gain[:, None, None] * _shading(terrain, weather)
    return _through_air(image, weather, rng)


def recorded(band: str, layer: Image, rng: Generator) -> Image:
    """One band on its native grid, with sensor noise.

    Args:
        band: Name of the band.
        layer: Reflectance (0-1) of the 10 m pixels.
        rng: Source of the noise.

    Returns:
        Reflectance (0-1) of the pixels of 10, 20 or 60 m.
    """
    layer = aggregated(layer, round(SENTINEL2_L2A.bands[band] / PIXEL))
    # Signal to noise of Sentinel-2 is 50-170; level 2A adds errors of its own.
    deviation = 0.0012 + 0.01 * layer
    layer = layer + deviation * rng.standard_normal(layer.shape, np.float32)
    return np.clip(layer, 0, 1)


def spread(ground: Image) -> Image:
    """Light that each 10 m pixel gathers from the 5 m cells in and around it.

    Args:
        ground: Any quantity on 5 m cells, ``(..., side, side)``.

    Returns:
        Its average under a point spread two cells wide, ``(..., side / 2, side / 2)``.
    """
    for axis in (-1, -2):
        moved = np.moveaxis(ground, axis, -1)
        padded = np.pad(moved, [(0, 0)] * (ground.ndim - 1) + [(1, 1)], mode='edge')
        inner = padded[..., 1:-1:2] + padded[..., 2::2]
        outer = padded[..., :-2:2] + padded[..., 3::2]
        ground = np.moveaxis((3 * inner + outer) * np.float32(1 / 8), -1, axis)
    return np.ascontiguousarray(ground)


def aggregated(image: Image, factor: int) -> Image:
    """Average of blocks of *factor* by *factor* pixels, ``(..., side, side)``."""
    rows, columns = image.shape[-2] // factor, image.shape[-1] // factor
    blocks = image.reshape(*image.shape[:-2], rows, factor, columns, factor)
    return blocks.mean(axis=(-3, -1), dtype=np.float32)


def _shading(terrain: NDArray[np.float64], weather: Sky) -> Image:
    """Brightness of slopes relative to flat ground."""
    south, east = np.gradient(terrain)
    facing = math.cos(weather.azimuth) * south - math.sin(weather.azimuth) * east
    strength = 0.6 / math.tan(weather.elevation)
    return np.clip(1 + strength * facing, 0.6, 1.4).astype(np.float32)


def _through_air(image: Image, weather: Sky, rng: Generator) -> Image:
    """The image under haze, and under clouds and their shadows where there are any."""
    side = image.shape[-1]
    patchy = np.clip(1 + 0.25 * noise(rng, side, 500, PIXEL), 0, None).astype(np.float32)
    veil = weather.haze * patchy * _HAZE[:, None, None]
    image = image * (1 - 1.5 * veil) + veil
    if weather.cloud:
        field = noise(rng, side, 250, PIXEL) + 0.25 * noise(rng, side, 60, PIXEL)
        level = np.quantile(field, 1 - weather.cloud)
        opacity = np.clip(0.7 * (field - level), 0, 0.9).astype(np.float32)
        reach = 25 / math.tan(max(weather.elevation, 0.3))
        shift = (
            round(-reach * math.cos(weather.azimuth + math.pi)),
            round(reach * math.sin(weather.azimuth + math.pi)),
        )
        shadow = np.roll(opacity, shift, (0, 1))
        image = image * (1 - 0.6 * shadow)
        image = image * (1 - opacity) + opacity * _CLOUD[:, None, None]
    return image
