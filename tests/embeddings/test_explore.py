# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of search, clusters, components and change against NumPy and scikit-learn."""

import sys
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from matplotlib import pyplot
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose, assert_array_equal
from pyproj import Transformer
from rasterio import crs
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.pairwise import cosine_similarity

from torchgeo_saco.embeddings import (
    change_between_dates,
    change_between_maps,
    kmeans,
    nearest_neighbors,
    neighbors,
    open_embedding_map,
    pca_picture,
    plot_raster,
    plot_table,
    principal_components,
    similarity,
)
from torchgeo_saco.embeddings import grid as grid_module
from torchgeo_saco.embeddings.grid import Raster, coordinates
from torchgeo_saco.embeddings.search import query_vector, search_vectors
from torchgeo_saco.io.raster import BandFileError

from ..data.embeddings import CRS, TRANSFORM, cell_vectors, embedding_table, write_map

VECTORS, KINDS = cell_vectors()
MISSING = (3, 7)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.fixture(params=['float32', 'int8'])
def source(tmp_path, request, monkeypatch):
    monkeypatch.setattr(grid_module, '_PART', 4 * 12 * 16 * 16)
    return open_embedding_map(
        write_map(tmp_path / 'map.tif', VECTORS, [MISSING], dtype=request.param)
    )


def centre(row, column):
    return coordinates(TRANSFORM, column + 0.5, row + 0.5)


def test_windows_cover_the_map_once(source):
    seen = np.zeros(source.shape, int)
    for row, column, height, width in source.windows():
        seen[row : row + height, column : column + width] += 1
    assert (seen == 1).all()
    assert len(list(source.windows())) > 2


def test_values_are_stored_numbers_times_their_scale(source):
    values = source.read()
    assert np.isnan(values[:, *MISSING]).all()
    assert np.isnan(values).any(0).sum() == 1
    kept = ~np.isnan(values[0])
    assert_allclose(np.moveaxis(values, 0, -1)[kept], VECTORS[kept], atol=0.03)


def test_offsets_of_a_file_are_added(tmp_path):
    path = write_map(tmp_path / 'map.tif', VECTORS, [MISSING], dtype='int8')
    plain = open_embedding_map(path).read()
    with rasterio.open(path, 'r+') as file:
        file.offsets = np.arange(12) - 5.0
    found = open_embedding_map(path).read()
    assert_allclose(found, plain + np.arange(12)[:, None, None] - 5, rtol=1e-6)
    assert np.isnan(found[:, *MISSING]).all()


def test_similarity_of_a_point(source, tmp_path):
    raster = similarity(source, centre(5, 20), None)
    stored = np.moveaxis(source.read(), 0, -1)
    expected = unit(stored) @ unit(stored)[5, 20]
    assert_allclose(raster.values[0], expected, atol=1e-6)
    assert raster.values[0, 5, 20] == np.nanmax(raster.values)
    with rasterio.open(raster.write(tmp_path / 'similarity.tif')) as file:
        assert file.transform == TRANSFORM
        assert file.crs == CRS
        assert file.dtypes == ('float32',)
        assert np.isnan(file.nodata)
        assert_array_equal(file.read(), raster.values)
        assert '"weights_hash": "abc"' in file.tags()['torchgeo_saco']
    with pytest.raises(FileExistsError):
        raster.write(tmp_path / 'similarity.tif')
    with pytest.raises(ValueError, match=r'similarity\.png must end in \.tif'):
        raster.write(tmp_path / 'similarity.png')


def test_points_in_degrees(source):
    degrees = Transformer.from_crs(CRS, 4326, always_xy=True).transform(*centre(12, 4))
    assert source.cell(*degrees) == (12, 4)
    assert_array_equal(
        similarity(source, degrees).values, similarity(source, centre(12, 4), None).values
    )


@pytest.mark.parametrize(('point', 'crs', 'message'), [
    ((0.0, 0.0), None, 'lies outside'),
    ((17.9, 104.9), 'EPSG:4326', 'point 17.9, 104.9 has no place in .* longitude, then latitude'),
    ((np.nan, 0.0), None, 'the point nan, 0 has no place in'),
    (centre(*MISSING), None, 'row 3, column 7 of .* has no embedding'),
    (np.ones(5), None, 'has 12 finite numbers here, got shape .5,'),
    ('a', None, 'has no names'),
])  # fmt: skip
def test_points_that_are_nowhere(source, point, crs, message):
    with pytest.raises(ValueError, match=message):
        similarity(source, point, crs)


