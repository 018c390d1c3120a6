# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Map of a sample."""

import geopandas as gpd
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_LAND, _WATER, _CITY, _PLACE = '#e4e0d8', '#f5f8fa', '#263238', '#c62828'

# A sample that is wider is shown on a map of the world.
_REGION_DEGREES = 120.0


def plot_points(
    points: gpd.GeoDataFrame,
    land: gpd.GeoDataFrame,
    cities: gpd.GeoDataFrame | None = None,
    title: str | None = None,
) -> Figure:
    """Plot where locations are, on a map of longitude and latitude.

    Args:
        points: As :func:`sample_points` or :class:`DateWindows` gives.
        land: As :func:`read_land` gives.
        cities: Cities to mark, too.
        title: Title of the figure.

    Returns:
        The figure: of the world, or of the region of the points.

    Raises:
        ValueError: If there is no point.
    """
    if not len(points):
        raise ValueError('there is no point to plot; sample at least one')
    locations = points.drop_duplicates('location') if 'location' in points else points
    locations = locations.to_crs('EPSG:4326')
    west, east, south, north = _extent(locations.total_bounds)
    # Degrees of longitude shrink towards the poles.
    stretch = 1 / max(0.2, np.cos(np.radians((south + north) / 2)))
    ratio = stretch * (north - south) / (east - west)
    width = float(np.clip(6 / ratio, 5, 12))
    figure, axis = plt.subplots(figsize=(width, width * ratio + 1), layout='constrained')
    land.to_crs('EPSG:4326').plot(ax=axis, color=_LAND, edgecolor='0.7', linewidth=0.4, aspect=None)
    _scatter(axis, locations, 18, _PLACE, 'locations')
    if cities is not None:
        _scatter(axis, cities.to_crs('EPSG:4326'), 8, _CITY, 'cities')
    axis.set(xlim=(west, east), ylim=(south, north), xlabel='', ylabel='')
    axis.set(facecolor=_WATER, aspect=stretch)
    axis.xaxis.set_major_formatter('{x:g}\u00b0')
    axis.yaxis.set_major_formatter('{x:g}\u00b0')
    axis.tick_params(length=0, labelsize=8, labelcolor='0.4')
    axis.grid(color='0.85', linewidth=0.4)
    axis.set_axisbelow(True)
    axis.spines[:].set(color='0.7')
    figure.legend(loc='outside lower center', ncols=2, frameon=False, fontsize=9, markerscale=2)
    if title is not None:
        axis.set_title(title)
    return figure


def _scatter(axis: Axes, points: gpd.GeoDataFrame, size: float, color: str, name: str) -> None:
    """Points, the smaller the more they are."""
    axis.scatter(
        points.geometry.x,
        points.geometry.y,
        s=float(np.clip(3000 / max(1, len(points)), 1.5, size)),
        color=color,
        linewidths=0,
        label=f'{name} ({len(points)})',
        zorder=3,
    )


def _extent(bounds: np.ndarray) -> tuple[float, float, float, float]:
    """West, east, south and north of the map."""
    west, south, east, north = bounds.tolist()
    if east - west > _REGION_DEGREES or north - south > _REGION_DEGREES / 2:
        return -180, 180, -90, 90
    margin = max(1.0, 0.08 * max(east - west, north - south))
    return (
        max(-180, west - margin),
        min(180, east + margin),
        max(-90, south - margin),
        min(90, north + margin),
    )
