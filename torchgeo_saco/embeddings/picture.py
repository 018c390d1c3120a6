# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Principal components of embeddings, as colours."""

from typing import NamedTuple

import numpy as np
from geopandas import GeoDataFrame

from ..runtime.checks import check_range
from .grid import EmbeddingRaster, Raster
from .source import Embeddings, as_raster, as_table, described, unit_vectors

_COLORS = ('red', 'green', 'blue')


class PrincipalComponents(NamedTuple):
    """Principal components of embeddings of length one."""

    #: Mean embedding, (D), float64.
    mean: np.ndarray

    #: Directions, (K, D), float64, of descending variance; the largest entry is positive.
    directions: np.ndarray

    #: Share of the variance along each, (K).
    explained: np.ndarray

    def scores(self, values: np.ndarray) -> np.ndarray:
        """Coordinates of vectors along the components.

        Args:
            values: Vectors of length one, (N, D).

        Returns:
            Scores, (N, K), float64.
        """
        return np.asarray((values - self.mean) @ self.directions.T)


class Picture(NamedTuple):
    """Principal components as colours."""

    #: Of a map, a raster; of a table, the table without vectors, with columns of colours.
    result: Raster | GeoDataFrame

    #: Share of the variance in red, green and blue.
    explained: np.ndarray


def principal_components(source: Embeddings, count: int = 3) -> PrincipalComponents:
    """Principal components of all embeddings, exact, from their covariance.

    A map is read by parts, so memory grows with the square of the dimensions alone.

    Args:
        source: Map or table.
        count: How many.

    Returns:
        The components.

    Raises:
        ValueError: If there are fewer dimensions, or fewer than two embeddings.
        BandFileError: If a map cannot be read.
    """
    total, products, number = 0.0, 0.0, 0
    # Differences from some embedding are small, so that their squares lose no digits.
    first = None
    for _, values in unit_vectors(source):
        if not len(values):
            continue
        first = values[0].astype('float64') if first is None else first
        apart = values - first
        total, products = total + apart.sum(0), products + apart.T @ apart
        number += len(values)
    if first is None or number < 2:
        raise ValueError(
            f'{described(source)} has {number} embeddings, and components need two; embed more'
        )
    check_range('count', count, f'int [1, {len(first)}]')
    apart = np.asarray(total) / number
    variances, directions = np.linalg.eigh(products / number - np.outer(apart, apart))
    variances, directions = variances[::-1].clip(0), directions.T[::-1]
    largest = np.abs(directions).argmax(1, keepdims=True)
    directions = directions * np.sign(np.take_along_axis(directions, largest, 1))
    shares = variances / max(variances.sum(), 1e-300)
    return PrincipalComponents(first + apart, directions[:count], shares[:count])


def pca_picture(source: Embeddings, stretch: tuple[float, float] = (2, 98)) -> Picture:
    """First three principal components as red, green and blue.

    Args:
        source: Map or table.
        stretch: Percentiles of each component that become the darkest and the brightest value.

    Returns:
        Of a map, a raster of three bands, uint8, from 1 to 255, and 0 where missing. Of a table,
        the columns ``red``, ``green`` and ``blue`` likewise, and ``color`` as ``#rrggbb``, by
        which QGIS draws. And the share of the variance in each.

    Raises:
        ValueError: If there are fewer than three dimensions or two embeddings.
        BandFileError: If a map cannot be read.
    """
    if not 0 <= stretch[0] < stretch[1] <= 100:
        raise ValueError(f'stretch must be two rising percentiles, got {stretch}')
    components = principal_components(source, 3)
    scores = np.full((len(source), 3), np.nan)
    for positions, values in unit_vectors(source):
        scores[positions] = components.scores(values)
    low, high = np.nanpercentile(scores, stretch, axis=0)
    shares = (scores - low) / np.maximum(high - low, 1e-12)
    missing = np.isnan(scores).any(1)
    colors = (1 + np.rint(254 * np.nan_to_num(shares).clip(0, 1))).astype('uint8')
    colors[missing] = 0
    if isinstance(source, EmbeddingRaster):
        how = {
            'explained_variance': [round(float(share), 6) for share in components.explained],
            'percentiles': list(stretch),
        }
        names = [
            f'principal component {number} ({color})' for number, color in enumerate(_COLORS, 1)
        ]
        raster = as_raster(source, colors, 0, how, descriptions=names)
        return Picture(raster, components.explained)
    text = np.array([f'#{red:02x}{green:02x}{blue:02x}' for red, green, blue in colors], object)
    text[missing] = None
    channels = dict(zip(_COLORS, colors.T, strict=True))
    return Picture(as_table(source, **channels, color=text), components.explained)
