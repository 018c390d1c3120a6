# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figures of what is made of embeddings."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from geopandas import GeoDataFrame
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from matplotlib.transforms import Affine2D

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
    missing = raster.missing
    if len(raster.values) == 3:
        alpha = np.where(missing, 0, 255).astype('uint8')
        _show(axis, raster, np.dstack([*raster.values, alpha]))
    elif raster.colors:
        _plot_clusters(axis, raster, missing)
    else:
        values = np.ma.masked_array(raster.values[0], missing)
        # A few cells far off would leave one colour for all others.
        low, high = np.percentile(values.compressed(), (2, 98)) if values.count() else (0, 1)
        drawn = _show(axis, raster, values, cmap='viridis', vmin=low, vmax=high)
        name = raster.descriptions[0] if raster.descriptions else None
        axis.figure.colorbar(drawn, ax=axis, label=name, extend='both')
    if point is not None:
        axis.plot(*point, marker='o', markersize=9, mfc='none', mec='white', mew=3)
        axis.plot(*point, marker='o', markersize=9, mfc='none', mec='black', mew=1.2)
    if not raster.crs.is_projected:
        # A degree of longitude is shorter than one of latitude.
        middle = sum(axis.get_ylim()) / 2
        axis.set_aspect(1 / max(math.cos(math.radians(middle)), 0.1))
    return _finish(axis, raster.crs.is_projected, title)


def plot_table(
    table: GeoDataFrame, column: str, title: str | None = None, axis: Axes | None = None
) -> Figure:
    """Plot where locations lie, coloured by a column.

    Args:
        table: Table of locations; those without geometry are left out.
        column: Numbers, such as ``similarity`` or ``cosine_distance``; classes, ``cluster``; or
            colours, ``color``.
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
        _cluster_legend(axis, numbers, dict(zip(numbers, colors, strict=True)))
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


def _show(axis: Axes, raster: Raster, image: np.ndarray, **options: Any) -> AxesImage:
    """Draw an image where the raster lies, also one that is rotated."""
    height, width = image.shape[:2]
    a, b, c, d, e, f, *_ = raster.transform
    place = Affine2D(np.array([[a, b, c], [d, e, f], [0, 0, 1]])) + axis.transData
    drawn = axis.imshow(
        image, extent=(0, width, height, 0), interpolation='nearest', transform=place, **options
    )
    corners = [(0, 0), (width, 0), (0, height), (width, height)]
    x, y = zip(*(coordinates(raster.transform, *corner) for corner in corners), strict=True)
    axis.set(xlim=(min(x), max(x)), ylim=(min(y), max(y)))
    return drawn


def _plot_clusters(axis: Axes, raster: Raster, missing: np.ndarray) -> None:
    """Clusters in their colours."""
    numbers = np.where(missing, 0, raster.values[0])
    palette = np.array([raster.colors[number] for number in sorted(raster.colors)], 'uint8')
    alpha = np.where(missing, 0, 255).astype('uint8')
    _show(axis, raster, np.dstack([palette[numbers], alpha]))
    _cluster_legend(axis, numbers[~missing], dict(enumerate(palette / 255)))


def _cluster_legend(axis: Axes, numbers: np.ndarray, colors: Mapping[int, np.ndarray]) -> None:
    """Name the first clusters, with their share."""
    present, sizes = np.unique(numbers, return_counts=True)
    handles = [
        Patch(facecolor=tuple(colors[number]), label=f'{number} ({size / sizes.sum():.0%})')
        for number, size in list(zip(present, sizes, strict=True))[:_LEGEND]
    ]
    axis.legend(
        handles=handles, title='cluster', loc='center left', bbox_to_anchor=(1, 0.5), frameon=False
    )
