# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the page, in a browser where there is one."""

import base64
import datetime
import io
import json
import re
import shutil
import sys
import zlib

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from PIL import Image
from sklearn.metrics import adjusted_rand_score

from torchgeo_saco.cli import main
from torchgeo_saco.embeddings import open_embedding_map, pca_picture, similarity
from torchgeo_saco.embeddings import page as page_module
from torchgeo_saco.embeddings.display import display, scene_picture
from torchgeo_saco.embeddings.grid import coordinates
from torchgeo_saco.embeddings.reduction import fidelity, reduced
from torchgeo_saco.embeddings.source import unit_length
from torchgeo_saco.io.raster import BandFileError

from ..data.archives import write_tif
from ..data.embeddings import CRS, TRANSFORM, cell_vectors, embedding_table, write_map, write_table
from ..data.products import scene_bands, write_safe

VECTORS, KINDS = cell_vectors()
MISSING = (3, 7)


@pytest.fixture
def browser():
    playwright = pytest.importorskip('playwright.sync_api', reason='playwright is not installed')
    path = shutil.which('chromium') or shutil.which('google-chrome')
    if path is None:
        pytest.skip('no Chromium is installed')
    with playwright.sync_playwright() as library:
        opened = library.chromium.launch(executable_path=path, args=['--no-sandbox'])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser):
    """Function that opens a page; what it asks for and complains of is checked at the end."""
    heard = []

    def opened(path):
        shown = browser.new_page(viewport={'width': 1280, 'height': 800})
        shown.on('console', lambda message: heard.append(message.text))
        shown.on('pageerror', lambda error: heard.append(str(error)))
        shown.on('request', lambda request: heard.append(request.url))
        shown.goto(path.as_uri())
        heard.remove(path.as_uri())
        shown.wait_for_selector('body[data-ready]', timeout=20_000)
        return shown

    yield opened
    assert [text for text in heard if not text.startswith(('data:', 'blob:'))] == []


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip('folium', reason='the extra "map" is not installed')
    pytest.importorskip('js_lib_leaflet', reason='the extra "map" is not installed')
    write_map(tmp_path / 'map.tif', VECTORS, [MISSING])
    for number, band in enumerate(('B04', 'B03', 'B02')):
        with rasterio.open(
            tmp_path / f'{band}.tif', 'w', driver='GTiff', count=1, height=40, width=60,
            dtype='uint16', crs=CRS, transform=rasterio.Affine(40, 0, 500000, 0, -40, 2000000),
        ) as file:  # fmt: skip
            file.write(np.kron(KINDS * 400 + number, np.ones((2, 2))).astype('uint16'), 1)
    return tmp_path


@pytest.mark.slow
def test_a_click_shows_similarity(folder, visit, capsys):
    page = folder / 'page.html'
    main(['map', '--embeddings', str(folder / 'map.tif'), '--image', str(folder),
          '--output', str(page), '--components=12', '--title=a </title><script>b'])  # fmt: skip
    assert '600 cells' in capsys.readouterr().out
    shown = visit(page)
    assert shown.title() == 'a </title><script>b'
    overlay = shown.locator('img.leaflet-image-layer').last
    before = overlay.get_attribute('src')
    # The cell is found from where it lies on the ground.
    x, y = coordinates(TRANSFORM, 20.5, 5.5)
    lon, lat = rasterio.warp.transform(CRS, 'EPSG:4326', [x], [y])
    name = re.search(r'var (map_\w+) = L\.map', page.read_text())[1]
    at = shown.evaluate(f'{name}.latLngToContainerPoint([{lat[0]}, {lon[0]}])')
    shown.mouse.click(at['x'], at['y'])
    shown.wait_for_function('window.embeddings.chosen >= 0')
    assert overlay.get_attribute('src') != before
    assert 'row 5, column 20' in shown.locator('#info').inner_text()
    assert f'{x:.1f}, {y:.1f}' in shown.locator('#info').inner_text()
    found = np.array(shown.evaluate('Array.from(window.embeddings.similarities)'))
    source = open_embedding_map(folder / 'map.tif')
    full = similarity(source, (x, y), None).values[0]
    np.testing.assert_allclose(found, full[~np.isnan(full)], atol=0.01)
    first = overlay.get_attribute('src')
    shown.locator('#share').fill('10')
    assert overlay.get_attribute('src') != first
    shown.locator('#opacity-similarity').fill('30')
    assert overlay.evaluate('image => image.style.opacity') == '0.3'
    shown.get_by_label('clusters').first.check()
    assert shown.locator('img.leaflet-image-layer').count() == 3


