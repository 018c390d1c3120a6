# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of CACo, of TeCo and of the SimCLR variant."""

import copy

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.models import load_encoder
from torchgeo_saco.models.change import two_gaussians
from torchgeo_saco.tasks import CACo, CACoSimCLR

from ..data import formulas
from ..data.archives import write_archive
from ..data.pretraining import BANDS, EASY, GROUPS, fit, history, same, small
from .test_moco import TOLERANCES, memory_of, remembering
from .test_seco import given_features

YEARS = {'item': 'years', 'dates': 3, 'on_missing': 'drop'}
DATES = (
    '20180210', '20180410', '20180715', '20181020', '20190212', '20190412', '20190720', '20191022',
)  # fmt: skip

# Two years of three locations; which of the locations and years count as changed.
IMAGE = torch.rand(3, 2, 3, 12, 36, 36, generator=torch.Generator().manual_seed(0)) * 0.3
LOCATION = torch.tensor([4, 1, 2])
PLACE, YEAR = [4, 1, 2, 4, 1, 2], [0, 0, 0, 1, 1, 1]
CHANGED = {
    'some': [[0, 1], [1, 1], [0, 0]],
    'all': [[1, 1], [1, 1], [1, 1]],
    'none': [[0, 0], [0, 0], [0, 0]],
    'unseen': [[-1, -1], [-1, -1], [-1, -1]],
}


@pytest.fixture(scope='module')
def two_years(tmp_path_factory):
    """Six locations with four dates in each of two years, in the same seasons."""
    return write_archive(tmp_path_factory.mktemp('two_years'), dates=DATES)


def knowing(method, changed, dtype, **arguments):
    """A task that takes some of the three locations as changed."""
    task = small(method, **arguments)
    task.change.resize(5)
    task.change.changed[LOCATION] = torch.tensor(changed, dtype=task.change.changed.dtype)
    return remembering(task, dtype) if task.has_key_encoder else task.to(dtype)


def memories(task):
    """Keys of all queues with location and year, by sub-space."""
    return [
        [
            (key, location, year)
            for year in range(2)
            for key, location, _ in memory_of(task.queues[2 * space + year])
        ]
        for space in range(3)
    ]


@pytest.mark.parametrize('changed', CHANGED.values(), ids=CHANGED)
@pytest.mark.parametrize(('dtype', 'tolerance'), TOLERANCES)
def test_losses_equal_the_formula(dtype, tolerance, changed, monkeypatch):
    task = knowing(CACo, changed, dtype, queue_size=16)
    z, kappa = given_features(task, 6, dtype, monkeypatch)
    memory = memories(task)
    losses = task.contrast(IMAGE.to(dtype), LOCATION).losses
    flags = (np.array(changed) == 1).T.flatten()
    for space, loss in enumerate(losses.values()):
        expected = formulas.caco(space, z, kappa, PLACE, YEAR, memory, flags, 0.07)
        assert loss.item() == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize(('dtype', 'tolerance'), TOLERANCES)
def test_losses_of_teco_equal_the_formula(dtype, tolerance, monkeypatch):
    task = knowing(CACo, CHANGED['none'], dtype, queue_size=16, change_aware=False)
    z, kappa = given_features(task, 6, dtype, monkeypatch)
    memory = memories(task)
    losses = task.contrast(IMAGE.to(dtype), LOCATION).losses
    for space, loss in enumerate(losses.values()):
        expected = formulas.caco(space, z, kappa, PLACE, YEAR, memory, [True] * 6, 0.07)
        assert loss.item() == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize('changed', CHANGED.values(), ids=CHANGED)
@pytest.mark.parametrize(('dtype', 'tolerance'), TOLERANCES)
def test_losses_of_the_simclr_variant_equal_the_formula(dtype, tolerance, changed, monkeypatch):
    task = knowing(CACoSimCLR, changed, dtype)
    z, kappa = given_features(task, 6, dtype, monkeypatch)
    losses = task.contrast(IMAGE.to(dtype), LOCATION).losses
    flags = (np.array(changed) == 1).T.flatten()
    for space, loss in enumerate(losses.values()):
        expected = formulas.caco_simclr(space, z, kappa, PLACE, YEAR, flags, 0.07)
        assert loss.item() == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize(('changed', 'more'), [(CHANGED['none'], 0), (CHANGED['all'], 1)])
def test_negatives_of_each_sub_space_are_counted(changed, more):
    task = knowing(CACo, changed, torch.float32, queue_size=16)
    for queue in task.queues:
        queue.enqueue(torch.randn(8, 8), torch.full((8,), 99))
    keys, apart = torch.randn(3, 6, 8), task.apart(LOCATION)
    for space, batch in ((0, 0), (1, 12), (2, 12)):
        for year in (0, 1):
            excluded = task.year_negatives(space, year, keys, LOCATION, apart)[1]
            # Its queue, both other keys of both years, and the positives of the other year.
            assert (~excluded).sum(1).tolist() == [8 + batch + 2 + more] * 3


