# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the windows of GID."""

import os
import zlib

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torchgeo.datasets import GID15, DatasetNotFoundError

from torchgeo_saco.datasets.gid import GIDWindows
from torchgeo_saco.datasets.gid_layout import copy_labels, listed_tiles
from torchgeo_saco.io.raster import BandFileError, read_bands

from ..data.archives import write_tif
from ..data.benchmark_trees import (
    GID_COLORS,
    GID_MERGED,
    GID_NAMES,
    GID_SHAPE,
    gid_files,
    gid_image,
    gid_numbers,
    write_gid,
    write_gid5,
    write_png,
)

FIVE = ('built-up', 'farmland', 'forest', 'meadow', 'water')


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    """Three tiles to train on and one to test on. Not to be changed."""
    return write_gid(tmp_path_factory.mktemp('gid'))


@pytest.fixture
def small(tmp_path):
    """One tile to train on."""
    return write_gid(tmp_path, GID_NAMES[:1], ())


def read_small(root, **arguments):
    """Windows of the one tile."""
    return GIDWindows(root, size=32, **({'val_fraction': 0} | arguments))


def put_together(dataset, location=0):
    """Image and mask of a tile, from its windows, and how often each pixel counts."""
    shape = dataset.scene_shape(location)
    image, mask = torch.zeros(3, *shape, dtype=torch.uint8), torch.full(shape, -9)
    times = torch.zeros(shape, dtype=torch.long)
    for sample in dataset:
        if sample['location'] == location:
            part = tuple(
                slice(sample[key], sample[key] + dataset.size) for key in ('row', 'column')
            )
            image[:, *part] = sample['image']
            counts = sample['mask'] >= 0
            mask[part] = sample['mask'].where(counts, mask[part])
            times[part] += counts
    return image, mask, times


def test_sample_keeps_stored_numbers(tree):
    dataset = GIDWindows(tree, 'test', size=32)
    # Rows 0, 32, 38 and columns 0, 32, 58
    assert len(dataset) == 9
    sample = dataset[5]
    assert {key: sample[key].item() for key in ('location', 'row', 'column')} == {
        'location': 0, 'row': 32, 'column': 58,
    }  # fmt: skip
    assert sample['image'].dtype == torch.uint8
    assert np.array_equal(sample['image'], gid_image(3)[:, 32:64, 58:])
    assert sample['mask'].dtype == torch.int64
    expected = gid_numbers(3)[32:64, 58:].astype(int) - 1
    expected[:, : 64 - 58] = -1
    assert np.array_equal(sample['mask'], expected)
    for index in (9, -10):
        with pytest.raises(IndexError, match=f'item {index} of a data set with 9 items'):
            dataset[index]


def test_bands_are_found_by_name(tree):
    dataset = GIDWindows(tree, 'test', size=32, bands=['blue', 'R'])
    assert dataset.bands == ('B', 'R')
    assert np.array_equal(dataset[0]['image'], gid_image(3)[[2, 0], :32, :32])


def test_windows_put_together_give_the_tile_of_torchgeo(tree):
    theirs = GID15(tree, 'val')[0]
    dataset = GIDWindows(tree, 'test', size=32)
    assert dataset.classes == GID15.classes[1:]
    image, mask, times = put_together(dataset)
    assert torch.equal(image.float(), theirs['image'])
    labelled = theirs['mask'] > 0
    assert torch.equal(mask[labelled], theirs['mask'][labelled] - 1)
    assert torch.equal(times, labelled.long())


def test_five_classes_are_the_fifteen_merged(tree):
    fifteen, five = (GIDWindows(tree, 'test', classes, size=32) for classes in (15, 5))
    assert five.classes == FIVE
    merged = torch.tensor([*GID_MERGED, -1])
    for one, other in zip(fifteen, five, strict=True):
        assert torch.equal(merged[one['mask']], other['mask'])
        assert torch.equal(one['image'], other['image'])
    assert fifteen[0]['mask'].max() == 14
    assert five[0]['mask'].max() == 4


def test_released_five_classes_are_the_fifteen_merged(tree, tmp_path):
    root = write_gid5(tmp_path, val=('GF2_PMS2__L1A09-MSS2', 'GF2_PMS2__L1A08-MSS2'))
    dataset = GIDWindows(root, 'test', 5, 'gid5', size=32)
    assert dataset.classes == FIVE
    assert [tile.name[-4:] for tile in dataset.tiles] == ['MSS2', 'MSS2']
    # Tiles are in the order of their names, not of the list.
    for location, seed in ((0, 3), (1, 2)):
        image, mask, _ = put_together(dataset, location)
        assert np.array_equal(image, gid_image(seed))
        numbers = gid_numbers(seed)
        expected = np.array([-9, *GID_MERGED])[numbers]
        assert np.array_equal(mask, expected)


