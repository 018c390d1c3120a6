# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the figures of change."""

import geopandas as gpd
import numpy as np
import pytest
import shapely
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba

from torchgeo_saco.change.figures import (
    plot_change_histogram,
    plot_change_locations,
    plot_change_map,
    plot_pixel_change,
)
from torchgeo_saco.datasets import SeasonalArchive
from torchgeo_saco.models.change import two_gaussians

from ..data.archives import write_archive


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close('all')


def ratios():
    generator = np.random.default_rng(0)
    return np.concatenate([generator.normal(1.0, 0.1, 300), generator.normal(2.5, 0.4, 60)])


def test_histogram_shows_all_ratios_and_where_they_part():
    values = ratios()
    mixture = two_gaussians(values)
    figure = plot_change_histogram(values, mixture, 'a title')
    (axis,) = figure.axes
    assert axis.get_title() == 'a title'
    area = sum(bar.get_height() * bar.get_width() for bar in axis.patches)
    assert area == pytest.approx((values <= np.percentile(values, 99)).mean(), abs=0.01)
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    share = mixture.upper(values).mean()
    assert labels == [
        f'unchanged ({1 - share:.0%})', f'changed ({share:.0%})', f'threshold {mixture.threshold:.2f}'  # noqa: E501
    ]  # fmt: skip
    lower, upper, threshold = axis.lines
    assert threshold.get_xdata()[0] == mixture.threshold
    points = lower.get_xdata()
    np.testing.assert_allclose([lower.get_ydata(), upper.get_ydata()], mixture.densities(points))
    # Bars have the colour of the component that their ratios belong to.
    for bar in axis.patches:
        middle = bar.get_x() + bar.get_width() / 2
        line = upper if mixture.upper(middle) else lower
        assert bar.get_facecolor()[:3] == to_rgba(line.get_color())[:3]


def test_ratios_far_out_are_counted_in_words():
    values = np.append(ratios(), [70.0, 90.0])
    (axis,) = plot_change_histogram(values, None).axes
    assert axis.get_xlim()[1] < 10
    assert '4 beyond, up to 90.0' in axis.get_xlabel()


def test_all_ratios_of_few_locations_are_shown():
    (axis,) = plot_change_histogram([0.8, 0.9, 1.0, 5.0], None).axes
    assert 'beyond' not in axis.get_xlabel()
    assert sum(bar.get_height() > 0 for bar in axis.patches) == 4


@pytest.mark.parametrize('values', [[2.0], [2.0, 2.0, float('nan')], [0.0]])
def test_ratios_without_components(values):
    (axis,) = plot_change_histogram(values, None).axes
    assert axis.get_legend() is None
    assert not axis.lines
    assert sum(bar.get_height() > 0 for bar in axis.patches) == 1


@pytest.mark.parametrize('values', [[], [float('nan')]])
def test_no_ratio(values):
    with pytest.raises(ValueError, match='there is no ratio to plot'):
        plot_change_histogram(values, None)


def titles(figure):
    return [axis.get_title() for axis in figure.axes]


def test_most_changed_locations_beside_least_changed_ones(archive):
    whole = SeasonalArchive(archive)
    named = dict(
        zip([p.name for p in whole.locations], [3.0, 1.0, 9.0, 2.0, 7.0, 5.0], strict=True)
    )
    figure = plot_change_locations(whole, named, pairs=2)
    assert [title.split('\n')[0] for title in titles(figure)[::2]] == [
        '000002, ratio 9.00', '000001, ratio 1.00', '000004, ratio 7.00', '000003, ratio 2.00',
    ]  # fmt: skip
    # Of all dates of the two years, these are nearest in season.
    assert [title.split('\n')[-1] for title in titles(figure)[:2]] == ['2018-04-10', '2019-04-12']
    images = [axis.images[0].get_array() for axis in figure.axes[:2]]
    assert all(image.shape == (36, 36, 3) for image in images)
    assert not np.array_equal(*images)


def test_few_locations_and_locations_without_a_ratio(archive):
    whole = SeasonalArchive(archive)
    figure = plot_change_locations(whole, {'000001': 1.0, '000003': 2.0, '000005': 3.0}, pairs=4)
    assert [title[:6] for title in titles(figure)[::2]] == ['000005', '000001']
    with pytest.raises(ValueError, match='has 1 locations with a change ratio and two years'):
        plot_change_locations(whole, {'000001': 1.0})


@pytest.mark.parametrize('bands', [('B8', 'B11', 'B12'), ('B8',)])
def test_places_without_natural_colour(tmp_path, bands):
    root = write_archive(tmp_path, locations=2, bands=bands, size=12)
    figure = plot_change_locations(SeasonalArchive(root), {'000000': 1.0, '000001': 2.0})
    image = figure.axes[0].images[0].get_array()
    assert image.shape == (12, 12, 3)
    assert np.ptp(image) > 0.5
    if len(bands) == 1:
        assert np.array_equal(image[..., 0], image[..., 1])


def test_map_shows_placed_locations():
    boxes = [shapely.box(x, 10, x + 2, 12) for x in (0, 20, 40)]
    table = gpd.GeoDataFrame(
        {'ratio': [3.0, 1.0, 2.0, 8.0], 'decision': ['unchanged', 'changed'] * 2},
        geometry=[*boxes, None], crs='EPSG:4326',
    )  # fmt: skip
    _, axis = plt.subplots()
    plot_change_map(table, axis)
    # The coast comes after the dots.
    dots, _ = axis.collections
    # The most changed ones are drawn last, on top.
    assert dots.get_offsets().tolist() == [[21, 11], [41, 11], [1, 11]]
    assert dots.get_array().tolist() == [1, 2, 3]
    assert [edge[3] for edge in dots.get_edgecolors()] == [1, 0, 0]


@pytest.mark.parametrize('threshold', [None, 2.5])
def test_panels_of_pixels_that_changed(threshold):
    images = torch.linspace(0, 1, 2 * 3 * 20 * 10).reshape(2, 3, 20, 10)
    magnitude = torch.arange(200.0).reshape(20, 10) / 40
    magnitude[0] = torch.nan
    images[:, :, 0] = torch.nan
    figure = plot_pixel_change(images, magnitude, ['2017', '2018'], threshold)
    panels = [axis for axis in figure.axes if axis.images]
    found = [axis.get_title() for axis in panels]
    assert found[:3] == ['2017', '2018', 'magnitude of change']
    np.testing.assert_array_equal(panels[2].images[0].get_array().filled(np.nan), magnitude)
    # What has no data is white.
    assert (panels[0].images[0].get_array()[0] == 1).all()
    if threshold is None:
        assert len(panels) == 3
    else:
        # Of 10 to 199, those above 100.
        assert found[3] == f'changed (black): {99 / 190:.1%}'
        mask = panels[3].images[0].get_array()
        assert (mask[0] == 0.5).all()
        np.testing.assert_array_equal(mask[1:] == 0, magnitude[1:] > 2.5)


def test_panels_of_pixels_without_data():
    nothing = torch.full((20, 10), torch.nan)
    figure = plot_pixel_change(nothing.expand(2, 1, -1, -1), nothing, ['2017', '2018'], 1.0)
    assert figure.axes[3].get_title() == 'changed (black): 0.0%'
