# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of PASTIS by its folds."""

import json
import tracemalloc

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from torchgeo.datasets import PASTIS, DatasetNotFoundError, RGBBandsMissingError

from torchgeo_saco.datasets.pastis import PASTISFolds, evenly_spread, pad_dates
from torchgeo_saco.io.raster import BandFileError

from ..data.benchmark_trees import pastis_dates, pastis_series, write_pastis, write_pastis_patch


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """Six patches, the first and the last in fold 1. Not to be changed."""
    return write_pastis(tmp_path_factory.mktemp('pastis'))


@pytest.fixture
def small(tmp_path):
    """One patch with three dates, in fold 1."""
    return write_pastis(tmp_path, (3,))


def change_metadata(root, change):
    """Rewrite the list of patches."""
    path = root / 'PASTIS-R' / 'metadata.geojson'
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))


def change_patch(root, **properties):
    """Rewrite what the list says of the one patch."""
    change_metadata(root, lambda table: table['features'][0]['properties'].update(properties))


def test_sample_keeps_stored_numbers(tree):
    dataset = PASTISFolds(tree, [1], ['b8a', 'B02'])
    assert dataset.bands == ('B8A', 'B02')
    assert len(dataset) == 2
    sample = dataset[1]
    assert sample['image'].dtype == torch.int16
    assert sample['image'].shape == (3, 2, 128, 128)
    # 3000 x patch + 300 x date + 20 x position of the band in the file + row / 8
    levels = [[18000 + 300 * date + 20 * band + 5 for band in (7, 0)] for date in range(3)]
    assert sample['image'][:, :, 40, 77].tolist() == levels
    assert sample['mask'].dtype == torch.int64
    # The classes are columns of 6 px, beginning again after the 20th.
    assert sample['mask'][3].tolist() == [column // 6 % 20 for column in range(128)]
    assert sample['date'].dtype == torch.int64
    assert sample['date'].tolist() == [20180907, 20181007, 20181107]
    assert sample['length'].item() == 3
    assert sample['location'].item() == 6
    for index in (2, -3):
        with pytest.raises(IndexError, match=f'item {index} of a data set with 2 items'):
            dataset[index]


@pytest.mark.parametrize('folds', [(1,), (4, 2), (1, 2, 3, 4, 5)])
def test_images_and_masks_equal_those_of_torchgeo(tree, folds):
    theirs, ours = PASTIS(tree, folds), PASTISFolds(tree, folds)
    assert ours.classes == theirs.classes
    assert [sample['location'].item() for sample in ours] == theirs.idxs
    for index in range(len(theirs)):
        assert torch.equal(ours[index]['image'].float(), theirs[index]['image'])
        assert torch.equal(ours[index]['mask'], theirs[index]['mask'])


@pytest.mark.parametrize(
    ('dates', 'chosen'),
    [(1, [3]), (2, [1, 4]), (3, [1, 3, 5]), (5, [0, 1, 3, 4, 5]), (6, range(6)), (9, range(6))],
)
def test_dates_are_spread_evenly(tree, dates, chosen):
    sample = PASTISFolds(tree, [4], dates=dates)[0]
    everything = PASTISFolds(tree, [4])[0]
    chosen = list(chosen)
    assert sample['length'].item() == len(chosen)
    assert torch.equal(sample['image'], everything['image'][chosen])
    assert sample['date'].tolist() == everything['date'][chosen].tolist()
    assert torch.equal(sample['mask'], everything['mask'])


def test_spread_of_any_series():
    for count in range(1, 62):
        for wanted in range(1, count + 1):
            chosen = evenly_spread(count, wanted)
            assert len(set(chosen)) == wanted
            assert 0 <= chosen[0] <= chosen[-1] < count
            steps = np.diff(chosen)
            assert wanted == 1 or steps.max() - steps.min() <= 1


def test_only_the_dates_and_bands_asked_for_are_read(small, monkeypatch):
    modes = []
    load = np.load

    def recorded(path, mmap_mode=None, **arguments):
        modes.append(mmap_mode)
        return load(path, mmap_mode=mmap_mode, **arguments)

    count = 3000
    path = small / 'PASTIS-R' / 'DATA_S2' / 'S2_1.npy'
    # A file of zeros that takes no room on the disk, but 980 MB in memory.
    series = np.lib.format.open_memmap(path, 'w+', np.int16, (count, 10, 128, 128))
    series[1500, 6] = 7
    del series
    days = {str(date): 20180901 for date in range(count)}
    change_patch(small, **{'dates-S2': days})
    dataset = PASTISFolds(small, [1], ['B08'], dates=3)
    monkeypatch.setattr(np, 'load', recorded)
    tracemalloc.start()
    sample = dataset[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert modes == ['r', 'r']
    assert sample['image'].double().mean((1, 2, 3)).tolist() == [0, 7, 0]
    assert peak < 3_000_000


def test_sample_can_be_written_to(small):
    sample = PASTISFolds(small, [1])[0]
    sample['image'] += 1
    sample['mask'][:] = 0
    assert PASTISFolds(small, [1])[0]['image'][0, 0, 0, 0] == 3000


def test_dates_in_the_order_of_their_numbers(small):
    days = {str(date): 20180901 + date for date in range(12)}
    change_patch(small, **{'dates-S2': dict(sorted(days.items()))})
    folder = small / 'PASTIS-R'
    write_pastis_patch(folder, 1, pastis_series(1, 12))
    assert PASTISFolds(small, [1])[0]['date'].tolist() == list(range(20180901, 20180913))


def test_dates_as_text(small):
    change_patch(small, **{'dates-S2': json.dumps(pastis_dates(1, 3))})
    assert PASTISFolds(small, [1])[0]['date'].tolist() == [20180902, 20181002, 20181102]


def test_fold_as_text(small):
    change_patch(small, Fold='1', ID_PATCH='1')
    assert PASTISFolds(small, [1])[0]['location'].item() == 1


@pytest.mark.parametrize(
    'dates',
    [None, 'no JSON', [20180901] * 3, {'a': 20180901}, {'0': 'x', '1': 2, '2': 3}, 5,
     {'0': 20181301, '1': 20180901, '2': 20180901}, {'0': None, '1': 1, '2': 1}],
)  # fmt: skip
def test_wrong_dates(small, dates):
    change_patch(small, **{'dates-S2': dates})
    with pytest.raises(ValueError, match=r'metadata\.geojson: patch 1 has no dates-S2 such as'):
        PASTISFolds(small, [1])[0]


def test_dates_of_another_number_than_the_images(small):
    change_patch(small, **{'dates-S2': pastis_dates(1, 4)})
    message = r'patch 1 has 4 dates-S2, its file .*S2_1\.npy 3 images; fetch both'
    with pytest.raises(ValueError, match=message):
        PASTISFolds(small, [1])[0]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda table: table.pop('features'), 'is no list of patches in GeoJSON .*features'),
        (lambda table: table['features'][0].pop('properties'), 'is no list of patches'),
        (lambda table: table['features'][0]['properties'].pop('Fold'), 'entry 0 has no ID_PATCH'),
        (lambda table: table['features'][0]['properties'].update(ID_PATCH='x'), 'entry 0 has no'),
        (lambda table: table['features'][0].update(properties=None), 'entry 0 has no ID_PATCH'),
        (lambda table: table['features'].append(table['features'][0]), 'lists patch 1 twice'),
        (lambda table: table['features'].clear(), 'has no patch of fold 1; fetch'),
    ],
)
def test_damaged_metadata(small, change, message):
    change_metadata(small, change)
    with pytest.raises(ValueError, match=rf'metadata\.geojson.*{message}'):
        PASTISFolds(small, [1])


