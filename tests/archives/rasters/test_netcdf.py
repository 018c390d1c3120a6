# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of netCDF series, against xarray."""

import datetime

import numpy as np
import pytest
import xarray

from torchgeo_saco.archives.rasters import ProductError, ProductRasters, open_scene
from torchgeo_saco.archives.rasters.finding import find_products
from torchgeo_saco.io.raster import BandFileError

from ...data.products import ORIGIN, write_series

TIMES = np.array(['2020-05-04T10:53:28', '2020-08-02T10:53:31'], 'datetime64[ns]')
NAME = 'S2_L2A_{}m_0000_32631_2020-05-01_2020-09-01.nc'


def numbers(seed, side=24):
    """Stored numbers of two dates."""
    generator = np.random.default_rng(seed)
    return generator.integers(1, 9000, (2, side, side)).astype('uint16')


def write_place(folder, **options):
    """Series of a place: two bands and classes at 10 m, one band at 20 m."""
    bands = {'B02': numbers(0), 'B04': numbers(1)}
    write_series(folder / NAME.format(10), bands, TIMES, **options)
    coarse = {'B11': numbers(2, 12)}
    write_series(folder / NAME.format(20), coarse, TIMES, resolution=20, **options)
    return bands | coarse


@pytest.mark.parametrize('south_up', [False, True])
def test_files_of_two_resolutions_are_one_series(tmp_path, south_up):
    stored = write_place(tmp_path, south_up=south_up)
    products = find_products(tmp_path)
    assert [product.date for product in products] == [
        datetime.date(2020, 5, 4), datetime.date(2020, 8, 2),
    ]  # fmt: skip
    for number, product in enumerate(products):
        assert (product.sensor, tuple(product.bands)) == ('sentinel2_l2a', ('B02', 'B04', 'B11'))
        with open_scene(product.name) as scene:
            image, valid = scene.read((0, 0, 24, 24))
            assert scene.unit == pytest.approx(10000) and scene.offset == 0
            assert scene.transform @ (0, 24 if south_up else 0) == ORIGIN
            assert scene.metres_per_pixel == pytest.approx(10)
        # As it is stored.
        image = image[:, ::-1] if south_up else image
        assert valid.all()
        for band in ('B02', 'B04'):
            np.testing.assert_array_equal(image[scene.bands.index(band)], stored[band][number])
        near = np.kron(stored['B11'][number], np.ones((2, 2)))
        coarse = image[scene.bands.index('B11')]
        assert np.corrcoef(coarse.ravel(), near.ravel())[0, 1] > 0.9


def test_a_part_is_that_of_the_whole(tmp_path):
    stored = write_place(tmp_path)
    with open_scene(find_products(tmp_path)[1].name, bands=['B04']) as scene:
        part, _ = scene.read((3, 5, 7, 11))
    np.testing.assert_array_equal(part[0], stored['B04'][1, 3:10, 5:16])


def test_fill_values_and_clouds_are_no_data(tmp_path):
    blue, classes = numbers(0), np.full((2, 24, 24), 4, 'uint8')
    blue[0, 2, 3] = 0
    classes[0, 10:12] = 9
    write_series(tmp_path / NAME.format(10), {'B02': blue}, TIMES)
    write_series(tmp_path / NAME.format(20), {'SCL': classes[:, ::2, ::2]}, TIMES, 20, None)
    rasters = ProductRasters(tmp_path)
    west, north = ORIGIN
    area = (west, north - 240, west + 240, north)
    found = [rasters.read_mask(name, area, (10, 10)) for name in rasters.products]
    expected = np.ones((2, 24, 24), bool)
    expected[0, 2, 3] = expected[0, 10:12] = False
    np.testing.assert_array_equal(found, expected)


def test_times_without_a_band_have_the_others(tmp_path):
    write_series(tmp_path / NAME.format(10), {'B02': numbers(0)}, TIMES)
    write_series(tmp_path / NAME.format(20), {'B11': numbers(1, 12)[:1]}, TIMES[:1], 20)
    assert [tuple(product.bands) for product in find_products(tmp_path)] == [
        ('B02', 'B11'), ('B02',),
    ]  # fmt: skip


