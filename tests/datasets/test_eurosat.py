# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of EuroSAT with bands by name."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchgeo.datasets import DatasetNotFoundError, EuroSAT, EuroSATSpatial

from torchgeo_saco.datasets import EuroSATBands
from torchgeo_saco.io.raster import BandFileError

from ..data.scenes import CLASSES, eurosat_tif, write_eurosat, write_eurosat_image


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """Tree with all classes in every split. Not to be changed."""
    root = write_eurosat(tmp_path_factory.mktemp('eurosat'))
    return write_eurosat(root, True, train=['River_7', 'Forest_8'], val=['SeaLake_9'], test=[])


@pytest.fixture
def small(tmp_path):
    """Tree of one image in training."""
    return write_eurosat(tmp_path, train=['River_1'])


def test_sample_keeps_stored_numbers(tree):
    dataset = EuroSATBands(tree, 'val')
    sample = dataset[5]
    assert len(dataset) == 10
    assert dataset.scenes[5] == 'Pasture_3'
    assert sample['label'] == 5
    assert sample['label'].dtype == torch.int64
    assert sample['image'].dtype == torch.uint16
    assert sample['image'].shape == (13, 64, 64)
    # 100 x position in the file + number of the image + row
    assert sample['image'][:, 10, 0].tolist() == [100 * band + 3 + 10 for band in range(13)]


def test_bands_are_found_by_name_in_the_order_of_the_file(tree):
    dataset = EuroSATBands(tree, 'val', ['b8a', 'B4', 'B9'])
    assert dataset.bands == ('B8A', 'B04', 'B09')
    # B8A is the last band of the file.
    assert dataset[0]['image'][:, 0, 0].tolist() == [1203, 303, 803]


@pytest.mark.parametrize('split', ['train', 'val', 'test'])
def test_images_and_labels_equal_those_of_torchgeo(tree, split):
    theirs = EuroSAT(tree, split)
    ours = EuroSATBands(tree, split)
    assert list(ours.classes) == theirs.classes
    assert len(ours) == len(theirs)
    for index, (path, _) in enumerate(theirs.samples):
        position = ours.scenes.index(path.split('/')[-1].removesuffix('.tif'))
        assert torch.equal(ours[position]['image'].float(), theirs[index]['image'])
        assert ours[position]['label'] == theirs[index]['label']


def test_spatial_split(tree):
    assert EuroSATBands(tree, 'train', spatial=True).scenes == ['River_7', 'Forest_8']
    theirs = EuroSATSpatial.split_filenames
    assert theirs['train'] != EuroSAT.split_filenames['train']
    assert len(EuroSATBands(tree, 'test', spatial=True)) == 0


def test_absent_classes_keep_the_numbers_of_the_others(tree):
    dataset = EuroSATBands(tree, 'train', spatial=True)
    assert [sample['label'].item() for sample in dataset] == [8, 1]
    assert dataset.absent_classes == [n for n in CLASSES if n not in ('River', 'Forest')]
    assert EuroSATBands(tree).absent_classes == []


def test_lists_that_name_tif_files(small):
    (small / 'eurosat-train.txt').write_text('River_1.tif\n')
    assert EuroSATBands(small).scenes == ['River_1']


@pytest.mark.parametrize('absent', ['root', 'list', 'images'])
def test_missing_data(tmp_path, absent):
    if absent == 'list':
        (tmp_path / EuroSAT.base_dir).mkdir(parents=True)
    if absent == 'images':
        (tmp_path / 'eurosat-train.txt').write_text('River_1.jpg\n')
    with pytest.raises(DatasetNotFoundError, match='use `download=True`'):
        EuroSATBands(tmp_path / 'none' if absent == 'root' else tmp_path)


