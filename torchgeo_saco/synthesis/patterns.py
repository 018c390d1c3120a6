# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Shapes and textures of landscapes, on a square canvas of 5 m cells."""

import itertools
import math
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

#: Side of a cell of the canvas, in metres.
CELL = 5.0

Field = NDArray[np.float64]
Labels = NDArray[np.intp]
Mask = NDArray[np.bool_]


def noise(rng: Generator, side: int, length: float, cell: float = CELL) -> Field:
    """Smooth Gaussian noise of zero mean and unit variance.

    Args:
        rng: Source of randomness.
        side: Cells along the canvas.
        length: Correlation length, in metres.
        cell: Side of a cell, in metres.

    Returns:
        The field, ``(side, side)``.
    """
    return _filtered(rng, side, np.exp(-2 * (np.pi * _frequency(side, cell) * length / 2) ** 2))


def grain(rng: Generator, side: int, period: float) -> Field:
    """Noise of one grain size, without direction, such as tree crowns; unit variance.

    Args:
        rng: Source of randomness.
        side: Cells along the canvas.
        period: Mean distance from crest to crest, in metres.

    Returns:
        The field, ``(side, side)``.
    """
    deviation = (_frequency(side, CELL) * period - 1) / 0.45
    return _filtered(rng, side, np.exp(-(deviation**2) / 2))


def coordinates(side: int, angle: float) -> tuple[Field, Field]:
    """Distances from the centre along two axes turned by *angle*.

    Args:
        side: Cells along the canvas.
        angle: Turn of the axes, in radians.

    Returns:
        Distances in metres along the first and the second axis, ``(side, side)`` each.
    """
    line = (np.arange(side) + 0.5 - side / 2) * CELL
    row, col = line[:, None], line[None, :]
    along = col * math.cos(angle) + row * math.sin(angle)
    across = row * math.cos(angle) - col * math.sin(angle)
    return along, across


def stripes(rng: Generator, side: int, angle: float, period: float) -> Field:
    """Nearly straight parallel rows, of zero mean and unit variance.

    Args:
        rng: Source of randomness.
        side: Cells along the canvas.
        angle: Direction of the rows, in radians.
        period: Distance from row to row, in metres.

    Returns:
        The field, ``(side, side)``.
    """
    across = coordinates(side, angle)[1] + 0.06 * period * noise(rng, side, 6 * period)
    return math.sqrt(2) * np.cos(2 * np.pi * (across / period + rng.random()))


def grid_parcels(
    rng: Generator, side: int, angle: float, width: float, length: float, bend: float = 0.0
) -> Labels:
    """Parcels in parallel strips, as land consolidation leaves them.

    Args:
        rng: Source of randomness.
        side: Cells along the canvas.
        angle: Direction of the strips, in radians.
        width: Mean width of a strip, in metres.
        length: Mean length of a parcel along its strip, in metres.
        bend: How far edges leave the straight line, in metres.

    Returns:
        Parcel of each cell, numbered from 0 without gaps, ``(side, side)``.
    """
    along, across = coordinates(side, angle)
    if bend:
        along = along + bend * noise(rng, side, 200.0)
        across = across + bend * noise(rng, side, 200.0)
    reach = side * CELL
    count = int(2 * reach / (0.7 * width)) + 2
    edges = np.cumsum(width * rng.uniform(0.7, 1.3, count)) - reach
    strip = np.searchsorted(edges, across)
    lengths = length * rng.uniform(0.7, 1.3, count + 1)
    starts = rng.uniform(0, 1, count + 1)
    parcel = np.floor(along / lengths[strip] + starts[strip]).astype(int)
    return _renumbered(strip * 10_000 + parcel)


def cells(rng: Generator, side: int, spacing: float) -> tuple[Labels, Field]:
    """Irregular parcels around scattered seeds (Voronoi cells).

    Args:
        rng: Source of randomness.
        side: Cells along the canvas.
        spacing: Mean distance between seeds, in metres.

    Returns:
        Parcel of each cell of the canvas, and its distance in metres to the parcel's edge.
    """
    col, row = coordinates(side, 0.0)
    warp = 0.12 * spacing
    col, row = col + warp * noise(rng, side, spacing), row + warp * noise(rng, side, spacing)
    # One seed per square of a grid; the nearest two lie within two squares of a cell.
    squares = math.ceil(side * CELL / spacing) + 8
    seeds = np.indices((squares, squares)) + 0.5 + rng.uniform(-0.45, 0.45, (2, squares, squares))
    col, row = col / spacing + squares / 2, row / spacing + squares / 2
    seed_row, seed_col = seeds.reshape(2, -1)
    home = row.astype(int) * squares + col.astype(int)
    nearest, second = np.full(row.shape, np.inf), np.full(row.shape, np.inf)
    parcel = np.zeros(row.shape, int)
    for down, right in itertools.product(range(-2, 3), repeat=2):
        at = home + (down * squares + right)
        squared = (row - seed_row.take(at)) ** 2 + (col - seed_col.take(at)) ** 2
        np.copyto(parcel, at, where=squared < nearest)
        np.minimum(second, np.maximum(nearest, squared), out=second)
        np.minimum(nearest, squared, out=nearest)
    return _renumbered(parcel), spacing * (np.sqrt(second) - np.sqrt(nearest)) / 2


