# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the tiles of OSCD."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torchgeo.datasets import OSCD, DatasetNotFoundError, RGBBandsMissingError

from torchgeo_saco.datasets.oscd import VAL_CITIES, OSCDTiles
from torchgeo_saco.io.raster import BandFileError

from ..data.archives import write_tif
from ..data.benchmark_trees import (
    OSCD_NAME,
    OSCD_TEST,
    OSCD_TRAIN,
    oscd_band,
    oscd_change,
    oscd_mask,
    oscd_pixels,
    write_oscd,
    write_png,
)


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """Three cities to train on and two to test on. Not to be changed."""
    return write_oscd(tmp_path_factory.mktemp('oscd'))


@pytest.fixture
def small(tmp_path):
    """One city of one band."""
    return write_oscd(tmp_path, {'pisa': (20, 30)}, {}, ['B04'])


def read_small(root, **arguments):
    """Tiles of the one city."""
    return OSCDTiles(root, bands=['B04'], size=16, val_cities=(), **arguments)


def test_sample_keeps_stored_numbers(tree):
    dataset = OSCDTiles(tree, 'val', ['b8a', 'B4'])
    assert dataset.bands == ('B8A', 'B04')
    # beirut (96, 120) has 2 tiles, mumbai (130, 96) too; the fourth is the lower one of mumbai.
    assert len(dataset) == 4
    sample = dataset[3]
    assert dataset.cities == ['beirut', 'mumbai']
    assert {key: sample[key].item() for key in ('location', 'row', 'column')} == {
        'location': 1, 'row': 34, 'column': 0,
    }  # fmt: skip
    assert {sample[key].dtype for key in sample} == {torch.uint16, torch.int64}
    assert sample['image'].dtype == torch.uint16
    pixels = oscd_pixels((130, 96))[34:]
    # 1000 x position of the band in the file, 20000 at the second date
    expected = np.stack([[pixels + 8000, pixels + 3000], [pixels + 28000, pixels + 23000]])
    assert np.array_equal(sample['image'].numpy(), expected)
    change = oscd_change((130, 96))[34:].astype(int)
    change[: 96 - 34] = -1
    assert np.array_equal(sample['mask'].numpy(), change)


def test_last_item_and_items_beyond(tree):
    dataset = OSCDTiles(tree, 'val', ['B04'])
    assert torch.equal(dataset[-1]['image'], dataset[3]['image'])
    for index in (4, -5):
        with pytest.raises(IndexError, match=f'item {index} of a data set with 4 items'):
            dataset[index]


@pytest.mark.parametrize(
    ('split', 'cities'),
    [('train', ['aguasclaras']), ('val', ['beirut', 'mumbai']), ('test', ['brasilia', 'rio'])],
)
def test_cities_of_each_split(tree, split, cities):
    assert OSCDTiles(tree, split, ['B04']).cities == cities
    assert VAL_CITIES == ('beirut', 'mumbai')


def test_cities_to_hold_out_can_be_chosen(tree):
    assert OSCDTiles(tree, 'val', ['B04'], val_cities=['aguasclaras']).cities == ['aguasclaras']
    chosen = OSCDTiles(tree, 'train', ['B04'], val_cities=['aguasclaras']).cities
    assert chosen == ['beirut', 'mumbai']
    assert len(OSCDTiles(tree, 'train', ['B04'], val_cities=[]).cities) == 3
    assert len(OSCDTiles(tree, 'val', ['B04'], val_cities=[])) == 0


@pytest.mark.parametrize(('split', 'cities'), [('val', OSCD_TRAIN), ('test', OSCD_TEST)])
def test_tiles_put_back_give_the_scenes_of_torchgeo(tree, split, cities):
    dataset = OSCDTiles(tree, split, ['B02', 'B8A'])
    theirs = OSCD(tree, 'test' if split == 'test' else 'train', ['B02', 'B8A'])
    shapes = [dataset.scene_shape(location) for location in range(len(dataset.cities))]
    assert shapes == [cities[city] for city in dataset.cities]
    images = [torch.full((2, 2, *shape), -1.0) for shape in shapes]
    masks = [torch.zeros(shape) for shape in shapes]
    times = [torch.zeros(shape) for shape in shapes]
    for sample in dataset:
        part = tuple(slice(sample[key], sample[key] + 96) for key in ('row', 'column'))
        location = sample['location']
        images[location][:, :, *part] = sample['image'].float()
        counts = sample['mask'] >= 0
        masks[location][part] += sample['mask'] * counts
        times[location][part] += counts
    for position, files in enumerate(theirs.files):
        if files['region'] in dataset.cities:
            location = dataset.cities.index(files['region'])
            assert torch.equal(images[location], theirs[position]['image'])
            assert torch.equal(masks[location], theirs[position]['mask'][0])
            assert (times[location] == 1).all()


def test_transforms(tree):
    dataset = OSCDTiles(tree, 'val', ['B04'], transforms=lambda sample: {'kept': sample['row']})
    assert dataset[3] == {'kept': torch.tensor(34)}


def test_band_is_found_by_the_end_of_its_name(small):
    path = oscd_band(small, 'pisa', 1)
    path.rename(path.with_name('S2A_OPER_MSI_L1C_TL_T32TPP_B4.tif'))
    (path.parent / 'preview.tif').write_text('no band')
    (path.parent / 'B04.jp2').write_text('no band')
    image = read_small(small)[0]['image']
    assert np.array_equal(image[0, 0].numpy(), oscd_pixels((20, 30))[:16, :16])


