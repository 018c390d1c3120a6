# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of loaders that go on within an epoch: killed and resumed runs end as unbroken ones."""

import logging
import multiprocessing
import signal
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer

from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.samplers import loader as loaders
from torchgeo_saco.samplers.loader import ResumableLoader, evaluation_share, report_batches
from torchgeo_saco.samplers.order import EpochOrder, EvaluationOrder

from ..data.archives import write_archive
from ..data.resumed import Death, digest, run_to_the_end_or_death, trained
from ..faults.kills import TASKS, train, write_archives

DATES = (
    '20180210', '20180410', '20180715', '20181020', '20190212', '20190412', '20190720', '20191022',
)  # fmt: skip


# Runs are resumed in folders of their own.
pytestmark = pytest.mark.filterwarnings('ignore:The dirpath has changed')


@pytest.fixture(scope='module')
def places(tmp_path_factory):
    """Seven locations to train on, of which a batch of 2 leaves one out, in 3 steps an epoch."""
    root = tmp_path_factory.mktemp('places')
    return write_archive(root, locations=9, dates=DATES, bands=('B2', 'B3', 'B4'), size=16)


@pytest.fixture(scope='module')
def whole(places, tmp_path_factory):
    """Folder of a run of 9 steps that was saved at each, and the digest of its end."""
    folder = tmp_path_factory.mktemp('whole')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PL_GLOBAL_SEED', '0')
        return folder, digest(trained(places, folder))


def loops(path):
    """What Lightning has counted, by a checkpoint."""
    return torch.load(path, weights_only=True)['loops']


@pytest.fixture
def free_threads(monkeypatch):
    """Threads and algorithms of PyTorch are put back."""
    before = torch.get_num_threads()
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    monkeypatch.setenv('PL_GLOBAL_SEED', '0')
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(before)


@pytest.mark.slow
def test_runs_with_one_seed_end_alike(places, tmp_path, free_threads):
    # Five repeats, with and without workers. Threads of PyTorch sum in another order.
    ends = {1: set(), 2: set()}
    for number in range(5):
        for workers in (0, 2):
            threads = 1 + number % 2
            torch.set_num_threads(threads)
            folder = tmp_path / f'{number}-{workers}'
            ends[threads].add(digest(trained(places, folder, epochs=1, num_workers=workers)))
    assert [len(found) for found in ends.values()] == [1, 1]


@pytest.fixture(scope='module')
def two_archives(tmp_path_factory):
    """Archives that every task can train on."""
    return write_archives(tmp_path_factory.mktemp('two'))


@pytest.mark.slow
@pytest.mark.parametrize('name', TASKS)
def test_deterministic_runs_end_alike_with_any_threads(name, two_archives, tmp_path, free_threads):
    ends = set()
    for number in range(5):
        for workers in (0, 2):
            torch.set_num_threads(1 + number % 2)
            folder = tmp_path / f'{number}-{workers}'
            options = {'max_epochs': 1, 'deterministic': True}
            ends.add(digest(train(name, two_archives, folder, workers, **options)))
    assert len(ends) == 1


# The first step, within an epoch, the last step of one, the last of all.
@pytest.mark.slow
@pytest.mark.parametrize(
    ('step', 'workers'), [(1, 0), (2, 0), (3, 0), (5, 0), (9, 0), (3, 2), (5, 2)]
)
def test_run_resumed_after_any_step_ends_where_the_unbroken_one_does(
    step, workers, places, whole, tmp_path
):
    folder, expected = whole
    last = str(folder / f'step={step}.ckpt')
    assert digest(trained(places, tmp_path, last, num_workers=workers)) == expected
    # Its checkpoints count as those of the unbroken run, so it can be resumed again and again.
    for later in range(step + 1, 10):
        name = f'step={later}.ckpt'
        assert loops(tmp_path / name) == loops(folder / name), name


@pytest.mark.slow
@pytest.mark.parametrize(
    'options',
    [{'limit_train_batches': 2}, {'accumulate_grad_batches': 2}, {'val_check_interval': 1}],
    ids=lambda options: next(iter(options)),
)
def test_run_resumed_with_options_of_the_trainer(options, places, tmp_path):
    expected = digest(trained(places, tmp_path / 'whole', epochs=2, trainer=options))
    for step in (1, 2, 3):
        last = str(tmp_path / 'whole' / f'step={step}.ckpt')
        resumed = trained(places, tmp_path / str(step), last, epochs=2, trainer=options)
        assert digest(resumed) == expected