@pytest.mark.slow
def test_a_click_on_a_location(folder, visit):
    table = embedding_table()
    table.loc[0, 'location'] = '</script><b>0</b>'
    write_table(folder / 'table.parquet', table)
    page = folder / 'page.html'
    main(['map', '--embeddings', str(folder / 'table.parquet'), '--output', str(page)])
    shown = visit(page)
    shown.locator('path.leaflet-interactive').nth(7).click(timeout=5000)
    text = shown.locator('#info').inner_text()
    assert '003 2019-06-12' in text
    nearest = re.findall(r'(\d{3}) 2019-06-12: 0\.', text)
    assert len(nearest) == 10
    assert all(int(location) % 2 for location in nearest)
    assert shown.locator('#by').input_value() == 'similarity'


def test_a_page_holds_all_that_it_needs(folder):
    page = folder / 'page.html'
    main(['map', '--embeddings', str(folder / 'map.tif'), '--output', str(page)])
    text = page.read_text()
    assert 'Leaflet 1.9.4' in text
    assert 'Vladimir Agafonkin' in text
    assert not re.findall(r'<script[^>]*\bsrc|<link\b|@import|url\((?!["\']?(?:data:|#))', text)
    assert not re.findall('cdn|unpkg|googleapis|sourceMappingURL', text)


def test_a_base_map_is_asked_for(folder):
    page = folder / 'page.html'
    main(['map', '--embeddings', str(folder / 'map.tif'), '--output', str(page), '--basemap',
          'true'])  # fmt: skip
    assert 'tile.openstreetmap.org' in page.read_text()


@pytest.mark.parametrize(('name', 'limit', 'message'), [
    ('CELLS', 599, 'has 600 cells, more than the 599 .* embed with a larger stride'),
    (None, 0, r'page.html exists; name another file'),
])  # fmt: skip
def test_pages_that_are_refused(folder, monkeypatch, capsys, name, limit, message):
    if name:
        monkeypatch.setattr(page_module, name, limit)
    else:
        (folder / 'page.html').touch()
    with pytest.raises(SystemExit):
        main(['map', '--embeddings', str(folder / 'map.tif'), '--output',
              str(folder / 'page.html')])  # fmt: skip
    assert re.search(message, capsys.readouterr().err)


def test_without_folium(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'folium', None)
    with pytest.raises(SystemExit):
        main(['map', '--embeddings', str(folder / 'map.tif'), '--output', str(folder / 'a.html')])
    said = capsys.readouterr().err
    assert "needs the package folium; install it by: pip install 'torchgeo_saco[map]'" in said


def test_cells_are_shown_where_they_lie(folder):
    source = open_embedding_map(folder / 'map.tif')
    bounds, cells = display(source)
    (south, west), (north, east) = bounds
    turn = rasterio.warp.transform('EPSG:4326', 'EPSG:3857', [west, east], [south, north])
    rows, columns = np.nonzero(cells >= 0)
    x = turn[0][0] + (columns + 0.5) * (turn[0][1] - turn[0][0]) / cells.shape[1]
    y = turn[1][1] - (rows + 0.5) * (turn[1][1] - turn[1][0]) / cells.shape[0]
    x, y = (np.array(part) for part in rasterio.warp.transform('EPSG:3857', CRS, x, y))
    wanted = np.floor((2000000 - y) / 80) * 30 + np.floor((x - 500000) / 80)
    assert (cells[rows, columns] == wanted).mean() > 0.99
    assert set(np.unique(cells)) >= set(range(600))


def test_reduced_embeddings_agree_with_full_ones():
    values = unit_length(np.random.default_rng(0).normal(1, 1, (2000, 64)))
    full = values @ values[7]
    whole, part = reduced(values, 64), reduced(values, 8)
    np.testing.assert_allclose(whole.similarity(7), full, atol=0.01)
    assert whole.explained == pytest.approx(1)
    exact, few = fidelity(values, whole), fidelity(values, part)
    assert exact.rank_correlation > 0.999 > few.rank_correlation
    assert exact.error < 0.01 < few.error
    assert exact.found > 0.9 > few.found
    reference = np.cov(values.T.astype('f8'))
    strengths = np.linalg.eigvalsh(reference)
    assert part.explained == pytest.approx(strengths[-8:].sum() / strengths.sum(), abs=1e-4)


