# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of ``torchgeo-saco convert``."""

import pytest
import torch

from torchgeo_saco import cli
from torchgeo_saco.models import load_encoder

from ...data.published import dual_state, seco_content, trunk


def refused(capsys, *words):
    """What a command that cannot run says."""
    with pytest.raises(SystemExit) as stop:
        cli.main(['convert', *map(str, words)])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.count('\n') == 1
    return said


def test_says_what_it_found_and_writes_a_checkpoint(tmp_path, capsys):
    torch.save(seco_content(trunk()), tmp_path / 'seco.ckpt')
    cli.main(['convert', str(tmp_path / 'seco.ckpt')])
    said = capsys.readouterr().out
    assert 'SeCo or CACo, pre-training' in said and not list(tmp_path.glob('new*'))
    new = tmp_path / 'new.ckpt'
    cli.main(['convert', str(tmp_path / 'seco.ckpt'), '--output', str(new)])
    assert capsys.readouterr().out == said + f'{new}: resnet18 of sentinel2_l2a\n'
    loaded = load_encoder(['B02', 'B03', 'B04'], 'sentinel2_l2a', weights=str(new))
    assert loaded.config.input_bands == ['B04', 'B03', 'B02']
    assert 'exists' in refused(capsys, tmp_path / 'seco.ckpt', '--output', new)


def test_one_sensor_of_two(tmp_path, capsys):
    torch.save({'state_dict': dual_state()[1]}, tmp_path / 'dual.pth')
    new = tmp_path / 'new.ckpt'
    cli.main(['convert', str(tmp_path / 'dual.pth'), '--output', str(new), '--sensor', 'sentinel1'])
    assert capsys.readouterr().out.endswith('new.ckpt: resnet18 of sentinel1\n')
    said = refused(capsys, tmp_path / 'dual.pth', '--sensor', 'sentinel3')
    assert "unknown sensor 'sentinel3'" in said


def test_refusals_are_one_sentence(tmp_path, capsys):
    assert 'no.pth is not a file' in refused(capsys, tmp_path / 'no.pth')
    (tmp_path / 'page.pth').write_bytes(b'<html>not found</html>')
    assert 'page.pth cannot be read as a checkpoint' in refused(capsys, tmp_path / 'page.pth')
    torch.save({'a': torch.ones(2)}, tmp_path / 'a.pth')
    assert 'is of no layout that is known' in refused(capsys, tmp_path / 'a.pth')
    assert 'must end in .ckpt or .pth' in refused(capsys, tmp_path / 'a.pth', '--output', 'a.onnx')