def test_val_is_held_out_from_the_official_training_tiles(tree):
    ranked = sorted(GID_NAMES, key=lambda name: zlib.crc32(name.encode()))
    for fraction, count in ((0.01, 1), (0.2, 1), (0.5, 2), (0.67, 2)):
        val = GIDWindows(tree, 'val', size=32, val_fraction=fraction)
        train = GIDWindows(tree, 'train', size=32, val_fraction=fraction)
        assert [tile.name for tile in val.tiles] == sorted(ranked[:count])
        assert [tile.name for tile in train.tiles] == sorted(ranked[count:])
        assert len(GIDWindows(tree, 'test', size=32, val_fraction=fraction).tiles) == 1
    assert len(GIDWindows(tree, 'train', size=32, val_fraction=0).tiles) == 3
    assert len(GIDWindows(tree, 'val', size=32, val_fraction=0)) == 0


def test_stride_is_of_training_windows_alone(tree):
    train = GIDWindows(tree, 'train', size=32, stride=16, val_fraction=0)
    locations = {(int(s['row']), int(s['column'])) for s in train if s['location'] == 0}
    # The last row is shifted from 48 to 38, the last column from 64 to 58.
    rows, columns = (0, 16, 32, 38), (0, 16, 32, 48, 58)
    assert locations == {(row, column) for row in rows for column in columns}
    numbers = gid_numbers(sorted(GID_NAMES).index(train.tiles[0].name))
    sample = next(s for s in train if s['row'] == 38 and s['column'] == 58)
    seed = GID_NAMES.index(train.tiles[0].name)
    assert np.array_equal(sample['mask'], gid_numbers(seed)[38:, 58:].astype(int) - 1)
    assert numbers.shape == GID_SHAPE
    assert len(GIDWindows(tree, 'val', size=32, stride=16)) == 9


def test_training_windows_without_a_label_are_left_out(small):
    numbers = np.zeros(GID_SHAPE, 'uint8')
    numbers[40, 20] = 1
    # Counted by the window before, so ignored in the last of the row.
    numbers[10, 60] = 15
    # In the last row, which begins at 38: seen up to 64.
    numbers[66, 40] = 9
    write_png(gid_files(small, 'train', GID_NAMES[0])[1], numbers)
    dataset = read_small(small)
    locations = [(int(sample['row']), int(sample['column'])) for sample in dataset]
    assert locations == [(0, 32), (32, 0), (38, 32)]
    assert dataset.skipped == 6
    assert all((sample['mask'] >= 0).any() for sample in dataset)
    everything = read_small(small, keep_unlabelled=True)
    assert (len(everything), everything.skipped) == (9, 0)
    assert sum(int((sample['mask'] >= 0).sum()) for sample in everything) == 3


def test_other_windows_without_a_label_are_kept(tmp_path):
    write_gid(tmp_path)
    for name in GID_NAMES:
        write_png(gid_files(tmp_path, 'train', name)[1], np.zeros(GID_SHAPE, 'uint8'))
    write_png(gid_files(tmp_path, 'val', 'GF2_PMS2__L1A09-MSS2')[1], np.zeros(GID_SHAPE, 'uint8'))
    counts = [GIDWindows(tmp_path, split, size=32) for split in ('train', 'val', 'test')]
    assert [len(dataset) for dataset in counts] == [0, 9, 9]
    assert [dataset.skipped for dataset in counts] == [18, 0, 0]


def copied(root, name=GID_NAMES[0]):
    """Path of the copy of the classes."""
    return root / 'GID' / 'ann_tiled' / 'train' / f'{name}.tif'


def test_masks_are_copied_once(small):
    read_small(small)
    first = copied(small).stat()
    assert np.array_equal(read_bands(copied(small))[0], gid_numbers(0))
    read_small(small)
    assert copied(small).stat().st_mtime_ns == first.st_mtime_ns
    # A mask that is newer than its copy is copied again.
    changed = 15 - gid_numbers(0)
    mask = gid_files(small, 'train', GID_NAMES[0])[1]
    write_png(mask, changed)
    os.utime(mask, ns=(first.st_atime_ns, first.st_mtime_ns + 10**9))
    assert np.array_equal(read_small(small)[0]['mask'], changed[:32, :32].astype(int) - 1)


@pytest.mark.parametrize('wrong', ['damaged', 'size'])
def test_wrong_copy_is_written_again(small, wrong):
    if wrong == 'size':
        write_tif(copied(small), gid_numbers(1)[1:])
    else:
        copied(small).parent.mkdir(parents=True)
        copied(small).write_bytes(b'torn')
    assert np.array_equal(read_small(small)[0]['mask'], gid_numbers(0)[:32, :32].astype(int) - 1)