def test_queues_keep_years_and_sub_spaces_apart(monkeypatch):
    task = knowing(CACo, CHANGED['none'], torch.float32, queue_size=20)
    monkeypatch.setattr(task.change, 'update', lambda *args: None)
    _, kappa = given_features(task, 6, torch.float32, monkeypatch)
    task.contrast(IMAGE, LOCATION)
    for space in range(3):
        for year in range(2):
            queue = task.queues[2 * space + year]
            assert queue.size == 10
            new = queue.keys[8:10].numpy()
            expected = [formulas.scaled(k) for k in kappa[space, space][3 * year : 3 * year + 3]]
            assert np.allclose(new, expected[:2], atol=1e-6)
            assert np.allclose(queue.keys[0].numpy(), expected[2], atol=1e-6)


@pytest.mark.parametrize('power', [1, 2])
def test_ratio_equals_the_formula(power, monkeypatch):
    task = knowing(CACo, CHANGED['none'], torch.float64, squared_ratio=power == 2)
    z, kappa = given_features(task, 6, torch.float64, monkeypatch)
    expected = formulas.change_ratios(z[1], kappa[1, 1], 2, power)
    assert np.allclose(task.ratios(task.features(IMAGE)).numpy(), expected, rtol=1e-12)
    task.contrast(IMAGE.double(), LOCATION)
    assert np.allclose(task.change.ratio[LOCATION].numpy(), expected, rtol=1e-6)
    assert task.change.ratio[[0, 3]].isnan().all()


@pytest.mark.slow
def test_locations_are_decided_once_an_epoch_of_what_earlier_epochs_saw(two_years, tmp_path):
    task = small(CACo, bands=None, queue_size=8)
    contrast, seen = task.contrast, []

    def observed(image, location):
        seen.append((task.current_epoch, task.change.changed.clone(), task.change.ratio.clone()))
        return contrast(image, location)

    task.contrast = observed
    fit(task, two_years, tmp_path, 3, batch_size=2, **YEARS)
    assert [epoch for epoch, *_ in seen] == [0, 0, 1, 1, 2, 2]
    assert (seen[0][1] == -1).all()
    for epoch in range(3):
        # Of the ratios at the beginning of the epoch, and the same to its end.
        (_, first, ratio), (_, second, _) = (part for part in seen if part[0] == epoch)
        assert torch.equal(first, second)
        assert torch.equal(first >= 0, ~ratio.isnan())
        mixture = two_gaussians(ratio[~ratio.isnan()])
        expected = mixture.upper(ratio[~ratio.isnan()]) if mixture else []
        assert (first[first >= 0] == 1).tolist() == list(expected)
    assert any((changed == 1).any() for _, changed, _ in seen)


def test_ratio_of_equal_views_is_finite(monkeypatch):
    task = knowing(CACo, CHANGED['none'], torch.float32)
    same_image = IMAGE[:, :1, :1].expand_as(IMAGE)
    monkeypatch.setattr(task.views, 'augmented', task.views.original)
    monkeypatch.setattr(task.views, 'cropped', task.views.original)
    assert torch.isfinite(task.ratios(task.features(same_image.flatten(0, 1)))).all()


def test_odd_count_of_locations_and_two_locations_train(two_years, tmp_path):
    for batch, folder in ((5, 'odd'), (2, 'two')):
        task = small(CACo, bands=None, queue_size=8)
        losses = history(task)
        fit(task, two_years, tmp_path / folder, batch_size=batch, **YEARS)
        assert losses
        assert np.isfinite(losses).all()


@pytest.mark.slow
@pytest.mark.parametrize('method', [CACo, CACoSimCLR])
@pytest.mark.parametrize('groups', [{}, GROUPS], ids=['RGB', 'groups and texture'])
def test_loss_falls(method, groups, two_years, tmp_path):
    task = small(method, queue_size=8, bands=None, **EASY, **groups)
    losses = history(task)
    fit(task, two_years, tmp_path, epochs=30, batch_size=5, **YEARS)
    assert np.isfinite(losses).all()
    assert sum(losses[-8:]) < 0.95 * sum(losses[2:10])
    assert torch.isfinite(task.change.ratio).sum() == 10


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:The dirpath has changed')
def test_resumed_run_ends_where_the_unbroken_one_does(two_years, tmp_path):
    def fresh():
        return small(CACo, bands=None, queue_size=8, milestones=[])

    options = {'batch_size': 5, **YEARS}
    unbroken = fit(fresh(), two_years, tmp_path / 'whole', 3, **options)[0].model.state_dict()
    _, last = fit(fresh(), two_years, tmp_path / 'half', 2, **options)
    saved = torch.load(last, weights_only=True)['state_dict']
    assert (saved['change.changed'] >= 0).sum() == 10
    # In the second epoch, counted from 0, the locations were decided anew.
    assert saved['decided'] == 1
    resumed = fresh()
    seen = {}
    resumed.on_train_start = lambda: seen.update(copy.deepcopy(resumed.state_dict()))
    fit(resumed, two_years, tmp_path / 'rest', 3, last, **options)
    assert torch.equal(seen['change.changed'], saved['change.changed'])
    assert torch.allclose(seen['change.ratio'], saved['change.ratio'], equal_nan=True)
    assert same(resumed.state_dict(), unbroken)


