# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of what products on disk say of themselves."""

import datetime
import shutil

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from tests.data import products as files
from torchgeo_saco.archives.rasters import (
    Naming,
    ProductError,
    find_product,
    find_products,
    open_scene,
)

DAY = datetime.date(2020, 5, 4)
CLEAR = np.ones((24, 24), np.uint16)
GROUND = from_origin(*files.ORIGIN, 10, 10)


@pytest.mark.parametrize(
    ('level', 'baseline', 'offset'),
    [('2A', '05.10', -1000), ('2A', '02.14', 0), ('1C', '04.00', -1000)],
)
@pytest.mark.parametrize('metadata', [True, False])
def test_safe_says_date_sensor_bands_and_scale(tmp_path, level, baseline, offset, metadata):
    bands = files.scene_bands(0)
    files.write_safe(tmp_path, DAY, bands, level, baseline, metadata=metadata)
    (product,) = find_products(tmp_path)
    assert (product.date, product.sensor) == (DAY, f'sentinel2_l{level.lower()}')
    assert list(product.bands) == list(bands)
    assert product.scale == (10000, offset)
    assert product.certain == metadata
    assert (product.mask is not None) == (level == '2A')
    assert find_products(product.name)[0] == product


def test_of_several_resolutions_the_finest_is_taken(tmp_path):
    safe = files.write_safe(tmp_path, DAY, files.scene_bands(0))
    (fine,) = safe.rglob('*B02_10m.jp2')
    (folder,) = safe.rglob('R60m')
    files.write_raster(
        folder / fine.name.replace('10m', '60m'), np.ones((8, 8), np.uint16),
        from_origin(*files.ORIGIN, 60, 60),
    )  # fmt: skip
    (product,) = find_products(tmp_path)
    assert product.bands['B02'].path == str(fine)


def test_safe_whose_metadata_are_of_another_level_is_refused(tmp_path):
    safe = files.write_safe(tmp_path, DAY, files.scene_bands(0))
    (safe / 'MTD_MSIL2A.xml').rename(safe / 'MTD_MSIL1C.xml')
    with pytest.raises(ProductError, match=r'is named sentinel2_l2a and holds MTD_MSIL1C.xml'):
        find_products(tmp_path)


@pytest.mark.parametrize('mtl', ['txt', 'json', None])
def test_landsat_says_date_bands_and_scale(tmp_path, mtl):
    files.write_landsat(tmp_path, DAY, files.landsat_bands(0), mtl=mtl)
    (product,) = find_products(tmp_path)
    assert (product.date, product.sensor) == (DAY, 'landsat_8_9')
    assert list(product.bands) == [f'B0{i}' for i in range(1, 8)]
    dn = 12345
    assert (dn + product.scale.offset) / product.scale.unit == pytest.approx(dn * 2.75e-5 - 0.2)
    assert product.certain == (mtl is not None)
    assert 'ST_B10' in product.passed_over[0]


def test_landsat_takes_another_scale_from_its_metadata(tmp_path):
    files.write_landsat(tmp_path, DAY, files.landsat_bands(0), scale=(1e-4, 0.0))
    assert find_products(tmp_path)[0].scale == pytest.approx((10000, 0))


@pytest.mark.parametrize('satellite', ['LT04', 'LT05', 'LE07'])
def test_landsat_4_to_7_has_six_bands_and_a_thermal_one(tmp_path, satellite):
    bands = files.landsat_bands(0, numbers=(1, 2, 3, 4, 5, 7))
    files.write_landsat(tmp_path, DAY, bands, satellite=satellite)
    (product,) = find_products(tmp_path)
    assert product.sensor == 'landsat_4_7'
    assert list(product.bands) == ['B01', 'B02', 'B03', 'B04', 'B05', 'B07']
    assert product.scale == pytest.approx((1 / 2.75e-5, -0.2 / 2.75e-5))
    assert 'ST_B6' in product.passed_over[0]


def test_level_1_of_landsat_4_to_7_is_refused_without_one_scale(tmp_path):
    bands = files.landsat_bands(0, numbers=(1, 2))
    files.write_landsat(tmp_path, DAY, bands, mtl=None, satellite='LT05', level='L1TP')
    with pytest.raises(
        ProductError, match=r'differs from band to band .* fetch the scene of level'
    ):
        find_products(tmp_path)


