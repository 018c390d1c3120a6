# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of products as a dataset of TorchGeo."""

import datetime
import pickle

import numpy as np
import pytest
import rasterio
import torch
from pyproj import CRS, Transformer
from rasterio.transform import Affine, from_origin
from torch.utils.data import DataLoader
from torchgeo.samplers import RandomPatchSampler, RandomPeriodSampler

from tests.data import products as files
from torchgeo_saco.archives.rasters import Naming, ProductError, ProductRasters, dataset

DAY, LATER = datetime.date(2020, 5, 4), datetime.date(2020, 8, 2)
NAMING = Naming(sensor='sentinel2_l2a', bands_in_file=['B02', 'B03'])
X, Y = files.ORIGIN


def whole(rasters):
    """All of a dataset."""
    x, y, t = rasters.bounds
    return rasters[x, y, t]


def gradient(height=24, width=24):
    """Two bands that no two pixels share, and no turning leaves as they are."""
    first = np.arange(1, height * width + 1, dtype=np.uint16).reshape(height, width)
    return np.stack([first, first + 2000])


def test_stored_numbers_come_out_at_every_date(tmp_path):
    bands = files.scene_bands(0), files.scene_bands(1)
    for day, stored in zip((DAY, LATER), bands, strict=True):
        files.write_safe(tmp_path, day, stored)
    rasters = ProductRasters(tmp_path, bands=['B04', 'B02', 'B11'])
    sample = whole(rasters)
    assert sample['image'].shape == (2, 3, 48, 48)
    assert sample['image'].dtype == rasters.dtype == torch.uint16
    assert sample['date'].tolist() == [20200504, 20200802]
    assert rasters.scale == (10000, -1000)
    for date, stored in enumerate(bands):
        np.testing.assert_array_equal(sample['image'][date, 0].numpy(), stored['B04'])
        np.testing.assert_array_equal(sample['image'][date, 1].numpy(), stored['B02'])
        near = np.kron(stored['B11'], np.ones((2, 2)))
        coarse = sample['image'][date, 2].numpy()
        assert np.corrcoef(coarse.ravel(), near.ravel())[0, 1] > 0.95


def test_samplers_of_torchgeo_draw_queries(tmp_path):
    for day in (DAY, LATER):
        files.write_safe(tmp_path, day, files.scene_bands(0))
    rasters = ProductRasters(tmp_path, bands=['B04'])
    sampler = RandomPatchSampler(rasters, size=16, length=2, generator=0) @ RandomPeriodSampler(
        rasters, freq='Y', length=1, generator=0
    )
    batch = next(iter(DataLoader(rasters, batch_size=1, sampler=sampler)))
    assert batch['image'].shape == (1, 2, 1, 16, 16)


def test_products_of_two_baselines_are_read_as_reflectance(tmp_path):
    bands = {band: image for band, image in files.scene_bands(0).items() if band in ('B02', 'B03')}
    raised = {band: image + np.uint16(1000) for band, image in bands.items()}
    files.write_safe(tmp_path, DAY, bands, baseline='02.14')
    files.write_safe(tmp_path, LATER, raised, baseline='05.10')
    rasters = ProductRasters(tmp_path)
    image = whole(rasters)['image']
    assert rasters.scale == (1, 0)
    assert image.dtype == rasters.dtype == torch.float32
    np.testing.assert_allclose(image[0, 0], bands['B02'] / 10000, rtol=1e-6)
    torch.testing.assert_close(image[0], image[1])


@pytest.mark.parametrize('way', ['north-up', 'south-up', 'rotated by 90 degrees', 'mirrored'])
def test_rasters_that_lie_another_way_are_turned(tmp_path, way):
    north = from_origin(X, Y, 10, 10)
    image = gradient()
    turned, transform = {
        'north-up': (image, north),
        'south-up': (image[:, ::-1], north @ Affine.translation(0, 24) @ Affine.scale(1, -1)),
        'mirrored': (image[:, :, ::-1], north @ Affine.translation(24, 0) @ Affine.scale(-1, 1)),
        'rotated by 90 degrees': (image.transpose(0, 2, 1), north @ Affine(0, 1, 0, 1, 0, 0)),
    }[way]
    files.write_raster(tmp_path / 'x_20200104.tif', np.ascontiguousarray(turned), transform)
    found = whole(ProductRasters(tmp_path, naming=NAMING))['image'][0]
    np.testing.assert_array_equal(found.numpy(), image)