def test_metadata_that_are_no_text(small):
    (small / 'PASTIS-R' / 'metadata.geojson').write_bytes(b'\xff\xfe{')
    with pytest.raises(ValueError, match=r'metadata\.geojson is no list of patches in GeoJSON'):
        PASTISFolds(small, [1])


def test_fold_without_patches(small):
    with pytest.raises(ValueError, match='has no patch of fold 2, 4; fetch'):
        PASTISFolds(small, [1, 4, 2])


@pytest.mark.parametrize('absent', ['metadata', 'root'])
def test_missing_data(small, absent):
    (small / 'PASTIS-R' / 'metadata.geojson').unlink()
    with pytest.raises(DatasetNotFoundError, match='use `download=True`'):
        PASTISFolds(small if absent == 'metadata' else small / 'none')


@pytest.mark.parametrize(
    ('series', 'message'),
    [
        (pastis_series(1, 3).astype('float32'), 'holds float32 where int16 is expected'),
        (pastis_series(1, 3).astype('uint16'), 'holds uint16 where int16 is expected'),
        (pastis_series(1, 3)[:, :9], r'has shape \(3, 9, 128, 128\) where \(dates, 10, 128, 128\)'),
        (pastis_series(1, 3)[0], r'has shape \(10, 128, 128\) where'),
        (pastis_series(1, 3)[:0], r'has shape \(0, 10, 128, 128\) where'),
        (pastis_series(1, 3)[..., :127], r'has shape \(3, 10, 128, 127\) where'),
    ],
)
def test_wrong_series(small, series, message):
    write_pastis_patch(small / 'PASTIS-R', 1, series)
    with pytest.raises(BandFileError, match=rf'S2_1\.npy {message}'):
        PASTISFolds(small, [1])[0]


