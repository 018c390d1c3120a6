# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figures of change between years: ratios, locations, maps."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from geopandas import GeoDataFrame
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor

from ..archives.dates import season_distance
from ..archives.layout import Location
from ..bands import natural_color
from ..datasets import SeasonalArchive
from ..locations.sampling.land import built_in_land
from ..models.change import Mixture
from ..plots import plot_panels

_LOWER, _UPPER, _NEITHER = '#3b6fb6', '#c8501e', '0.45'
_BINS = 60

# The built-in coast is right to a degree, so a map of fewer degrees goes without.
_COAST_DEGREES = 10.0

# A location that lies far out would leave one bar at the left; what lies beyond is counted in
# words.
_SHOWN = 99.0


def plot_change_histogram(
    ratios: ArrayLike, mixture: Mixture | None, title: str | None = None, axis: Axes | None = None
) -> Figure:
    """Plot change ratios, both components of their mixture, and where they part.

    Args:
        ratios: Ratios, in any shape; NaN, of locations never seen, is skipped.
        mixture: The components, or None if there are none.
        title: Title of the figure.
        axis: Where to plot, or None for a figure of its own.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no ratio.
    """
    values = np.asarray(ratios, np.float64).ravel()
    values = values[np.isfinite(values)]
    if not len(values):
        raise ValueError('there is no ratio to plot; every location was skipped or never seen')
    if axis is None:
        _, axis = plt.subplots(figsize=(7, 4), layout='constrained')
    # Of few locations the last percent is less than one.
    top = float(values.max() if len(values) < 100 else np.percentile(values, _SHOWN))
    if mixture is not None:
        top = max(top, 1.2 * mixture.threshold, mixture.means[1] + mixture.deviations[1])
    low = float(values.min())
    top = min(top, float(values.max()))
    top = top if top > low else low + 1e-3
    counts, edges = np.histogram(values, _BINS, (low, top))
    middles, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    colors = (
        _NEITHER if mixture is None else np.where(mixture.upper(middles), _UPPER, _LOWER).tolist()
    )
    axis.bar(middles, counts / (len(values) * width), width, color=colors, alpha=0.45)
    if mixture is not None:
        _plot_components(axis, values, mixture, np.linspace(low, top, 400))
    beyond = int((values > top).sum())
    axis.set_xlabel(
        'change ratio (distance between years / within a year)'
        + (f'; {beyond} beyond, up to {values.max():.1f}' if beyond else '')
    )
    axis.set_ylabel('density')
    if title is not None:
        axis.set_title(title)
    return axis.figure.get_figure(root=True)