@pytest.mark.parametrize(
    ('line', 'message'),
    [
        ('Rivers_1.jpg', r"line 2: 'Rivers_1\.jpg' is not <class>_<number>\.jpg .* SeaLake; cor"),
        ('River/River_2.jpg', r"line 2: 'River/River_2\.jpg' is not"),
        ('River_2', "line 2: 'River_2' is not"),
        ('River_two.jpg', r"line 2: 'River_two\.jpg' is not"),
        ('River_1.tif', 'line 2: River_1 is in line 1 already'),
    ],
)
def test_wrong_list(small, line, message):
    (small / 'eurosat-train.txt').write_text(f'River_1.jpg\n{line}\n')
    with pytest.raises(ValueError, match=rf'eurosat-train\.txt, {message}'):
        EuroSATBands(small)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'split': 'dev'}, "split must be one of train, val, test, got 'dev'"),
        ({'bands': ['B04', 'B13']}, "Sentinel-2 L1C has no band 'B13'"),
        ({'bands': ['B4', 'B04']}, 'band B04 is listed twice'),
        ({'bands': []}, 'bands is empty'),
    ],
)
def test_wrong_argument(tree, wrong, message):
    with pytest.raises(ValueError, match=message):
        EuroSATBands(tree, **wrong)


def test_image_of_another_size(small):
    write_eurosat_image(small, 'River_1', side=63)
    with pytest.raises(BandFileError, match=r'River_1\.tif is 63 x 63 px where 64 x 64 are exp'):
        EuroSATBands(small)[0]


def test_image_of_another_type(small):
    write_eurosat_image(small, 'River_1', dtype='int16')
    with pytest.raises(BandFileError, match=r'River_1\.tif holds int16 where uint16 is expected'):
        EuroSATBands(small)[0]


def test_missing_image(small):
    eurosat_tif(small, 'River_1').unlink()
    with pytest.raises(BandFileError, match=r'River_1\.tif is missing'):
        EuroSATBands(small)[0]


@pytest.fixture
def real(tmp_path, real_data):
    """Images of EuroSAT, of sea, field and pasture."""
    source = real_data / 'eurosat' / 'EuroSAT_MS'
    names = sorted(path.stem for path in source.glob('*/*.tif'))
    (tmp_path / 'eurosat-train.txt').write_text(''.join(f'{name}.jpg\n' for name in names))
    folder = tmp_path / EuroSAT.base_dir
    folder.parent.mkdir(parents=True)
    folder.symlink_to(source)
    return tmp_path


def test_real_images_are_plausible(real):
    dataset = EuroSATBands(real, bands=['B08', 'B04', 'B10'])
    assert dataset.scenes == ['AnnualCrop_1', 'Pasture_300', 'SeaLake_3000']
    greenness = []
    for sample in dataset:
        near_infrared, red, cirrus = sample['image'].double().mean((1, 2)).tolist()
        greenness.append((near_infrared - red) / (near_infrared + red))
        # The cirrus band sees no ground.
        assert 0 < cirrus < 100 < red
    assert [sample['label'].item() for sample in dataset] == [0, 5, 9]
    assert greenness[1] > 0.5 > greenness[0] > greenness[2]
    assert greenness[2] < 0
    for sample in EuroSATBands(real):
        assert (sample['image'].double().mean((1, 2)) > 0).all()


# Of the sea, which is dark and even, the preview of 8 bits shows little but noise.
@pytest.mark.parametrize(('position', 'likeness'), [(0, 0.9), (1, 0.9), (2, 0.4)])
def test_real_bands_are_those_of_the_published_preview(real, real_data, position, likeness):
    dataset = EuroSATBands(real, bands=['B04', 'B03', 'B02'])
    name = dataset.scenes[position]
    preview = real_data / 'eurosat' / 'EuroSAT_RGB' / name.split('_')[0] / f'{name}.jpg'
    with Image.open(preview) as file:
        colours = np.asarray(file, float).transpose(2, 0, 1).reshape(3, -1)
    image = dataset[position]['image'].double().numpy().reshape(3, -1)
    correlation = np.corrcoef(image, colours)[:3, 3:]
    assert correlation.argmax(1).tolist() == [0, 1, 2]
    assert correlation.diagonal().min() > likeness


def test_real_images_equal_those_of_torchgeo(real):
    theirs, ours = EuroSAT(real), EuroSATBands(real)
    for index in range(3):
        assert torch.equal(ours[index]['image'].float(), theirs[index]['image'])