def test_the_sensor_is_that_of_the_name_or_the_one_that_is_given(tmp_path):
    write_series(tmp_path / 'S2_L1C_10m_0.nc', {'B02': numbers(0)}, TIMES)
    assert {product.sensor for product in find_products(tmp_path)} == {'sentinel2_l1c'}
    rasters = ProductRasters(tmp_path)
    assert rasters.scale == (10000, 0)


def test_other_variables_are_left_out(tmp_path):
    write_series(tmp_path / 'S1_GRD_20m_0.nc', {'VV': numbers(0)}, TIMES)
    with pytest.raises(BandFileError, match=r'no product|holds no|has no'):
        find_products(tmp_path)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda s: s.assign_coords(x=[*s.x.values[:-1], 700000]),
            r"has an axis 'x' that is not even; resample it",
        ),
        (lambda s: s.drop_vars('spatial_ref'), 'says no time or coordinate system of B02'),
        (lambda s: s.expand_dims('orbit'), r"has the axes \['orbit', 'timestamp'\] of B02 where"),
        (
            lambda s: s.assign(B03=s.B02.assign_attrs(scale_factor=0.5)),
            'gives bands different scales or fill values',
        ),
    ],
)
def test_series_that_are_refused(tmp_path, change, message):
    path = write_series(tmp_path / 'whole' / NAME.format(10), {'B02': numbers(0)}, TIMES)
    with xarray.open_dataset(path, mask_and_scale=False) as series:
        (tmp_path / 'changed').mkdir()
        change(series).to_netcdf(tmp_path / 'changed' / path.name)
    with pytest.raises(ProductError, match=message) as error:
        find_products(tmp_path / 'changed')
    assert str(tmp_path / 'changed') in str(error.value)


def test_other_units_of_time_are_refused(tmp_path):
    times = np.array(['2020-05-01', '2020-08-01'], 'datetime64[ns]')
    series = write_series(tmp_path / NAME.format(10), {'B02': numbers(0)}, times)
    with xarray.open_dataset(series, decode_times=False, mask_and_scale=False) as found:
        changed = found.load()
    changed.timestamp.attrs['units'] = 'months since 2020-01-01'
    changed.to_netcdf(series)
    with pytest.raises(ProductError, match='counts time in months; use seconds, hours or days'):
        find_products(tmp_path)


def test_netcdf_of_the_old_format_is_refused(tmp_path):
    bands = {'B02': numbers(0).astype('int16')}
    write_series(tmp_path / NAME.format(10), bands, TIMES, format='NETCDF3_CLASSIC')
    with pytest.raises(ProductError, match=r"is no netCDF-4 file with an axis 'x'.*as GeoTIFFs"):
        find_products(tmp_path)


def test_real_series(real_data):
    folder = next(iter(sorted((real_data / 'worldcereal').glob('*'))))
    products = find_products(folder)
    paths = {side: next(folder.glob(f'S2_L2A_{side}m_*.nc')) for side in (10, 20)}
    with (
        xarray.open_dataset(paths[10], mask_and_scale=False) as fine,
        xarray.open_dataset(paths[20], mask_and_scale=False) as coarse,
    ):
        assert len(products) == fine.sizes['timestamp']
        for number in (0, len(products) // 2, len(products) - 1):
            wanted = fine.isel(timestamp=number)
            assert products[number].date.isoformat() == str(wanted.timestamp.values)[:10]
            assert {'B02', 'B11'} <= {*products[number].bands} <= {*fine, *coarse}
            with open_scene(products[number].name, bands=['B02', 'B08']) as scene:
                image, _ = scene.read((0, 0, *scene.shape))
                assert scene.transform @ (0.5, 0.5) == (float(fine.x[0]), float(fine.y[0]))
            np.testing.assert_array_equal(image, np.stack([wanted.B02, wanted.B08]))
