# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of maps of change between scenes, and of ``torchgeo-saco pixel-changes``."""

import datetime
import json

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine

from torchgeo_saco.archives.rasters import open_scene
from torchgeo_saco.change import pixel_map
from torchgeo_saco.change.pixel_map import SceneSeries, threshold_of, write_pixel_map
from torchgeo_saco.change.pixels import BandChannels, FeatureChannels, PixelChange, change_magnitude
from torchgeo_saco.cli import main
from torchgeo_saco.models import load_encoder
from torchgeo_saco.models.change import two_gaussians

from ..data.archives import write_tif
from ..data.products import landsat_bands, write_landsat
from ..data.weights import write_checkpoint

BANDS = ('B02', 'B03', 'B04', 'B08')
GROUND = Affine(10, 0, 500000, 0, -10, 5600000)


def numbers(shape=(70, 50), dates=2, seed=0):
    """Stored numbers (T, C, H, W) of dates that agree, but for a square in the last one."""
    random = np.random.default_rng(seed)
    ground = random.integers(1000, 4000, (len(BANDS), *shape))
    images = np.stack([ground + random.integers(0, 300, ground.shape) for _ in range(dates)])
    images[-1, :, 20:30, 10:20] = 9000 - images[-1, :, 20:30, 10:20]
    return images.astype('uint16')


@pytest.fixture
def write(tmp_path):
    """Function that writes scenes of several bands, and returns their paths."""

    def write(images, transforms=(GROUND, GROUND, GROUND), names=BANDS, **profile):
        paths = []
        for year, (image, transform) in enumerate(zip(images, transforms, strict=False), 2017):
            path = tmp_path / f'{year}-06-01.tif'
            write_tif(path, image, **({'transform': transform, 'nodata': 0} | profile))
            with rasterio.open(path, 'r+') as file:
                file.descriptions = names
            paths.append(str(path))
        return paths

    return write


def series(paths, **arguments):
    return SceneSeries([open_scene(path, **arguments) for path in paths])


def read(path):
    with rasterio.open(path) as file:
        return file.read(1), file.profile, json.loads(file.tags()['torchgeo_saco'])


def features(levels=(0, 1)):
    torch.manual_seed(0)
    encoder = load_encoder(list(BANDS), model='test_resnet', texture=['natural_color']).encoder
    return FeatureChannels(encoder, levels)


@pytest.mark.slow
@pytest.mark.parametrize('channels', [BandChannels, features])
def test_blocks_are_parts_of_the_whole(write, tmp_path, monkeypatch, channels):
    images = numbers((150, 130))
    images[0, :, 40:60, 70:80] = 0
    monkeypatch.setattr(pixel_map, '_BLOCK', 32)
    scenes = series(write(images))
    change = PixelChange(channels(), 'mad', 3)
    report = write_pixel_map(scenes, change, tmp_path / 'change.tif', tmp_path / 'mask.tif')
    found, profile, tags = read(tmp_path / 'change.tif')
    valid = torch.from_numpy((images > 0).all((0, 1)))
    whole = torch.from_numpy(images.astype('float32') / 10000)
    # Cells with missing pixels beside them are filled by the mean of the part that is read.
    near = torch.nn.functional.max_pool2d((~valid).float()[None], 33, 1, 16)[0] > 0
    compared = valid if channels is BandChannels else ~near
    wanted = change(whole, valid).numpy()
    np.testing.assert_allclose(found[compared], wanted[compared], rtol=1e-3)
    np.testing.assert_array_equal(np.isnan(found), ~valid.numpy())
    assert profile['dtype'] == 'float32' and np.isnan(profile['nodata'])
    assert (profile['crs'], profile['transform']) == ('EPSG:32631', GROUND)
    flags, profile, tags = read(tmp_path / 'mask.tif')
    assert profile['nodata'] == 255
    assert tags['threshold'] == report.threshold
    np.testing.assert_array_equal(flags == 255, ~valid.numpy())
    np.testing.assert_array_equal(flags == 1, found > report.threshold)
    assert (report.valid, report.changed) == (valid.sum(), (flags == 1).sum())
    np.testing.assert_array_equal(report.preview.magnitude.numpy(), found)
    np.testing.assert_allclose(
        report.preview.images[:, 0][:, valid].numpy(), whole[:, 0][:, valid].numpy()
    )