def test_a_sensor_without_bands_is_refused(tmp_path):
    scene = files.write_landsat(tmp_path, DAY, files.landsat_bands(0))
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_name(path.name.replace('LC08', 'LM05')))
    with pytest.raises(ProductError, match=r'is of LM05, which is no sensor known here'):
        find_products(tmp_path)
    assert scene.startswith('LC08')


def test_files_of_one_band_are_one_scene(tmp_path):
    transform = from_origin(*files.ORIGIN, 10, 10)
    for day in ('20200104', '20200204'):
        for band in ('B02', 'B03', 'B04', 'SCL'):
            files.write_raster(tmp_path / f'S2A_31UFS_{day}_0_{band}.tif', CLEAR, transform)
    found = find_products(tmp_path, Naming(sensor='sentinel2_l2a'))
    assert [p.date.month for p in found] == [1, 2]
    assert [list(p.bands) for p in found] == [['B02', 'B03', 'B04']] * 2
    assert all(p.mask is not None and p.scale is None for p in found)


def test_bands_of_one_file_are_named_by_it_or_by_the_user(tmp_path):
    transform = from_origin(*files.ORIGIN, 10, 10)
    image = np.stack([CLEAR * i for i in (1, 2, 3)])
    path = files.write_raster(
        tmp_path / 'x_2020-01-04.tif', image, transform, names=('B4', 'b03', 'B2')
    )
    (product,) = find_products(tmp_path, Naming(sensor='sentinel2_l2a'))
    assert {band: source.number for band, source in product.bands.items()} == {
        'B02': 3, 'B03': 2, 'B04': 1,
    }  # fmt: skip
    files.write_raster(path, image, transform)
    with pytest.raises(ProductError, match=r'set bands_in_file'):
        find_products(tmp_path, Naming(sensor='sentinel2_l2a'))
    (product,) = find_products(tmp_path, Naming('sentinel2_l2a', ['B8', 'B4', 'B3']))
    assert product.bands['B08'].number == 1


def test_scale_of_a_file_counts(tmp_path):
    import rasterio

    path = tmp_path / 'x_20200104_B02.tif'
    files.write_raster(path, CLEAR, from_origin(*files.ORIGIN, 10, 10))
    with rasterio.open(path, 'r+') as file:
        file.scales, file.offsets = (1e-4,), (-0.1,)
    (product,) = find_products(tmp_path, Naming(sensor='sentinel2_l2a'))
    assert product.scale == pytest.approx((10000, -1000))


@pytest.mark.parametrize(
    ('naming', 'message'),
    [
        (Naming(), 'does not say its sensor'),
        (Naming(sensor='sentinel2_l2a'), 'set date_regex'),
        (Naming(sensor='sentinel2_l2a', date_regex=r'(?P<date>\d{8})'), 'by date_regex'),
    ],
)
def test_what_a_file_does_not_say_is_asked_for(tmp_path, naming, message):
    root = tmp_path / 'rasters'
    files.write_raster(root / 'field_B02.tif', CLEAR, from_origin(*files.ORIGIN, 10, 10))
    with pytest.raises(ProductError, match=message):
        find_products(root, naming)


def test_dates_are_found_by_expression_in_folders_or_left_unknown(tmp_path):
    root = tmp_path / 'rasters'
    transform = from_origin(*files.ORIGIN, 10, 10)
    files.write_raster(root / 'v20190101' / 'on20200104_B02.tif', CLEAR, transform)
    l2a = Naming(sensor='sentinel2_l2a')
    assert find_products(root, l2a)[0].date == datetime.date(2020, 1, 4)
    by = l2a._replace(date_regex=r'v(?P<date>\d{8})')
    assert find_products(root, by)[0].date == datetime.date(2019, 1, 1)
    shutil.move(root / 'v20190101', root / 'one')
    (root / 'one' / 'on20200104_B02.tif').rename(root / 'one' / 'x_B02.tif')
    assert find_products(root, l2a._replace(undated=True))[0].date == datetime.date.min