def test_cells_most_similar(source):
    table = neighbors(source, centre(5, 20), 4, None)
    full = np.nan_to_num(cosine_similarity(
        np.nan_to_num(source.read().reshape(12, -1).T))[5 * 30 + 20], nan=-1)  # fmt: skip
    best = np.argsort(-full)[:4]
    assert_array_equal(table['row'] * 30 + table['column'], best)
    assert (table['row'][0], table['column'][0]) == (5, 20)
    x, y = centre(table['row'][1], table['column'][1])
    assert_allclose(table.geometry[1].bounds, [x - 40, y - 40, x + 40, y + 40])
    assert table.crs == CRS


def test_neighbors_of_many():
    values = np.random.default_rng(0).normal(size=(500, 8)).astype('f4')
    found = nearest_neighbors(values, values[:20], 5)
    full = cosine_similarity(values[:20], values)
    assert_array_equal(found.rows, np.argsort(-full, 1)[:, :5])
    assert_allclose(found.similarities, -np.sort(-full, 1)[:, :5], atol=1e-5)
    for count in (0, 501):
        with pytest.raises(ValueError, match='count must be from 1 to 500'):
            nearest_neighbors(values, values, count)
    with pytest.raises(ValueError, match='queries have 3 dimensions, embeddings 8'):
        nearest_neighbors(values, values[:, :3])


def test_an_index_finds_nearly_all_neighbors():
    pytest.importorskip('faiss', reason='the extra "search" is not installed')
    values = np.random.default_rng(0).normal(size=(3000, 16)).astype('f4')
    exact, index = (nearest_neighbors(values, values[:100], 10, each) for each in (True, False))
    found = [np.isin(a, b).mean() for a, b in zip(exact.rows, index.rows, strict=True)]
    assert np.mean(found) > 0.95
    assert_allclose(index.similarities[:, 0], 1, atol=1e-5)


def test_an_index_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, 'faiss', None)
    with pytest.raises(ImportError, match=r"pip install 'torchgeo_saco\[search\]'"):
        nearest_neighbors(np.eye(4), np.eye(4), 1, exact=False)


def test_positions_skip_missing_cells(source):
    wanted = source.read((19, 29, 1, 1))[:, 0, 0]
    assert search_vectors(source, wanted[None], 1).rows.tolist() == [[19 * 30 + 29]]


def test_clusters_are_those_of_the_ground(source, tmp_path):
    raster = kmeans(source, 4)
    labels = raster.values[0]
    assert labels.dtype == np.uint8
    assert labels[MISSING] == 255
    kept = labels != 255
    assert kept.sum() == 599
    assert adjusted_rand_score(KINDS[kept], labels[kept]) == 1
    sizes = np.bincount(labels[kept])
    assert (np.diff(sizes) <= 0).all()
    assert_array_equal(labels, kmeans(source, 4).values[0])
    with rasterio.open(raster.write(tmp_path / 'clusters.tif')) as file:
        assert file.transform == TRANSFORM
        assert file.nodata == 255
        assert {n: file.colormap(1)[n][:3] for n in range(4)} == dict(raster.colors)


def test_clusters_of_a_sample(source):
    labels = kmeans(source, 4, sample=50).values[0]
    kept = labels != 255
    assert adjusted_rand_score(KINDS[kept], labels[kept]) == 1
    many = kmeans(source, 300).values
    assert many.dtype == np.uint16
    assert many[0][MISSING] == 65535
    with pytest.raises(ValueError, match='599 embeddings, too few for 600 clusters'):
        kmeans(source, 600)


def test_a_sample_of_fewer_than_the_clusters_is_refused(source):
    with pytest.raises(ValueError, match='sample must be at least the 4 clusters, got 3'):
        kmeans(source, 4, sample=3)