def test_another_coordinate_system_is_warped_to_the_most_common_and_said(tmp_path):
    for month in (1, 2):
        files.write_raster(
            tmp_path / f'x_20200{month}04.tif', gradient(), from_origin(X, Y, 10, 10)
        )
    # A field that rises by 13 to 18 a pixel; GDAL places pixels to an eighth of one.
    size, res = 200, 0.0001
    lon, lat = np.meshgrid(
        4.265 + res * (np.arange(size) + 0.5), 45.15 - res * (np.arange(size) + 0.5)
    )
    field = (1000 + 1e5 * (lon - 4.26) + 2e5 * (45.16 - lat)).astype(np.uint16)
    files.write_raster(
        tmp_path / 'x_20200304.tif', np.stack([field] * 2), from_origin(4.265, 45.15, res, res),
        'EPSG:4326',
    )  # fmt: skip
    rasters = ProductRasters(tmp_path, naming=NAMING)
    assert rasters.crs.to_epsg() == 32631
    assert rasters.res == (10, 10)
    assert [note for note in rasters.notes if '1 of 3 products are warped to EPSG:32631' in note]
    (last,) = rasters.index[rasters.index.filepath.str.contains('20200304')].geometry
    x, y = (round(c, -1) for c in (last.centroid.x, last.centroid.y))
    image, valid = rasters.read(rasters.index.filepath.iloc[2], (x, y - 100, x + 100, y), (10, 10))
    there = Transformer.from_crs(32631, 4326, always_xy=True)
    columns, rows = np.meshgrid(x + 10 * (np.arange(10) + 0.5), y - 10 * (np.arange(10) + 0.5))
    lon, lat = there.transform(columns, rows)
    assert valid.all()
    np.testing.assert_allclose(image[0], 1000 + 1e5 * (lon - 4.26) + 2e5 * (45.16 - lat), atol=4)


def test_another_resolution_is_resampled_and_said(tmp_path):
    for month in (1, 2):
        files.write_raster(
            tmp_path / f'x_20200{month}04.tif', gradient(), from_origin(X, Y, 10, 10)
        )
    flat = np.full((2, 8, 8), 777, np.uint16)
    files.write_raster(tmp_path / 'x_20200304.tif', flat, from_origin(X, Y, 30, 30))
    rasters = ProductRasters(tmp_path, naming=NAMING)
    assert any('1 of 3 products are resampled' in note for note in rasters.notes)
    assert (whole(rasters)['image'][2].numpy() == 777).all()


def test_pixels_in_degrees_are_read_as_stored(tmp_path):
    side = 0.0001014112844859978
    for day in ('20200504', '20200802'):
        files.write_raster(
            tmp_path / f'S2_{day}.tif', gradient(), from_origin(73.2925443, 30.4, side, side),
            'EPSG:4326',
        )  # fmt: skip
    rasters = ProductRasters(tmp_path, naming=NAMING)
    assert rasters.notes == []
    np.testing.assert_array_equal(whole(rasters)['image'].numpy(), [gradient()] * 2)


def test_no_data_is_zero_reflectance_and_not_valid(tmp_path):
    bands = files.scene_bands(0)
    bands['B02'][:10] = 0
    files.write_safe(tmp_path, DAY, bands)
    sample = whole(ProductRasters(tmp_path, bands=['B02', 'B03']))
    assert not sample['valid'][0, :10].any()
    assert sample['valid'][0, 10:].all()
    assert (sample['image'][0, :, :10].numpy() == 1000).all()


def test_products_that_lack_a_band_are_refused_or_dropped(tmp_path):
    bands = files.scene_bands(0)
    files.write_safe(tmp_path, DAY, bands)
    files.write_safe(tmp_path, LATER, {b: image for b, image in bands.items() if b != 'B05'})
    with pytest.raises(ProductError, match=r'20200802.*lacks B05'):
        ProductRasters(tmp_path)
    rasters = ProductRasters(tmp_path, on_missing='drop')
    assert len(rasters) == 1
    assert any('lacks B05' in note for note in rasters.notes)
    assert len(ProductRasters(tmp_path, bands=['B04'])) == 2


