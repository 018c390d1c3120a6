# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of training on several processes, against one process with the global batch."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from torchgeo_saco.models import create_backbone
from torchgeo_saco.runtime.distributed import (
    all_gather,
    local_mask,
    require_whole_layers,
    shuffle_ranks,
)

from ..data import joined
from ..data.archives import write_archive, write_labels, write_radar_archive
from ..data.pretraining import small
from ..data.processes import run_together, torchrun_environments

DATES = (
    '20180210', '20180410', '20180715', '20181020', '20190212', '20190412', '20190720', '20191022',
)  # fmt: skip

#: Relative to the largest number of a tensor, in float64.
TOLERANCE = 1e-9


pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def places(tmp_path_factory):
    """Ten locations to train on and three held out, with two years of four dates."""
    root = tmp_path_factory.mktemp('places')
    write_archive(root, locations=13, dates=DATES, bands=('B2', 'B3', 'B4', 'B8'), size=16)
    write_labels(root, ['field', 'town'] * 6 + ['field'])
    write_radar_archive(joined.radar_root(root), 13, size=16)
    return root


@pytest.fixture(scope='module')
def job(places, tmp_path_factory):
    """Two processes that ran the script: what they wrote, their ends, and their folder."""
    folder = tmp_path_factory.mktemp('job')
    command = [sys.executable, '-m', 'tests.data.joined', str(places), str(folder)]
    ends = run_together(command, torchrun_environments())
    files = [folder / f'results{rank}' for rank in range(2)]
    assert all(file.exists() for file in files), '\n'.join(end.stdout[-3000:] for end in ends)
    results = [torch.load(file, weights_only=True) for file in files]
    return SimpleNamespace(results=results, ends=ends, folder=folder)