def test_copies_elsewhere(small, tmp_path):
    read_small(small, cache=tmp_path / 'copies')
    assert not copied(small).exists()
    assert (tmp_path / 'copies' / 'ann_tiled' / 'train' / f'{GID_NAMES[0]}.tif').is_file()


def test_copies_that_cannot_be_written(small):
    (small / 'GID' / 'ann_tiled').write_text('in the way')
    with pytest.raises(
        ValueError, match=r'L1A01-MSS1\.tif cannot be written .* set cache to a fol'
    ):
        read_small(small)


def test_labels_are_copied_where_asked(small):
    tile = listed_tiles(small, 'train', 'gid15')[0]
    assert copy_labels(tile, 15)
    assert not copy_labels(tile, 15)


def test_window_of_a_damaged_tile_is_read_where_it_is_whole(small):
    image = gid_files(small, 'train', GID_NAMES[0])[0]
    image.write_bytes(image.read_bytes()[:-2000])
    dataset = read_small(small)
    assert np.array_equal(dataset[0]['image'], gid_image(0)[:, :32, :32])
    with pytest.raises(BandFileError, match=r'L1A01-MSS1\.tif cannot be read as a GeoTIFF'):
        dataset[len(dataset) - 1]


def test_mask_with_an_unknown_class(small):
    numbers = gid_numbers(0)
    numbers[3, 3] = 16
    write_png(gid_files(small, 'train', GID_NAMES[0])[1], numbers)
    with pytest.raises(BandFileError, match=r'L1A01-MSS1_15label\.png holds 16 in 1 pixels'):
        read_small(small)


def test_mask_of_another_size(small):
    write_png(gid_files(small, 'train', GID_NAMES[0])[1], gid_numbers(0)[:, 1:])
    message = (
        r'MSS1_15label\.png is 89 x 70 px, its image .*img_dir/train/.*MSS1\.tif is 90 x 70 px'
    )
    with pytest.raises(BandFileError, match=message):
        read_small(small)


@pytest.mark.parametrize(
    ('rank', 'message'),
    [
        (0, r'has .*MSS1_15label\.png, .*img_dir/train no .*MSS1\.tif; .* remove the mask'),
        (1, r'MSS1_15label\.png is missing'),
    ],
)
def test_missing_image_or_mask(small, rank, message):
    path = gid_files(small, 'train', GID_NAMES[0])[rank]
    kept = gid_files(small, 'train', GID_NAMES[1])
    write_tif(kept[0], gid_image(1))
    write_png(kept[1], gid_numbers(1))
    path.unlink()
    with pytest.raises(ValueError, match=message):
        read_small(small)


def test_image_of_other_bands_or_type(small):
    path = gid_files(small, 'train', GID_NAMES[0])[0]
    write_tif(path, gid_image(0).astype('uint16'))
    with pytest.raises(BandFileError, match=r'MSS1\.tif holds uint16 where uint8 is expected'):
        read_small(small)[0]
    write_tif(path, gid_image(0)[[0, 1, 2, 2]])
    with pytest.raises(BandFileError, match=r'MSS1\.tif has 4 bands where 3 is expected'):
        read_small(small)


def test_tile_smaller_than_a_window(small):
    with pytest.raises(
        ValueError, match=r'MSS1\.tif is 90 x 70 px, smaller than a tile of 71 x 71'
    ):
        GIDWindows(small, size=71, val_fraction=0)


def test_folder_without_tiles(small):
    gid_files(small, 'train', GID_NAMES[0])[0].unlink()
    with pytest.raises(ValueError, match=r'img_dir/train has no tile <name>\.tif; fetch it again'):
        read_small(small)


@pytest.mark.parametrize('absent', ['img_dir', 'ann_dir'])
def test_missing_data(small, absent):
    (small / 'GID' / absent).rename(small / 'elsewhere')
    with pytest.raises(DatasetNotFoundError, match='use `download=True`'):
        read_small(small)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'split': 'dev'}, "split must be one of train, val, test, got 'dev'"),
        ({'classes': 6}, "classes must be 15 or 5 in release 'gid15', got 6"),
        ({'release': 'gid5'}, "classes must be 5 in release 'gid5', got 15"),
        ({'release': 'gid'}, "release must be 'gid15' or 'gid5', got 'gid'"),
        ({'size': 0}, 'size must be at least 1, got 0'),
        ({'stride': 33}, 'stride must be from 1 to size=32, so that no pixel is lost, got 33'),
        ({'bands': ['NIR']}, "RGB has no band 'NIR'"),
        ({'val_fraction': 1}, 'val_fraction must be at least 0 and below 1, got 1'),
        ({'val_fraction': -0.1}, r'val_fraction must be at least 0 and below 1, got -0\.1'),
    ],
)
def test_wrong_argument(tree, wrong, message):
    with pytest.raises(ValueError, match=message):
        GIDWindows(tree, **({'size': 32} | wrong))


