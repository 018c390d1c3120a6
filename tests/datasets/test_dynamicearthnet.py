# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the windows of DynamicEarthNet."""

import numpy as np
import pytest
import torch
from torchgeo.datasets import DatasetNotFoundError

from torchgeo_saco.datasets import DynamicEarthNetWindows
from torchgeo_saco.datasets.dynamicearthnet import CLASSES
from torchgeo_saco.io.raster import BandFileError

from ..data.archives import write_tif
from ..data.benchmark_trees import (
    DEN_SIDE,
    den_files,
    den_image,
    den_numbers,
    write_den,
    write_den_month,
)

SNOW = 6


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """Two areas to train on, one to validate and one to test on. Not to be changed."""
    return write_den(tmp_path_factory.mktemp('den'))


@pytest.fixture
def small(tmp_path):
    """One area to train on, for two months."""
    return write_den(tmp_path, areas=(1, 0, 0))


def labels_of(numbers):
    """The seven bands of class numbers, 7 for none."""
    return np.where(numbers == np.arange(7)[:, None, None], 255, 0).astype('uint8')


def test_sample_keeps_stored_numbers(tree):
    dataset = DynamicEarthNetWindows(tree, 'test', size=32)
    # Two months, rows and columns 0, 32, 38
    assert len(dataset) == 2 * 9
    sample = dataset[9 + 5]
    expected = {'location': 0, 'date': 20180201, 'row': 32, 'column': 38}
    assert {key: sample[key].item() for key in expected} == expected
    assert sample['image'].dtype == torch.uint16
    assert np.array_equal(sample['image'], den_image(3, 1)[:, 32:64, 38:])
    assert sample['mask'].dtype == torch.int64
    # Snow, none, and what an earlier window holds are no class.
    numbers = np.array([0, 1, 2, 3, 4, 5, -1, -1])[den_numbers(3, 1)][32:64, 38:]
    numbers[:, : 64 - 38] = -1
    assert np.array_equal(sample['mask'], numbers)


def test_every_pixel_with_a_class_counts_once(tree):
    dataset = DynamicEarthNetWindows(tree, 'train', size=32)
    counted = np.zeros(len(CLASSES), int)
    for sample in dataset:
        known = sample['mask'][sample['mask'] >= 0]
        counted += np.bincount(known, minlength=len(CLASSES))
    stored = np.stack([den_numbers(area, month) for area in (0, 1) for month in (0, 1)])
    assert np.array_equal(counted, np.bincount(stored.ravel(), minlength=8)[: len(CLASSES)])


def test_locations_are_areas_and_dates_months(tree):
    dataset = DynamicEarthNetWindows(tree, 'train', size=DEN_SIDE)
    assert dataset.areas == ['1300_3000_13', '1301_3000_13']
    found = [(sample['location'].item(), sample['date'].item()) for sample in dataset]
    assert found == [(0, 20180101), (0, 20180201), (1, 20180101), (1, 20180201)]


def test_training_windows_may_overlap(tree):
    dataset = DynamicEarthNetWindows(tree, 'train', size=32, stride=16)
    # Rows and columns 0, 16, 32, 38
    assert len(dataset) == 4 * 16
    assert len(DynamicEarthNetWindows(tree, 'val', size=32, stride=16)) == 2 * 9


def test_bands_are_found_by_name(tree):
    dataset = DynamicEarthNetWindows(tree, 'test', size=32, bands=['B4', 'b01'])
    assert dataset.bands == ('B04', 'B01')
    assert np.array_equal(dataset[0]['image'], den_image(3, 0)[[3, 0], :32, :32])


def test_first_days_of_the_list_are_read_under_planet(tree):
    line = (tree / 'dynnet_training_splits' / 'val.txt').read_text().splitlines()[0]
    # As the first line of the published list, https://github.com/aysim/dynnet/issues/8
    assert line == (
        '/reprocess-cropped/UTM-24000/10N/23E-188N/1302_3000_13/PF-SR '
        '/labels/1302_3000_13_10N/Labels/Raster/10N-122W-40N-L3H-SR/'
        '10N-122W-40N-L3H-SR-2018_01_01.tif 2018-01'
    )
    month = DynamicEarthNetWindows(tree, 'val', size=32).months[0]
    assert month.image == str(den_files(tree, 2, 0)[0])
    assert month.labels == str(den_files(tree, 2, 0)[1])


def test_list_may_name_the_folder_planet(small):
    path = small / 'dynnet_training_splits' / 'train.txt'
    path.write_text(path.read_text().replace('/reprocess-cropped/UTM-24000/', '/planet/'))
    assert len(DynamicEarthNetWindows(small, size=DEN_SIDE)) == 2