def train_in_steps(root, folder, resume=None, epochs=3):
    """Train, save every second step, and return the state at the end."""
    task = small(CACo, bands=None, queue_size=8, milestones=[])
    saver = ModelCheckpoint(folder, every_n_train_steps=2, save_top_k=-1, save_last=True)
    trainer = Trainer(
        default_root_dir=folder, max_epochs=epochs, accelerator='cpu', logger=False,
        callbacks=[saver], enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    data = SeasonalDataModule(root=root, batch_size=2, **YEARS)
    trainer.fit(task, data, ckpt_path=resume)
    return task.state_dict()


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:The dirpath has changed', 'ignore:You are resuming from a')
def test_run_resumed_at_the_last_step_of_an_epoch_ends_where_the_unbroken_one_does(
    two_years, tmp_path
):
    unbroken = train_in_steps(two_years, tmp_path / 'whole')
    middle = tmp_path / 'whole' / 'epoch=1-step=4.ckpt'
    assert same(train_in_steps(two_years, tmp_path / 'rest', str(middle)), unbroken)


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:Checkpoint directory', 'ignore:You are resuming from a')
def test_a_finished_run_that_is_resumed_again_keeps_its_decisions(two_years, tmp_path):
    unbroken = train_in_steps(two_years, tmp_path, epochs=1)
    assert (unbroken['change.changed'] >= 0).any()
    # The first begins at the last step, and saves that the epoch is over; the second has no step.
    for _ in range(2):
        assert same(train_in_steps(two_years, tmp_path, str(tmp_path / 'last.ckpt'), 1), unbroken)


def test_checkpoint_is_restored_with_its_estimate(two_years, tmp_path):
    task = small(CACo, bands=None, queue_size=8)
    _, last = fit(task, two_years, tmp_path, batch_size=5, **YEARS)
    restored = CACo.load_from_checkpoint(last, weights_only=True)
    assert torch.allclose(restored.change.ratio, task.change.ratio, equal_nan=True)
    assert load_encoder(BANDS, weights=last).unfitted == []


def test_the_simclr_variant_has_no_key_encoder():
    task = small(CACoSimCLR)
    assert not [name for name in task.state_dict() if 'momentum' in name or 'queue' in name]


def test_one_year_only_is_left_out_and_listed(tmp_path, caplog):
    root = write_archive(tmp_path / 'archive', locations=5, dates=DATES)
    for folder in (root / '000002').iterdir():
        if folder.name.startswith('2019'):
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
    with pytest.raises(ValueError, match=r'000002 has dates 4 in 2018, not two years of 3'):
        SeasonalDataModule(root=root, batch_size=2, item='years', dates=3).setup('fit')
    with caplog.at_level('INFO'):
        fit(small(CACo, bands=None, queue_size=6), root, tmp_path / 'run', batch_size=3, **YEARS)
    assert 'skipped: 000002 has dates 4 in 2018, not two years of 3' in caplog.text


def test_years_are_an_axis(two_years, tmp_path):
    with pytest.raises(
        ValueError,
        match=r'CACo needs 2 years of a location as an axis; set data\.init_args\.item to years',
    ):
        fit(small(CACo, bands=None, queue_size=8), two_years, tmp_path, dates=3)
    with pytest.raises(
        ValueError, match=r'CACo compares 3 dates of a location in each year, samples'
    ):
        fit(small(CACo, bands=None, queue_size=8), two_years, tmp_path, item='years', dates=2)
    with pytest.raises(ValueError, match=r'as an axis, \(B, 2, T, C, H, W\), got \(3, 3, 12'):
        small(CACo)._training_image({'image': IMAGE[:, 0]})


def test_number_of_locations_must_be_known(tmp_path):
    task = small(CACo)
    trainer = Trainer(
        max_steps=1, accelerator='cpu', logger=False, default_root_dir=tmp_path, limit_val_batches=0
    )  # fmt: skip
    with pytest.raises(ValueError, match=r'no attribute locations, the number of its locations'):
        trainer.fit(task, *[DataLoader([{'image': IMAGE[0]}])] * 2)