@pytest.mark.parametrize(
    ('transform', 'crs', 'message'),
    [
        (from_origin(X + 5000, Y, 10, 10), 'EPSG:32631', 'a scene has one ground'),
        (from_origin(X, Y, 10, 10), 'EPSG:32632', 'bring both'),
        (Affine(10, 0, X, 0, 10, Y - 240), 'EPSG:32631', 'the same way up'),
        (Affine.identity(), None, 'is not georeferenced'),
    ],
)
def test_a_band_that_lies_elsewhere_is_refused(tmp_path, transform, crs, message):
    image = gradient()[0]
    files.write_raster(tmp_path / 'x_20200104_B02.tif', image, from_origin(X, Y, 10, 10))
    files.write_raster(tmp_path / 'x_20200104_B03.tif', image, transform, crs)
    with pytest.raises(ProductError, match=message):
        ProductRasters(tmp_path, naming=Naming('sentinel2_l2a'))


def test_products_of_two_sensors_are_refused(tmp_path):
    files.write_safe(tmp_path, DAY, files.scene_bands(0))
    files.write_landsat(tmp_path, DAY, files.landsat_bands(0))
    with pytest.raises(
        ProductError, match=r'sentinel2_l2a: 1.*landsat_8_9: 1|landsat_8_9: 1.*l2a: 1'
    ):
        ProductRasters(tmp_path)


def test_open_files_stay_behind_and_are_few(tmp_path):
    files.write_safe(tmp_path, DAY, files.scene_bands(0))
    rasters = ProductRasters(tmp_path, bands=['B02'])
    first = whole(rasters)['image']
    copy = pickle.loads(pickle.dumps(rasters))  # noqa: S301
    assert not copy._handles
    assert rasters._handles
    torch.testing.assert_close(whole(copy)['image'], first)


def test_a_file_that_is_damaged_later_is_named(tmp_path):
    path = files.write_raster(
        tmp_path / 'x_20200104.tif', gradient(512, 512), from_origin(X, Y, 10, 10)
    )
    rasters = ProductRasters(tmp_path, naming=NAMING, cache=False)
    with rasterio.open(path) as file:
        assert file.count == 2
    with open(path, 'r+b') as file:
        file.truncate(5000)
    with pytest.raises(ProductError, match=r'x_20200104.tif cannot be read'):
        whole(rasters)


@pytest.mark.parametrize('nodata', [float(np.finfo('float32').min), -9999.0, float('nan')])
def test_any_number_marks_missing_floats(tmp_path, nodata):
    image = np.random.default_rng(0).uniform(0.05, 0.3, (2, 24, 24)).astype('float32')
    image[:, 3, 4] = nodata
    files.write_raster(tmp_path / '20200504.tif', image, from_origin(X, Y, 10, 10), nodata=nodata)
    sample = whole(ProductRasters(tmp_path, naming=NAMING))
    assert np.argwhere(~sample['valid'].numpy()).tolist() == [[0, 3, 4]]
    found = sample['image'][0].numpy()
    image[:, 3, 4] = 0
    np.testing.assert_array_equal(found, image)


def test_missing_pixels_of_one_band_are_no_numbers_of_warped_ones(tmp_path):
    for number, shift in enumerate((0, 0, 3)):
        image = np.random.default_rng(number).integers(500, 3000, (2, 40, 40)).astype('int16')
        image[1, 10:20] = -9999
        files.write_raster(
            tmp_path / f'2020050{number + 1}.tif', image,
            from_origin(X + shift, Y - shift, 10, 10), nodata=-9999,
        )  # fmt: skip
    sample = whole(ProductRasters(tmp_path, naming=NAMING))
    images = sample['image'].numpy().swapaxes(0, 1)
    seen = images[:, sample['valid'].numpy()]
    assert seen.min() >= 500 and len(seen[0]) > 2000


def test_every_band_counts_as_missing(tmp_path):
    image = np.random.default_rng(0).integers(500, 3000, (2, 64, 64)).astype('uint16')
    image[1, :32] = 0
    files.write_raster(tmp_path / '20200504.tif', image, from_origin(X, Y, 10, 10), nodata=0)
    rasters = ProductRasters(tmp_path, naming=NAMING)
    seen = rasters.read_mask(str(tmp_path / '20200504.tif'), (X, Y - 640, X + 640, Y), (10, 10))
    np.testing.assert_array_equal(seen, (image != 0).all(0))


