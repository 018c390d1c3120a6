# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the draws of points."""

import geopandas as gpd
import numpy as np
import pytest
from scipy.stats import kstest
from shapely.geometry import box
from sklearn.metrics.pairwise import haversine_distances
from sklearn.neighbors import BallTree

from torchgeo_saco.locations.sampling import built_in_cities, built_in_land, sample_points

WORLD = gpd.GeoDataFrame(geometry=[box(-180, -90, 180, 90)], crs='EPSG:4326')
RADIUS = 6371.0088
POLES = (-90.0, 90.0)


def cities_at(*places, population=1.0):
    names = [f'city {number}' for number in range(len(places))]
    return gpd.GeoDataFrame(
        {'city': names, 'population': population},
        geometry=gpd.points_from_xy(*np.array(places, float).T),
        crs='EPSG:4326',
    )


def degrees(points):
    return np.column_stack([points.geometry.y, points.geometry.x])


def distances(points, longitude, latitude):
    """Kilometres along great circles, of one location to all."""
    tree = BallTree(np.radians([[latitude, longitude]]), metric='haversine')
    return RADIUS * tree.query(np.radians(degrees(points)))[0][:, 0]


def nearest(points):
    """Kilometres to the nearest other point."""
    tree = BallTree(np.radians(degrees(points)), metric='haversine')
    return RADIUS * tree.query(np.radians(degrees(points)), k=2)[0][:, 1]


@pytest.mark.parametrize(
    ('longitude', 'latitude'),
    [(10, 0), (10, 60), (-70, -53), (179.9, -17), (-180, 65), (180, 0), (0, 90), (50, -90),
     (77, 89.9)],
)  # fmt: skip
def test_distances_are_those_of_a_normal_offset_at_every_latitude(longitude, latitude):
    points = sample_points(
        4000, cities_at((longitude, latitude)), WORLD, spread_km=50, spacing_km=0, latitudes=POLES
    )
    found = distances(points, longitude, latitude)
    assert kstest(found, 'rayleigh', args=(0, 50)).pvalue > 1e-3
    # Kilometres of a degree would be wrong by the cosine, a sphere by half a per cent.
    assert np.sqrt((found**2).mean() / 2) == pytest.approx(50, rel=0.025)
    assert points.geometry.x.between(-180, 180).all()
    assert points.geometry.y.between(-90, 90).all()


@pytest.mark.parametrize('latitude', [0, 60])
def test_offsets_are_alike_to_the_east_and_to_the_north(latitude):
    points = sample_points(8000, cities_at((10, latitude)), WORLD, spread_km=20, spacing_km=0)
    north = np.radians(points.geometry.y - latitude) * RADIUS
    east = np.radians(points.geometry.x - 10) * np.cos(np.radians(points.geometry.y)) * RADIUS
    assert east.std() == pytest.approx(20, rel=0.03)
    assert north.std() == pytest.approx(20, rel=0.03)
    assert abs(east.mean()) < 1
    assert abs(np.corrcoef(east, north)[0, 1]) < 0.04