def plot_change_locations(
    archive: SeasonalArchive, ratios: Mapping[str, float], pairs: int = 4, title: str | None = None
) -> Figure:
    """Plot the most and the least changed locations, each at one season of two years.

    Args:
        archive: Archive of the locations.
        ratios: Change ratio of locations, by name.
        pairs: Locations of either kind; fewer if there are not as many.
        title: Title of the figure.

    Returns:
        The figure: most changed locations on the left, least changed ones on the right.

    Raises:
        ValueError: If there are no two locations with two years of images.
        BandFileError: If a file cannot be read.
    """
    known = list(archive.subset(list(ratios)).locations)
    known = [location for location in known if archive.two_years(location) is not None]
    ranked = sorted(known, key=lambda location: (-ratios[location.name], location.name))
    pairs = min(pairs, len(ranked) // 2)
    if pairs < 1:
        raise ValueError(
            f'{archive.root} has {len(ranked)} locations with a change ratio and two years of '
            'images; a most and a least changed one need 2'
        )
    rows = [
        _pair(archive, most, ratios[most.name]) + _pair(archive, least, ratios[least.name])
        for most, least in zip(ranked[:pairs], ranked[: -pairs - 1 : -1], strict=True)
    ]
    return plot_panels(rows, title, columns=4)


def plot_change_map(table: GeoDataFrame, axis: Axes) -> None:
    """Plot where locations lie, coloured by their change ratio.

    Args:
        table: Table of locations as :func:`torchgeo_saco.change.map.change_map` makes it. Locations
            without a geometry are skipped.
        axis: Where to plot.
    """
    placed = table[~table.geometry.isna()].sort_values('ratio')
    bounds = placed.geometry.bounds
    east, north = (bounds.minx + bounds.maxx) / 2, (bounds.miny + bounds.maxy) / 2
    edges = ['black' if decision == 'changed' else 'none' for decision in placed.decision]
    dots = axis.scatter(
        east, north, c=placed.ratio, s=28, cmap='viridis', edgecolors=edges, linewidths=0.9
    )
    axis.figure.colorbar(dots, ax=axis, label='change ratio', shrink=0.8)
    limits = axis.get_xlim(), axis.get_ylim()
    if max(high - low for low, high in limits) > _COAST_DEGREES:
        built_in_land().boundary.plot(ax=axis, color='0.6', linewidth=0.6, zorder=0, aspect=None)
        axis.set(xlim=limits[0], ylim=limits[1])
    axis.set_xlabel('longitude (degrees)')
    axis.set_ylabel('latitude (degrees)')
    undecided = (placed.decision == 'undecided').all()
    axis.set_title('locations, undecided' if undecided else 'locations; changed ones framed')


def plot_pixel_change(
    images: Tensor, magnitude: Tensor, titles: Sequence[str], threshold: float | None = None
) -> Figure:
    """Plot images of one scene, how much each pixel has changed, and which have.

    Args:
        images: Images, (T, 3, H, W) or (T, 1, H, W) in any unit, each band stretched by itself;
            NaN where there is no data.
        magnitude: Magnitude of change, (H, W); NaN where there is no data.
        titles: Title of each image.
        threshold: Magnitude above which a pixel has changed, or None for no mask.

    Returns:
        The figure.
    """
    count = len(images) + 1 + (threshold is not None)
    height, width = magnitude.shape
    figure, axes = plt.subplots(
        1, count, figsize=(3.2 * count, 3.2 * height / width + 0.5), layout='constrained'
    )
    for axis, image, title in zip(axes, images, titles, strict=False):
        bands = image.flatten(1)
        low, high = (
            torch.nanquantile(bands[:, :: max(1, bands.shape[1] // 100_000)], q, 1)
            for q in (0.02, 0.98)
        )
        scaled = (image - low[:, None, None]) / (high - low).clamp_min(1e-9)[:, None, None]
        scaled = scaled.clamp(0, 1).nan_to_num(1.0)
        axis.imshow(scaled.expand(3, -1, -1).permute(1, 2, 0).numpy(), interpolation='nearest')
        axis.set_title(title)
    known = magnitude[~magnitude.isnan()].numpy()
    top = float(np.percentile(known, 99.5)) if len(known) else 1.0
    drawn = axes[len(images)].imshow(
        magnitude.numpy(), cmap='magma', vmin=0, vmax=top, interpolation='nearest'
    )
    axes[len(images)].set_title('magnitude of change')
    bar = figure.colorbar(drawn, ax=axes[len(images)], shrink=0.8, extend='max')
    if threshold is not None:
        bar.ax.axhline(min(threshold, top), color='white', linewidth=1.5)
        changed = np.where(np.isnan(magnitude.numpy()), 0.5, 1 - (magnitude.numpy() > threshold))
        axes[-1].imshow(changed, cmap='gray', vmin=0, vmax=1, interpolation='nearest')
        share = float((known > threshold).mean()) if len(known) else 0.0
        axes[-1].set_title(f'changed (black): {share:.1%}')
    for axis in axes:
        axis.axis('off')
    return figure


def _plot_components(
    axis: Axes, values: Sequence[float] | np.ndarray, mixture: Mixture, points: np.ndarray
) -> None:
    """Densities of both components, and the threshold."""
    share = float(np.mean(mixture.upper(values)))
    names = (f'unchanged ({1 - share:.0%})', f'changed ({share:.0%})')
    densities = mixture.densities(points)
    for density, name, color in zip(densities, names, (_LOWER, _UPPER), strict=True):
        axis.plot(points, density, color=color, label=name)
    axis.axvline(
        mixture.threshold, color='0.25', linestyle='--', label=f'threshold {mixture.threshold:.2f}'
    )
    # The best place is looked for among all points, which takes a while.
    axis.legend(frameon=False, loc='upper right')


def _pair(archive: SeasonalArchive, location: Location, ratio: float) -> list[tuple[str, Tensor]]:
    """Two years of a location at the season in which they have the nearest dates."""
    older, later = archive.two_years(location) or ([0], [-1])
    days = location.days
    first, second = min(
        ((i, j) for i in older for j in later),
        key=lambda scenes: season_distance(days[scenes[0]], days[scenes[1]]),
    )
    return [
        (f'{location.name}, ratio {ratio:.2f}\n{days[first]}', _visible(archive, location, first)),
        (f'{days[second]}', _visible(archive, location, second)),
    ]


def _visible(archive: SeasonalArchive, location: Location, scene: int) -> Tensor:
    """Three channels of a date: natural colour, else what comes first."""
    image = archive.read_scene(location, scene).float()
    first = list(range(3)) if len(image) >= 3 else [0] * 3
    return image[natural_color(archive.bands, archive.sensor) or first]