def test_pixels_without_data_have_no_class(small):
    image, numbers = den_image(0, 0), np.ones((DEN_SIDE, DEN_SIDE), int)
    image[:, :5] = 0
    image[0, 5] = 0
    write_den_month(small, 0, 0, image, labels_of(numbers))
    mask = DynamicEarthNetWindows(small, size=DEN_SIDE)[0]['mask']
    assert (mask[:5] == -1).all()
    assert (mask[5:] == 1).all()
    image = image.astype('int16')
    image[:, :5] = -9999
    write_tif(den_files(small, 0, 0)[0], image, nodata=-9999)
    sample = DynamicEarthNetWindows(small, size=DEN_SIDE, bands=['B01'])[0]
    assert torch.equal(sample['mask'], mask)
    assert sample['image'].dtype == torch.int16
    assert not sample['image'][:, :5].any()


def test_plot_names_the_month(tree):
    dataset = DynamicEarthNetWindows(tree, 'test', size=32)
    figure = dataset.plot(dataset[9])
    assert '2018-02' in [axis.get_title() for axis in figure.axes]


def test_missing_list_is_told(tree):
    with pytest.raises(DatasetNotFoundError):
        DynamicEarthNetWindows(tree / 'planet')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'split': 'fold1'}, 'split must be one of train, val, test'),
        ({'size': 0}, 'size must be at least 1'),
        ({'size': 32, 'stride': 40}, 'stride must be from 1 to size=32'),
        ({'size': 80}, r'2018-01-01.tif is 70 x 70 px, smaller than a tile of 80 x 80 px'),
        ({'bands': ['B05']}, 'PlanetScope has no band'),
    ],
)
def test_arguments_out_of_range(tree, arguments, message):
    with pytest.raises(ValueError, match=message):
        DynamicEarthNetWindows(tree, **arguments)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('/planet/10N/a/1/PF-SR /labels/1.tif', r"line 3: .* is not '/planet/<zone>"),
        ('/planet/10N/a/1/PF-SR /labels/../1.tif 2018-01', "line 3: .* is not '/planet"),
        ('/planet/10N/a/1/PF-SR /labels/1.tif 2018-13', "line 3: .* is not '/planet"),
        (None, 'line 3: labels/.*2018_01_01.tif is in line 1 already'),
    ],
)
def test_wrong_lines_are_told(small, line, message):
    path = small / 'dynnet_training_splits' / 'train.txt'
    text = path.read_text()
    path.write_text(text + (line or text.splitlines()[0]))
    with pytest.raises(ValueError, match=message):
        DynamicEarthNetWindows(small)


@pytest.mark.parametrize(('which', 'message'), [
    (0, r'2018-02-01.tif'),
    (1, r'2018_02_01.tif is missing, the labels of .*2018-02-01.tif; fetch .*1738088'),
])  # fmt: skip
def test_missing_files_of_a_month_are_told_at_once(small, which, message):
    den_files(small, 0, 1)[which].unlink()
    with pytest.raises(BandFileError, match=message):
        DynamicEarthNetWindows(small, size=32)


def test_labels_of_another_size_are_told(small):
    write_tif(den_files(small, 0, 0)[1], np.zeros((7, 60, 70), 'uint8'))
    with pytest.raises(BandFileError, match=r'01_01.tif is 70 x 60 px, its image .* 70 x 70 px'):
        DynamicEarthNetWindows(small)


def test_labels_need_a_band_for_each_class(small):
    write_tif(den_files(small, 0, 0)[1], np.zeros((6, 70, 70), 'uint8'))
    with pytest.raises(BandFileError, match='has 6 bands'):
        DynamicEarthNetWindows(small)


def two_classes(labels):
    labels[SNOW, 40, 50] = 255
    return labels


def unknown(labels):
    labels[2, 40, 50] = 1
    return labels


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (two_classes, 'has agriculture and snow and ice at row 40, column 50; set one class'),
        (unknown, '01_01.tif holds 1 where 0 and 255 are expected'),
        (lambda labels: labels.astype('uint16'), 'holds uint16 where uint8 is expected'),
    ],
)
def test_wrong_labels_are_told(small, change, message):
    labels = labels_of(np.ones((DEN_SIDE, DEN_SIDE), int))
    write_den_month(small, 0, 0, den_image(0, 0), change(labels))
    # The last window, whose place in the image is said.
    with pytest.raises(BandFileError, match=message):
        DynamicEarthNetWindows(small, size=32)[8]


def test_images_of_another_type_are_told(small):
    write_tif(den_files(small, 0, 0)[0], den_image(0, 0).astype('float32'))
    with pytest.raises(BandFileError, match='holds float32 where 16-bit integers are expected'):
        DynamicEarthNetWindows(small, size=32)[0]