def test_statistics_of_bands_are_those_of_the_whole(write, tmp_path, monkeypatch):
    monkeypatch.setattr(pixel_map, '_BLOCK', 32)
    images = numbers()
    write_pixel_map(
        series(write(images)), PixelChange(BandChannels(), 'mad', 1), tmp_path / 'c.tif'
    )
    whole = torch.from_numpy(images.astype('float32') / 10000)
    wanted = change_magnitude(whole, change=PixelChange(BandChannels(), 'mad', 1))
    np.testing.assert_allclose(read(tmp_path / 'c.tif')[0], wanted.numpy(), rtol=1e-3)


def test_maps_are_cloud_optimized(write, tmp_path):
    write_pixel_map(
        series(write(numbers())),
        PixelChange(BandChannels()),
        tmp_path / 'c.tif',
        tmp_path / 'm.tif',
    )
    for name in ('c.tif', 'm.tif'):
        with rasterio.open(tmp_path / name) as file:
            assert file.tags(ns='IMAGE_STRUCTURE')['LAYOUT'] == 'COG'
    assert sorted(path.name for path in tmp_path.glob('.*')) == []


def test_what_all_scenes_cover_is_compared(write):
    images = numbers((80, 60))
    shifted = GROUND @ Affine.translation(7, 5)
    scenes = series(write([images[0], images[1][:, :40, :30]], (GROUND, shifted)))
    assert scenes.shape == (40, 30)
    assert scenes.transform == shifted
    found, valid = scenes.read((3, 2, 10, 20))
    assert valid.all()
    np.testing.assert_allclose(found[0].numpy() * 1e4, images[0][:, 8:18, 9:29], rtol=1e-6)
    np.testing.assert_allclose(found[1].numpy() * 1e4, images[1][:, 3:13, 2:22], rtol=1e-6)


@pytest.mark.parametrize(
    ('transform', 'profile', 'message'),
    [
        (GROUND @ Affine.translation(0.4, 0), {}, 'does not lie on the grid of .*gdalwarp'),
        (GROUND @ Affine.scale(2), {}, 'does not lie on the grid of'),
        (GROUND @ Affine.translation(500, 0), {}, 'share no ground'),
    ],
)
def test_scenes_that_do_not_lie_on_one_another(write, transform, profile, message):
    with pytest.raises(ValueError, match=message):
        series(write(numbers(), (GROUND, transform), **profile))


def test_scenes_in_two_coordinate_systems(write):
    paths = write(numbers())
    with rasterio.open(paths[1], 'r+') as file:
        file.crs = 'EPSG:32632'
    with pytest.raises(
        ValueError, match=r'2018.* does not lie on the grid of .*2017.*32632.*-t_srs'
    ):
        series(paths)


@pytest.mark.filterwarnings('ignore::rasterio.errors.NotGeoreferencedWarning')
def test_scenes_without_georeference(write, tmp_path):
    paths = write(numbers(), crs=None, transform=None)
    write_pixel_map(series(paths), PixelChange(BandChannels()), tmp_path / 'c.tif')
    with rasterio.open(tmp_path / 'c.tif') as file:
        assert file.shape == (70, 50) and file.crs is None
    images = numbers()
    paths = write([images[0], images[1][:, :40]], crs=None, transform=None)
    with pytest.raises(ValueError, match=r'50 x 40 px, .* 50 x 70 px, and neither is georef'):
        series(paths)