@pytest.mark.parametrize(
    ('target', 'message'),
    [
        (np.full((3, 128, 128), 20, 'uint8'), 'holds class 20, where classes are 0 to 19; fetch'),
        (np.full((3, 128, 128), -1, 'int8'), 'holds class -1, where classes are 0 to 19'),
        (np.ones((3, 128, 128), 'float32'), 'holds float32; store classes as integers'),
        (
            np.ones((3, 64, 64), 'uint8'),
            r'has shape \(3, 64, 64\), which .* 128 x 128 px of .*S2_1',
        ),
        (np.ones((128, 128), 'uint8'), r'has shape \(128, 128\), which'),
        (np.ones((0, 128, 128), 'uint8'), r'has shape \(0, 128, 128\), which'),
    ],
)
def test_wrong_classes(small, target, message):
    np.save(small / 'PASTIS-R' / 'ANNOTATIONS' / 'TARGET_1.npy', target)
    with pytest.raises(BandFileError, match=rf'TARGET_1\.npy {message}'):
        PASTISFolds(small, [1])[0]


@pytest.mark.parametrize('name', ['DATA_S2/S2_1.npy', 'ANNOTATIONS/TARGET_1.npy'])
def test_damaged_and_missing_files(small, name):
    path = small / 'PASTIS-R' / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BandFileError, match=f'{path.name} cannot be read as an array'):
        PASTISFolds(small, [1])[0]
    path.unlink()
    with pytest.raises(BandFileError, match=f'{path.name} is missing'):
        PASTISFolds(small, [1])[0]


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'folds': [0]}, r'folds must be a list of some of 1, 2, 3, 4, 5, got \[0\]'),
        ({'folds': [6, 1]}, r'folds must be .* got \[6, 1\]'),
        ({'folds': []}, r'folds must be .* got \[\]'),
        ({'folds': 1}, 'folds must be .* got 1'),
        ({'folds': '12'}, "folds must be .* got '12'"),
        ({'folds': [2, 1, 2]}, r'a fold is listed twice in \[2, 1, 2\]'),
        ({'dates': 0}, 'dates must be at least 1 or None, got 0'),
        ({'bands': ['B10']}, "Sentinel-2 L2A has no band 'B10'"),
        ({'bands': ['B01']}, 'the image has no band B01; its bands are B02, B03'),
    ],
)
def test_wrong_argument(tree, wrong, message):
    with pytest.raises(ValueError, match=message):
        PASTISFolds(tree, **wrong)


def test_batch_is_padded_to_its_longest_series(tree):
    dataset = PASTISFolds(tree, [2, 3, 5], ['B04'])
    samples = list(dataset)
    batch = pad_dates(samples)
    assert batch['length'].tolist() == [5, 4, 2]
    assert batch['image'].shape == (3, 5, 1, 128, 128)
    assert batch['image'].dtype == torch.int16
    assert batch['location'].tolist() == [2, 3, 5]
    assert torch.equal(batch['mask'], torch.stack([sample['mask'] for sample in samples]))
    for number, sample in enumerate(samples):
        length = sample['length']
        assert torch.equal(batch['image'][number, :length], sample['image'])
        assert not batch['image'][number, length:].any()
        assert torch.equal(batch['date'][number, :length], sample['date'])
        assert not batch['date'][number, length:].any()


@pytest.mark.parametrize(
    ('fold', 'days'),
    [(4, ['2018-09-05', '2018-12-05', '2018-10-05']), (5, ['2018-09-06', '2018-10-06'])],
)
def test_plot(tree, fold, days):
    dataset = PASTISFolds(tree, [fold], ['B02', 'B03', 'B04'])
    sample = pad_dates([dataset[0], PASTISFolds(tree, [4], dataset.bands)[0]])
    sample = {key: values[0] for key, values in sample.items()}
    sample['mask'] = sample['mask'].clamp(3, 5)
    sample['prediction'] = torch.full((128, 128), 19)
    figure = dataset.plot(sample)
    assert [axis.get_title() for axis in figure.axes] == [*days, 'target', 'prediction']
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.texts] == [
        'corn', 'winter barley', 'winter rapeseed', 'void label',
    ]  # fmt: skip
    colors = [patch.get_facecolor()[:3] for patch in legend.get_patches()]
    assert np.allclose(colors, [to_rgb(dataset.colors[number]) for number in (3, 4, 5, 19)])
    plt.close('all')


def test_plot_without_the_bands_of_natural_colour(tree):
    dataset = PASTISFolds(tree, [1], ['B02'])
    with pytest.raises(RGBBandsMissingError):
        dataset.plot(dataset[0])