def test_a_folder_without_rasters_says_what_is_read(tmp_path):
    with pytest.raises(ProductError, match=r'holds no raster that is read'):
        find_products(tmp_path)
    with pytest.raises(FileNotFoundError, match=r'does not exist'):
        find_products(tmp_path / 'absent')
    (tmp_path / 'x_20200101_B02.tif').write_bytes(b'II*\0')
    with pytest.raises(ValueError, match=r'x_20200101_B02.tif cannot be read'):
        find_products(tmp_path, Naming(sensor='sentinel2_l2a'))


def test_bands_below_a_product_have_its_offset(tmp_path):
    files.write_safe(tmp_path, datetime.date(2022, 5, 4), files.scene_bands(0))
    (safe,) = tmp_path.iterdir()
    found = find_product(next(safe.rglob('R10m')))
    assert found.scale == pytest.approx((10000, -1000)) and 'B02' in found.bands


def test_scales_that_differ_between_bands_are_refused(tmp_path):
    for band, scale in (('B02', 1e-4), ('B08', 5e-4)):
        path = tmp_path / '20200504' / f'{band}.tif'
        files.write_raster(path, np.ones((8, 8), 'uint16'), GROUND)
        with rasterio.open(path, 'r+') as file:
            file.scales = [scale]
    with pytest.raises(ProductError, match='different scales and offsets'):
        find_products(tmp_path, Naming(sensor='sentinel2_l2a'))


def test_a_mask_in_the_file_has_a_scale_of_its_own(tmp_path):
    image = np.ones((3, 8, 8), 'uint16')
    path = files.write_raster(tmp_path / '20200504.tif', image, GROUND, names=('B02', 'B08', 'SCL'))
    with rasterio.open(path, 'r+') as file:
        file.scales = [1e-4, 1e-4, 1]
    (product,) = find_products(tmp_path, Naming(sensor='sentinel2_l2a'))
    assert product.scale == pytest.approx((10000, 0)) and product.mask is not None


def test_tiles_with_a_number_are_no_landsat(tmp_path):
    files.write_raster(tmp_path / 'tile01_B02.tif', np.ones((8, 8), 'uint16'), GROUND)
    assert find_product(tmp_path, Naming(undated=True, guess_sensor=True)).bands.keys() == {'B02'}


def test_several_bands_under_the_name_of_one_are_refused(tmp_path):
    files.write_raster(tmp_path / '20200504_b4.tif', np.ones((4, 8, 8), 'uint16'), GROUND)
    with pytest.raises(ProductError, match=r'b4\.tif has 4 bands and is named as one; rename it'):
        find_products(tmp_path, Naming(sensor='sentinel2_l2a'))


def test_what_is_made_of_embeddings_is_no_scene(tmp_path):
    path = files.write_raster(tmp_path / '20200504.tif', np.ones((4, 8, 8), 'float32'), GROUND)
    with rasterio.open(path, 'r+') as file:
        file.update_tags(torchgeo_saco='{}')
    with pytest.raises(ProductError, match='made of embeddings and no scene; move it'):
        find_products(tmp_path, Naming(sensor='sentinel2_l2a'))


def test_bands_of_landsat_under_other_names_are_of_no_guessed_sensor(tmp_path):
    for name in ('LC08_20210603', 'HLS.L30.T31UFS.2021154'):
        for band in ('B02', 'B05'):
            path = tmp_path / name / f'{name}_{band}.tif'
            files.write_raster(path, np.ones((8, 8), 'uint16'), GROUND)
        with pytest.raises(ProductError, match='does not say its sensor'):
            find_product(tmp_path / name, Naming(undated=True, guess_sensor=True))


def test_a_sensor_that_contradicts_the_product_is_refused(tmp_path):
    scene = files.write_landsat(tmp_path, datetime.date(2021, 6, 3), files.landsat_bands(0))
    with pytest.raises(ProductError, match='is of landsat_8_9, and sensor=sentinel2_l2a is asked'):
        find_product(tmp_path / scene, Naming(sensor='sentinel2_l2a'))


def test_landsat_without_bands_is_refused(tmp_path):
    name = 'LC08_L2SP_198030_20210603_20210611_02_T1_QA_PIXEL.TIF'
    files.write_raster(tmp_path / name, np.ones((8, 8), 'uint16'), GROUND)
    with pytest.raises(ProductError, match='no band to read'):
        find_products(tmp_path)


