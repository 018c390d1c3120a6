# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of maps of points."""

import geopandas as gpd
import pytest
from matplotlib import pyplot as plt
from shapely.geometry import Point, box

from torchgeo_saco.locations.sampling import (
    DateWindows,
    built_in_cities,
    built_in_land,
    plot_points,
    sample_points,
)


def drawn(figure):
    """Labels of what is drawn, and limits of the map."""
    axis = figure.axes[0]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    limits = (*axis.get_xlim(), *axis.get_ylim())
    figure.canvas.draw()
    plt.close(figure)
    return labels, limits


@pytest.mark.slow
def test_map_of_the_world():
    points = sample_points(6, built_in_cities(), built_in_land(), seed=2)
    windows = DateWindows('2025-06-01')(points)
    figure = plot_points(windows, built_in_land(), built_in_cities(), title='sample')
    assert figure.axes[0].get_title() == 'sample'
    offsets = figure.axes[0].collections[-2].get_offsets()
    assert len(offsets) == 6
    labels, limits = drawn(figure)
    # A location counts once, however many windows it has.
    assert labels == ['locations (6)', f'cities ({len(built_in_cities())})']
    assert limits == (-180, 180, -90, 90)


def test_map_of_a_region():
    points = gpd.GeoDataFrame(geometry=[Point(5, 45), Point(15, 50)], crs='EPSG:4326')
    labels, limits = drawn(plot_points(points.to_crs('EPSG:3857'), built_in_land()))
    assert labels == ['locations (2)']
    assert limits == pytest.approx((4, 16, 44, 51))


@pytest.mark.parametrize('location', [(0, 90), (180, 0), (-180, -90), (20, 10)])
def test_map_of_one_location_at_the_edge(location):
    land = gpd.GeoDataFrame(geometry=[box(100, 0, 101, 1)], crs='EPSG:4326')
    points = gpd.GeoDataFrame(geometry=[Point(location)], crs='EPSG:4326')
    _, (west, east, south, north) = drawn(plot_points(points, land))
    assert -180 <= west < east <= 180
    assert -90 <= south < north <= 90
    assert west <= location[0] <= east


def test_map_of_nothing():
    points = gpd.GeoDataFrame(geometry=[], crs='EPSG:4326')
    with pytest.raises(ValueError, match='there is no point to plot'):
        plot_points(points, built_in_land())
