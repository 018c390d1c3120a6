# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of cells of rasters as locations."""

import datetime
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import shapely
from rasterio.transform import from_origin
from torchgeo.datasets import RasterDataset

from tests.data import products as files
from torchgeo_saco.archives.rasters import CellOptions
from torchgeo_saco.datasets import SeasonalArchive
from torchgeo_saco.io.raster import BandFileError

DAY, LATER = datetime.date(2020, 5, 4), datetime.date(2020, 8, 2)
SIDE = 16
GROUND = from_origin(*files.ORIGIN, 10, 10)


def opened(root, **arguments):
    """Cells of 16 px of a folder."""
    arguments = {'size': SIDE, 'bands': ['B02', 'B03', 'B04'], 'on_missing': 'drop'} | arguments
    return SeasonalArchive(root, layout='rasters', **arguments)


def scenes(archive):
    """Names and days of all locations."""
    return {location.name: [str(day) for day in location.days] for location in archive.locations}


def test_cells_lie_where_their_names_say_and_hold_what_is_stored_there(tmp_path):
    bands = files.scene_bands(0)
    files.write_safe(tmp_path, DAY, bands)
    archive = opened(tmp_path)
    # The scene begins at 600000, 5000040, which is 3750 and 31250.25 cells of 160 m.
    assert set(scenes(archive)) == {f'32631_E{c}_N{r}' for c in (3750, 3751, 3752)
                                    for r in (31248, 31249)}  # fmt: skip
    for item, location in enumerate(archive.locations):
        column, row = (int(part[1:]) for part in location.name.split('_')[1:])
        left, top = (column * 160 - 600000) // 10, (5000040 - (row + 1) * 160) // 10
        expected = bands['B04'][top : top + SIDE, left : left + SIDE]
        np.testing.assert_array_equal(archive[item]['image'][0, 2].numpy(), expected)
        a, _, c, _, e, f = archive.source.georeference(location).transform
        assert (a, e, c, f) == (10, -10, column * 160, (row + 1) * 160)
        west, south, east, north = archive.footprint(location).bounds
        assert 4.2 < west < east < 4.4
        assert 45.1 < south < north < 45.2


def test_names_of_cells_do_not_depend_on_which_files_are_there(tmp_path):
    files.write_safe(tmp_path / 'a', DAY, files.scene_bands(0))
    before = set(scenes(opened(tmp_path)))
    origin = (files.ORIGIN[0] - 480, files.ORIGIN[1] + 960)
    files.write_safe(tmp_path / 'b', LATER, files.scene_bands(1), origin=origin)
    after = scenes(opened(tmp_path))
    assert before < set(after)
    assert all(after[name] == ['2020-05-04'] for name in before)


@pytest.mark.parametrize(('max_masked', 'dates'), [(0.0, 1), (0.2, 1), (0.3, 2)])
def test_dates_under_cloud_are_left_out_beyond_the_share(tmp_path, max_masked, dates):
    scl = np.full((24, 24), 4, np.uint8)
    # Of the cells of 8 x 8 px of the mask, a quarter.
    scl[:, ::4] = 9
    files.write_safe(tmp_path, DAY, files.scene_bands(0))
    files.write_safe(tmp_path, LATER, files.scene_bands(1), scl=scl)
    archive = opened(tmp_path, cells=CellOptions(max_masked=max_masked))
    # Of the cells that lie within the scene.
    inside = {n: days for n, days in scenes(archive).items() if n[-5:] in ('31248', '31249')}
    assert set(map(len, inside.values())) == {dates}
    assert any('are left out' in note for note in archive.source.notes)


def test_quality_of_landsat_hides_cells(tmp_path):
    quality = np.full((24, 24), 21824, np.uint16)
    quality[:, :12] |= 1 << 3
    files.write_landsat(tmp_path, DAY, files.landsat_bands(0))
    files.write_landsat(tmp_path, LATER, files.landsat_bands(1), quality)
    found = scenes(opened(tmp_path, size=4, bands=None))
    clear = {name for name, days in found.items() if len(days) == 2}
    # Columns count from the phase of the grid, 15 m: the scene begins at column 5000 of 120 m.
    assert {int(name.split('_')[1][1:]) for name in clear} == {5003, 5004, 5005}
    assert {int(name.split('_')[1][1:]) for name in found} == set(range(5000, 5006))