def test_components_are_those_of_scikit_learn(source, tmp_path):
    picture = pca_picture(source)
    kept = ~np.isnan(source.read()[0])
    values = unit(np.moveaxis(source.read(), 0, -1)[kept].astype('f8'))
    reference = PCA(3).fit(values)
    assert_allclose(picture.explained, reference.explained_variance_ratio_, atol=1e-4)
    scores = reference.transform(values)
    components = principal_components(source)
    assert_allclose(components.mean, values.mean(0), atol=1e-6)
    assert_allclose(np.abs(components.scores(values)), np.abs(scores), atol=1e-5)
    low, high = np.percentile(scores, (2, 98), axis=0)
    expected = 1 + 254 * ((scores - low) / (high - low)).clip(0, 1)
    bands = picture.result.values
    assert bands.dtype == np.uint8
    assert (bands[:, *MISSING] == 0).all()
    for band, wanted in zip(bands, expected.T, strict=True):
        # The sign of a component means nothing.
        assert min(np.abs(band[kept] - each).max() for each in (wanted, 256 - wanted)) < 1
    with rasterio.open(picture.result.write(tmp_path / 'pca.tif')) as file:
        assert file.transform == TRANSFORM
        assert file.nodata == 0
        assert [each.name for each in file.colorinterp] == ['red', 'green', 'blue']


def test_components_do_not_depend_on_parts_without_data(tmp_path, monkeypatch):
    monkeypatch.setattr(grid_module, '_PART', 4 * 12 * 16 * 16)
    missing = [(row, column) for row in range(16) for column in range(16)]
    source = open_embedding_map(write_map(tmp_path / 'map.tif', VECTORS, missing))
    assert next(source.windows()) == (0, 0, 16, 16)
    kept = np.ones((20, 30), bool)
    kept[:16, :16] = False
    reference = PCA(3).fit(unit(VECTORS[kept].astype('f8')))
    found = principal_components(source)
    assert_allclose(found.mean, reference.mean_, atol=1e-6)
    assert_allclose(found.explained, reference.explained_variance_ratio_, atol=1e-5)
    assert_array_equal((pca_picture(source).result.values > 0).all(0), kept)


def test_components_need_two_embeddings_and_a_range(source):
    with pytest.raises(ValueError, match='the table has 1 embeddings, and components need two'):
        principal_components(embedding_table(1))
    for stretch in ((98, 2), (50, 50), (-1, 98), (2, 101)):
        with pytest.raises(ValueError, match=r'stretch must be two rising percentiles, got \('):
            pca_picture(source, stretch)


def test_change_between_maps(source, tmp_path):
    later = VECTORS.copy()
    later[10, 10] *= -1
    second = open_embedding_map(write_map(tmp_path / 'b.tif', later, [(0, 0)]))
    raster = change_between_maps(source, second)
    one, other = (np.moveaxis(each.read(), 0, -1) for each in (source, second))
    assert_allclose(raster.values[0], 1 - (unit(one) * unit(other)).sum(-1), atol=1e-5)
    assert np.isnan(raster.values[0]).sum() == 2
    assert raster.values[0, 10, 10] == pytest.approx(2, abs=1e-3)


@pytest.mark.parametrize(('change', 'message'), [
    ({'transform': Affine(80, 0, 500040, 0, -80, 2000000)}, 'do not lie on one grid'),
    ({'crs': 'EPSG:32647'}, 'differ in crs'),
    ({'weights_hash': 'other'}, 'not embedded alike: weights_hash is abc and other'),
    ({'fitted': ['urban'], 'source': 'b'}, 'statistics of their own scene'),
])  # fmt: skip
def test_maps_that_do_not_compare(source, tmp_path, change, message):
    second = open_embedding_map(write_map(tmp_path / 'b.tif', VECTORS, **change))
    with pytest.raises(ValueError, match=message):
        change_between_maps(source, second)


@pytest.mark.parametrize(('change', 'message'), [
    ({'transform': Affine(80, 9, 500000, 9, -80, 2000000)}, 'does not lie north up'),
    ({'transform': Affine(80, 0, 500000, 0, 80, 2000000)}, 'does not lie north up'),
    ({'crs': None}, 'is not georeferenced'),
])  # fmt: skip
def test_maps_that_are_refused(tmp_path, change, message):
    path = write_map(tmp_path / 'a.tif', VECTORS, **change)
    with pytest.raises(BandFileError, match=message):
        open_embedding_map(path)