def test_sensors_are_matched_by_wavelength(tmp_path):
    bands = landsat_bands(0, 40, (1, 2, 3, 4, 5, 7))
    older = write_landsat(tmp_path, datetime.date(2001, 6, 1), bands, satellite='LT05')
    matched = dict(zip(('B2', 'B3', 'B4', 'B5', 'B6', 'B7'), bands.values(), strict=True))
    later = write_landsat(tmp_path, datetime.date(2015, 6, 1), {'B1': bands['B1']} | matched)
    scenes = series([tmp_path / older, tmp_path / later])
    assert scenes.bands == ('B01', 'B02', 'B03', 'B04', 'B05', 'B07')
    assert scenes.matched[1] == dict(
        zip(scenes.bands, ('B02', 'B03', 'B04', 'B05', 'B06', 'B07'), strict=True)
    )
    images, _ = scenes.read((0, 0, 40, 40))
    torch.testing.assert_close(images[0], images[1])
    np.testing.assert_allclose(images[0, 0].numpy(), bands['B1'] * 2.75e-5 - 0.2, rtol=1e-4)


def test_scenes_without_a_band_in_common(tmp_path):
    for name, band in (('2017-06-01', 'B02'), ('2018-06-01', 'B03')):
        write_tif(tmp_path / name / f'{band}.tif', np.ones((20, 20), 'uint16'))
    with pytest.raises(ValueError, match=r'no band in common .*B02; .*B03'):
        series([tmp_path / '2017-06-01', tmp_path / '2018-06-01'])


def test_scenes_without_a_pixel_in_common(write, tmp_path):
    images = numbers()
    images[0, :, :40], images[1, :, 40:] = 0, 0
    with pytest.raises(ValueError, match='no pixel with data on all dates'):
        write_pixel_map(series(write(images)), PixelChange(BandChannels()), tmp_path / 'c.tif')


def test_thresholds():
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(1, 0.2, 900), random.normal(3, 0.3, 100), [np.nan]])
    known = values[:-1]
    assert threshold_of(values, 'none') is None
    assert threshold_of(values, 'mixture') == two_gaussians(known).threshold
    for method in ('otsu', 'mixture'):
        assert ((known > threshold_of(values, method)) == (np.arange(1000) >= 900)).mean() > 0.99
        assert threshold_of(np.ones(5), method) is None
    with pytest.raises(ValueError, match='threshold'):
        threshold_of(values, 'kmeans')


def run(images, output, *more):
    main(
        ['pixel-changes', f'--images=[{",".join(images)}]', f'--output={output}',
         '--progress=false', '--device=cpu', *more]
    )  # fmt: skip


@pytest.fixture
def outputs(tmp_path):
    (tmp_path / 'out').mkdir()
    return tmp_path / 'out' / 'change.tif'


def test_command_writes_magnitude_mask_and_figure(write, outputs, capsys):
    images = numbers(dates=3)
    run(write(images), outputs)
    said = capsys.readouterr().out
    assert sorted(path.name for path in outputs.parent.iterdir()) == [
        'change.png', 'change.tif', 'change_mask.tif'
    ]  # fmt: skip
    whole = torch.from_numpy(images.astype('float32') / 10000)
    found, _, tags = read(outputs)
    np.testing.assert_allclose(found, change_magnitude(whole).numpy(), rtol=1e-3)
    assert tags['dates'] == ['2017-06-01', '2018-06-01', '2019-06-01']
    assert (tags['method'], tags['bands']) == ('mad', list(BANDS))
    flags = read(outputs.with_name('change_mask.tif'))[0]
    assert flags[21:29, 11:19].all()
    assert f'{(flags == 1).mean():.2%} of 3500 pixels changed' in said
    assert f'{found[flags == 0].max():.2g}'[:2] in said