def test_the_scene_without_a_name_of_its_own_is_that_of_the_folder(tmp_path):
    folder = tmp_path / '20200504'
    for name in ('B02', 'B03', 'clusters_b2'):
        files.write_raster(folder / f'{name}.tif', np.ones((8, 8), 'uint16'), GROUND)
    found = find_product(folder, Naming(sensor='sentinel2_l2a'))
    assert list(found.bands) == ['B02', 'B03']


@pytest.mark.parametrize(
    'names',
    [('B04_10m', 'B04_20m', 'b04_60m'), ('B04_60m', 'B04_20m', 'b04_10m'), ('B04', 'B04_20m')],
)
def test_of_band_files_of_a_scene_the_finest_is_taken(tmp_path, names):
    for name in names:
        path = tmp_path / f'x_20200104_{name}.tif'
        files.write_raster(path, CLEAR, GROUND)
    (product,) = find_products(tmp_path, Naming(sensor='sentinel2_l2a'))
    fine = next(name for name in names if name in ('B04_10m', 'b04_10m', 'B04'))
    assert product.bands['B04'].path == str(tmp_path / f'x_20200104_{fine}.tif')
    assert list(product.bands) == ['B04']


def test_two_files_of_one_band_and_resolution_are_refused(tmp_path):
    for name in ('B04_10m.jp2', 'B04_10m.tif'):
        files.write_raster(tmp_path / f'x_20200104_{name}', CLEAR, GROUND)
    with pytest.raises(
        ProductError,
        match=r'has two files of band B04: \S+B04_10m\.jp2 and \S+B04_10m\.tif; remove',
    ):
        find_products(tmp_path, Naming(sensor='sentinel2_l2a'))


def test_a_band_that_is_spelt_in_two_ways_is_one(tmp_path):
    for name in ('B04_10m', 'B4_20m'):
        files.write_raster(tmp_path / f'x_20200104_{name}.tif', CLEAR, GROUND)
    (product,) = find_products(tmp_path, Naming(sensor='sentinel2_l2a'))
    assert product.bands['B04'].path.endswith('B04_10m.tif')


@pytest.mark.parametrize(
    ('scale', 'offset'), [(0.0, 0.0), (-1e-4, 0.0), (np.nan, 0.0), (1.0, np.inf)]
)
def test_a_scale_that_gives_no_reflectance_is_refused(tmp_path, scale, offset):
    path = tmp_path / 'x_20200104.tif'
    files.write_raster(path, np.stack([CLEAR] * 2), GROUND, names=('B02', 'B03'))
    with rasterio.open(path, 'r+') as file:
        file.scales, file.offsets = [scale] * 2, [offset] * 2
    message = (
        rf'x_20200104\.tif.* multiplied by {scale:g} and {offset:g} is added.* correct its scale'
    )
    with pytest.raises(ProductError, match=message):
        find_products(tmp_path, Naming(sensor='sentinel2_l2a'))
    with pytest.raises(ProductError, match=message):
        open_scene(path, sensor='sentinel2_l2a')


def test_days_that_do_not_exist_are_refused(tmp_path):
    safe = files.write_safe(tmp_path / 'a', DAY, {'B02': CLEAR}, metadata=False)
    other = safe.rename(safe.with_name(safe.name.replace(f'{DAY:%Y%m%d}T103', '20201399T103')))
    with pytest.raises(
        ProductError, match=r'names the day 20201399, which does not exist'
    ) as error:
        find_products(tmp_path / 'a')
    assert str(other) in str(error.value)
    scene = files.write_landsat(tmp_path / 'b', DAY, files.landsat_bands(0))
    for path in (tmp_path / 'b').iterdir():
        changed = path.name.replace(f'_{DAY:%Y%m%d}_', '_20200230_', 1)
        path.rename(path.with_name(changed))
    with pytest.raises(ProductError, match='names the day 20200230, which does not exist; correct'):
        find_products(tmp_path / 'b')
    assert f'_{DAY:%Y%m%d}_' in scene