def test_a_raster_of_one_band_is_no_map(tmp_path):
    path = write_map(tmp_path / 'a.tif', VECTORS[..., :1])
    with pytest.raises(BandFileError, match=r'a\.tif has one band, and is no embedding map'):
        open_embedding_map(path)


@pytest.mark.parametrize('tag', ['resnet18', '[1, 2]'])
def test_a_map_whose_tag_is_damaged(tmp_path, tag):
    path = write_map(tmp_path / 'a.tif', VECTORS)
    with rasterio.open(path, 'r+') as file:
        file.update_tags(torchgeo_saco=tag)
    with pytest.raises(BandFileError, match=r'a\.tif does not say what .* no JSON.*embed again'):
        open_embedding_map(path)


@pytest.mark.parametrize('kind', ['float16', 'int8'])
def test_tables(kind):
    table = embedding_table(kind=kind)
    found = similarity(table, '003')
    assert 'embedding' not in found and 'scale' not in found
    assert found['similarity'].to_numpy().argmax() == 3
    assert (found['similarity'][1::2] > found['similarity'][::2].max()).all()
    assert_array_equal(similarity(table, (3.2, 0.2))['similarity'], found['similarity'])
    nearest = neighbors(table, '003', 5)
    assert nearest['location'][0] == '003'
    assert (nearest['location'].astype(int) % 2 == 1).all()
    labels = kmeans(table, 2)['cluster']
    assert adjusted_rand_score(np.arange(40) % 2, labels) == 1
    colors = pca_picture(table).result
    assert colors['color'][0] == '#{:02x}{:02x}{:02x}'.format(
        *colors.loc[0, ['red', 'green', 'blue']]
    )
    with pytest.raises(ValueError, match="no location 'x'; it has 40, such as 000, 001, 002"):
        similarity(table, 'x')
    with pytest.raises(ValueError, match='no location of the table lies at 50, 50'):
        similarity(table, (50.0, 50.0))


def test_a_table_is_searched_for_a_vector():
    table = embedding_table()
    wanted = np.stack(table['embedding'])
    found = similarity(table, wanted[3] + wanted[5])['similarity']
    assert_allclose(found, unit(wanted) @ unit(wanted[3] + wanted[5]), atol=1e-6)
    with pytest.raises(ValueError, match=r'has 12 finite numbers here, got shape .3,.*; a point'):
        similarity(table, np.ones(3))


def test_points_of_a_table_are_in_the_system_named():
    table = embedding_table().to_crs(3857)
    inside = (3.2, 0.2)
    metres = Transformer.from_crs(4326, 3857, always_xy=True).transform(*inside)
    wanted = similarity(table, '003')['similarity']
    for point, system in ((inside, 'EPSG:4326'), (metres, None), (metres, 'EPSG:3857')):
        assert_array_equal(similarity(table, point, system)['similarity'], wanted)


def test_points_need_footprints():
    table = embedding_table().assign(geometry=None)
    with pytest.raises(ValueError, match='the table has no footprints; search for the name'):
        similarity(table, (3.2, 0.2))


def test_change_between_dates():
    table = embedding_table(6, dates=('2019-06-12', '2018-06-10', '2018-01-01'))
    table.at[0, 'embedding'] = -table['embedding'][0]
    table.loc[table['location'] == '005', 'date'] = None
    found = change_between_dates(table)
    assert found['location'][0] == '000'
    assert (found['first_date'] == '2018-01-01').all()
    assert (found['second_date'] == '2019-06-12').all()
    assert found.attrs['skipped'] == ['005']
    vectors = np.stack(table['embedding'])
    expected = 1 - cosine_similarity(vectors[2:3], vectors[:1])[0, 0]
    assert found['cosine_distance'][0] == pytest.approx(expected, abs=1e-6)
    months = change_between_dates(table, '2018', '2019')
    mean = unit(vectors[1]) + unit(vectors[2])
    expected = 1 - cosine_similarity(mean[None], vectors[:1])[0, 0]
    assert months['cosine_distance'][0] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match='no location has embeddings of 2001'):
        change_between_dates(table, '2001')