@pytest.fixture(scope='module')
def alone(places, tmp_path_factory):
    """What one process holds that has the global batch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PL_GLOBAL_SEED', '0')
        return joined.methods(places, tmp_path_factory.mktemp('alone'), 2 * joined.BATCH)


def close(first, second):
    """Whether numbers agree but for rounding; whole numbers must be equal."""
    if not first.is_floating_point():
        return torch.equal(first, second)
    if not torch.equal(first.isnan(), second.isnan()):
        return False
    first, second = first.nan_to_num(), second.nan_to_num()
    return bool((first - second).abs().max() <= TOLERANCE * first.abs().max())


@pytest.mark.parametrize('name', joined.METHODS)
def test_loss_is_that_of_the_joined_batch(name, job, alone):
    parts = [result['methods'][name]['losses'] for result in job.results]
    expected = alone[name]['losses']
    assert len(expected) == 6
    assert parts[0] != parts[1]
    for whole, *both in zip(expected, *parts, strict=True):
        assert sum(both) / 2 == pytest.approx(whole, rel=TOLERANCE)


@pytest.mark.parametrize('name', joined.METHODS)
def test_weights_queues_and_estimates_are_those_of_the_joined_batch(name, job, alone):
    expected = alone[name]['state']
    for result in job.results:
        state = result['methods'][name]['state']
        assert [key for key in expected if not close(expected[key], state[key])] == []


@pytest.mark.parametrize('name', joined.METHODS)
def test_state_is_equal_on_both_processes(name, job):
    first, second = (result['methods'][name]['state'] for result in job.results)
    different = [
        key for key in first if not torch.equal(first[key].nan_to_num(), second[key].nan_to_num())
    ]
    assert different == []


@pytest.mark.parametrize('name', joined.METHODS)
def test_batches_of_a_step_are_together_the_joined_batch(name, job, alone):
    parts = [result['methods'][name]['places'] for result in job.results]
    for (epoch, whole), (_, first), (_, second) in zip(alone[name]['places'], *parts, strict=True):
        assert [location for pair in zip(first, second, strict=True) for location in pair] == whole
        assert epoch in range(3)
    # Another order in every epoch.
    assert len({tuple(whole) for _, whole in alone[name]['places']}) == 6


@pytest.mark.parametrize('name', joined.METHODS)
def test_every_held_out_image_counts_once(name, job, alone):
    expected = alone[name]['metrics']
    known = {key: expected[key] for key in expected if key != 'val_uniformity' and 'val_' in key}
    assert len(known) == (8 if 'val_s2_to_s1_top1' in known else 1)
    for result in job.results:
        metrics = result['methods'][name]['metrics']
        assert {key: metrics[key] for key in known} == pytest.approx(known, rel=TOLERANCE)
        # Three images, of which one process has one: the pair of the other one counts.
        assert metrics.get('val_uniformity', -1) < 0


def test_values_are_gathered_in_the_order_of_the_joined_batch(job):
    for rank, result in enumerate(job.results):
        given = result['exchanged']
        assert given['all_gather'].tolist() == [0, 10, 1, 11, 2, 12]
        assert given['all_gather columns'].tolist() == [[0, 10, 1, 11, 2, 12]]
        assert given['own'].nonzero()[:, 1].tolist() == [rank, rank + 2, rank + 4]
        assert given['queue']['locations'].tolist() == [0, 2, 1, 3, -1]
        assert int(given['queue']['pointer']) == 4


def test_gradients_of_all_losses_reach_what_was_gathered(job):
    for result in job.results:
        assert result['exchanged']['gradient'].tolist() == [[11, 11]] * 3


def test_mixed_rows_come_back(job):
    mixed = [result['exchanged']['mixed'].tolist() for result in job.results]
    assert sorted(mixed[0] + mixed[1]) == [0, 1, 2, 10, 11, 12]
    for rank, result in enumerate(job.results):
        assert result['exchanged']['unmixed'].tolist() == [10 * rank + i for i in range(3)]
        # Images of the other process are among those that the key encoder sees.
        keys, mixed_keys, own, seen = result['mixed_keys']
        assert torch.allclose(keys, mixed_keys, atol=1e-6)
        assert keys.shape == (3, 4, 8)
        known = sum(any(torch.equal(image, mine) for mine in own) for image in seen)
        assert 0 <= known < 4


def test_views_differ_and_weights_agree(job):
    first, second = (result['watched'] for result in job.results)
    assert not set(first['views']) & set(second['views'])
    for name, weight in first['weights'].items():
        assert torch.equal(weight, second['weights'][name]), name


def test_only_batch_norm_is_copied_at_every_step(job):
    copied = job.results[0]['watched']['copied']
    assert {'inputs.standardize.running_mean', 'model_momentum.bn1.running_var'} <= set(copied)
    assert [name for name in copied if name.startswith(('queues', 'change'))] == []


def test_callbacks_leave_the_same_rows_and_one_set_of_files(job):
    rows = [result['watched']['rows'] for result in job.results]
    assert rows[0] == rows[1]
    assert [epoch for epoch, _ in rows[0]] == [0, 1, 2]
    figures = {path.name for path in (job.folder / 'watched' / 'figures').iterdir()}
    assert {'embeddings_epoch002.png', 'views.png', 'change_ratio_epoch001.png'} <= figures
    printed = ['nearest-neighbour accuracy' in end.stdout for end in job.ends]
    assert printed == [True, False]


def test_resumed_runs_end_where_the_unbroken_one_does(job):
    for result in job.results:
        assert len(set(result['resumed'])) == 1


def test_failure_of_one_process_ends_all(job):
    assert [end.returncode for end in job.ends] == [1, 1]
    assert 'ValueError: B04.tif of the second process is broken' in job.ends[1].stdout


def test_process_that_is_alone():
    values = torch.rand(3, 2, requires_grad=True)
    assert all_gather(values) is values
    assert torch.equal(local_mask(3), torch.eye(3, dtype=torch.bool))
    assert shuffle_ranks(values) == (values, None)


def test_batch_norm_is_synchronized_everywhere_and_checkpoints_stay_the_same():
    task = small(joined.SACo, projector_norm=True)
    names = {name: value.shape for name, value in task.state_dict().items()}
    norms = {path for path, layer in task.named_modules() if 'BatchNorm' in type(layer).__name__}
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(task)
    assert converted is task
    synced = {path for path, layer in task.named_modules() if isinstance(layer, nn.SyncBatchNorm)}
    assert synced == norms
    parts = ('inputs.standardize', 'model.bn1', 'model_momentum.bn1', 'projector.0.1')
    assert set(parts) <= synced
    state = task.state_dict()
    assert {name: value.shape for name, value in state.items()} == names
    small(joined.SACo, projector_norm=True).load_state_dict(state)


def test_batch_norm_with_an_activation_is_not_synchronized():
    trainer = SimpleNamespace(strategy=SimpleNamespace(_layer_sync=object()))
    net = create_backbone('test_efficientnet', None, 3)
    with pytest.raises(
        ValueError, match=r'turn bn1 into BatchNorm alone, and it is a BatchNormAct2d.* shuffle_bn'
    ):
        require_whole_layers(net, trainer)
    require_whole_layers(create_backbone('test_resnet', None, 3), trainer)
    require_whole_layers(net, SimpleNamespace(strategy=SimpleNamespace(_layer_sync=None)))
