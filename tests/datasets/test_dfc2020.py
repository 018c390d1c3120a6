# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of DFC2020."""

import shutil

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torchgeo.datasets import DatasetNotFoundError, RGBBandsMissingError

from torchgeo_saco.bands import SENTINEL2_L1C
from torchgeo_saco.datasets import DFC2020
from torchgeo_saco.io.raster import BandFileError, InvalidValuesError
from torchgeo_saco.samplers.order import EpochIndex
from torchgeo_saco.synthesis.benchmarks.dfc2020 import DFC2020Tree
from torchgeo_saco.synthesis.publication import publish

from ..data.archives import write_tif
from ..data.scenes import dfc2020_image, dfc2020_path, write_dfc2020

#: Position of each stored number among the classes that count, as the published code has it.
KEPT = {1: 0, 2: 1, 4: 2, 5: 3, 6: 4, 7: 5, 9: 6, 10: 7}


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """Both parts. Not to be changed."""
    return write_dfc2020(tmp_path_factory.mktemp('dfc2020'))


@pytest.fixture
def own(tree, tmp_path):
    """A copy to change."""
    shutil.copytree(tree, tmp_path / 'own')
    return tmp_path / 'own'


def number_of(name):
    """Number of a patch, as its pixels tell it."""
    return int(name.rpartition('p')[2]) + (100 if 'test' in name else 0)


def test_samples_hold_what_is_stored_of_both_modalities(tree):
    data = DFC2020(tree, 'test')
    assert [name for name in data.scenes[:3]] == [f'ROIs0000_test_0_p{n}' for n in range(3)]
    assert data.bands == tuple(SENTINEL2_L1C.bands)
    for item, name in enumerate(data.scenes):
        sample = data[item]
        number = number_of(name)
        assert sample['image'].dtype == torch.uint16
        assert sample['s1'].dtype == torch.float32
        assert np.array_equal(sample['image'].numpy(), dfc2020_image('s2', number))
        assert np.array_equal(sample['s1'].numpy(), dfc2020_image('s1', number).astype('float32'))


def test_both_layouts_give_the_same_samples(tree, tmp_path):
    older = write_dfc2020(tmp_path / 'older', older=True)
    # As dfc2020_baseline has it.
    mixed = write_dfc2020(tmp_path / 'mixed')
    season = mixed / 'ROIs0000_validation'
    for folder in list(season.iterdir()):
        folder.rename(season / folder.name.replace('_0', '_validation'))
    for split in ('train', 'val', 'test'):
        first = DFC2020(tree, split)
        for root in (older, mixed):
            second = DFC2020(root, split)
            assert first.scenes == second.scenes
            for one, other in zip(first, second, strict=True):
                assert all(torch.equal(one[key], other[key]) for key in ('image', 's1', 'label'))


def test_only_what_is_asked_for_is_read(own):
    shutil.rmtree(own / 'ROIs0000_test/s1_0')
    assert set(DFC2020(own, 'test', modalities=['s2'])[0]) == {'image', 'label'}
    shutil.rmtree(own / 'ROIs0000_validation/s2_0')
    assert set(DFC2020(own, 'train', modalities=['s1'])[0]) == {'s1', 'label'}
    with pytest.raises(ValueError, match=r'no folder ROIs0000_test/s1_0 or s1_test.*leave s1 out'):
        DFC2020(own, 'test')


def test_splits_share_no_patch_and_depend_on_names_alone(tree, tmp_path):
    train, val = (DFC2020(tree, split, val_fraction=0.25) for split in ('train', 'val'))
    # Four of the 20 show Savanna or Snow/Ice, and a next class that counts: none is skipped.
    assert (len(train), len(val)) == (15, 5)
    assert not set(train.scenes) & set(val.scenes)
    assert all('validation' in name for name in (*train.scenes, *val.scenes))
    more = DFC2020(tree, 'val', val_fraction=0.5)
    assert set(val.scenes) < set(more.scenes)


def reference(numbers, task):
    """Label by a plain loop over the classes."""
    counts = [int((numbers == stored).sum()) for stored in KEPT]
    if task == 'multiclass':
        return counts.index(max(counts)) if any(counts) else None
    return [int(count >= 0.1 * numbers.size) for count in counts]


@pytest.mark.parametrize('task', ['multiclass', 'multilabel'])
@pytest.mark.parametrize('size', [None, 8])
def test_labels_are_of_whole_patches(tree, task, size):
    data = DFC2020(tree, 'test', task=task, size=size)
    for item, name in enumerate(data.scenes):
        label = data[item]['label']
        assert label.dtype == torch.int64
        assert label.tolist() == reference(dfc2020_image('dfc', number_of(name)), task)
    # Of Savanna, class 3, the next one counts, though most pixels are of neither.
    assert DFC2020(tree, 'test')[2]['label'] == KEPT[4]