def test_half_empty_scenes_count_where_they_are_full(tmp_path):
    bands = files.scene_bands(0)
    for image in bands.values():
        image[:, : image.shape[1] // 3] = 0
    files.write_safe(tmp_path, DAY, bands)
    columns = {int(name.split('_')[1][1:]) for name in scenes(opened(tmp_path))}
    assert columns == {3751, 3752}


def test_tiles_of_one_day_are_joined(tmp_path):
    image = np.arange(1, 1025, dtype=np.uint16).reshape(32, 32)
    for name, columns in (('west', slice(0, 20)), ('east', slice(12, 32))):
        origin = from_origin(600000 + columns.start * 10, 5000000, 10, 10)
        for band in ('B02', 'B03', 'B04'):
            path = tmp_path / f'{name}_20200504_{band}.tif'
            files.write_raster(path, image[:, columns], origin, nodata=0)
    archive = opened(tmp_path, size=32, sensor='sentinel2_l2a')
    ((name, days),) = scenes(archive).items()
    assert (name, days) == ('32631_E1875_N15624', ['2020-05-04'])
    np.testing.assert_array_equal(archive[0]['image'][0, 0].numpy(), image)


def test_dates_are_drawn_as_of_any_archive(tmp_path):
    for year in (2018, 2019, 2021):
        for month in (1, 5, 9):
            files.write_safe(
                tmp_path, datetime.date(year, month, 4), files.scene_bands(year + month)
            )
    archive = opened(tmp_path, item='years', dates=2)
    sample = archive[0]
    assert sample['image'].shape == (2, 2, 3, SIDE, SIDE)
    assert {int(day) // 10000 for day in sample['date'][0]} == {2018}
    assert {int(day) // 10000 for day in sample['date'][1]} == {2021}
    again = archive[0]
    assert (again['image'].numpy() == sample['image'].numpy()).all()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'previews': True}, 'rasters have no previews'),
        ({'max_nodata': 0.1}, r'set cells\.max_masked'),
        ({'size': 64}, 'shows no cell of 64 x 64 px'),
        ({'bands': ['B10']}, 'has no band'),
        ({'dates': 2}, 'has one date per location'),
    ],
)
def test_what_rasters_cannot_give_is_refused(tmp_path, arguments, message):
    files.write_safe(tmp_path, DAY, files.scene_bands(0))
    with pytest.raises(ValueError, match=message):
        opened(tmp_path, **arguments)


def test_cells_belong_to_rasters(tmp_path):
    with pytest.raises(ValueError, match='set layout=rasters'):
        SeasonalArchive(tmp_path, cells=CellOptions())
    with pytest.raises(ValueError, match='max_masked must be at least 0 and below 1'):
        CellOptions(max_masked=1.5)
    with pytest.raises(ValueError, match='no group'):
        CellOptions(date_regex=r'\d{8}')
    with pytest.raises(ValueError, match='no regular expression'):
        CellOptions(date_regex='(?P<date>')


def test_datasets_of_torchgeo_are_read_by_class_path(tmp_path):
    stored = files.scene_bands(0)
    fine = ('B02', 'B03', 'B04')
    for day in (DAY, LATER):
        for band in fine:
            name = f'T31UFS_{day:%Y%m%d}T103021_{band}_10m.jp2'
            transform = from_origin(*files.ORIGIN, 10, 10)
            files.write_raster(tmp_path / 'R10m' / name, stored[band], transform)
    cells = CellOptions(dataset='torchgeo.datasets.Sentinel2')
    archive = opened(tmp_path, cells=cells, sensor='sentinel2_l2a', dates=2, item='location')
    assert archive.bands == fine
    sample = archive[0]
    assert sample['image'].shape == (2, 3, SIDE, SIDE)
    assert sorted(sample['date'].tolist()) == [20200504, 20200802]
    column, row = (int(part[1:]) for part in archive.locations[0].name.split('_')[1:])
    left, top = (column * 160 - 600000) // 10, (5000040 - (row + 1) * 160) // 10
    np.testing.assert_array_equal(
        sample['image'][0, 0].numpy(), stored['B02'][top : top + SIDE, left : left + SIDE]
    )


class Undated(RasterDataset):
    """Rasters whose names hold no date."""

    filename_glob = '*.tif'
    filename_regex = '.*'
    all_bands = ('B02', 'B03', 'B04')


def test_datasets_of_torchgeo_without_dates(tmp_path):
    images = write_days(tmp_path, [DAY], name='north')
    arguments = {'sensor': 'sentinel2_l2a', 'dates': 1}
    cells = CellOptions(dataset=f'{__name__}.Undated')
    message = r'Undated finds no date in the name of .*north\.tif; give a subclass .* undated=True'
    with pytest.raises(ValueError, match=message):
        opened(tmp_path, cells=cells, **arguments)
    archive = opened(tmp_path, cells=replace(cells, undated=True), **arguments)
    assert archive[0]['date'].item() == 0
    for item, columns in enumerate((slice(0, SIDE), slice(SIDE, None))):
        image = archive[item]['image'].numpy()
        np.testing.assert_array_equal(image.reshape(3, SIDE, SIDE), images[DAY][:, :, columns])
    write_days(tmp_path, [DAY], name='south')
    with pytest.raises(ValueError, match=r'\.tif and 1 more; give'):
        opened(tmp_path, cells=cells, **arguments)