@pytest.fixture
def coloured(tmp_path):
    """Tree of GID-5."""
    return write_gid5(tmp_path)


def read_coloured(root, split='train'):
    """Windows of GID-5."""
    return GIDWindows(root, split, 5, 'gid5', size=32, val_fraction=0)


def test_copies_of_coloured_masks_hold_numbers(coloured):
    read_coloured(coloured)
    numbers = read_bands(coloured / 'label_tiled' / f'{GID_NAMES[0]}.tif')[0]
    assert np.array_equal(numbers, np.array([0, *(n + 1 for n in GID_MERGED)])[gid_numbers(0)])


def test_tall_coloured_mask(coloured):
    shape = (1100, 40)
    numbers = gid_numbers(5, shape) % 6
    colors = np.array([(0, 0, 0), *GID_COLORS], 'uint8')[numbers].transpose(2, 0, 1).copy()
    label = coloured / 'label_5classes' / f'{GID_NAMES[2]}_label.tif'
    write_tif(coloured / 'image_RGB' / f'{GID_NAMES[2]}.tif', gid_image(5, shape))
    write_tif(label, colors)
    _, mask, _ = put_together(read_coloured(coloured, 'test'))
    assert np.array_equal(mask, np.where(numbers > 0, numbers.astype(int) - 1, -9))
    colors[:, 1000, 7] = (255, 0, 1)
    write_tif(label, colors)
    os.utime(label, ns=(2**62, 2**62))
    message = r'_label\.tif has the colour 255, 0, 1 of no class at row 1000, column 7; fetch'
    with pytest.raises(BandFileError, match=message):
        read_coloured(coloured, 'test')


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        (np.zeros((3, 70, 91), 'uint8'), r'_label\.tif is 91 x 70 px, its image .* is 90 x 70 px'),
        (np.zeros((3, 70, 90), 'uint16'), r'_label\.tif holds uint16 where uint8 is expected'),
        (np.zeros((1, 70, 90), 'uint8'), r'_label\.tif has 1 bands where 3 is expected'),
    ],
)
def test_wrong_coloured_mask(coloured, labels, message):
    write_tif(coloured / 'label_5classes' / f'{GID_NAMES[0]}_label.tif', labels)
    with pytest.raises(BandFileError, match=message):
        read_coloured(coloured)


def test_missing_lists(coloured):
    (coloured / 'val.txt').unlink()
    with pytest.raises(
        ValueError, match=r'val\.txt is missing, for the release has no split; write'
    ):
        read_coloured(coloured)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('', r'train\.txt lists no tile; write one name a line'),
        ('../secret', r"train\.txt, line 1: '\.\./secret' is not the name of a tile without \.tif"),
        ('a.tif', r"train\.txt, line 1: 'a\.tif' is not the name"),
        (f'{GID_NAMES[2]}', rf'tile {GID_NAMES[2]} is in train\.txt and val\.txt; remove one'),
        ('other', r'image_RGB/other\.tif is missing'),
    ],
)
def test_wrong_lists(coloured, text, message):
    (coloured / 'train.txt').write_text(text)
    with pytest.raises(ValueError, match=message):
        read_coloured(coloured)


@pytest.mark.parametrize('absent', ['image_RGB', 'label_5classes'])
def test_missing_release(coloured, absent):
    (coloured / absent).rename(coloured / 'elsewhere')
    with pytest.raises(DatasetNotFoundError):
        read_coloured(coloured)


@pytest.mark.parametrize('classes', [15, 5])
def test_plot(tree, classes):
    dataset = GIDWindows(tree, 'test', classes, size=32)
    sample = dataset[0]
    sample['prediction'] = torch.zeros_like(sample['mask'])
    figure = dataset.plot(sample)
    assert [axis.get_title() for axis in figure.axes] == ['image', 'target', 'prediction']
    names = [text.get_text() for text in figure.legends[0].texts]
    present = set(sample['mask'].unique().tolist()) | {0}
    expected = [dataset.classes[number].replace('_', ' ') for number in sorted(present - {-1})]
    assert names == [*expected, 'no class']
    colors = [patch.get_facecolor()[:3] for patch in figure.legends[0].get_patches()]
    if classes == 5:
        assert np.allclose(colors[:-1], np.array(GID_COLORS)[sorted(present - {-1})] / 255)
    assert len(set(colors)) == len(colors)
    plt.close('all')