def meander_distance(rng: Generator, side: int, angle: float) -> Field:
    """Distance to a winding line through the canvas.

    Args:
        rng: Source of randomness.
        side: Cells along the canvas.
        angle: General direction of the line, in radians.

    Returns:
        Distance in metres, ``(side, side)``.
    """
    reach = side * CELL
    wavelength = reach * rng.uniform(0.55, 0.75)
    amplitude = reach * rng.uniform(0.2, 0.26)
    step = np.linspace(-reach, reach, 240)
    phase = 2 * np.pi * (step / wavelength + rng.random())
    # The second harmonic along the line leans the bends over, as rivers do.
    line_along = step - 0.18 * wavelength * np.sin(2 * phase) / 2
    line_across = amplitude * np.sin(phase)
    along, across = coordinates(side, angle)
    squared = np.full(along.shape, np.inf)
    for point_along, point_across in zip(line_along, line_across, strict=True):
        np.minimum(squared, (along - point_along) ** 2 + (across - point_across) ** 2, out=squared)
    return np.sqrt(squared)


def line_distance(rng: Generator, side: int, angle: float, bend: float) -> Field:
    """Distance to a gently bent line near the middle of the canvas.

    Args:
        rng: Source of randomness.
        side: Cells along the canvas.
        angle: General direction of the line, in radians.
        bend: How far the line leaves the straight one, in metres; at most a tenth of the canvas,
            or the distance is no longer nearly right.

    Returns:
        Distance in metres, ``(side, side)``.
    """
    reach = side * CELL
    along, across = coordinates(side, angle)
    wave = 2 * np.pi * along / (reach * rng.uniform(0.8, 1.4)) + rng.uniform(0, 2 * np.pi)
    offset = reach * rng.uniform(-0.2, 0.2)
    return np.abs(across - offset - bend * np.sin(wave))


def edges(labels: Labels) -> Mask:
    """Cells whose right or lower neighbour belongs to another parcel, two cells wide."""
    mask = np.zeros(labels.shape, bool)
    mask[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    mask[:-1] |= labels[:-1] != labels[1:]
    mask[:, 1:] |= mask[:, :-1].copy()
    mask[1:] |= mask[:-1].copy()
    return mask


def top_share(field: Field, share: float, within: Mask | None = None) -> Mask:
    """The highest cells of a field, so many that they fill a share of the canvas.

    Args:
        field: Any field, ``(side, side)``.
        share: Share (0-1) of the whole canvas.
        within: Cells to choose from; all by default.

    Returns:
        The chosen cells; fewer than asked where *within* holds fewer.
    """
    candidates = np.flatnonzero(np.ones(field.size, bool) if within is None else within)
    wanted = min(round(share * field.size), candidates.size)
    mask = np.zeros(field.size, bool)
    if wanted:
        values = field.ravel()[candidates]
        least = np.partition(values, -wanted)[-wanted]
        higher, equal = candidates[values > least], candidates[values == least]
        # Of ties, the first cells are taken, so that they fall the same way everywhere.
        mask[higher] = mask[equal[: wanted - higher.size]] = True
    return mask.reshape(field.shape)


@lru_cache(maxsize=8)
def _frequency(side: int, cell: float) -> Field:
    """Spatial frequency in cycles per metre, for a real transform of the canvas."""
    return np.hypot(np.fft.fftfreq(side, cell)[:, None], np.fft.rfftfreq(side, cell)[None, :])


def _filtered(rng: Generator, side: int, response: Field) -> Field:
    """White noise shaped by *response*, scaled to zero mean and unit variance."""
    white = rng.standard_normal((side, side))
    field = np.fft.irfft2(np.fft.rfft2(white) * response, s=(side, side))
    field -= field.mean()
    return field / field.std()


def _renumbered(labels: Labels) -> Labels:
    """The same parcels, numbered from 0 without gaps."""
    labels = labels - labels.min()
    used = np.zeros(int(labels.max()) + 1, bool)
    used[labels] = True
    return (np.cumsum(used) - 1)[labels]
