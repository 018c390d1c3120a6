# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Points that keep their distance."""

import itertools
import math
from collections import defaultdict

# Mean radius of the Earth, https://doi.org/10.1007/s001900050278
_RADIUS_KM = 6371.0088

# A cube itself first, which most likely holds what is too near.
_NEIGHBOURS = sorted(itertools.product((-1, 0, 1), repeat=3), key=lambda step: sum(map(abs, step)))


class Spacing:
    """Points of a sphere, each at least a given distance from all that came before.

    Points lie in a grid of cubes, as wide as the distance; only a cube and its neighbours are
    looked through, and none can hold more than a few points. Nothing is special at the poles or
    at the antimeridian, and a point costs the same whether it is the first or the millionth.
    """

    def __init__(self, spacing_km: float) -> None:
        """Initialize a new Spacing instance.

        Args:
            spacing_km: Distance along a great circle, in kilometres; 0 for none.
        """
        angle = min(spacing_km / _RADIUS_KM, math.pi)
        self._chord = 2 * math.sin(angle / 2)
        self._cubes: defaultdict[tuple[int, ...], list[tuple[float, ...]]] = defaultdict(list)

    def add(self, longitude: float, latitude: float) -> bool:
        """Add a point unless it is too near to another.

        Args:
            longitude: Degrees east.
            latitude: Degrees north.

        Returns:
            Whether it was added.
        """
        if self._chord == 0:
            return True
        point = _on_sphere(longitude, latitude)
        cube = tuple(math.floor(value / self._chord) for value in point)
        for step in _NEIGHBOURS:
            near = self._cubes.get(tuple(map(int.__add__, cube, step)), ())
            if any(math.dist(point, other) < self._chord for other in near):
                return False
        self._cubes[cube].append(point)
        return True


def _on_sphere(longitude: float, latitude: float) -> tuple[float, ...]:
    """Point of the unit sphere."""
    east, north = math.radians(longitude), math.radians(latitude)
    return (math.cos(north) * math.cos(east), math.cos(north) * math.sin(east), math.sin(north))