def write_days(root, days=(DAY, LATER), name='{:%Y%m%d}', changed=lambda image: image):
    """Rasters of 2 x 1 cells, each with numbers of its own; returns the images."""
    images = {}
    for number, day in enumerate(days):
        image = np.random.default_rng(number).integers(500, 3000, (3, SIDE, 2 * SIDE))
        images[day] = changed(image.astype(np.int16))
        path = root / f'{name.format(day)}.tif'
        transform = from_origin(600000, 5000000, 10, 10)
        files.write_raster(path, images[day], transform, names=('B02', 'B03', 'B04'))
    return images


def test_dates_are_those_of_the_expression(tmp_path):
    write_days(tmp_path, name='made20231224_of{:%Y%m%d}')
    arguments = {'sensor': 'sentinel2_l2a'}
    assert set().union(*scenes(opened(tmp_path, **arguments)).values()) == {'2023-12-24'}
    cells = CellOptions(date_regex=r'_of(?P<date>\d{8})')
    found = scenes(opened(tmp_path, cells=cells, **arguments))
    assert list(found.values()) == [['2020-05-04', '2020-08-02']] * 2


def test_cells_that_are_kept_in_memory_are_not_mixed_up(tmp_path):
    images = write_days(tmp_path)
    archive = opened(tmp_path, sensor='sentinel2_l2a', dates=2, item='location', cache=True)
    assert archive.source.keeps_images and len(archive) == 2
    for _ in range(2):
        for item, columns in enumerate((slice(0, SIDE), slice(SIDE, None))):
            sample = archive[item]
            for day, image in zip(sample['date'].tolist(), sample['image'], strict=True):
                stored = next(s for d, s in images.items() if f'{d:%Y%m%d}' == str(day))
                np.testing.assert_array_equal(image.numpy(), stored[:, :, columns])


def test_a_day_of_another_archive_is_not_found(tmp_path):
    write_days(tmp_path / 'a', [DAY])
    write_days(tmp_path / 'b', [LATER])
    one, other = (opened(tmp_path / name, sensor='sentinel2_l2a') for name in 'ab')
    place = other.locations[0]
    assert place.name == one.locations[0].name
    with pytest.raises(BandFileError, match=f'{place.name} has no raster of 2020-08-02'):
        one.read_scene(place, 0)


def test_cells_of_fill_values_that_no_file_declares_are_refused_or_dropped(tmp_path):
    def filled(image):
        # The first date alone, in the second cell.
        if not (tmp_path / '20200504.tif').exists():
            image[1, :, SIDE:] = -9999
        return image

    write_days(tmp_path, changed=filled)
    arguments = {'sensor': 'sentinel2_l2a', 'dates': 1}
    archive = opened(tmp_path, **arguments)
    names = [location.name for location in archive.locations]
    with pytest.raises(
        ValueError,
        match=rf'1 of 4 dates of .* hold no usable values: {tmp_path}/20200504\.tif \(cell '
        rf'{names[1]}\) has -9999 in 100\.0% of band B03, .*; repair or remove them',
    ):
        opened(tmp_path, on_invalid='error', **arguments)
    kept = opened(tmp_path, on_invalid='drop', **arguments)
    assert scenes(kept) == {names[0]: ['2020-05-04', '2020-08-02'], names[1]: ['2020-08-02']}
    assert (kept[len(kept) - 1]['image'].numpy() > 0).all()


@pytest.mark.parametrize(
    ('dataset', 'arguments', 'message'),
    [
        ('torchgeo.datasets.Sentinel2', {'sensor': None}, 'set sensor to that of torchgeo'),
        ('torchgeo.datasets.Sentinel4', {}, r'no class torchgeo\.datasets\.Sentinel4; set dataset'),
        ('torch_geo.Sentinel2', {}, r'no class torch_geo\.Sentinel2; set dataset to a class path'),
        ('torchgeo.datasets.EuroSAT', {}, r'no GeoDataset of images, .*; set dataset to one'),
        ('torchgeo.datasets.stack_samples', {}, 'stack_samples is no GeoDataset'),
        ('RasterDataset', {}, r'RasterDataset does not name its bands; give a subclass that sets'),
        ('VectorDataset', {'bands': ['B02']}, 'VectorDataset is no GeoDataset of images'),
        ('Sentinel2', {'bands': ['B10'], 'sensor': 'sentinel2_l2a'},
         r"Sentinel2: .*'B10'.*; set sensor to that of its bands"),
    ],
)  # fmt: skip
def test_datasets_of_torchgeo_that_do_not_fit_are_refused(tmp_path, dataset, arguments, message):
    if dataset == 'VectorDataset':
        fields = {'label': [1], 'geometry': [shapely.box(600000, 4999000, 601000, 5000000)]}
        gpd.GeoDataFrame(fields, crs='EPSG:32631').to_file(tmp_path / 'fields.geojson')
    else:
        name = f'T31UFS_{DAY:%Y%m%d}T103021_B10_60m.tif'
        files.write_raster(tmp_path / name, np.ones((SIDE, SIDE), np.uint16), GROUND)
    arguments = {'sensor': 'sentinel2_l2a'} | arguments
    with pytest.raises(ValueError, match=message):
        opened(tmp_path, cells=CellOptions(dataset=dataset), **arguments)