def test_a_query_beside_all_products_finds_none(tmp_path):
    files.write_raster(tmp_path / 'x_20200104.tif', gradient(), from_origin(X, Y, 10, 10))
    rasters = ProductRasters(tmp_path, naming=NAMING)
    x, y, t = rasters.bounds
    beside = slice(X + 1000, X + 1240, 10)
    later = slice(*(day + datetime.timedelta(days=1) for day in (t.start, t.stop)))
    for query in ((beside, y, t), (x, y, later)):
        with pytest.raises(IndexError, match='not found in dataset with bounds'):
            rasters[query]


def test_dates_that_are_laid_over_one_another_fill_gaps(tmp_path):
    first, second = gradient(), gradient() + np.uint16(5000)
    first[:, 5:9] = 0
    second[:, 8:12] = 0
    for day, image in (('20200504', first), ('20200802', second)):
        path = tmp_path / f'x_{day}.tif'
        files.write_raster(path, image, from_origin(X, Y, 10, 10), nodata=0)
    sample = whole(ProductRasters(tmp_path, naming=NAMING, time_series=False))
    rows = np.arange(24)
    expected = np.where(((rows >= 5) & (rows < 8))[:, None], second, first)
    np.testing.assert_array_equal(sample['image'].numpy(), expected)
    np.testing.assert_array_equal(sample['valid'].numpy(), expected[0] != 0)
    assert sample['date'].item() == 20200504


def test_few_products_stay_open(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, '_HANDLES', 3)
    for number in range(5):
        day = DAY + datetime.timedelta(days=number)
        image = np.full((2, 2, 2), number + 1, np.uint16)
        files.write_raster(tmp_path / f'x_{day:%Y%m%d}.tif', image, from_origin(X, Y, 10, 10))
    rasters = ProductRasters(tmp_path, naming=NAMING)
    for _ in range(2):
        assert whole(rasters)['image'][:, 1, 0, 1].tolist() == [1, 2, 3, 4, 5]
        assert len(rasters._handles) == 3


def test_the_panchromatic_band_is_read_where_it_is_named(tmp_path):
    scene = files.write_landsat(tmp_path, DAY, files.landsat_bands(0), level='L1TP')
    fine = np.random.default_rng(1).integers(8000, 29000, (48, 48)).astype(np.uint16)
    files.write_raster(tmp_path / f'{scene}_B8.TIF', fine, from_origin(600015, 5000055, 15, 15))
    rasters = ProductRasters(tmp_path)
    assert 'B08' not in rasters.all_bands and rasters.res == (30, 30)
    assert 'B08 is finer than other bands, and read where bands names it' in rasters.notes
    rasters = ProductRasters(tmp_path, bands=['B4', 'B8'])
    assert rasters.res == (15, 15) and not any('is finer' in note for note in rasters.notes)
    np.testing.assert_array_equal(whole(rasters)['image'][0, 1].numpy(), fine)


def test_a_coordinate_system_of_no_product_is_that_of_the_images(tmp_path):
    columns, rows = np.meshgrid(np.arange(100) + 0.5, np.arange(100) + 0.5)
    field = (1000 + 13 * columns + 17 * rows).astype(np.uint16)
    path = tmp_path / 'x_20200104.tif'
    files.write_raster(path, np.stack([field] * 2), from_origin(X, Y, 10, 10))
    rasters = ProductRasters(tmp_path, crs=CRS.from_epsg(4326), naming=NAMING)
    assert any('1 of 1 products are warped to EPSG:4326' in note for note in rasters.notes)
    # At 45 degrees 10 m are 9.0e-5 degrees of latitude and 1.27e-4 of longitude.
    assert rasters.crs.to_epsg() == 4326
    assert 9.0e-5 < rasters.res[0] == rasters.res[1] < 1.27e-4
    there = Transformer.from_crs(4326, 32631, always_xy=True)
    west, north = there.transform(X + 300, Y - 300, direction='INVERSE')
    # Its grid begins at 0, as no product has another.
    pixel = rasters.res[0]
    west, north = pixel * round(west / pixel), pixel * round(north / pixel)
    east, south = west + 30 * pixel, north - 30 * pixel
    image, valid = rasters.read(str(path), (west, south, east, north), rasters.res)
    steps = np.arange(30) + 0.5
    x, y = there.transform(*np.meshgrid(west + steps * pixel, north - steps * pixel))
    assert valid.all() and image.shape == (2, 30, 30)
    # GDAL places pixels to an eighth of one.
    np.testing.assert_allclose(image[0], 1000 + 1.3 * (x - X) + 1.7 * (Y - y), atol=4)