def test_band_files_of_another_sensor_are_passed_over_and_said(tmp_path):
    for band in ('B02', 'B10'):
        files.write_raster(tmp_path / f'x_20200104_{band}.tif', CLEAR, GROUND)
    naming = Naming(sensor='sentinel2_l2a')
    (product,) = find_products(tmp_path, naming)
    assert list(product.bands) == ['B02']
    assert product.passed_over == ('x_20200104_B10.tif (no band of Sentinel-2 L2A)',)
    (tmp_path / 'x_20200104_B02.tif').unlink()
    with pytest.raises(
        ProductError, match='x_20200104 has files of B10, no band of Sentinel-2 L2A; set sensor, or'
    ):
        find_products(tmp_path, naming)


@pytest.mark.parametrize(
    ('bands_in_file', 'names', 'message'),
    [
        (['B04', 'B03'], (), r'has 3 bands, and bands_in_file names 2 bands; set bands_in_file to'),
        (None, ('B04', 'B03', 'B10'), r"has 3 bands, and .*'B10'.*; set bands_in_file to"),
        (None, ('B04', '', 'B02'), r'has 3 bands, and not all are named; set bands_in_file to'),
    ],
)
def test_bands_of_a_file_that_no_one_names_rightly_are_refused(
    tmp_path, bands_in_file, names, message
):
    path = tmp_path / 'x_20200104.tif'
    files.write_raster(path, np.stack([CLEAR] * 3), GROUND, names=names)
    with pytest.raises(ProductError, match=message) as error:
        find_products(tmp_path, Naming('sentinel2_l2a', bands_in_file))
    assert str(path) in str(error.value)


def test_a_sensor_that_contradicts_the_name_of_a_scene_is_refused(tmp_path):
    folder = tmp_path / 'S2B_MSIL2A_20200223T032739_N0214_R018_T48QUE_20200223T072739'
    files.write_raster(folder / 'B02.tif', CLEAR, GROUND)
    with pytest.raises(
        ProductError, match=r'T072739/? is of sentinel2_l2a; set sensor to that, or leave it out'
    ):
        find_products(tmp_path, Naming(sensor='sentinel2_l1c'))


def drop_metadata(safe):
    (safe / 'MTD_MSIL2A.xml').unlink()
    return safe


def change_metadata(safe, old, new):
    path = safe / 'MTD_MSIL2A.xml'
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return safe


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            lambda safe: drop_metadata(safe).rename(safe.with_name('product.SAFE')),
            'product.SAFE has neither MTD_MSIL1C.xml nor MTD_MSIL2A.xml, nor .*; fetch it again',
        ),
        (
            lambda safe: drop_metadata(safe).rename(
                safe.with_name(safe.name.replace('N0510', 'N9999'))
            ),
            r'N9999_\S+ says no processing baseline, .*; fetch it again',
        ),
        (
            lambda safe: change_metadata(safe, 'BOA_QUANTIFICATION_VALUE', 'VALUE').rename(
                safe.with_name('product.SAFE')
            ),
            'product.SAFE says no processing baseline, .*; fetch it again',
        ),
        (
            lambda safe: shutil.rmtree(safe / 'GRANULE'),
            r'SAFE holds no JP2 file of a band in GRANULE/<granule>/IMG_DATA; fetch it again',
        ),
        (
            lambda safe: change_metadata(safe, '</n1:General_Info>', ''),
            r'SAFE/MTD_MSIL2A\.xml cannot be read \(.*\); fetch the product again',
        ),
        (
            lambda safe: change_metadata(safe, '"3">-1000<', '"3">-900<'),
            r'MTD_MSIL2A\.xml gives bands different scales \(-1000, -900, 10000\), .*; rescale',
        ),
        (
            lambda safe: change_metadata(safe, 'PRODUCT_START_TIME', 'TIME').rename(
                safe.with_name('product.SAFE')
            ),
            r'product.SAFE says no day, neither in MTD_MSIL.*xml nor in its name; fetch it again',
        ),
        (
            lambda safe: change_metadata(safe, '>10000<', '>0<'),
            r'MTD_MSIL2A\.xml says that reflectance 1 is stored as 0; fetch the product again',
        ),
        (
            lambda safe: change_metadata(safe, '>10000<', '><'),
            r'MTD_MSIL2A\.xml cannot be read \(.*\); fetch the product again',
        ),
        (
            lambda safe: change_metadata(safe, f'{DAY}T', '2020-13-99T'),
            r'MTD_MSIL2A\.xml cannot be read \(.*\); fetch the product again',
        ),
    ],
    ids=[
        'level',
        'baseline',
        'unit',
        'granules',
        'damaged',
        'offsets',
        'day',
        'zero',
        'empty',
        'no day',
    ],
)
def test_safe_folders_that_lack_something_are_refused(tmp_path, change, message):
    change(files.write_safe(tmp_path, DAY, {'B02': CLEAR}))
    with pytest.raises(ProductError, match=message):
        find_products(tmp_path)


