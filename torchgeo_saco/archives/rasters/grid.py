# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Grid of pixels and cells that is fixed to the Earth, whatever files are there."""

import math
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

from pyproj import CRS
from rasterio.transform import Affine


class WorldGrid(NamedTuple):
    """Pixels of one size in one coordinate system, and square cells of them."""

    #: Coordinate system.
    crs: CRS

    #: Width and height of a pixel, in units of the coordinate system.
    res: tuple[float, float]

    #: Distance of the edges of pixels from multiples of their size, below it.
    phase: tuple[float, float]

    def is_aligned(self, transform: Affine) -> bool:
        """Whether the pixels of a north-up raster in this coordinate system are these."""
        a, b, c, d, e, f = tuple(transform)[:6]
        return (
            b == d == 0
            and math.isclose(a, self.res[0], rel_tol=1e-6)
            and math.isclose(-e, self.res[1], rel_tol=1e-6)
            and all(
                abs((edge - phase) / res - round((edge - phase) / res)) < 0.01
                for edge, phase, res in zip((c, f), self.phase, self.res, strict=True)
            )
        )

    def cover(self, bounds: tuple[float, float, float, float]) -> tuple[Affine, int, int]:
        """Pixels that cover an area: their transform, width and height."""
        west, south, east, north = bounds
        (a, e), (x, y) = self.res, self.phase
        left, right = math.floor((west - x) / a + 1e-6), math.ceil((east - x) / a - 1e-6)
        bottom, top = math.floor((south - y) / e + 1e-6), math.ceil((north - y) / e - 1e-6)
        return Affine(a, 0, x + left * a, 0, -e, y + top * e), right - left, top - bottom

    def cells(
        self, bounds: tuple[float, float, float, float], size: int
    ) -> Iterator[tuple[int, int]]:
        """Column and row, from the south, of the cells of *size* pixels that touch an area."""
        west, south, east, north = bounds
        (a, e), (x, y) = self.res, self.phase
        for row in range(
            math.floor((south - y) / (size * e) + 1e-6), math.ceil((north - y) / (size * e) - 1e-6)
        ):
            for column in range(
                math.floor((west - x) / (size * a) + 1e-6),
                math.ceil((east - x) / (size * a) - 1e-6),
            ):
                yield column, row

    def bounds(self, column: int, row: int, size: int) -> tuple[float, float, float, float]:
        """West, south, east and north of a cell."""
        (a, e), (x, y) = self.res, self.phase
        west, south = x + column * size * a, y + row * size * e
        return west, south, west + size * a, south + size * e

    def cell_name(self, column: int, row: int) -> str:
        """Name of a cell, such as ``32631_E0045_N1203``.

        The code of the coordinate system, its column eastwards and its row northwards.
        """
        code = self.crs.to_epsg()
        system = str(code) if code else f'crs{crc32(self.crs.to_wkt().encode()):08x}'
        east, north = f'{"EW"[column < 0]}{abs(column):04d}', f'{"NS"[row < 0]}{abs(row):04d}'
        return f'{system}_{east}_{north}'


def phase_of(transform: Affine, res: tuple[float, float]) -> tuple[float, float]:
    """Phase of the grid that the pixels of a raster are on."""
    x, y = (
        round(math.fmod(edge, size) / size, 6) % 1 * size
        for edge, size in zip((transform.c, transform.f), res, strict=True)
    )
    return x, y
