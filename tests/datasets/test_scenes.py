# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of what the benchmarks of labelled images share."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torchgeo.datasets import RGBBandsMissingError

from torchgeo_saco.datasets.scenes import (
    LabelledScenes,
    listed_scenes,
    require_disjoint,
    require_uint16,
)
from torchgeo_saco.io.raster import BandFileError


class Scenes(LabelledScenes):
    classes = ('field', 'sea', 'town')

    def __init__(self, split='train', scenes=('a', 'b', 'c'), bands=('B4', 'B3', 'B2'), **kwargs):
        super().__init__('root', split, ('train', 'val'), bands, 'sentinel2_l1c', None, **kwargs)
        self.scenes = scenes

    def read_image(self, position):
        return np.full((len(self.bands), 4, 4), position % 3, 'uint16')

    def read_label(self, position):
        return torch.tensor(position % 3)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close('all')


@pytest.mark.parametrize(
    ('index', 'item'), [(1, 1), (-2, 1), (-3, 0), (2, 2), (np.int64(1), 1), (np.int32(-2), 1)]
)
def test_any_whole_number_finds_an_item(index, item):
    sample = Scenes()[index]
    assert sample['image'].unique().item() == item
    assert sample['image'].dtype == torch.uint16
    assert sample['image'].shape == (3, 4, 4)


@pytest.mark.parametrize('index', [3, -4, 99])
def test_index_out_of_range(index):
    with pytest.raises(IndexError, match=f"item {index} of split 'train' with 3 images"):
        Scenes()[index]


def test_transforms_see_the_sample():
    scenes = Scenes()
    scenes.transforms = lambda sample: {**sample, 'seen': torch.tensor(1)}
    assert scenes[0]['seen'] == 1


def test_unknown_split():
    with pytest.raises(ValueError, match="split must be one of train, val, got 'dev'"):
        Scenes('dev')


def test_title_names_label_and_prediction():
    sample = {**Scenes()[2], 'prediction': torch.tensor(1)}
    figure = Scenes().plot(sample, suptitle='Above')
    assert figure.axes[0].get_title() == 'Label: town\nPrediction: sea'
    assert figure.get_suptitle() == 'Above'


def test_title_names_several_labels_or_none():
    sample = {**Scenes()[0], 'label': torch.tensor([1, 0, 1]), 'prediction': torch.zeros(3)}
    figure = Scenes().plot(sample)
    assert figure.axes[0].get_title() == 'Label: field, town\nPrediction: none'
    assert Scenes().plot(sample, show_titles=False).axes[0].get_title() == ''


def test_long_titles_are_broken():
    scenes = Scenes()
    scenes.classes = ('Land principally occupied by agriculture, with natural vegetation', 'b', 'c')
    lines = scenes.plot(scenes[0]).axes[0].get_title().split('\n')
    assert len(lines) == 2
    assert max(map(len, lines)) <= 45


def test_plot_shows_red_green_and_blue_in_this_order():
    scenes = Scenes(bands=('B02', 'B8A', 'B04', 'B03'))
    image = torch.zeros(4, 4, 4, dtype=torch.int32)
    image[2] = torch.arange(1, 17).reshape(4, 4)
    shown = scenes.plot({'image': image}).axes[0].images[0].get_array()
    assert shown[..., 0].max() == pytest.approx(1)
    assert not shown[..., 1:].any()


def test_plot_without_natural_colour():
    scenes = Scenes(bands=('B02', 'B03', 'B08'))
    with pytest.raises(RGBBandsMissingError):
        scenes.plot(scenes[0])


PATTERN = (r'(?P<scene>[a-z]+_\d+)\.tif', 'a scene')


def test_list_keeps_its_order_and_passes_over_blank_lines(tmp_path):
    (tmp_path / 'list.txt').write_bytes(b'\xef\xbb\xbfb_2.tif\r\n\r\n  a_1.tif \n')
    names = [match['scene'] for match in listed_scenes(tmp_path / 'list.txt', *PATTERN)]
    assert names == ['b_2', 'a_1']


@pytest.mark.parametrize(
    ('line', 'shown'),
    [
        (b'../../etc/passwd', r"'\.\./\.\./etc/passwd'"),
        (b'/a_1.tif', "'/a_1.tif'"),
        (b'a_1.tif\0', r"'a_1\.tif\\x00'"),
        (b'<html>', "'<html>'"),
        (b'\xff\xfea_1.tif', r"'\\\\xff\\\\xfea_1\.tif'"),
        ('a_\u0661.tif'.encode(), "'a_\u0661.tif'"),
        (b'a_1.tif b_1.tif', r"'a_1\.tif b_1\.tif'"),
        (b'x' * 999, f"'{80 * 'x'}'"),
    ],
)
def test_wrong_line(tmp_path, line, shown):
    (tmp_path / 'list.txt').write_bytes(b'a_2.tif\n' + line + b'\n')
    with pytest.raises(ValueError, match=rf'list\.txt, line 2: {shown} is not a scene; correct'):
        listed_scenes(tmp_path / 'list.txt', *PATTERN)


def test_line_given_twice(tmp_path):
    (tmp_path / 'list.txt').write_text('a_2.tif\na_1.tif\n\na_2.tif\n')
    with pytest.raises(ValueError, match=r'list\.txt, line 4: a_2 is in line 1 already; remove'):
        listed_scenes(tmp_path / 'list.txt', *PATTERN)


def test_splits_that_share_images():
    parts = [Scenes(), Scenes('val', ('d',)), Scenes('val', ('e', 'c', 'b'))]
    require_disjoint(parts[:2])
    message = r"root: splits 'train' and 'val' share 2 images, such as b; remove them"
    with pytest.raises(ValueError, match=message):
        require_disjoint(parts)


@pytest.mark.parametrize('dtype', ['uint8', 'int16', 'float32'])
def test_other_types_than_published(dtype):
    require_uint16('a.tif', np.zeros(1, 'uint16'))
    with pytest.raises(BandFileError, match=f'a.tif holds {dtype} where uint16 is expected; fetch'):
        require_uint16('a.tif', np.zeros(1, dtype))
