# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the command line's look at a checkpoint."""

import sys

import pytest
import torch

from torchgeo_saco.cli import main
from torchgeo_saco.io.checkpoint import write_checkpoint

from ..data.pretraining import fit, small
from ..data.pretraining import tasks as methods

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings('ignore:.*discard init_args.*')]


@pytest.fixture(autouse=True)
def no_words(monkeypatch):
    """Lightning warns of words on the command line beside those that it is given."""
    monkeypatch.setattr(sys, 'argv', ['torchgeo'])


@pytest.fixture(scope='module')
def last(archive, tmp_path_factory):
    """Checkpoint of MoCo."""
    task = small(methods.MoCo, bands=None)
    return fit(task, archive, tmp_path_factory.mktemp('run'))[1]


def run(archive, folder, path, method, *more):
    """Go on from a checkpoint by the command."""
    words = [
        '--model', method, '--model.model', 'test_resnet', '--model.size', '16',
        '--model.queue_size', '12', '--model.hidden_dims', '[16]', '--model.output_dim', '8',
        '--data', 'SeasonalDataModule', '--data.root', str(archive), '--data.batch_size', '4',
        '--trainer.default_root_dir', str(folder), '--trainer.accelerator', 'cpu',
        '--trainer.logger', 'false', '--trainer.enable_progress_bar', 'false',
        '--trainer.max_epochs', '2', '--ckpt_path', str(path), *more,
    ]  # fmt: skip
    main(['fit', *words])


def test_checkpoint_of_another_task_is_refused(archive, last, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(archive, tmp_path, last, 'SACo')
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert 'last.ckpt is of MoCo, and the configuration of SACo; set model to MoCo' in told


def test_other_arguments_are_not_lost(archive, last, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(archive, tmp_path, last, 'torchgeo_saco.tasks.MoCo', '--model.lr', '0.5')
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert 'last.ckpt is of a run that would go on differently: lr 0.03 then and 0.5 now' in told


def test_task_of_the_checkpoint_is_not_imported(archive, tmp_path, capsys):
    hostile = {'_class_path': 'antigravity.Task', 'model': 'resnet18', 'weights': True}
    content = {'state_dict': {'a': torch.ones(1)}, 'hyper_parameters': hostile}
    write_checkpoint(content, tmp_path / 'bad.ckpt')
    with pytest.raises(SystemExit):
        run(archive, tmp_path, tmp_path / 'bad.ckpt', 'torchgeo_saco.tasks.MoCo')
    assert 'bad.ckpt is of Task, and' in capsys.readouterr().err
    assert 'antigravity' not in sys.modules


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04 cut', b'\x80\x04.'])
def test_file_that_is_no_checkpoint_is_refused(content, archive, tmp_path, capsys):
    (tmp_path / 'bad.ckpt').write_bytes(content)
    with pytest.raises(SystemExit):
        run(archive, tmp_path, tmp_path / 'bad.ckpt', 'torchgeo_saco.tasks.MoCo')
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert 'bad.ckpt cannot be read as a checkpoint' in told
