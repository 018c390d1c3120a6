# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the figures."""

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from skimage.color import rgb2lab

from torchgeo_saco.datasets.dynamicearthnet import DynamicEarthNetWindows
from torchgeo_saco.datasets.gid import FIFTEEN_COLORS
from torchgeo_saco.datasets.gid_layout import FIVE_COLORS
from torchgeo_saco.datasets.oscd import OSCDTiles
from torchgeo_saco.datasets.pastis import PASTISFolds
from torchgeo_saco.plots import (
    PALETTE,
    PredictionRow,
    plot_confusion,
    plot_embeddings,
    plot_groups,
    plot_panels,
    plot_predictions,
)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close('all')


@pytest.mark.parametrize(
    'colors',
    [
        PALETTE,
        PASTISFolds.colors,
        OSCDTiles.colors,
        FIFTEEN_COLORS,
        FIVE_COLORS,
        DynamicEarthNetWindows.colors,
    ],
)
def test_classes_have_distinct_colors(colors):
    rgb = [to_rgb(c) if isinstance(c, str) else np.array(c) / 255 for c in colors]
    lab = rgb2lab(np.array([rgb]))[0]
    first, second = np.triu_indices(len(lab), 1)
    # CIE76 difference, of which 2.3 is just noticeable side by side.
    assert np.linalg.norm(lab[first] - lab[second], axis=1).min() > 20


def test_one_panel_a_group_under_its_name():
    figure = plot_groups(torch.rand(3, 3, 8, 8), ['urban', 'natural_color', 'own'], 'groups')
    assert [axis.get_title() for axis in figure.axes] == ['urban', 'natural color', 'own']
    assert figure.get_suptitle() == 'groups'


def test_panels_are_stretched_to_their_own_values():
    figure = plot_groups(
        torch.rand(2, 3, 8, 8) * torch.tensor([0.01, 5.0])[:, None, None, None], 'ab'
    )
    for axis in figure.axes:
        shown = axis.images[0].get_array()
        assert shown.min() == 0
        assert shown.max() == 1


def test_long_rows_are_broken():
    row = [(str(i), torch.rand(3, 4, 4)) for i in range(9)]
    figure = plot_panels([row, row[:2]], columns=7)
    assert [axis.get_title() for axis in figure.axes if axis.images] == [
        *(str(i) for i in range(9)), '0', '1',
    ]  # fmt: skip


@pytest.mark.parametrize('shape', [(3, 8, 8), (2, 1, 8, 8), (3, 3, 8, 8)])
def test_wrong_groups(shape):
    with pytest.raises(ValueError, match=r'groups must be \(2, 3, H, W\), one a name, got'):
        plot_groups(torch.rand(shape), ['a', 'b'])


def test_embeddings_are_shown_by_class_along_their_main_axes():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 2
    embeddings = torch.randn(40, 8, generator=generator) * 0.01
    embeddings[:, 3] += 1
    embeddings[:, 5] += labels.float()
    figure = plot_embeddings(embeddings, labels, ['water', 'town'], 'held out')
    axis = figure.axes[0]
    first, second = (points.get_offsets()[:, 0] for points in axis.collections)
    assert first.max() < second.min() or second.max() < first.min()
    assert axis.get_legend().get_texts()[0].get_text() == 'water (20)'
    assert axis.get_xlabel() == 'principal component 1 (100% of variance)'


def test_equal_embeddings_are_no_error():
    plot_embeddings(torch.ones(4, 3), torch.zeros(4, dtype=torch.long), ['only'])


def test_confusion_is_in_per_cent_of_the_truth():
    figure = plot_confusion(
        torch.tensor([[1500, 497, 3], [0, 0, 0], [1, 0, 3]]),
        ['SeaLake', 'corn_field', 'town'],
        'all',
    )
    axis = figure.axes[0]
    cells = {(text.get_position()[1], text.get_position()[0]): text for text in axis.texts}
    shown = {location: text.get_text() for location, text in cells.items()}
    assert shown == {(0, 0): '75', (0, 1): '25', (0, 2): '<1', (2, 0): '25', (2, 2): '75'}
    assert cells[0, 0].get_color() == 'white'
    assert cells[0, 1].get_color() != 'white'
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        'Sea Lake  (2 k)', 'corn field  (0)', 'town  (4)',
    ]  # fmt: skip
    assert [label.get_text() for label in axis.get_xticklabels()] == [
        'Sea Lake',
        'corn field',
        'town',
    ]
    assert axis.get_title() == 'all'
    drawn = axis.images[0].get_array()
    assert drawn[0, 0] == 0.75
    assert np.isnan(drawn[1]).all() or drawn.mask[1].all()


@pytest.mark.parametrize('classes', [2, 10, 20])
def test_confusion_has_room_for_its_cells(classes):
    figure = plot_confusion(torch.eye(classes), [f'class {i}' for i in range(classes)])
    figure.draw_without_rendering()
    box = figure.axes[0].get_window_extent()
    assert box.width / figure.dpi / classes > 0.35
    assert box.width == pytest.approx(box.height, rel=0.02)


def test_counts_are_shown_in_few_digits():
    matrix = torch.diag(torch.tensor([7, 12_345, 2_500_000, 3_000_000_000]))
    axis = plot_confusion(matrix, 'abcd').axes[0]
    labels = [label.get_text() for label in axis.get_yticklabels()]
    assert labels == ['a  (7)', 'b  (12.3 k)', 'c  (2.5 M)', 'd  (3 G)']


def test_wrong_confusion():
    with pytest.raises(ValueError, match=r'matrix must be \(2, 2\), one row a class, got \(3, 3\)'):
        plot_confusion(torch.eye(3), ['a', 'b'])