def test_every_granule_that_has_bands_is_a_product(tmp_path):
    safe = files.write_safe(tmp_path, DAY, {'B02': CLEAR, 'B03': CLEAR})
    (first,) = (safe / 'GRANULE').iterdir()
    second = shutil.copytree(first, first.with_name(first.name.replace('T31UFS', 'T31UGS')))
    (safe / 'GRANULE' / 'empty').mkdir()
    found = find_products(tmp_path)
    assert [product.name for product in found] == [str(first), str(second)]
    for product, granule in zip(found, (first, second), strict=True):
        assert list(product.bands) == ['B02', 'B03']
        assert {product.date, product.scale} == {DAY, (10000, -1000)}
        assert all(source.path.startswith(f'{granule}/') for source in product.bands.values())


def test_pictures_and_coarser_copies_in_a_safe_folder_are_no_bands(tmp_path):
    safe = files.write_safe(tmp_path, DAY, {'B02': CLEAR})
    (fine,) = safe.rglob('*B02_10m.jp2')
    moved = fine.rename(fine.parents[1] / fine.name)
    for name, side in (('B02_60m', 4), ('TCI_10m', 24), ('AOT_10m', 24)):
        path = safe / fine.parents[1] / 'R60m' / fine.name.replace('B02_10m', name)
        files.write_raster(path, CLEAR[:side, :side], from_origin(*files.ORIGIN, 60, 60))
    (product,) = find_products(tmp_path)
    assert {band: source.path for band, source in product.bands.items()} == {'B02': str(moved)}


def test_landsat_without_quality_has_no_mask(tmp_path):
    scene = files.write_landsat(tmp_path, DAY, files.landsat_bands(0))
    (tmp_path / f'{scene}_QA_PIXEL.TIF').unlink()
    (product,) = find_products(tmp_path)
    assert product.mask is None and len(product.bands) == 7


@pytest.mark.parametrize(
    ('mtl', 'old', 'new', 'message'),
    [
        ('txt', 'MULT_BAND_3 = 2.75e-05', 'MULT_BAND_3 = 3e-05', 'gives bands different scales'),
        ('json', '"REFLECTANCE_ADD_BAND_2": "-0.2"', '"REFLECTANCE_ADD_BAND_2": "-0.1"',
         'gives bands different scales of reflectance, .*; rescale the bands to one'),
        ('txt', 'MULT_BAND_1 = 2.75e-05', 'MULT_BAND_1 = ?', r'cannot be read \(.*\); fetch the'),
        ('json', '}', '', r'cannot be read \(.*\); fetch the scene again'),
        ('json', '"REFLECTANCE_MULT_BAND_1": "2.75e-05"', '"REFLECTANCE_MULT_BAND_1": null',
         r'cannot be read \(.*\); fetch the scene again'),
        ('txt', '2.75e-05', '0', r'.* multiplied by 0 and -0\.2 is added.* correct its scale'),
    ],
)  # fmt: skip
def test_metadata_of_landsat_that_say_no_one_scale_are_refused(tmp_path, mtl, old, new, message):
    scene = files.write_landsat(tmp_path, DAY, files.landsat_bands(0), mtl=mtl)
    path = tmp_path / f'{scene}_MTL.{mtl}'
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(ProductError, match=rf'MTL\.{mtl} {message}'):
        find_products(tmp_path)


def test_metadata_of_landsat_without_a_scale_leave_that_of_the_level(tmp_path):
    scene = files.write_landsat(tmp_path, DAY, files.landsat_bands(0), scale=(1e-4, 0.0))
    path = tmp_path / f'{scene}_MTL.txt'
    path.write_text(path.read_text().replace('SURFACE_REFLECTANCE', 'SURFACE_TEMPERATURE'))
    (product,) = find_products(tmp_path)
    assert product.scale == pytest.approx((1 / 2.75e-5, -0.2 / 2.75e-5))
    assert not product.certain