@pytest.mark.slow
def test_killed_run_ends_where_the_unbroken_one_does(places, whole, tmp_path):
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload([__name__])
    deaths = [
        (1, 'on_train_batch_end'),
        (4, 'on_before_optimizer_step'),
        (6, 'on_validation_batch_end'),
        None,
    ]
    result = tmp_path / 'digest'
    for death in deaths:
        options = {'death': death, 'num_workers': 0}
        process = context.Process(
            target=run_to_the_end_or_death, args=(places, tmp_path / 'run', result), kwargs=options
        )
        process.start()
        process.join(60)
        assert process.exitcode == (-signal.SIGKILL if death else 0), death
    assert result.read_text() == whole[1]


def test_death_kills_nobody_before_its_step():
    death = Death(3, 'on_train_start')
    death.on_train_start(SimpleNamespace(global_step=2))


@pytest.mark.parametrize('step', [5, 6])
@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        ({'batch_size': 3}, r'would go on differently: batch_size 2 then and 3 now; resume with'),
        ({'val_fraction': 0.4}, r'training_locations 7 \(\w+\) then and 5 \(\w+\) now'),
    ],
)
def test_other_batches_are_refused(changed, message, step, places, whole, tmp_path):
    last = str(whole[0] / f'step={step}.ckpt')
    with pytest.raises(ValueError, match=message):
        trained(places, tmp_path, last, **changed)


def test_other_seed_is_refused(places, whole, tmp_path, monkeypatch):
    monkeypatch.setenv('PL_GLOBAL_SEED', '5')
    with pytest.raises(ValueError, match='seed 0 then and 5 now'):
        trained(places, tmp_path, str(whole[0] / 'step=5.ckpt'))


def test_loader_refuses_another_order_whatever_the_task(places):
    data = SeasonalDataModule(root=places, batch_size=2)
    data.setup('fit')
    state = data.train_dataloader().state_dict()
    data.batch_size = 3
    with pytest.raises(ValueError, match=r'the order of the batches.*batch_size 2 then and 3 now'):
        data.train_dataloader().load_state_dict(state)


def test_loader_that_was_not_restored_starts_at_the_first_batch(places):
    data = SeasonalDataModule(root=places, batch_size=2)
    data.setup('fit')
    data.trainer = Trainer(accelerator='cpu', logger=False)
    data.trainer.fit_loop.epoch_loop.batch_progress.current.ready = 2
    loader = data.train_dataloader()
    first, second = list(loader), list(loader)
    assert len(first) == len(second) == len(loader)
    loader.load_state_dict(loader.state_dict())
    rest, again = list(loader), list(loader)
    assert len(rest) == len(loader) - 2
    assert torch.equal(rest[0]['date'], first[2]['date'])
    assert len(again) == len(loader)


def test_nothing_is_read_before_the_epoch_is_known():
    loader = ResumableLoader(list(range(12)), lambda: None, batch_size=3, sampler=EpochOrder(12))
    iterator = iter(loader)
    loader.sampler.set_epoch(4)
    expected = EpochOrder(12)
    expected.set_epoch(4)
    assert torch.cat(list(iterator)).tolist() == list(expected)


def test_batches_are_reported(monkeypatch, caplog):
    with caplog.at_level(logging.INFO):
        report_batches(20, 6)
        monkeypatch.setattr(loaders, 'world_size', lambda: 2)
        report_batches(24, 6)
    assert 'batches of 6: 3 an epoch, and 2 items that fill no batch' in caplog.text
    assert 'batches of 6 on each of 2 processes, 12 together: 2 an epoch' in caplog.text
    with pytest.raises(ValueError, match=r'batch_size=6 on each of 2 .*needs 12 .* at most 5'):
        report_batches(11, 6)


def test_evaluation_of_fewer_items_than_processes_is_refused(monkeypatch):
    assert evaluation_share(3, 64) == {}
    monkeypatch.setattr(loaders, 'world_size', lambda: 4)
    with pytest.raises(
        ValueError, match='4 items cannot be evaluated by 4 processes, which need 5'
    ):
        evaluation_share(4, 2, pairs=True)
    with pytest.raises(ValueError, match='3 items cannot be evaluated by 4 processes'):
        evaluation_share(3, 64)
    assert isinstance(evaluation_share(4, 64)['sampler'], EvaluationOrder)
