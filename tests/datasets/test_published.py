# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of seasonal archives in the layouts of published archives."""

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from torchgeo.datasets import SSL4EOS12, EuroSAT

from torchgeo_saco.archives.packing import pack_archive
from torchgeo_saco.bands import SENSORS
from torchgeo_saco.datasets import BigEarthNetBands, SeasonalArchive
from torchgeo_saco.io.raster import BandFileError

from ..data.layouts import (
    SSL4EO_BANDS,
    write_bigearthnet_patches,
    write_image_folders,
    write_radar_patches,
    write_rgb,
    write_sen12ms,
    write_ssl4eo,
)
from ..data.scenes import write_bigearthnet, write_eurosat_image


@pytest.mark.parametrize(
    ('product', 'sensor'), [('s1', 'sentinel1'), ('s2c', 'sentinel2_l1c'), ('s2a', 'sentinel2_l2a')]
)
def test_products_of_ssl4eo(tmp_path, product, sensor):
    write_ssl4eo(tmp_path)
    data = SeasonalArchive(tmp_path, dates=2, item='location', sensor=sensor)
    assert (data.sensor_name, len(data), data.shape) == (sensor, 2, (12, 12))
    values = data[1]['image'][0, :, 0, 0].tolist()
    by_name = dict(zip(data.bands, values, strict=True))
    for number, band in enumerate(SSL4EO_BANDS[product]):
        assert by_name[band] == (-10.5 - number if product == 's1' else 100 * number + 1)


@pytest.mark.parametrize('sensor', ['sentinel1', 'sentinel2_l1c'])
def test_products_of_sen12ms(tmp_path, sensor):
    write_sen12ms(tmp_path)
    data = SeasonalArchive(tmp_path, sensor=sensor)
    (tmp_path / 'labels.csv').write_text('location,label\nROIs1158_spring_1_p4,Water\n')
    assert data.bands == tuple(SENSORS[sensor].bands)
    first = -10.5 - 0.25 if sensor == 'sentinel1' else 1
    step = -1 if sensor == 'sentinel1' else 100
    values = data[1]['image'][0, :, 3, 4].tolist()
    assert values == [first + step * number for number in range(len(data.bands))]
    assert data[1]['date'].tolist() == [0]
    labels = SeasonalArchive(tmp_path, sensor=sensor).labels
    assert labels == {'ROIs1158_spring_1_p4': 0}


def test_bands_of_radar_are_in_their_order(tmp_path):
    write_radar_patches(tmp_path)
    data = SeasonalArchive(tmp_path)
    assert data.bands == ('VV', 'VH')
    assert data[1]['image'][0, :, 0, 0].tolist() == [-11, -21]
    assert data[1]['date'].tolist() == [20170613]
    assert SeasonalArchive(tmp_path, bands=['vh'])[1]['image'].flatten()[0] == -21


def test_patches_equal_those_of_the_benchmark(tmp_path):
    write_bigearthnet(tmp_path)
    theirs = BigEarthNetBands(tmp_path, 'train')
    data = SeasonalArchive(tmp_path / 'BigEarthNet-v1.0')
    assert data.classes == theirs.classes
    labelled = data.part(np.arange(len(data.locations)), label_vectors=True)
    for item, name in enumerate(theirs.scenes):
        ours = data.location_index[name]
        assert torch.equal(data[ours]['image'][0], theirs[item]['image'])
        assert 'label' not in data[ours]
        assert torch.equal(labelled[ours]['label'], theirs[item]['label'])


def test_patch_that_lacks_a_band_is_named(tmp_path):
    names = write_bigearthnet_patches(tmp_path, 2)
    (tmp_path / names[1] / f'{names[1]}_B03.tif').unlink()
    with pytest.raises(ValueError, match=rf'{names[1]} lacks B03; '):
        SeasonalArchive(tmp_path)
    data = SeasonalArchive(tmp_path, on_missing='drop')
    assert [location.name for location in data.locations] == names[:1]


