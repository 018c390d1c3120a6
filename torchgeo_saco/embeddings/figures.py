# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figures of what is made of embeddings."""

import math

import numpy as np
from geopandas import GeoDataFrame
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .clusters import cluster_colors
from .grid import Raster, coordinates

#: Clusters that a legend names.
_LEGEND = 20


def plot_raster(
    raster: Raster,
    title: str | None = None,
    point: tuple[float, float] | None = None,
    axis: Axes | None = None,
) -> Figure:
    """Plot a similarity, a change, clusters or a picture of components, in its coordinates.

    Args:
        raster: Raster of this room.
        title: Title of the figure.
        point: Point to mark, in the coordinates of the raster.
        axis: Where to plot, or None for a figure of its own.

    Returns:
        The figure.
    """
    if axis is None:
        _, axis = plt.subplots(figsize=(7, 5.5), layout='constrained')
    count, height, width = raster.values.shape
    left, top = coordinates(raster.transform, 0, 0)
    right, bottom = coordinates(raster.transform, width, height)
    extent = (left, right, bottom, top)
    missing = raster.missing
    if count == 3:
        alpha = np.where(missing, 0, 255).astype('uint8')
        axis.imshow(np.dstack([*raster.values, alpha]), extent=extent, interpolation='nearest')
    elif raster.colors:
        _plot_clusters(axis, raster, missing, extent)
    else:
        values = np.ma.masked_array(raster.values[0], missing)
        # A few cells far off would leave one colour for all others.
        low, high = np.percentile(values.compressed(), (2, 98)) if values.count() else (0, 1)
        drawn = axis.imshow(
            values, extent=extent, interpolation='nearest', cmap='viridis', vmin=low, vmax=high
        )
        name = raster.descriptions[0] if raster.descriptions else None
        axis.figure.colorbar(drawn, ax=axis, label=name, extend='both')
    if point is not None:
        axis.plot(*point, marker='o', markersize=9, mfc='none', mec='white', mew=3)
        axis.plot(*point, marker='o', markersize=9, mfc='none', mec='black', mew=1.2)
    if not raster.crs.is_projected:
        # A degree of longitude is shorter than one of latitude.
        axis.set_aspect(1 / max(math.cos(math.radians((top + bottom) / 2)), 0.1))
    return _finish(axis, raster.crs.is_projected, title)


def plot_table(
    table: GeoDataFrame, column: str, title: str | None = None, axis: Axes | None = None
) -> Figure:
    """Plot where locations lie, coloured by a column.

    Args:
        table: Table of locations; those without geometry are left out.
        column: Numbers, such as ``similarity`` or ``distance``; classes, ``cluster``; or colours,
            ``color``.
        title: Title of the figure.
        axis: Where to plot, or None for a figure of its own.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no such column, or no location has a geometry.
    """
    if column not in table:
        raise ValueError(f'the table has no column {column!r}; it has {", ".join(table.columns)}')
    placed = table[~table.geometry.isna() & table[column].notna()]
    if not len(placed):
        raise ValueError('no location of the table has a footprint and a value, so none is drawn')
    if axis is None:
        _, axis = plt.subplots(figsize=(7, 5), layout='constrained')
    # Footprints of a patch are too small to be seen among others far away.
    points = placed.geometry.representative_point()
    values = placed[column]
    if column == 'color':
        axis.scatter(points.x, points.y, c=list(values), s=30, edgecolors='0.3', linewidths=0.4)
    elif column == 'cluster':
        numbers = values.astype(int).to_numpy()
        colors = np.array(list(cluster_colors(numbers.max() + 1).values()))[numbers] / 255
        axis.scatter(points.x, points.y, c=colors, s=30, edgecolors='0.3', linewidths=0.4)
    else:
        drawn = axis.scatter(
            points.x, points.y, c=values.astype(float), s=30, edgecolors='0.3', linewidths=0.4
        )
        axis.figure.colorbar(drawn, ax=axis, label=column.replace('_', ' '))
    return _finish(axis, False, title)


def _finish(axis: Axes, projected: bool, title: str | None) -> Figure:
    """Name the coordinates and the plot."""
    axis.set_xlabel('easting (m)' if projected else 'longitude (degrees)')
    axis.set_ylabel('northing (m)' if projected else 'latitude (degrees)')
    axis.ticklabel_format(style='plain', useOffset=False)
    axis.locator_params(nbins=5)
    if title is not None:
        axis.set_title(title)
    return axis.figure.get_figure(root=True)


def _plot_clusters(
    axis: Axes, raster: Raster, missing: np.ndarray, extent: tuple[float, float, float, float]
) -> None:
    """Clusters in their colours, with a legend of the first ones."""
    numbers = np.where(missing, 0, raster.values[0])
    palette = np.array([raster.colors[number] for number in sorted(raster.colors)], 'uint8')
    alpha = np.where(missing, 0, 255).astype('uint8')
    axis.imshow(np.dstack([palette[numbers], alpha]), extent=extent, interpolation='nearest')
    present, sizes = np.unique(numbers[~missing], return_counts=True)
    handles = [
        Patch(facecolor=palette[number] / 255, label=f'{number} ({size / sizes.sum():.0%})')
        for number, size in list(zip(present, sizes, strict=True))[:_LEGEND]
    ]
    axis.legend(
        handles=handles, title='cluster', loc='center left', bbox_to_anchor=(1, 0.5), frameon=False
    )