def test_points_fall_on_both_sides_of_the_antimeridian_and_all_around_the_pole():
    points = sample_points(400, cities_at((179.9, 0)), WORLD)
    assert 0.3 < (points.geometry.x < 0).mean() < 0.6
    points = sample_points(400, cities_at((0, 90)), WORLD, latitudes=POLES)
    quarters = np.bincount((points.geometry.x // 90 + 2).astype(int), minlength=4)
    assert quarters.min() > 70


def test_cities_are_drawn_alike_among_the_most_populous():
    places = [(10 * number, 0) for number in range(8)]
    cities = cities_at(*places, population=[5, 1, 9, np.nan, 100, 7, 7, 0])
    points = sample_points(4000, cities, WORLD, spread_km=10, spacing_km=0, most_populous=4)
    counts = points['city'].value_counts()
    # Nine, a hundred, and of the equal sevens both; not how much more populous one is.
    assert set(counts.index) == {'city 2', 'city 4', 'city 5', 'city 6'}
    assert counts.between(880, 1120).all()
    for name, found in points.groupby('city'):
        assert distances(found, 10 * int(name[-1]), 0).max() < 60


def test_unknown_populations_come_last():
    cities = cities_at((0, 0), (10, 0), (20, 0), population=[np.nan, 3, 0])
    points = sample_points(100, cities, WORLD, most_populous=2)
    assert set(points['city']) == {'city 1', 'city 2'}


def test_uniform_is_in_proportion_to_area():
    points = sample_points(20_000, None, WORLD, spacing_km=0, method='uniform', latitudes=POLES)
    assert set(points['city']) == {''}
    # The area of a sphere between two latitudes goes with the sine.
    assert kstest(np.sin(np.radians(points.geometry.y)), 'uniform', args=(-1, 2)).pvalue > 1e-3
    assert kstest(points.geometry.x, 'uniform', args=(-180, 360)).pvalue > 1e-3


def test_only_what_the_satellite_images_is_drawn():
    points = sample_points(2000, None, WORLD, method='uniform')
    assert points.geometry.y.min() == pytest.approx(-56, abs=1)
    assert points.geometry.y.max() == pytest.approx(84, abs=1)
    assert points.geometry.y.between(-56, 84).all()
    assert points.attrs == {'tried': 2000, 'out_of_view': 0, 'in_water': 0, 'too_near': 0}
    points = sample_points(100, cities_at((0, 84), (0, -56)), WORLD)
    assert points.geometry.y.between(-56, 84).all()
    assert points.attrs['out_of_view'] > 50


def test_water_is_rejected_and_counted():
    half = gpd.GeoDataFrame(geometry=[box(0, -90, 180, 90)], crs='EPSG:4326')
    points = sample_points(1000, cities_at((0, 10)), half, spacing_km=0)
    assert points.geometry.x.min() >= 0
    counts = points.attrs
    assert counts['tried'] == 1000 + counts['in_water']
    assert 850 < counts['in_water'] < 1150


@pytest.mark.parametrize(
    ('location', 'spacing_km'), [((10, 50), 6.0), ((180, 0), 6.0), ((0, 90), 6.0), ((33, 20), 25.0)]
)
def test_no_two_points_are_nearer_than_the_spacing(location, spacing_km):
    arguments = {'count': 60, 'cities': cities_at(location), 'land': WORLD, 'latitudes': POLES}
    free = sample_points(**arguments, spread_km=60, spacing_km=0)
    spaced = sample_points(**arguments, spread_km=60, spacing_km=spacing_km)
    assert nearest(free).min() < spacing_km <= nearest(spaced).min()
    assert spaced.attrs['tried'] == 60 + spaced.attrs['too_near']
    assert spaced.attrs['too_near'] > 0


def test_spacing_against_all_pairs():
    """Taken is what is apart from all taken before, by brute force."""
    tried = sample_points(500, cities_at((-179.9, 70)), WORLD, spacing_km=0, latitudes=POLES)
    where = np.radians(degrees(tried))
    matrix = RADIUS * haversine_distances(where)
    taken = []
    for number in range(500):
        if (matrix[number, taken] >= 9).all():
            taken.append(number)
    spaced = sample_points(
        len(taken), cities_at((-179.9, 70)), WORLD, spacing_km=9, latitudes=POLES
    )
    assert 50 < len(taken) < 400
    assert degrees(spaced).tolist() == degrees(tried)[taken].tolist()


@pytest.mark.parametrize('method', ['gaussian', 'uniform', 'cities'])
def test_a_seed_is_a_sample(method):
    cities, land = built_in_cities(), built_in_land()
    first, again = (sample_points(100, cities, land, method=method, seed=5) for _ in range(2))
    assert first.equals(again)
    other = sample_points(100, cities, land, method=method, seed=6)
    assert not np.isin(degrees(first)[:, 0], degrees(other)[:, 0]).all()
    # A larger sample goes on where the smaller one ends.
    more = sample_points(150, cities, land, method=method, seed=5)
    assert more.iloc[:100].equals(first)
    assert more['location'].tolist() == [f'{number:06d}' for number in range(150)]
    assert more.crs == 'EPSG:4326'


@pytest.mark.parametrize('method', ['gaussian', 'uniform'])
def test_no_point_is_drawn_twice(method):
    points = sample_points(10_000, cities_at((0, 0)), WORLD, spacing_km=0, method=method)
    assert len(np.unique(degrees(points), axis=0)) > 9990


def test_coordinates_are_the_same_in_every_format():
    where = degrees(sample_points(100, cities_at((1 / 3, 1 / 7)), WORLD))
    assert np.array_equal(where, where.round(6))


def test_draws_leave_the_global_generator_alone():
    state = np.random.get_state()[1].tolist()
    sample_points(10, None, WORLD, method='uniform')
    assert np.random.get_state()[1].tolist() == state


def test_cities_themselves_each_once():
    cities = built_in_cities().drop_duplicates('city').head(150)
    points = sample_points(len(cities), cities, WORLD, spacing_km=0, method='cities')
    assert sorted(points['city']) == sorted(cities['city'])
    places = cities.set_index('city').geometry
    assert all(places[city].equals(point) for city, point in zip(points['city'], points.geometry))  # noqa: B905
    few = sample_points(5, cities, WORLD, most_populous=5, method='cities')
    assert set(few['city']) == set(cities['city'].head(5))


def test_cities_in_another_reference_system():
    cities = cities_at((10, 50), (20, -30))
    here = sample_points(50, cities, WORLD)
    there = sample_points(50, cities.to_crs('EPSG:3857'), WORLD)
    assert degrees(there) == pytest.approx(degrees(here), abs=1e-5)


@pytest.mark.parametrize(
    ('arguments', 'tokens'),
    [
        ({'method': 'uniform'},
         (r'found 0 of 20 points in 10000 tries: 0 were beyond -56 to 84 '
          r'degrees of latitude, 10000 in water and 0 nearer than 4 km to another; lower count or '
          r'spacing_km or raise max_tries')),
        ({'max_tries': 33}, r'0 of 20 points in 33 tries: .* 33 in water .* raise spread_km'),
        ({'land': WORLD, 'spacing_km': 2000.0, 'max_tries': 5000},
         r'found 1 of 20 points in 5000 tries: .* 0 in water and 4999 nearer than 2000 km'),
        ({'land': WORLD, 'spacing_km': 1e6}, r'found 1 of 20 points in 10000 tries'),
        ({'land': WORLD, 'method': 'cities', 'max_tries': 50},
         r'found 1 of 20 points in 1 tries: .* lower count or spacing_km, or give more cities$'),
        ({'land': WORLD, 'method': 'cities', 'count': 2, 'max_tries': 2, 'spacing_km': 99.0,
          'cities': cities_at((0, 0), (0, 0), (9, 0))},
         r'found 1 of 2 points in 2 tries: .* 1 nearer than .* or a higher max_tries$'),
        ({'land': WORLD, 'latitudes': (0, 40)}, r'in 10000 tries: 10000 were beyond 0 to 40'),
    ],
)  # fmt: skip
def test_retries_are_bounded(arguments, tokens):
    islet = gpd.GeoDataFrame(geometry=[box(100, 0, 100.001, 0.001)], crs='EPSG:4326')
    with pytest.raises(ValueError, match=tokens):
        sample_points(**{'count': 20, 'cities': cities_at((10, 50)), 'land': islet} | arguments)


@pytest.mark.parametrize(
    ('arguments', 'tokens'),
    [
        ({'count': 0}, 'count must be from 1 to 1000000, got 0'),
        ({'count': 1_000_001}, 'count must be from 1 to 1000000, got 1000001'),
        ({'spread_km': 0}, 'spread_km must be above 0, got 0'),
        ({'spread_km': float('nan')}, 'spread_km must be a finite number above 0, got nan'),
        ({'spread_km': float('inf')}, 'spread_km .* got inf'),
        ({'spacing_km': -1}, 'spacing_km must be at least 0, got -1'),
        ({'spacing_km': float('nan')}, 'spacing_km .* got nan'),
        ({'most_populous': 0}, 'most_populous must be at least 1, got 0'),
        ({'seed': -1}, 'seed must be at least 0, got -1'),
        ({'max_tries': 4}, 'max_tries must be at least count, 5, or None, got 4'),
        ({'latitudes': (10, 10)}, r'latitudes must ascend from -90 to 90, got \(10, 10\)'),
        ({'latitudes': (-91, 0)}, 'latitudes must ascend'),
        ({'method': 'gauss'}, "method must be one of gaussian, uniform, cities, got 'gauss'"),
        ({'cities': None}, 'there is no city to draw from; give cities or the method uniform'),
        ({'cities': cities_at((0, 0))[:0]}, 'there is no city to draw from'),
        ({'cities': cities_at((0, 0)).drop(columns='population')}, '; population is wrong'),
        ({'cities': WORLD.assign(city='a', population=1)}, 'cities must be points .*the geometry'),
        ({'land': WORLD[:0]}, 'land must be polygons with a reference system'),
    ],
)
def test_wrong_arguments(arguments, tokens):
    with pytest.raises(ValueError, match=tokens):
        sample_points(**{'count': 5, 'cities': cities_at((0, 0)), 'land': WORLD} | arguments)