def maps(target, *predictions, images=('image',)):
    """A row of maps."""
    return PredictionRow(
        {title: torch.rand(3, *torch.as_tensor(target).shape) for title in images},
        torch.as_tensor(target),
        {f'encoder_{i}': torch.as_tensor(mask) for i, mask in enumerate(predictions)},
    )


def test_maps_are_painted_in_the_colours_of_their_classes():
    row = maps([[0, 1], [2, -1]], [[1, 1], [1, 0]], images=('first date', 'second date'))
    figure = plot_predictions([row], ['a', 'b', 'c'], ['red', (0, 255, 0), [0, 0, 255]], 'scenes')
    assert [axis.get_title() for axis in figure.axes] == [
        'first date', 'second date', 'target', 'encoder 0',
    ]  # fmt: skip
    target, prediction = (axis.images[0].get_array() for axis in figure.axes[2:])
    assert target[0].tolist() == [[1, 0, 0], [0, 1, 0]]
    assert target[1, 0].tolist() == [0, 0, 1]
    # No class is grey.
    assert len(set(target[1, 1].tolist())) == 1
    assert prediction[1].tolist() == [[0, 1, 0], [1, 0, 0]]
    assert figure.get_suptitle() == 'scenes'


def test_one_legend_names_the_classes_that_occur():
    rows = [maps([[0, 0], [2, 2]], [[0, 0], [0, 0]]), maps([[0, -1], [0, 0]], [[4, 0], [0, 0]])]
    figure = plot_predictions(rows, ['sea', 'b', 'rye_grass', 'd', 'town'])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        'sea', 'rye grass', 'town', 'no class',
    ]  # fmt: skip
    assert legend.get_patches()[-1].get_hatch()


def test_pixels_without_a_class_are_striped():
    target = torch.full((64, 64), -1)
    picture = plot_predictions([maps(target, target)], ['a']).axes[1].images[0].get_array()
    assert len(np.unique(picture)) == 2


def test_colours_from_zero_to_one_are_taken_as_they_are():
    figure = plot_predictions([maps([[0]], [[1]])], ['a', 'b'], [(1, 0, 0), (0.5, 0.5, 1.0, 1.0)])
    assert figure.axes[1].images[0].get_array()[0, 0].tolist() == [1, 0, 0]
    assert figure.axes[2].images[0].get_array()[0, 0].tolist() == [0.5, 0.5, 1]


def test_own_colours_are_distinct():
    target = torch.arange(20).view(4, 5)
    names = [str(i) for i in range(20)]
    picture = plot_predictions([maps(target, target)], names).axes[1].images[0].get_array()
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 20


def test_classes_of_images_are_written_and_wrong_ones_are_marked():
    row = PredictionRow(
        {'image': torch.rand(3, 4, 4)},
        torch.tensor(0),
        {'good': torch.tensor(0), 'bad': torch.tensor(1)},
    )
    figure = plot_predictions([row], ['HerbaceousVegetation', 'town'])
    target, good, bad = figure.axes[1:]
    texts = [axis.texts[0].get_text() for axis in (target, good, bad)]
    assert texts == ['Herbaceous\nVegetation', '✓ Herbaceous\nVegetation', '✗ town']
    assert good.texts[0].get_color() != bad.texts[0].get_color()
    assert good.get_facecolor() != bad.get_facecolor()
    assert not figure.legends


def test_labels_of_images_are_listed_with_what_is_wrong_and_missed():
    row = PredictionRow(
        {'image': torch.rand(3, 4, 4)},
        torch.tensor([1, 1, 0, 0]),
        {'some': torch.tensor([1, 0, 1, 0]), 'none': torch.tensor([0, 0, 0, 0]),
         'all': torch.tensor([1, 1, 0, 0])},
    )  # fmt: skip
    target, some, none, right = plot_predictions([row], ['a', 'b', 'c', 'd']).axes[1:]
    assert [text.get_text() for text in target.texts] == ['a', 'b']
    assert [text.get_text() for text in some.texts] == ['\u2713 a', '\u2717 c', '\u2013 b']
    assert [text.get_text() for text in none.texts] == ['\u2013 a', '\u2013 b']
    assert right.get_facecolor() != some.get_facecolor() == none.get_facecolor()


def test_an_image_without_labels():
    row = PredictionRow({'image': torch.rand(3, 4, 4)}, torch.zeros(2), {'x': torch.zeros(2)})
    assert plot_predictions([row], ['a', 'b']).axes[1].texts[0].get_text() == 'none'


@pytest.mark.parametrize(
    ('rows', 'colors', 'tokens'),
    [
        ([], None, 'there is no row to plot'),
        (
            [maps([[0]], [[0]]), maps([[0]])],
            None,
            'same panels, image, target, encoder_0, got image',
        ),
        ([maps([[0]], [[2]])], None, 'there is a class 2, but only 2 names'),
        ([PredictionRow({}, torch.zeros(3), {})], None, 'there is a class 2, but only 2 names'),
        ([maps([[0]])], ['red'], 'there are 2 classes and 1 colours; give one each'),
    ],
)
def test_wrong_rows(rows, colors, tokens):
    with pytest.raises(ValueError, match=tokens):
        plot_predictions(rows, ['a', 'b'], colors)


def test_embedding_of_one_image():
    figure = plot_embeddings(torch.ones(1, 4), torch.tensor([1]), ['field', 'town'])
    field, town = (collection.get_offsets() for collection in figure.axes[0].collections)
    assert len(field) == 0
    assert town.tolist() == [[0, 0]]
