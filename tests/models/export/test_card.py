# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of model cards, of encoders that are not exported."""

import pytest
import torch

from torchgeo_saco.models.export.card import model_card, unit_text
from torchgeo_saco.models.export.scores import Score
from torchgeo_saco.transforms import Backscatter

#: Facts of an encoder of radar at one size.
FACTS = {
    'model': 'test_vit', 'sensor': 'sentinel1', 'bands': ['VV', 'VH'], 'channels': 2,
    'dimensions': 64, 'unit': unit_text('sentinel1'), 'fixed_side': 48, 'size': None,
    'groups': None, 'input_bands': ['VH', 'VV'], 'texture': [], 'files': {'encoder.onnx': 123},
    'check': None, 'data': None, 'method': None, 'license': None,
}  # fmt: skip
GROUPS = {
    'sensor': 'sentinel2_l2a', 'bands': ['B02', 'B03', 'B04'], 'channels': 3,
    'unit': unit_text('sentinel2_l2a'), 'fixed_side': None, 'least_side': 8,
    'least_side_pt2': 17, 'size': 32, 'groups': {'natural_color': ['B04', 'B03', 'B02']},
    'texture': ['natural_color'], 'texture_points': 8, 'texture_radius': 1.5,
}  # fmt: skip


def section(card, title):
    """Lines below a title, without empty ones."""
    lines = card.split(f'\n## {title}\n')[1].split('\n## ')[0].splitlines()
    return [line for line in lines if line]


def test_card_of_one_image_of_bands_at_one_size():
    card = model_card(FACTS, [])
    assert card.startswith('---\nlibrary_name: timm\n') and '# test_vit for Sentinel-1\n' in card
    assert section(card, 'Input') == [
        '`reflectance`: float32, (B, 2, H, W), channels in this order:',
        'VV, VH',
        '- sensor: Sentinel-1',
        '- unit: backscatter in dB, scaled: (dB + 25) / 25, clipped to 0-1',
        '- size: 48 x 48 px, any number of images',
        '- the backbone sees one image of VH, VV',
    ]
    assert '| encoder.onnx | 123 | whole encoder, ONNX, float32 |' in section(card, 'Files')
    assert section(card, 'Use')[-1].startswith('This was not run at the export')
    assert section(card, 'Data') == ['What it was trained on was not stated at the export.']
    assert section(card, 'Measured') == ['Nothing was measured of these weights at the export.']
    assert section(card, 'Licence')[0].startswith('Not stated at the export; ask whoever made it')
    assert 'texture' not in card.split('## Limits')[1]


@pytest.mark.parametrize('histograms, kind', [(False, 'images'), (True, 'histograms')])
def test_card_of_groups_and_textures_of_any_size(histograms, kind):
    more = {'texture_histograms': histograms, 'data': 'Noise.', 'method': 'SACo', 'license': 'mit'}
    card = model_card(FACTS | GROUPS | more, [])
    sizes, groups, textures = section(card, 'Input')[-3:]
    assert sizes == (
        '- size: any from 8 x 8 px on (`encoder.pt2`: from 17 x 17 px), any number of images; it '
        'was trained on views of 32 x 32 px'
    )
    assert groups == '- groups, whose features are averaged: natural_color (B04 B03 B02)'
    assert textures == (
        '- textures, local binary patterns of 8 points at radius 1.5 px as '
        f'{kind} of codes: natural_color'
    )
    assert section(card, 'Data') == ['Noise.', 'It was trained by SACo.']
    assert section(card, 'Licence') == ['mit'] and 'license: mit' in card.split('---')[1]
    assert '- Pixels outside of an image count as 0 in its textures.' in section(card, 'Limits')
    without = model_card(FACTS | GROUPS | more | {'texture': []}, [])
    assert 'texture' not in without.replace('Groups of bands, textures and scaling', '')


def test_card_shows_scores():
    scores = [Score('EuroSAT', 'knn', 0.612345, 3, 0.0123456), Score('OSCD', 'f1', 0.5, 1, None)]
    lines = section(model_card(FACTS, scores), 'Measured')
    assert lines[0].count('|') == lines[1].count('|') == 6
    assert lines[2:4] == ['| EuroSAT | knn | 0.6123 | 0.01235 | 3 |', '| OSCD | f1 | 0.5 |  | 1 |']
    assert 'evaluate' in lines[4]


def test_units_are_those_of_the_transforms():
    both = unit_text('sentinel1_2')
    assert unit_text('sentinel2_l1c') in both and unit_text('sentinel1') in both
    assert 'Sentinel-2' not in unit_text('landsat_8_9')
    decibel = torch.tensor([-30.0, -20, -10, 0, 5]).reshape(1, 1, 1, 5)
    assert '(dB + 25) / 25, clipped to 0-1' in both
    torch.testing.assert_close(Backscatter()(decibel), ((decibel + 25) / 25).clamp(0, 1))
