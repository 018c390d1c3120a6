# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the same command on two processes, as torchrun and SLURM start it."""

import sys

import pytest
import torch
import yaml

from torchgeo_saco.archives.packing import pack_archive

from ..data.archives import write_archive, write_labels
from ..data.processes import environment, free_port, run_together, slurm_environments

DATES = ('20180210', '20180410', '20190212', '20190412')


@pytest.fixture(scope='module')
def locations(tmp_path_factory):
    """Nine labelled locations, one item a date."""
    root = write_archive(
        tmp_path_factory.mktemp('places'), 9, DATES, bands=('B2', 'B3', 'B4'), size=16
    )
    write_labels(root, ['field', 'town', 'wood'] * 3)
    return root


@pytest.fixture
def config(locations, tmp_path):
    """Configuration of a small run with all callbacks of the sample configuration."""
    callbacks = [
        {'class_path': 'lightning.pytorch.callbacks.ModelCheckpoint', 'init_args': {'save_last': True}},  # noqa: E501
        {'class_path': 'torchgeo_saco.callbacks.ContrastiveFigures'},
        {'class_path': 'torchgeo_saco.callbacks.KNNProbe', 'init_args': {'k': 2}},
        {'class_path': 'torchgeo_saco.callbacks.RunReport'},
    ]  # fmt: skip
    logger = {
        'class_path': 'lightning.pytorch.loggers.TensorBoardLogger',
        'init_args': {'save_dir': str(tmp_path), 'name': 'run'},
    }
    model = {
        'model': 'test_resnet', 'groups': ['natural_color'], 'texture': False, 'size': 16,
        'queue_size': 8, 'hidden_dims': [16], 'output_dim': 8, 'shuffle_bn': True,
    }  # fmt: skip
    data = {'root': str(locations), 'batch_size': 4, 'num_workers': 1}
    text = {
        'seed_everything': 0,
        'trainer': {
            'max_epochs': 2, 'enable_progress_bar': False, 'log_every_n_steps': 1,
            'callbacks': callbacks, 'logger': logger,
        },
        'model': {'class_path': 'torchgeo_saco.tasks.SACo', 'init_args': model},
        'data': {'class_path': 'torchgeo_saco.datamodules.SeasonalDataModule', 'init_args': data},
    }  # fmt: skip
    file = tmp_path / 'run.yaml'
    file.write_text(yaml.safe_dump(text))
    return file


pytestmark = pytest.mark.slow

#: What the user adds for two devices of one machine.
TWO = ('--trainer.accelerator=cpu', '--trainer.devices=2', '--trainer.strategy=ddp')


def written(folder):
    """State in the one checkpoint of the one run; figures are there, and written once."""
    (run,) = (folder / 'run').iterdir()
    assert run.name == 'version_0'
    assert sorted(path.name for path in (run / 'checkpoints').iterdir()) == [
        'epoch=1-step=6.ckpt', 'last.ckpt',
    ]  # fmt: skip
    assert {'groups.png', 'views.png', 'embeddings_epoch002.png'} <= {
        path.name for path in (run / 'figures').iterdir()
    }
    return torch.load(run / 'checkpoints' / 'last.ckpt', weights_only=True)['state_dict']


def with_root(config, root):
    """The configuration with other data."""
    settings = yaml.safe_load(config.read_text())
    settings['data']['init_args']['root'] = root
    config.write_text(yaml.safe_dump(settings))


@pytest.fixture(scope='module')
def states():
    """State at the end by launcher."""
    return {}


def test_torchrun_streams_from_an_object_store(config, locations, bucket, tmp_path, states):
    pack_archive(locations, tmp_path / 'places.zarr', shard_bytes=10_000, progress=False)
    with_root(config, bucket(tmp_path / 'places.zarr', 'places.zarr'))
    command = [
        sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node=2',
        f'--master-port={free_port()}', '-m', 'torchgeo', 'fit', f'--config={config}', *TWO,
    ]  # fmt: skip
    (end,) = run_together(command, [environment()])
    assert end.returncode == 0, end.stdout[-3000:]
    assert 'batches of 4 on each of 2 processes, 8 together: 3 an epoch' in end.stdout
    assert end.stdout.count('checkpoint  ') == 1
    states['torchrun'] = written(tmp_path)


def test_slurm_trains_the_same_from_files(config, tmp_path, states):
    command = [sys.executable, '-m', 'torchgeo', 'fit', f'--config={config}', *TWO]
    ends = run_together(command, slurm_environments())
    assert [end.returncode for end in ends] == [0, 0], ends[0].stdout[-3000:]
    assert ['checkpoint  ' in end.stdout for end in ends] == [True, False]
    state = written(tmp_path)
    # Both launchers, and both forms of the images, train the same.
    for name, value in states.get('torchrun', state).items():
        assert torch.equal(value, state[name]), name