def test_bands_of_eurosat_are_found_by_name(tmp_path):
    write_eurosat_image(tmp_path, 'River_1')
    write_eurosat_image(tmp_path, 'Forest_2')
    data = SeasonalArchive(tmp_path, bands=['b8a', 'B4', 'B9'])
    # 100 x position in the file + number of the image + row; B8A is the last band of the file.
    assert data[1]['image'][0, :, 10, 0].tolist() == [1211, 311, 811]
    assert [int(data[item]['label']) for item in (0, 1)] == [0, 1]
    assert data.classes == ['Forest', 'River']


def test_images_are_rgb_with_the_class_of_their_folder(tmp_path):
    write_image_folders(tmp_path, count=2)
    data = SeasonalArchive(tmp_path)
    assert (data.sensor_name, data.bands, data.dtype) == ('rgb', ('R', 'G', 'B'), torch.uint8)
    sample = data[3]
    assert sample['image'][0, :, 0, 0].tolist() == [100, 10, 7]
    assert sample['date'].tolist() == [0]
    assert (sample['label'], data.locations[3].name) == (1, 'River/River_1.png')
    assert data.footprint(data.locations[3]) is None
    assert data.plot(sample).axes[0].get_title() == ''
    assert SeasonalArchive(tmp_path, bands=['blue'])[3]['image'].unique().tolist() == [7]


def test_colours_of_a_jpeg_are_those_of_pillow(tmp_path):
    write_image_folders(tmp_path, ['a'], count=0)
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype='uint8')
    (tmp_path / 'a').mkdir()
    Image.fromarray(noise).save(tmp_path / 'a' / 'x.jpg')
    Image.fromarray(noise).save(tmp_path / 'a' / 'y.png')
    data = SeasonalArchive(tmp_path)
    with Image.open(tmp_path / 'a' / 'x.jpg') as file:
        assert np.array_equal(data[0]['image'][0].permute(1, 2, 0).numpy(), np.asarray(file))
    assert np.array_equal(data[1]['image'][0].permute(1, 2, 0).numpy(), noise)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'mode': 'L'}, r'holds no colours of 8 bits \(its mode is L\); convert it to RGB'),
        ({'mode': 'I;16'}, r'holds no colours of 8 bits'),
        ({'color': (1, 2, 3, 100)}, 'has transparent pixels; fill them'),
        ({'side': 9}, r'is 9 x 9 px, the first image of the archive 8 x 8 px; set size'),
    ],
)
def test_images_that_are_not_8_bit_colours(tmp_path, options, message):
    write_rgb(tmp_path / 'a/x.png')
    options = dict(options)
    color, mode = options.pop('color', (1, 2, 3)), options.pop('mode', 'RGB')
    if mode == 'I;16':
        Image.fromarray(np.ones((8, 8), 'uint16')).save(tmp_path / 'a/y.png')
    else:
        mode = 'RGBA' if len(color) == 4 else mode
        write_rgb(tmp_path / 'a/y.png', color, mode=mode, **options)
    with pytest.raises(BandFileError, match=message):
        SeasonalArchive(tmp_path)[1]


@pytest.mark.filterwarnings('ignore:.*no geotransform.*')
def test_colours_of_16_bits_are_refused(tmp_path):
    write_rgb(tmp_path / 'a/x.png')
    with rasterio.open(
        tmp_path / 'a/y.png', 'w', driver='PNG', count=3, width=8, height=8, dtype='uint16'
    ) as file:
        file.write(np.full((3, 8, 8), 300, 'uint16'))
    with pytest.raises(BandFileError, match=r'y\.png holds no colours of 8 bits'):
        SeasonalArchive(tmp_path)[1]


def test_palettes_and_opaque_images_are_colours(tmp_path):
    write_rgb(tmp_path / 'a/x.png', (0, 51, 255, 255), mode='RGBA')
    write_rgb(tmp_path / 'a/y.png', (0, 51, 255), mode='P')
    for item in range(2):
        image = SeasonalArchive(tmp_path)[item]['image']
        assert image[0, :, 0, 0].tolist() == [0, 51, 255]