def test_a_tenth_of_all_pixels_makes_a_label(own):
    numbers = np.zeros((1, 20, 20), 'uint8')
    numbers[0, :2], numbers[0, 2, :19], numbers[0, 3:6], numbers[0, 6:8] = 4, 6, 8, 255
    path = dfc2020_path(own, 'test', 'dfc', 0)
    for product in ('s1', 's2'):
        image = dfc2020_image(product, 100)[:, :20, :20]
        kind = 'float32' if product == 's1' else 'uint16'
        write_tif(dfc2020_path(own, 'test', product, 0), image.astype(kind))
    write_tif(path, numbers)
    label = DFC2020(own, 'test', task='multilabel')[0]['label']
    assert label.tolist() == reference(numbers, 'multilabel') == [0, 0, 1, 0, 0, 0, 0, 0]
    numbers[0, 1, 0] = 0
    write_tif(path, numbers)
    assert DFC2020(own, 'test', task='multilabel')[0]['label'].sum() == 0
    assert DFC2020(own, 'test')[0]['label'] == KEPT[4]


def test_patches_without_a_class_are_skipped_and_listed(own):
    path = dfc2020_path(own, 'test', 'dfc', 3)
    numbers = np.full((1, 24, 24), 3, 'uint8')
    numbers[0, :5], numbers[0, 5:9], numbers[0, 9:12] = 0, 255, 8
    write_tif(path, numbers)
    data = DFC2020(own, 'test')
    assert len(data) == 9
    assert 'ROIs0000_test_0_p3' not in data.scenes
    assert data.skipped == [f'{path} has no pixel of any class that counts']


@pytest.mark.slow
def test_windows_are_centred_or_a_function_of_seed_epoch_and_position(tree, monkeypatch):
    data = DFC2020(tree, 'train', size=16)
    whole = DFC2020(tree, 'train')
    centre = data[2]
    assert torch.equal(centre['image'], whole[2]['image'][:, 4:20, 4:20])
    assert torch.equal(centre['s1'], whole[2]['s1'][:, 4:20, 4:20])
    offsets = set()
    for epoch in range(60):
        sample = data[EpochIndex(2, epoch)]
        again = data[EpochIndex(2 - len(data), epoch)]
        assert all(torch.equal(sample[key], again[key]) for key in sample)
        # The numbers of both modalities tell row and column.
        pixel = int(sample['image'][0, 0, 0]) - 10 * number_of(data.scenes[2])
        row, column = divmod(pixel, 24)
        window = whole[2]['s1'][:, row : row + 16, column : column + 16]
        assert torch.equal(sample['s1'], window)
        offsets.add((row, column))
    assert {row for row, _ in offsets} == {column for _, column in offsets} == set(range(9))
    draws = [data[EpochIndex(2, epoch)]['image'] for epoch in range(5)]
    monkeypatch.setenv('PL_GLOBAL_SEED', '7')
    others = [data[EpochIndex(2, epoch)]['image'] for epoch in range(5)]
    assert not all(map(torch.equal, draws, others))
    assert torch.equal(data[2]['image'], centre['image'])


def test_a_part_has_the_labels_of_its_patches(tree):
    data = DFC2020(tree, 'test')
    part = data.part(np.array([4, 1, 4]))
    assert len(part) == 3
    for item, position in enumerate((4, 1, 4)):
        assert torch.equal(part[item]['image'], data[position]['image'])
        assert torch.equal(part[item]['label'], data[position]['label'])


def test_absent_classes_are_named(tree):
    assert DFC2020(tree, 'test').absent_classes == []
    few = DFC2020(tree, 'test').part(np.array([0, 1]))
    assert few.absent_classes == [
        'Grassland', 'Wetlands', 'Croplands', 'Urban', 'Barren', 'Water',
    ]  # fmt: skip
    several = DFC2020(tree, 'test', task='multilabel').part(np.array([0]))
    assert several.absent_classes == [
        'Grassland', 'Wetlands', 'Croplands', 'Urban', 'Barren', 'Water',
    ]  # fmt: skip


def replaced(path, image):
    """Write another image over a file."""
    path.unlink()
    write_tif(path, image)


S1, S2 = (dfc2020_image(product, 100) for product in ('s1', 's2'))