def test_command_of_six_bands_and_an_encoder_of_another_sensor(write, outputs, tmp_path, capsys):
    trained = ('B02', 'B03', 'B04', 'B08', 'B11', 'B12')
    groups = {'groups': ['natural_color', 'urban'], 'texture': ['natural_color']}
    weights, _ = write_checkpoint(tmp_path / 'last.ckpt', trained, **groups)
    image = numbers((64, 64))
    image = np.concatenate([image, image[:, :2] + 77], 1)
    paths = write(image, names=('',) * 6)
    run(
        paths, outputs, '--sensor=landsat_4_7', '--bands=[B1,B2,B3,B4,B5,B7]',
        f'--weights={weights}', '--levels=[1]', '--method=cva', '--threshold=none',
        '--figure=false',
    )  # fmt: skip
    said = capsys.readouterr().out
    assert 'natural_color: B03 B02 B01 of Landsat 4-7 in place of B04 B03 B02 of Sent' in said
    assert 'urban: B07 B05 B03 of Landsat 4-7 in place of B12 B11 B04 of Sentinel-2' in said
    assert [path.name for path in outputs.parent.iterdir()] == ['change.tif']
    found, _, tags = read(outputs)
    assert tags['levels'] == [1] and tags['weights'] == weights
    assert found[22:28, 12:18].mean() > 1.2 * found.mean()


def test_command_says_how_much_has_no_data(write, outputs, capsys):
    images = numbers()
    images[0, :, :7] = 0
    run(write(images), outputs, '--figure=false')
    said = capsys.readouterr().out
    assert 'magnitude of 50 x 70 px, 10.0% without data on a date' in said
    assert ' of 3150 pixels changed' in said
    assert np.isnan(read(outputs)[0]).mean() == pytest.approx(0.1)


@pytest.mark.parametrize('threshold', ['otsu', 'mixture'])
def test_command_finds_no_threshold_where_nothing_differs(write, outputs, capsys, threshold):
    images = numbers()
    images[1] = images[0]
    run(write(images), outputs, '--method=cva', f'--threshold={threshold}')
    said = capsys.readouterr().out
    assert f'no mask: {threshold} finds no threshold, since magnitudes are all of one kind' in said
    assert (read(outputs)[0] == 0).all()
    assert {path.name for path in outputs.parent.iterdir()} == {'change.tif', 'change.png'}


def test_command_leaves_out_histograms_of_textures(write, outputs, tmp_path, capsys):
    weights, _ = write_checkpoint(tmp_path / 'last.ckpt', texture_histograms=True)
    run(write(numbers((64, 64))), outputs, f'--weights={weights}', '--method=cva', '--figure=false')
    said = capsys.readouterr().out
    assert 'groups: natural_color, near_infrared\n' in said
    assert 'skipped: natural_color_texture, since histograms of codes give no maps' in said
    assert read(outputs)[2]['groups'] == ['natural_color', 'near_infrared']


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (['--levels=[0]'], 'levels and groups are of feature maps; give weights'),
        (['--window=2'], 'window must be an odd number'),
        (['--method=pca'], 'Got value: pca'),
        (['--output=change.jpg'], 'must end in .tif'),
        (['--output=/nowhere/change.tif'], 'make the folder /nowhere first'),
        (['--sensor=[sentinel2_l1c]'], 'sensor names 1 sensors of 2 images'),
    ],
)
def test_command_refuses(write, outputs, capsys, more, message):
    paths = write(numbers())
    with pytest.raises(SystemExit) as stopped:
        run(paths, outputs, *more)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert message in said and 'Traceback' not in said
    assert not list(outputs.parent.iterdir())


def test_command_refuses_dates_out_of_order_and_what_exists(write, outputs, capsys):
    paths = write(numbers())
    with pytest.raises(SystemExit):
        run(paths[::-1], outputs)
    assert 'give images in order of their dates' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(paths[:1], outputs)
    assert 'two dates or more, got 1' in capsys.readouterr().err
    outputs.with_name('change_mask.tif').touch()
    with pytest.raises(SystemExit):
        run(paths, outputs)
    assert 'change_mask.tif exists; name another output' in capsys.readouterr().err


def test_help(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(['pixel-changes', '--help'])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert 'Say which pixels have changed between images of one scene' in text
    for option in ('--method', '--threshold', '--levels', '--weights', '--window'):
        assert option in text