@pytest.mark.parametrize('value', [1, 255])
def test_change_is_1_or_255(small, value):
    write_png(oscd_mask(small, 'pisa'), value * oscd_change((20, 30)))
    mask = read_small(small)[0]['mask']
    assert np.array_equal(mask.numpy(), oscd_change((20, 30))[:16, :16])


def test_mask_with_another_value(small):
    mask = oscd_change((20, 30))
    mask[3, 3] = 128
    write_png(oscd_mask(small, 'pisa'), mask)
    with pytest.raises(BandFileError, match=r'cm\.png holds 128 in 1 pixels, .* 0, 1, 255'):
        read_small(small)


def test_mask_of_another_size(small):
    write_png(oscd_mask(small, 'pisa'), oscd_change((20, 31)))
    message = r'pisa/cm/cm\.png is 31 x 20 px, its image .*pisa/imgs_1_rect/B04\.tif is 30 x 20 px'
    with pytest.raises(BandFileError, match=message):
        read_small(small)


def test_dates_of_different_sizes(small):
    write_tif(oscd_band(small, 'pisa', 2), oscd_pixels((20, 29)).astype('uint16'))
    message = r'imgs_2_rect/B04\.tif is 29 x 20 px, .*imgs_1_rect/B04\.tif is 30 x 20 px; fetch'
    with pytest.raises(BandFileError, match=message):
        read_small(small)


def test_image_of_another_type(small):
    write_tif(oscd_band(small, 'pisa', 2), oscd_pixels((20, 30)).astype('uint8'))
    with pytest.raises(BandFileError, match=r'imgs_2_rect/B04\.tif holds uint8 where uint16 is'):
        read_small(small)[0]


def test_scene_smaller_than_a_tile(small):
    with pytest.raises(ValueError, match=r'pisa/imgs_1_rect/B04\.tif is 30 x 20 px, smaller than'):
        OSCDTiles(small, bands=['B04'], val_cities=())


def test_missing_band(small):
    with pytest.raises(BandFileError, match=r'pisa/imgs_1_rect has no file of band B08, B12; fe'):
        OSCDTiles(small, bands=['B08', 'B04', 'B12'], val_cities=())


def test_band_that_is_there_twice(small):
    write_tif(oscd_band(small, 'pisa', 2, 'B4'), oscd_pixels((20, 30)).astype('uint16'))
    with pytest.raises(BandFileError, match=r'B04\.tif and .*B4\.tif are both B04; remove one'):
        read_small(small)


def test_missing_files(small):
    oscd_mask(small, 'pisa').unlink()
    with pytest.raises(BandFileError, match=r'pisa/cm/cm\.png is missing'):
        read_small(small)
    oscd_band(small, 'pisa', 2).unlink()
    oscd_band(small, 'pisa', 2).parent.rmdir()
    with pytest.raises(BandFileError, match=r'pisa/imgs_2_rect is missing; fetch the images'):
        read_small(small)


@pytest.mark.parametrize('absent', ['Images', 'Train Labels'])
def test_missing_data(small, absent):
    (small / f'{OSCD_NAME} - {absent}').rename(small / 'elsewhere')
    with pytest.raises(DatasetNotFoundError, match='use `download=True`'):
        read_small(small)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'split': 'dev'}, "split must be one of train, val, test, got 'dev'"),
        ({'bands': ['B13']}, "Sentinel-2 L1C has no band 'B13'"),
        ({'size': 0}, 'size must be at least 1, got 0'),
        (
            {'val_cities': ['pisa']},
            "Train Labels has no city 'pisa' to hold out; its cities are ag",
        ),
        ({'val_cities': ['rio']}, "Train Labels has no city 'rio' to hold out"),
        ({'val_cities': 'beirut'}, "val_cities must be a list of names, got 'beirut'"),
    ],
)
def test_wrong_argument(tree, wrong, message):
    with pytest.raises(ValueError, match=message):
        OSCDTiles(tree, **({'split': 'val', 'bands': ['B04']} | wrong))


@pytest.mark.parametrize('prediction', [False, True])
def test_plot(tree, prediction):
    dataset = OSCDTiles(tree, 'val', ['B02', 'B03', 'B04'])
    sample = dataset[3]
    if prediction:
        sample['prediction'] = sample['mask'].clamp(min=0)[None]
    figure = dataset.plot(sample, suptitle='Mumbai')
    titles = ['first date', 'second date', 'target'] + ['prediction'] * prediction
    assert [axis.get_title() for axis in figure.axes] == titles
    assert [text.get_text() for text in figure.legends[0].texts] == [
        'no change', 'change', 'no class',
    ]  # fmt: skip
    assert figure.get_suptitle() == 'Mumbai'
    untitled = dataset.plot(sample, show_titles=False)
    assert {axis.get_title() for axis in untitled.axes} == {''}
    plt.close('all')


def test_plot_without_the_bands_of_natural_colour(tree):
    dataset = OSCDTiles(tree, 'val', ['B02', 'B03'])
    with pytest.raises(RGBBandsMissingError):
        dataset.plot(dataset[0])