def test_figures(source):
    for raster in (
        similarity(source, centre(5, 20), None),
        kmeans(source),
        pca_picture(source).result,
    ):
        figure = plot_raster(raster, 'title', centre(5, 20))
        axis = figure.axes[0]
        assert (*axis.get_xlim(), *axis.get_ylim()) == (500000, 502400, 1998400, 2000000)
        assert axis.get_xlabel() == 'easting (m)'
    table = embedding_table()
    table['cluster'] = kmeans(table, 2)['cluster']
    table['similarity'] = similarity(table, '000')['similarity']
    for column in ('cluster', 'similarity'):
        assert len(plot_table(table, column).axes[0].collections[0].get_offsets()) == 40
        legend = [axis.get_legend() for axis in plot_table(table, column).axes]
        assert (legend[0] is not None) == (column == 'cluster')
    with pytest.raises(ValueError, match="no column 'x'"):
        plot_table(table, 'x')


def test_several_figures_are_parts_of_one(source):
    figure, axes = pyplot.subplots(1, 2)
    table = embedding_table().assign(similarity=np.arange(40.0))
    found = plot_raster(pca_picture(source).result, 'left', axis=axes[0])
    assert found is plot_table(table, 'similarity', 'right', axes[1]) is figure
    assert [axis.get_title() for axis in axes] == ['left', 'right']
    assert len(pyplot.get_fignums()) == 1


def test_colors_of_a_table_are_those_of_its_picture():
    table = embedding_table()
    table.at[2, 'embedding'] = np.full(12, np.nan)
    table.loc[5, 'geometry'] = None
    colored = pca_picture(table).result
    assert colored['color'].isna().tolist() == [row == 2 for row in range(40)]
    (dots,) = plot_table(colored, 'color').axes[0].collections
    shown = [to_hex(color) for color in dots.get_facecolors()]
    assert shown == colored['color'].drop(index=[2, 5]).tolist()
    corners = table.bounds.drop(index=[2, 5]).to_numpy()
    assert_allclose(dots.get_offsets(), (corners[:, :2] + corners[:, 2:]) / 2)


@pytest.mark.parametrize('change', [{'geometry': None}, {'similarity': np.nan}])
def test_tables_of_which_nothing_is_drawn(change):
    table = embedding_table(3).assign(similarity=1.0).assign(**change)
    with pytest.raises(ValueError, match='no location of the table has a footprint and a value'):
        plot_table(table, 'similarity')


NORTH_UP = Affine(10, 0, 100, 0, -10, 200)


@pytest.mark.parametrize(
    'transform',
    [NORTH_UP, Affine(10, 0, 100, 0, 10, 200), NORTH_UP @ Affine.rotation(30)],
    ids=['north up', 'south up', 'rotated'],
)
def test_rasters_are_drawn_where_they_lie(transform):
    values = np.zeros((1, 40, 40), 'float32')
    values[0, 10, 30] = 1
    figure = plot_raster(Raster(values, transform, crs.CRS.from_epsg(32631), np.nan))
    axis = figure.axes[0]
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]

    def color(column, row):
        """Colour on the canvas of a point of the raster."""
        x, y = axis.transData.transform(coordinates(transform, column, row))
        return pixels[len(pixels) - 1 - int(y), int(x)].tolist()

    assert color(30.5, 10.5) == [253, 231, 36]
    assert color(30.5, 13.5) != color(30.5, 10.5)


def test_degrees_of_longitude_are_drawn_shorter():
    values = np.zeros((1, 4, 4), 'float32')
    degrees = Raster(values, Affine(0.1, 0, 10, 0, -0.1, 60.2), crs.CRS.from_epsg(4326), np.nan)
    metres = replace(degrees, crs=crs.CRS.from_epsg(32631))
    aspects = [plot_raster(raster).axes[0].get_aspect() for raster in (degrees, metres)]
    assert aspects == [pytest.approx(2), 1]


@pytest.mark.parametrize('query', ['000001', (5, 50), np.ones(12)])
def test_an_empty_table_has_nothing_to_search(query):
    table = gpd.GeoDataFrame({'location': [], 'date': []}, geometry=[], crs='EPSG:4326')
    with pytest.raises(ValueError, match='the table has no row to search; give one that has'):
        query_vector(table, query, None)
