# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import csv
import json
import shutil
import sys
from contextlib import nullcontext, suppress
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import shapely

from torchgeo_saco.bands import SENTINEL2_L2A
from torchgeo_saco.datasets import SeasonalArchive
from torchgeo_saco.locations.fetching import (
    FetchError,
    FetchReport,
    MissingScenesError,
    fetch_archive,
)
from torchgeo_saco.locations.fetching.grid import square_around

from ...data.location_tables import SPRING_2019, SPRING_2020, SUMMER_2019, points
from ...data.stac_server import grid, number

pytestmark = [
    pytest.mark.allow_hosts(['127.0.0.1']),
    # odc-geo 0.5.3 calls what shapely 2.2 and affine 3 will drop.
    pytest.mark.filterwarnings("ignore:The 'shapely.ops.transform:DeprecationWarning"),
    pytest.mark.filterwarnings('ignore:Use `@` matmul:PendingDeprecationWarning'),
]

HERE = (3.0, 50.0)
ALL = tuple(SENTINEL2_L2A.bands)
BANDS = ('B01', 'B02', 'B05')
FIRST, SECOND = 'S2A_31UDQ_20190415_0_L2A', 'S2B_31UDQ_20200412_0_L2A'


def fetch(table, root, catalogue, **arguments) -> FetchReport:
    """Fetch without progress and long pauses."""
    arguments = {'bands': BANDS, 'size_m': 600, 'pause': 0.01, 'progress': False} | arguments
    return fetch_archive(table, root, catalogue.url, **arguments)


def fill(catalogue, bands=BANDS) -> None:
    """A scene in each of two springs."""
    catalogue.add_scene(FIRST, '2019-04-15T10:30:21Z', seed=1, bands=bands)
    catalogue.add_scene(SECOND, '2020-04-12T10:30:21Z', seed=2, bands=bands)


def stored(path) -> np.ndarray:
    """Numbers of a file."""
    with rasterio.open(path) as file:
        return file.read(1)


def shown(band: str, seed: int, size=600, point=HERE) -> np.ndarray:
    """What the scene has on the ground of the square, from the coordinates alone."""
    square = square_around(*point, size)
    pixel = SENTINEL2_L2A.bands[band]
    return number(
        band, square.epsg, *grid(square.left, square.top, pixel, round(size / pixel)), seed
    )