def content_of(text):
    """What the script of a page is given."""
    return json.loads(re.search(r'exploreEmbeddings\(\w+, {[^}]*}, (.*)\);', text)[1])


def unpacked(text, kind):
    """Numbers of a page."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind)


def test_a_page_of_a_table_holds_what_its_search_needs(folder):
    table = embedding_table()
    table.at[7, 'embedding'] = np.full(12, np.nan)
    table.loc[4, 'geometry'] = None
    table.loc[5, 'date'] = None
    # Footprints are shown in degrees, whatever the system of the table.
    page = page_module.embedding_page(table.to_crs(3857), clusters=2, components=12)
    content = content_of(page.text)
    kept = table.drop(index=7)
    names = [f'{row.location} {row.date}' for row in kept.itertuples()]
    names[5] = '005'
    assert content['names'] == names
    shapes = [g and shapely.from_geojson(json.dumps(g)) for g in content['features']]
    assert shapes[4] is None
    for found, wanted in zip(shapes, kept.geometry, strict=True):
        assert found is None or found.equals_exact(wanted, 1e-9)
    assert content['components'] == pca_picture(table).result['color'].drop(index=7).tolist()
    labels = unpacked(content['labels'], '<u2')
    assert adjusted_rand_score(kept.index % 2, labels) == 1
    values = unit_length(np.stack(kept['embedding']))
    scores = unpacked(content['scores'], 'i1').reshape(39, 12) * np.array(content['scale'])
    common = unpacked(content['common'], '<f4')
    found = common + common[:, None] + scores @ scores.T
    np.testing.assert_allclose(found, values @ values.T, atol=0.01)


@pytest.mark.usefixtures('folder')
def test_a_page_of_a_table_without_dates_or_a_system():
    table = embedding_table(6).drop(columns='date').set_crs(None, allow_override=True)
    content = content_of(page_module.embedding_page(table, clusters=2).text)
    assert content['names'] == table['location'].tolist()
    corners = [shapely.from_geojson(json.dumps(g)).bounds for g in content['features']]
    np.testing.assert_allclose(corners, table.bounds)


@pytest.mark.usefixtures('folder')
def test_more_clusters_than_locations_are_as_many_as_these():
    content = content_of(page_module.embedding_page(embedding_table(3), clusters=8).text)
    assert sorted(unpacked(content['labels'], '<u2')) == [0, 1, 2]


def test_a_page_of_a_table_by_the_command(folder, capsys):
    write_table(folder / 'table.parquet', embedding_table())
    page = folder / 'page.html'
    main(['map', '--embeddings', str(folder / 'table.parquet'), '--output', str(page)])
    assert f'{page}: 40 locations, ' in capsys.readouterr().out
    assert content_of(page.read_text())['names'][39] == '039 2019-06-12'


@pytest.mark.parametrize(('change', 'arguments', 'message'), [
    ({}, {'image': ['scene']}, 'an image lies below an embedding map; leave it out with a table'),
    ({'geometry': None}, {}, 'no location of the table has a footprint'),
    ({'embedding': [np.full(12, np.nan)] * 40}, {}, 'the table holds no embedding.* embed again'),
    ({'location': 'a'}, {}, 'has 40 locations, more than the 39 .* take some of them'),
])  # fmt: skip
@pytest.mark.usefixtures('folder')
def test_tables_without_a_page(monkeypatch, change, arguments, message):
    monkeypatch.setattr(page_module, 'LOCATIONS', 39 if 'location' in change else 40)
    with pytest.raises(ValueError, match=message):
        page_module.embedding_page(embedding_table().assign(**change), **arguments)


def test_scene_in_natural_color(folder):
    address, ((south, west), (north, east)) = scene_picture([folder])
    assert address.startswith('data:image/webp;base64,')
    corners = rasterio.warp.transform_bounds(CRS, 'EPSG:4326', 500000, 1998400, 502400, 2000000)
    np.testing.assert_allclose((west, south, east, north), corners, atol=3e-4)
    with pytest.raises(ValueError, match='lacks one of red, green and blue; its bands are B04'):
        scene_picture([folder / 'B04.tif'])
    with pytest.raises(ValueError, match='three files of red, green and blue, got 2'):
        scene_picture([folder / 'B04.tif', folder / 'B03.tif'])


def test_a_file_of_unnamed_bands_is_red_green_and_blue(folder):
    files = [folder / f'{band}.tif' for band in ('B04', 'B03', 'B02')]
    stacked = []
    for path in files:
        with rasterio.open(path) as file:
            stacked.append(file.read(1))
            transform, crs = file.transform, file.crs
    write_tif(folder / 'unnamed.tif', np.stack([*stacked, stacked[0]]), transform=transform,
              crs=crs)  # fmt: skip
    address, place = scene_picture([folder / 'unnamed.tif'])
    wanted, where = scene_picture(files)
    assert place == where
    np.testing.assert_array_equal(_pixels(address), _pixels(wanted))


@pytest.mark.parametrize(('count', 'profile', 'message'), [
    (2, {}, r'a\.tif has 2 bands; name one scene, or three files of red, green and blue'),
    (3, {'crs': None, 'transform': None}, r'a\.tif is not georeferenced; name a scene that is'),
    (3, {'nodata': 7}, r'a\.tif holds no data; name another scene'),
    (3, {'crs': 'EPSG:32601', 'transform': Affine(3000, 0, 170293, 0, -3000, 2000000)},
     r'a\.tif crosses the antimeridian or lies beyond 85 degrees'),
])  # fmt: skip
@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_scenes_without_a_picture(tmp_path, count, profile, message):
    write_tif(tmp_path / 'a.tif', np.full((count, 8, 8), 7, 'uint16'), **profile)
    with pytest.raises((ValueError, BandFileError), match=message):
        scene_picture([tmp_path / 'a.tif'])


@pytest.mark.parametrize(('shape', 'crs', 'transform'), [
    # Around the line of date, and the ice at 87 degrees north.
    ((40, 4), 'EPSG:32601', Affine(20000, 0, 142000, 0, -20000, 2000000)),
    ((20, 30), 'EPSG:4326', Affine(0.1, 0, 10, 0, -0.1, 87)),
    ((20, 30), 'EPSG:32601', Affine(80, 0, 181094, 0, -80, 1992757)),
])  # fmt: skip
def test_maps_where_web_maps_end(tmp_path, shape, crs, transform):
    vectors, _ = cell_vectors(*shape)
    path = write_map(tmp_path / 'map.tif', vectors, crs=crs, transform=transform)
    with pytest.raises(ValueError, match=r'map\.tif crosses the antimeridian or lies .* in QGIS'):
        display(open_embedding_map(path))


def test_narrow_maps_have_a_picture(tmp_path):
    vectors, _ = cell_vectors(40, 1)
    path = write_map(tmp_path / 'map.tif', vectors, crs='EPSG:4326',
                     transform=Affine(0.001, 0, 10, 0, -0.001, 70))  # fmt: skip
    shown = display(open_embedding_map(path)).cells
    assert set(np.unique(shown)) - {-1} == set(range(40))


def test_many_clusters_have_colors(folder, monkeypatch):
    drawn = []

    def draw(_, colors):
        drawn.append(colors)
        return page_module._EMPTY

    monkeypatch.setattr(page_module, 'cell_picture', draw)
    page_module.embedding_page(open_embedding_map(folder / 'map.tif'), clusters=300)
    assert len(np.unique(drawn[1], axis=0)) == 20


def test_one_embedding_alone_agrees_with_itself():
    values = unit_length(np.random.default_rng(0).normal(size=(1, 8)))
    found = fidelity(values, reduced(values))
    assert found[:2] == (1, 1) and found.error < 1e-6


def test_pictures_of_products_are_those_of_their_bands(tmp_path):
    bands = {band: scene_bands(0)[band] for band in ('B02', 'B03', 'B04')}
    folder = write_safe(tmp_path, datetime.date(2022, 5, 4), bands)
    three = [next(folder.rglob(f'*_{band}_10m.jp2')) for band in ('B04', 'B03', 'B02')]
    assert scene_picture([folder])[1] == scene_picture(three)[1]
    scene, files = (_pixels(scene_picture(paths)[0]) for paths in ([folder], three))
    np.testing.assert_array_equal(scene[..., :3], files[..., :3])


def _pixels(address):
    """Pixels of an image in an address."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(',')[2]))))