@pytest.mark.parametrize(
    ('product', 'image', 'message'),
    [
        ('dfc', np.full((1, 24, 24), 11, 'uint8'), r'dfc_0_p0\.tif holds 11 in 576 pixels'),
        ('dfc', np.ones((1, 12, 24), 'uint8'), r'dfc_0_p0\.tif is 24 x 12 px, its image .*s1_0_p0'),
        ('s1', S1.astype('float32')[:, :12], r'its image .*s1_0_p0\.tif is 24 x 12 px'),
        ('s2', S2.astype('uint16')[:, :12], r's2_0_p0\.tif is 24 x 12 px and .*s1_0_p0\.tif 24 x'),
        ('s1', (10 ** (S1 / 10)).astype('float32'), r's1_0_p0\.tif holds .* no backscatter in dB'),
        ('s1', (100 * S1).astype('int16'), r's1_0_p0\.tif holds int16 where .* float32; fetch'),
        ('s2', (S2 / 80).astype('uint8'), r's2_0_p0\.tif holds uint8 where uint16 is expected'),
        ('s2', S2.astype('uint16')[:12], r's2_0_p0\.tif has 12 bands where 13 is expected'),
    ],
)  # fmt: skip
def test_files_that_are_not_as_published_are_named(own, product, image, message):
    replaced(dfc2020_path(own, 'test', product, 0), image)
    with pytest.raises(ValueError, match=message):
        DFC2020(own, 'test')[0]


@pytest.mark.parametrize('product', ['s1', 's2', 'dfc'])
def test_a_file_that_is_missing_is_named(own, product):
    dfc2020_path(own, 'test', product, 4).unlink()
    remedy = 'fetch it$' if product == 'dfc' else f'leave {product} out of modalities'
    with pytest.raises(
        ValueError, match=rf'no file of {product} for patch ROIs0000_test_0_p4, .*; .*{remedy}'
    ):
        DFC2020(own, 'test')


def test_nan_is_refused_unless_it_is_allowed(own):
    image = S1.astype('float32')
    image[0, 3, 5] = np.nan
    replaced(dfc2020_path(own, 'test', 's1', 0), image)
    with pytest.raises(InvalidValuesError, match=r's1_0_p0\.tif holds 1 NaN .* row 3, column 5'):
        DFC2020(own, 'test')[0]
    sample = DFC2020(own, 'test', allow_nan=True)[0]
    assert torch.equal(sample['s1'].isnan(), torch.from_numpy(np.isnan(image)))
    image[0, 3, 5] = -np.inf
    replaced(dfc2020_path(own, 'test', 's1', 0), image)
    with pytest.raises(InvalidValuesError, match='infinite values'):
        DFC2020(own, 'test', allow_nan=True)[0]


def test_a_window_larger_than_a_patch(tree):
    with pytest.raises(BandFileError, match='is 24 x 24 px, too small for a window of size=25'):
        DFC2020(tree, 'test', size=25)[0]


def test_missing_data_set(tmp_path):
    with pytest.raises(DatasetNotFoundError):
        DFC2020(tmp_path / 'nowhere')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'split': 'validation'}, 'split must be one of train, val, test'),
        ({'modalities': []}, "modalities must be of 's1' and 's2', each once"),
        ({'modalities': ['s2', 's2']}, "modalities must be of 's1' and 's2', each once"),
        ({'modalities': ['s3']}, "modalities must be one of s1, s2, got 's3'"),
        ({'task': 'segmentation'}, 'task must be one of multiclass, multilabel'),
        ({'size': 0}, 'size must be at least 1 or None, got 0'),
        ({'val_fraction': 0}, 'val_fraction must be above 0 and below 1, got 0'),
        ({'bands': ['B13']}, "no band 'B13'"),
    ],
)
def test_arguments_out_of_range(tree, arguments, message):
    with pytest.raises(ValueError, match=message):
        DFC2020(tree, **arguments)


def test_plot_shows_what_was_read(tree):
    for modalities, count in ((['s1', 's2'], 2), (['s1'], 1), (['s2'], 1)):
        data = DFC2020(tree, 'test', modalities=modalities)
        figure = data.plot(data[0] | {'prediction': torch.tensor(3)}, suptitle='a title')
        assert len(figure.axes) == count
        assert figure.get_suptitle() == 'a title'
        title = figure.axes[0].get_title()
        assert title.startswith('Label: Forest\nPrediction: Wetlands\nSentinel-')
        plt.close(figure)
    data = DFC2020(tree, 'test', bands=['B08'])
    with pytest.raises(RGBBandsMissingError):
        data.plot(data[0])


@pytest.mark.slow
def test_the_sample_is_read_in_both_layouts(tmp_path):
    for release in ('current', 'older'):
        tree = DFC2020Tree(0, 20, (6, 3), release)
        publish(tree.tree(), tmp_path / release, 1, False)
    for split, count in (('train', 5), ('val', 1), ('test', 3)):
        one, other = (DFC2020(tmp_path / name, split) for name in ('current', 'older'))
        assert len(one) == len(other) == count
        for first, second in zip(one, other, strict=True):
            assert all(torch.equal(first[key], second[key]) for key in first)