def tree(root) -> dict[str, bytes]:
    """All files of an archive."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob('*'))
        if path.is_file() and not path.name.startswith('.')
    }


TWO_YEARS = points(('000000', SPRING_2019, HERE), ('000000', SPRING_2020, HERE))


@pytest.mark.slow
def test_archive_holds_the_pixels_of_the_scenes_and_is_read_by_the_dataset(catalogue, tmp_path):
    fill(catalogue, ALL)
    assert fetch(TWO_YEARS, tmp_path, catalogue, bands=None, size_m=2640) == FetchReport(2, 0, ())
    archive = SeasonalArchive(
        tmp_path, bands=('B8', 'B02', 'B4'), dates=2, item='location', sensor='sentinel2_l2a'
    )
    assert list(archive.classes) == []
    sample = archive[0]
    order = np.argsort(sample['date'].numpy())
    assert sample['date'][order].tolist() == [20190415, 20200412]
    expected = [[shown(band, seed, 2640) for band in ('B08', 'B02', 'B04')] for seed in (1, 2)]
    np.testing.assert_array_equal(sample['image'].numpy()[order], expected)
    for band in ALL:
        path = tmp_path / '000000' / FIRST / f'{band}.tif'
        np.testing.assert_array_equal(stored(path), shown(band, 1, 2640))


def test_files_are_georeferenced_on_one_grid(catalogue, tmp_path):
    fill(catalogue)
    fetch(TWO_YEARS, tmp_path, catalogue)
    square = square_around(*HERE, 600)
    for scene in (FIRST, SECOND):
        for band, pixel in {'B01': 60, 'B02': 10, 'B05': 20}.items():
            with rasterio.open(tmp_path / '000000' / scene / f'{band}.tif') as file:
                assert file.crs.to_epsg() == 32631
                assert (file.nodata, file.dtypes, file.descriptions) == (0, ('uint16',), (band,))
                assert file.shape == (600 // pixel, 600 // pixel)
                assert file.transform == square.transform(pixel)
                left, bottom, right, top = file.bounds
                assert (left, top) == (square.left, square.top)
                assert (right, bottom) == (square.left + 600, square.top - 600)


def test_metadata_tell_where_the_pixels_come_from(catalogue, tmp_path):
    fill(catalogue)
    for item in catalogue.items:
        for asset in item['assets'].values():
            asset['href'] += '?signature=secret'
    fetch(TWO_YEARS, tmp_path, catalogue)
    text = (tmp_path / '000000' / SECOND / 'metadata.json').read_text()
    assert 'secret' not in text
    record = json.loads(text)
    assert record['item'] == SECOND
    assert record['datetime'] == '2020-04-12T10:30:21+00:00'
    assert record['cloud_cover'] == 1.0
    assert record['window'] == list(SPRING_2020)
    assert record['point'] == list(HERE)
    assert record['bands']['B02'] == {
        'href': f'{catalogue.url}{catalogue.folder}/{SECOND}/B02.tif', 'scale': 1e-4, 'offset': 0.0,
        'below_zero': 0.0,
    }  # fmt: skip


def test_a_second_run_asks_for_nothing_and_changes_nothing(catalogue, tmp_path):
    fill(catalogue)
    fetch(TWO_YEARS, tmp_path, catalogue)
    before, asked = tree(tmp_path), catalogue.requests.total()
    assert fetch(TWO_YEARS, tmp_path, catalogue) == FetchReport(0, 2, ())
    assert catalogue.requests.total() == asked
    assert tree(tmp_path) == before


def test_a_second_run_takes_only_what_is_missing(catalogue, tmp_path):
    fill(catalogue)
    fetch(TWO_YEARS, tmp_path, catalogue)
    before = tree(tmp_path)
    shutil.rmtree(tmp_path / '000000' / FIRST)
    # As a run leaves it that was killed
    (tmp_path / '000000' / f'.unfinished-{FIRST}').mkdir()
    (tmp_path / '000000' / f'.unfinished-{FIRST}' / 'B01.tif').write_bytes(b'half')
    catalogue.requests.clear()
    assert fetch(TWO_YEARS, tmp_path, catalogue) == FetchReport(1, 1, ())
    assert catalogue.requests['/search'] == 1
    assert not any(SECOND in path for path in catalogue.requests)
    assert tree(tmp_path) == before
    assert sorted(path.name for path in (tmp_path / '000000').iterdir()) == [FIRST, SECOND]


@pytest.mark.parametrize('methods', [('GET', 'POST'), ('GET',)])
@pytest.mark.parametrize('query', [True, False])
def test_least_cloudy_scene_is_found_through_all_pages(methods, query, catalogue, tmp_path):
    catalogue.methods = methods
    if not query:
        catalogue.conforms.remove('https://api.stacspec.org/v1.0.0/item-search#query')
    clouds = {10: 8.0, 12: 3.0, 14: 50.0, 16: 2.0, 18: 9.9, 20: 4.0}
    for day, cloud in clouds.items():
        catalogue.add_scene(f'S2A_31UDQ_201904{day}_0_L2A', f'2019-04-{day}T10:30:21Z', cloud,
                            bands=('B01',))  # fmt: skip
    fetch(points(('a', SPRING_2019, HERE)), tmp_path, catalogue, bands=['B1'])
    assert [path.name for path in (tmp_path / 'a').iterdir()] == ['S2A_31UDQ_20190416_0_L2A']
    assert catalogue.requests['/search'] == 3
    assert bool(catalogue.bodies) == ('POST' in methods)
    if catalogue.bodies:
        body = catalogue.bodies[0]
        assert body['datetime'] == '2019-04-08T00:00:00Z/2019-04-22T23:59:59Z'
        assert body['intersects'] == {'type': 'Point', 'coordinates': [3.0, 50.0]}
        assert ('query' in body) == query


def test_a_scene_that_ends_within_the_square_gives_way_to_the_next(catalogue, tmp_path):
    fill(catalogue)
    # 1860 m of the tile lie left of the square, and 600 m are the square.
    catalogue.add_scene('S2A_31UDQ_20190416_0_L2A', '2019-04-16T10:30:21Z', cloud=0.1, bands=BANDS,
                        empty_columns=295)  # fmt: skip
    fetch(TWO_YEARS, tmp_path, catalogue)
    record = json.loads((tmp_path / '000000' / FIRST / 'metadata.json').read_text())
    (reason,) = record['skipped_scenes']
    assert reason.startswith('S2A_31UDQ_20190416_0_L2A has ')
    assert reason.endswith('% nodata in B01 of the square')


def test_a_part_without_data_may_be_allowed(catalogue, tmp_path):
    square = square_around(*HERE, 600)
    empty = (square.left + 120 - 496800) // 10
    catalogue.add_scene(FIRST, '2019-04-15T10:30:21Z', bands=BANDS, empty_columns=empty)
    table = points(('a', SPRING_2019, HERE))
    with pytest.raises(
        MissingScenesError, match=f'no scene can be taken: {FIRST} has 20.0% nodata'
    ):
        fetch(table, tmp_path, catalogue)
    fetch(table, tmp_path, catalogue, max_nodata=0.2)
    image = stored(tmp_path / 'a' / FIRST / 'B02.tif')
    assert (image[:, :12] == 0).all()
    assert (image[:, 12:] > 0).all()
    with pytest.raises(ValueError, match=r'20\.0% nodata'):
        SeasonalArchive(tmp_path, sensor='sentinel2_l2a')
    SeasonalArchive(tmp_path, sensor='sentinel2_l2a', max_nodata=0.2)


def test_offset_of_baseline_4_is_subtracted_once(catalogue, tmp_path):
    new = {'s2:processing_baseline': '05.11'}
    catalogue.add_scene(FIRST, '2019-04-15T10:30:21Z', bands=BANDS, properties=new, seed=1,
                        manner='planetary_computer')  # fmt: skip
    catalogue.add_scene(SECOND, '2020-04-12T10:30:21Z', bands=BANDS, seed=1,
                        raster={'scale': 1e-4, 'offset': -0.1},
                        properties=new | {'earthsearch:boa_offset_applied': True})  # fmt: skip
    fetch(TWO_YEARS, tmp_path, catalogue)
    for band in BANDS:
        image = stored(tmp_path / '000000' / FIRST / f'{band}.tif')
        np.testing.assert_array_equal(image, shown(band, 1) - 1000)
        image = stored(tmp_path / '000000' / SECOND / f'{band}.tif')
        np.testing.assert_array_equal(image, shown(band, 1))


def test_an_offset_that_makes_the_ground_black_is_not_believed(catalogue, tmp_path):
    # Dark numbers whose offset is subtracted already, by an item that denies it
    catalogue.add_scene(FIRST, '2019-04-15T10:30:21Z', bands=['B02'],
                        written=lambda band, east: np.full(east.shape, 400, np.uint16),
                        raster={'scale': 1e-4, 'offset': -0.1},
                        properties={'s2:processing_baseline': '05.11'})  # fmt: skip
    message = r'median reflectance of -0\.060 in B02 .* may be subtracted already'
    with pytest.raises(MissingScenesError, match=message):
        fetch(points(('a', SPRING_2019, HERE)), tmp_path, catalogue, bands=['B02'])


@pytest.mark.parametrize(('dtype', 'unit'), [('uint16', 10000), ('uint8', 255)])
def test_units(dtype, unit, catalogue, tmp_path):
    levels = np.array([1, 990, 1000, 1001, 1100, 6000, 11000, 60000], np.uint16)

    def written(band, east):
        return levels[(np.floor(east / 10).astype(int)) % len(levels)]

    catalogue.add_scene(FIRST, '2019-04-15T10:30:21Z', bands=['B02'], written=written,
                        properties={'s2:processing_baseline': '04.00'})  # fmt: skip
    fetch(points(('a', SPRING_2019, HERE)), tmp_path, catalogue, bands=['B02'], dtype=dtype)
    image = stored(tmp_path / 'a' / FIRST / 'B02.tif')
    square = square_around(*HERE, 600)
    numbers = written('B02', grid(square.left, square.top, 10, 60)[0]).astype(float)
    reflectance = (numbers - 1000) / 10000
    expected = np.clip(np.round(reflectance * unit), 1, np.iinfo(dtype).max)
    np.testing.assert_array_equal(image, expected.astype(dtype))
    record = json.loads((tmp_path / 'a' / FIRST / 'metadata.json').read_text())
    assert record['bands']['B02']['below_zero'] == pytest.approx((reflectance < 0).mean(), abs=1e-6)


def test_a_scene_of_the_neighbouring_zone_is_brought_to_the_zone_of_the_location(
    catalogue, tmp_path
):
    def slope(band, east):
        return (2000 + (east - 200000) / 20).astype(np.uint16)

    point = (5.99, 50.0)  # zone 31, shown by a tile of zone 32
    catalogue.add_scene('S2A_32UKA_20190415_0_L2A', '2019-04-15T10:30:21Z', epsg=32632,
                        left=282000, top=5546040, bands=['B02'], written=slope)  # fmt: skip
    fetch(points(('a', SPRING_2019, point)), tmp_path, catalogue, bands=['B02'])
    path = tmp_path / 'a' / 'S2A_32UKA_20190415_0_L2A' / 'B02.tif'
    with rasterio.open(path) as file:
        assert file.crs.to_epsg() == 32631
        east, north = grid(int(file.bounds.left), int(file.bounds.top), 10, 60)
    from pyproj import Transformer

    east, _ = Transformer.from_crs(32631, 32632, always_xy=True).transform(east, north)
    # Half a step of the numbers, and that the middle of a pixel is half a pixel wide
    np.testing.assert_allclose(stored(path), 2000 + (east - 200000) / 20, atol=1.01)


@pytest.mark.parametrize(
    ('point', 'epsg'),
    [
        ((179.999, -17.7), 32760),  # the square lies on both sides
        ((-179.999, -17.7), 32701),
        ((15.6, 78.2), 32633),
        ((-70.6, -33.4), 32719),
    ],
)
def test_squares_of_the_south_of_svalbard_and_at_the_antimeridian(point, epsg, catalogue, tmp_path):
    square = square_around(*point, 600)
    left, top = square.left - 2400, square.top + 2400
    assert square.epsg == epsg
    catalogue.add_scene('S2A_20190415', '2019-04-15T10:30:21Z', epsg=epsg, left=left, top=top,
                        bands=BANDS, seed=3)  # fmt: skip
    fetch(points(('a', SPRING_2019, point)), tmp_path, catalogue)
    for band in BANDS:
        image = stored(tmp_path / 'a' / 'S2A_20190415' / f'{band}.tif')
        np.testing.assert_array_equal(image, shown(band, 3, point=point))


def test_windows_without_a_scene_are_listed_and_the_rest_is_fetched(catalogue, tmp_path):
    fill(catalogue)
    table = points(('000000', SPRING_2019, HERE), ('000000', SUMMER_2019, HERE),
                   ('000001', SPRING_2020, HERE))  # fmt: skip
    message = (
        '1 windows have no clear scene: 000000 2019-07-08..2019-07-22: the catalogue has no scene '
        'below max_cloud. All are in .*skipped.csv, .* raise max_cloud, widen the windows'
    )
    with pytest.raises(MissingScenesError, match=message):
        fetch(table, tmp_path, catalogue)
    with open(tmp_path / 'skipped.csv', newline='') as file:
        (row,) = csv.DictReader(file)
    assert row == {'location': '000000', 'start': SUMMER_2019[0], 'end': SUMMER_2019[1],
                   'reason': 'the catalogue has no scene below max_cloud'}  # fmt: skip
    report = fetch(table, tmp_path, catalogue, on_missing='drop')
    assert (report.fetched, report.present) == (0, 2)
    assert [note.location for note in report.skipped] == ['000000']
    catalogue.add_scene('S2A_31UDQ_20190715_0_L2A', '2019-07-15T10:30:21Z', bands=BANDS)
    assert fetch(table, tmp_path, catalogue) == FetchReport(1, 2, ())
    assert not (tmp_path / 'skipped.csv').exists()


def test_a_later_window_with_the_same_scene_is_left_out(catalogue, tmp_path):
    fill(catalogue)
    # Another tile of the same pass, cloudier
    catalogue.add_scene('S2A_31UEQ_20190415_0_L2A', '2019-04-15T10:30:35Z', 2.0, bands=BANDS)
    table = points(('a', SPRING_2019, HERE), ('a', ('2019-04-12', '2019-04-30'), HERE))
    report = fetch(table, tmp_path, catalogue, on_missing='drop')
    assert report.fetched == 1
    assert f'{FIRST} is of the same day as {FIRST}' in report.skipped[0].reason
    assert report.skipped[0].window.end.isoformat() == '2019-04-30'


@pytest.mark.parametrize(
    'faults',
    [
        {'/search': ['503', '429']},
        {'/B02.tif': ['', '503', '']},
        {'/B05.tif': ['404'], '/B01.tif': ['', 'closed', '500']},
        *(
            pytest.param(faults, marks=pytest.mark.slow)
            for faults in (
                {'/search': ['500']},
                {'/search': ['closed']},
                {'/search': ['truncated']},
                {'/B02.tif': ['500']},
                {'/B02.tif': ['closed']},
                {'/B02.tif': ['truncated']},
                {'/B02.tif': ['', '', 'truncated']},
            )
        ),
    ],
)
def test_a_server_that_fails_for_a_while_is_tried_again(faults, catalogue, tmp_path):
    fill(catalogue)
    catalogue.faults = {part: list(kinds) for part, kinds in faults.items()}
    assert fetch(TWO_YEARS, tmp_path, catalogue) == FetchReport(2, 0, ())
    assert not any(catalogue.faults.values())
    for band in BANDS:
        image = stored(tmp_path / '000000' / FIRST / f'{band}.tif')
        np.testing.assert_array_equal(image, shown(band, 1))


def test_a_server_that_is_not_there_is_named(tmp_path):
    with pytest.raises(
        FetchError,
        match=r'^http://127\.0\.0\.1:9 does not answer; look at the address .*after 1 tries',
    ):
        fetch_archive(TWO_YEARS, tmp_path, 'http://127.0.0.1:9', tries=1, progress=False)


@pytest.mark.slow
@pytest.mark.parametrize('fault', ['500', '404', 'closed'])
def test_a_file_that_stays_broken_is_named_and_the_same_command_goes_on(fault, catalogue, tmp_path):
    fill(catalogue)
    catalogue.faults = {f'{FIRST}/B02.tif': [fault] * 100}
    with pytest.raises(
        FetchError, match=r'^1 windows could not be fetched: 000000 2019-04-08'
    ) as e:
        fetch(TWO_YEARS, tmp_path, catalogue, tries=2)
    assert f'/cogs/{FIRST}/B02.tif cannot be read' in str(e.value)
    assert 'after 2 tries' in str(e.value)
    assert '1 scenes were fetched and stay; the same command goes on' in str(e.value)
    assert [path.name for path in (tmp_path / '000000').iterdir()] == [SECOND]
    catalogue.faults.clear()
    assert fetch(TWO_YEARS, tmp_path, catalogue) == FetchReport(1, 1, ())


def test_answers_that_always_end_early_give_no_wrong_pixel(catalogue, tmp_path):
    fill(catalogue)
    catalogue.faults = {f'{FIRST}/B02.tif': ['truncated'] * 1000}
    # Whether GDAL puts the parts together depends on where they end.
    with suppress(FetchError):
        fetch(TWO_YEARS, tmp_path, catalogue)
    for scene, seed in ((FIRST, 1), (SECOND, 2)):
        for path in (tmp_path / '000000' / scene).glob('*.tif'):
            np.testing.assert_array_equal(stored(path), shown(path.stem, seed))
    assert (tmp_path / '000000' / SECOND / 'B02.tif').exists()


@pytest.mark.slow
@pytest.mark.parametrize('part', [2, 7, 16])
def test_a_file_that_was_cut_short_gives_no_scene(part, catalogue, tmp_path):
    fill(catalogue)
    path = f'{catalogue.folder}/{FIRST}/B02.tif'
    catalogue.files[path] = catalogue.files[path][: len(catalogue.files[path]) * part // 32]
    with pytest.raises(FetchError, match=f'{path} cannot be read') as failure:
        fetch(TWO_YEARS, tmp_path, catalogue, tries=1)
    assert 'previous exception' not in str(failure.value)
    assert [path.name for path in (tmp_path / '000000').iterdir()] == [SECOND]


def test_a_server_that_is_down_is_not_asked_for_every_window(catalogue, tmp_path):
    fill(catalogue)
    windows = [(f'2019-{month:02d}-01', f'2019-{month:02d}-20') for month in range(1, 13)]
    catalogue.faults = {'/search': ['500'] * 1000}
    table = points(*(('a', window, HERE) for window in windows))
    with pytest.raises(FetchError, match='5 windows could not be fetched, and the rest was not'):
        fetch(table, tmp_path, catalogue, tries=2)
    assert catalogue.requests['/search'] == 10


def test_a_request_that_is_refused_is_not_repeated(catalogue, tmp_path):
    fill(catalogue)
    catalogue.faults = {'/search': ['400']}
    table = points(('a', SPRING_2019, HERE))
    with pytest.raises(FetchError, match=r'refuses what is asked: .*as the test wants'):
        fetch(table, tmp_path, catalogue)
    assert catalogue.requests['/search'] == 1


def test_an_interrupted_run_leaves_whole_scenes_alone(catalogue, tmp_path, monkeypatch):
    fill(catalogue)
    from torchgeo_saco.locations.fetching import archive

    write = archive.write_scene

    def interrupted(root, place, window, *rest):
        if str(window.start) == SPRING_2020[0]:
            raise KeyboardInterrupt
        return write(root, place, window, *rest)

    monkeypatch.setattr(archive, 'write_scene', interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(TWO_YEARS, tmp_path, catalogue)
    assert [path.name for path in (tmp_path / '000000').iterdir()] == [FIRST]
    monkeypatch.undo()
    assert fetch(TWO_YEARS, tmp_path, catalogue) == FetchReport(1, 1, ())


def test_a_disk_that_fills_up_leaves_no_half_scene(catalogue, tmp_path, monkeypatch):
    fill(catalogue)
    from torchgeo_saco.locations.fetching import scenes

    half = SimpleNamespace(read=lambda _: np.zeros((10, 10)))
    monkeypatch.setattr(scenes, 'opened_raster', lambda *_, **__: nullcontext(half))
    with pytest.raises(OSError, match=r'B01\.tif cannot be written whole; the disk may be full'):
        fetch(TWO_YEARS, tmp_path, catalogue)
    assert list((tmp_path / '000000').iterdir()) == []


@pytest.mark.slow
def test_workers_and_their_number_change_nothing(catalogue, tmp_path):
    fill(catalogue)
    places = [(2.99 + 0.004 * number, 50.0) for number in range(5)]
    table = points(*((f'{number:06d}', window, point) for number, point in enumerate(places)
                     for window in (SPRING_2019, SPRING_2020)))  # fmt: skip
    one, many = tmp_path / 'one', tmp_path / 'many'
    assert fetch(table, one, catalogue, workers=1) == FetchReport(10, 0, ())
    assert fetch(table, many, catalogue, workers=4) == FetchReport(10, 0, ())
    assert tree(one) == tree(many)


def test_another_run_in_the_same_folder_is_refused(catalogue, tmp_path):
    from filelock import FileLock

    fill(catalogue)
    with (
        FileLock(tmp_path / '.fetching.lock'),
        pytest.raises(ValueError, match='another run fetches into'),
    ):
        fetch(TWO_YEARS, tmp_path, catalogue)


def test_folders_of_another_kind_are_refused(catalogue, tmp_path):
    fill(catalogue)
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'report.txt').touch()
    with pytest.raises(ValueError, match=r'holds report\.txt, which was not fetched'):
        fetch(TWO_YEARS, other, catalogue)
    root = tmp_path / 'archive'
    fetch(TWO_YEARS, root, catalogue)
    with pytest.raises(ValueError, match='archive of dtype uint16, but dtype uint8 is asked for'):
        fetch(TWO_YEARS, root, catalogue, dtype='uint8')
    with pytest.raises(ValueError, match=r"bands \['B01', 'B02', 'B05'\], but bands \['B02'\]"):
        fetch(TWO_YEARS, root, catalogue, bands=['B2'])
    moved = points(('000000', SPRING_2019, (3.1, 50)), ('000000', SPRING_2020, (3.1, 50)))
    with pytest.raises(ValueError, match='which the table of points does not have'):
        fetch(moved, root, catalogue)
    (root / '000000' / FIRST / 'B05.tif').unlink()
    with pytest.raises(ValueError, match=f'{FIRST} lacks B05; remove it, and fetch it again'):
        fetch(TWO_YEARS, root, catalogue)
    (root / 'fetched.json').write_text('{')
    with pytest.raises(ValueError, match=r'fetched\.json is damaged'):
        fetch(TWO_YEARS, root, catalogue)


def test_a_scene_from_elsewhere_is_refused(catalogue, tmp_path):
    fill(catalogue)
    root = tmp_path
    fetch(TWO_YEARS, root, catalogue)
    (root / '000000' / '20180101').mkdir()
    with pytest.raises(ValueError, match='20180101 was not fetched by this command'):
        fetch(TWO_YEARS, root, catalogue)


def test_addresses_that_are_no_catalogue_are_refused(catalogue, tmp_path):
    fill(catalogue)
    with pytest.raises(ValueError, match=r"has no collection 'sentinel-2'; .*/collections$"):
        fetch(TWO_YEARS, tmp_path, catalogue, collection='sentinel-2')
    with pytest.raises(FetchError, match='refuses what is asked'):
        fetch_archive(TWO_YEARS, tmp_path / 'b', f'{catalogue.url}/v9', pause=0, progress=False)
    catalogue.methods = ()
    with pytest.raises(ValueError, match='is no STAC API that can be searched'):
        fetch(TWO_YEARS, tmp_path / 'c', catalogue)


def test_items_are_changed_by_the_modifier_before_use(catalogue, tmp_path):
    fill(catalogue)
    for item in catalogue.items:
        for asset in item['assets'].values():
            asset['href'] = asset['href'].replace('/cogs/', '/locked/')

    def unlock(page) -> None:
        for item in page['features']:
            for asset in item['assets'].values():
                asset['href'] = asset['href'].replace('/locked/', '/cogs/')

    assert fetch(TWO_YEARS, tmp_path, catalogue, modifier=unlock).fetched == 2


def test_footprints_that_promise_too_much_are_found_out(catalogue, tmp_path):
    whole = shapely.geometry.mapping(shapely.box(2, 49, 4, 51))
    catalogue.add_scene(FIRST, '2019-04-15T10:30:21Z', left=499200, bands=BANDS, footprint=whole)
    with pytest.raises(MissingScenesError, match='nodata in B01 of the square'):
        fetch(points(('a', SPRING_2019, (2.99, 50.0))), tmp_path, catalogue)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'bands': ['B10']}, "has no band 'B10'"),
        ({'size_m': 100}, 'size_m must be a multiple of 60'),
        ({'max_cloud': 101}, 'max_cloud must be from 0 to 100, got 101'),
        ({'max_nodata': -1}, 'max_nodata must be from 0 to 1, got -1'),
        ({'dtype': 'float32'}, "dtype must be one of uint16, uint8, got 'float32'"),
        ({'on_missing': 'skip'}, "on_missing must be one of error, drop, got 'skip'"),
        ({'workers': 0}, 'workers must be at least 1, got 0'),
        ({'tries': 0}, 'tries must be at least 1'),
    ],
)
def test_arguments_out_of_range_are_refused_before_anything_is_asked(
    arguments, message, catalogue, tmp_path
):
    with pytest.raises(ValueError, match=message):
        fetch(TWO_YEARS, tmp_path / 'archive', catalogue, **arguments)
    assert catalogue.requests.total() == 0
    assert not (tmp_path / 'archive').exists()


@pytest.mark.parametrize('name', ['pystac_client', 'odc.stac', 'filelock'])
def test_without_the_extra_its_name_is_told(name, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'torchgeo_saco\[stac\]'"):
        fetch_archive(TWO_YEARS, tmp_path, 'http://127.0.0.1:1', progress=False)