def test_truncated_image(tmp_path):
    write_rgb(tmp_path / 'a/x.png', side=64)
    content = (tmp_path / 'a/x.png').read_bytes()
    (tmp_path / 'a/y.png').write_bytes(content[: len(content) // 2])
    with pytest.raises(BandFileError, match=r'y\.png cannot be read as a JPEG or PNG file'):
        SeasonalArchive(tmp_path)[1]


@pytest.mark.parametrize(
    ('layout', 'sensor'),
    [
        ('ssl4eo_s12', None),
        ('sen12ms', 'sentinel1'),
        ('sen12ms', 'sentinel2_l1c'),
        ('bigearthnet', None),
        ('eurosat', None),
        ('images', None),
    ],
)
def test_packed_archives_give_the_same_samples(tmp_path, layout, sensor):
    tree, store = tmp_path / 'tree', tmp_path / 'store.zarr'
    if layout == 'ssl4eo_s12':
        write_ssl4eo(tree, ['s2a'])
    elif layout == 'sen12ms':
        write_sen12ms(tree)
        (tree / 'labels.csv').write_text('location,label\nROIs1158_spring_1_p4,Water\n')
    elif layout == 'bigearthnet':
        write_bigearthnet_patches(tree, 2)
    elif layout == 'eurosat':
        write_eurosat_image(tree, 'River_1')
        write_eurosat_image(tree, 'Forest_2')
    else:
        write_image_folders(tree, count=2)
    pack_archive(tree, store, sensor=sensor, progress=False)
    first = SeasonalArchive(tree, sensor=sensor)
    second = SeasonalArchive(store, sensor=first.sensor_name)
    assert first.bands == second.bands
    assert first.locations.names == second.locations.names
    # The store keeps one label per location, or none.
    assert second.classes == ([] if first.multilabel else first.classes)
    for item in range(len(first)):
        one, other = first[item], second[item]
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_stores_have_no_layout(archive, tmp_path):
    pack_archive(archive, tmp_path / 'store', progress=False)
    with pytest.raises(
        ValueError, match='is a store, which has no layout; leave out layout=images'
    ):
        SeasonalArchive(tmp_path / 'store', layout='images')


def test_previews_and_another_layout(archive):
    with pytest.raises(ValueError, match='previews=True has a layout of its own'):
        SeasonalArchive(archive, previews=True, layout='folders')


@pytest.mark.parametrize(
    ('product', 'sensor'), [('s1', 'sentinel1'), ('s2c', 'sentinel2_l1c'), ('s2a', 'sentinel2_l2a')]
)
def test_real_ssl4eo_equals_that_of_torchgeo(real_data, product, sensor, monkeypatch):
    monkeypatch.setattr(SSL4EOS12, '_verify', lambda self: None)
    theirs = SSL4EOS12(real_data / 'ssl4eo_s12', split=product)[200]['image']
    data = SeasonalArchive(real_data / 'ssl4eo_s12', sensor=sensor, dates=1)
    assert (len(data), data.shape) == (2, (264, 264))
    for position, band in enumerate(SSL4EO_BANDS[product]):
        # They enlarge coarser bands by the nearest pixel.
        matches = [
            torch.equal(data[item]['image'][0, data.bands.index(band)].float(), theirs[position])
            for item in range(2)
        ]
        assert any(matches) == (data.sensor.bands[band] == 10)


def test_real_patches(real_data):
    optical = SeasonalArchive(real_data / 'bigearthnet_v1', sensor='sentinel2_l2a')
    radar = SeasonalArchive(real_data / 'bigearthnet_v1', sensor='sentinel1')
    assert (len(optical), optical.shape, len(radar), radar.shape) == (11, (120, 120), 3, (120, 120))
    labelled = optical.part(np.arange(11), label_vectors=True)
    assert all(1 <= labelled[item]['label'].sum() <= 8 for item in range(11))
    # Land scatters more in the polarization that was sent.
    vv, vh = radar[0]['image'][0].mean((1, 2))
    assert vh < vv < 0


def test_real_eurosat(real_data):
    data = SeasonalArchive(real_data / 'eurosat', sensor='sentinel2_l1c')
    order = [EuroSAT.all_band_names.index(band) for band in data.bands]
    for item, location in enumerate(data.locations):
        with rasterio.open(real_data / 'eurosat' / 'EuroSAT_MS' / location.name) as file:
            assert np.array_equal(data[item]['image'][0].numpy(), file.read()[order])
        assert data.footprint(location).area > 0
    colours = SeasonalArchive(real_data / 'eurosat', sensor='rgb')
    assert colours.classes == data.classes == ['AnnualCrop', 'Pasture', 'SeaLake']