@pytest.mark.parametrize(
    ('second', 'scale', 'message'),
    [
        (
            'uint16',
            1e-4,
            r'0204\.tif says no scale .*0104\.tif one of unit 10000 and offset 0; keep',
        ),
        ('float32', None, r'rasters of {root} hold float32 and uint16, .* store all in one type'),
    ],
)
def test_products_of_unknown_and_different_scale_are_refused(tmp_path, second, scale, message):
    paths = [tmp_path / f'x_20200{month}04.tif' for month in (1, 2)]
    for path, dtype in zip(paths, ('uint16', second), strict=True):
        files.write_raster(path, gradient().astype(dtype), from_origin(X, Y, 10, 10))
    if scale is not None:
        with rasterio.open(paths[0], 'r+') as file:
            file.scales = [scale] * 2
    with pytest.raises(ProductError, match=message.format(root=tmp_path)):
        ProductRasters(tmp_path, naming=NAMING)


def test_a_series_of_no_known_sensor_asks_for_it(tmp_path):
    times = np.array(['2020-05-04', '2020-08-02'], 'datetime64[ns]')
    stored = gradient()
    path = files.write_series(tmp_path / 'field.nc', {'B04': stored}, times)
    with pytest.raises(ProductError, match=r'field\.nc.* does not say its sensor; set sensor'):
        ProductRasters(tmp_path)
    rasters = ProductRasters(path, naming=Naming(sensor='sentinel2_l1c'))
    np.testing.assert_array_equal(whole(rasters)['image'][:, 0].numpy(), stored)


def test_types_that_are_not_read_are_named(tmp_path):
    image = gradient().astype('uint32')
    files.write_raster(tmp_path / 'x_20200104.tif', image, from_origin(X, Y, 10, 10))
    with pytest.raises(ProductError, match=r'0104\.tif holds uint32; store one of uint8, uint16'):
        ProductRasters(tmp_path, naming=NAMING)


def test_bands_of_a_scene_in_two_types_are_refused(tmp_path):
    for band, dtype in (('B02', 'uint16'), ('B03', 'float32')):
        path = tmp_path / f'x_20200104_{band}.tif'
        files.write_raster(path, gradient()[0].astype(dtype), from_origin(X, Y, 10, 10))
    with pytest.raises(
        ProductError, match=r'B03\.tif holds float32, .*B02\.tif uint16; store both in one type'
    ):
        whole(ProductRasters(tmp_path, naming=Naming('sentinel2_l2a')))


@pytest.mark.parametrize('layers', [3, 1])
def test_cloud_and_cirrus_of_level_1c_hide_the_ground(tmp_path, layers):
    safe = files.write_safe(tmp_path, DAY, files.scene_bands(0), '1C', '04.00')
    (granule,) = (safe / 'GRANULE').iterdir()
    # Opaque cloud, cirrus and snow, of which snow hides nothing.
    mask = np.zeros((3, 8, 8), np.uint8)
    mask[0, 1, 2:5] = mask[1, 3:6, 6] = mask[2, 7, 7] = 1
    path = granule / 'QI_DATA' / 'MSK_CLASSI_B00.jp2'
    files.write_raster(path, mask[:layers], from_origin(X, Y, 60, 60))
    rasters = ProductRasters(tmp_path, bands=['B02'])
    area = (X, Y - 480, X + 480, Y)
    if layers == 3:
        seen = rasters.read_mask(str(safe), area, (60, 60))
        np.testing.assert_array_equal(seen, ~mask[:2].any(0))
    else:
        with pytest.raises(
            ProductError, match=r'B00\.jp2 has 1 bands where 2 are expected; fetch it again'
        ):
            rasters.read_mask(str(safe), area, (60, 60))
