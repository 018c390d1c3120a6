# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the figures."""

import pytest
import torch
from matplotlib import pyplot as plt

from torchgeo_saco.plots import plot_embeddings, plot_groups, plot_panels


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close('all')


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
