# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of hyperparameters that are computed from the length of a training."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from lightning.pytorch import LightningDataModule, Trainer

from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.tasks import CACo, CACoSimCLR, MoCo, SACo, SeCo
from torchgeo_saco.tasks.hyperparameters import momentum_advice, scaled_hyperparameters
from torchgeo_saco.tasks.requirements import training_steps

from ..data.archives import write_archive
from ..data.pretraining import EASY, IMAGE, LOCATION, fit, small

COMPUTED = dict.fromkeys(['temperature', 'momentum', 'queue_size', 'lr', 'warmup_steps']) | {
    'optimizer': 'adam', 'cosine': True,
}  # fmt: skip
NAMES = [name for name, value in COMPUTED.items() if value is None]
CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.mark.parametrize(
    ('steps', 'batch', 'wanted'),
    [
        # At most what the papers use, however long the training is.
        (math.inf, 256, (0.2, 0.999, 65536, 2e-3, 1000)),
        (20_000, 64, (0.2, 0.999, 64_000, 1e-3, 1000)),
        (1_000, 64, (0.2, 0.98, 3_200, 1e-3, 100)),
        # Keys of ten steps are too few to tell apart.
        (50, 16, (0.2, 0.9, 256, 5e-4, 5)),
    ],
)
def test_values_by_hand(steps, batch, wanted):
    assert tuple(scaled_hyperparameters(steps, batch)) == pytest.approx(wanted)


def test_the_key_encoder_and_the_queue_remember_the_same_steps():
    for steps in (400, 2_000, 12_345):
        given = scaled_hyperparameters(steps, 32)
        assert 1 / (1 - given.momentum) == pytest.approx(steps / 20, rel=0.1)
        assert given.queue_size == pytest.approx(32 * steps / 20, abs=32)


def test_advice_where_a_training_is_too_short_for_its_momentum():
    assert momentum_advice(0.999, 5_000) is None
    assert momentum_advice(0.9, 50, computed=True) is None
    # Of 14.3 steps.
    assert momentum_advice(0.93, 71) is not None and momentum_advice(0.93, 72) is None
    assert (
        'momentum=0.999 averages the key encoder over 1,000 steps, and this training has 300'
        in (momentum_advice(0.999, 300))
    )
    assert momentum_advice(1.0, 10**9) is not None
    assert 'too short to learn by contrast' in momentum_advice(0.9, 20, computed=True)


@pytest.mark.slow
def test_they_are_computed_and_printed_when_training_starts(archive, tmp_path, caplog):
    task = small(SACo, bands=None, **COMPUTED)
    with caplog.at_level('INFO'):
        trainer, checkpoint = fit(task, archive, tmp_path, epochs=2)
    steps = trainer.global_step
    wanted = scaled_hyperparameters(steps, 4, 2)._asdict()
    shown = ', '.join(f'{name} {value}' for name, value in wanted.items())
    assert f'computed for {steps} steps of 4 images: {shown}' in caplog.text
    items = trainer.datamodule.train_items
    assert dict(task.hparams) | wanted == dict(task.hparams) | {**wanted, 'queue_size': 256}
    assert task.hparams['queue_size'] == items
    assert task.queues[0].size == items
    assert task.nce.temperature == wanted['temperature']
    kept = torch.load(checkpoint, weights_only=True)['hyper_parameters']
    assert {name: kept[name] for name in NAMES} == wanted | {'queue_size': items}
    assert SACo.load_from_checkpoint(checkpoint).queues[0].size == items


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:Checkpoint directory .* exists and is not empty')
def test_a_resumed_training_keeps_those_it_began_with(archive, tmp_path, caplog):
    first = small(MoCo, bands=None, **COMPUTED)
    _, checkpoint = fit(first, archive, tmp_path / 'first')
    begun = {name: first.hparams[name] for name in NAMES}
    first.hparams['momentum'] = begun['momentum'] = 0.5
    first.trainer.save_checkpoint(tmp_path / 'changed.ckpt')
    resumed = small(MoCo, bands=None, **COMPUTED)
    caplog.set_level('INFO')
    fit(resumed, archive, tmp_path / 'first', epochs=2, resume=str(tmp_path / 'changed.ckpt'))
    assert {name: resumed.hparams[name] for name in NAMES} == begun
    assert 'kept from the interrupted training: temperature 0.2, ' in caplog.text
    assert checkpoint


def test_two_keys_an_image_fill_twice_the_queue():
    assert scaled_hyperparameters(1_000, 64, 2).queue_size == 6_400
    assert scaled_hyperparameters(1_000, 64, 2)._replace(queue_size=0) == (
        scaled_hyperparameters(1_000, 64)._replace(queue_size=0)
    )


@pytest.mark.parametrize(
    ('settings', 'steps'),
    [
        ({'max_epochs': 3}, 15),
        ({'max_epochs': 3, 'max_steps': 7}, 7),
        ({'max_steps': 7}, 7),
        ({'max_epochs': 3, 'limit_train_batches': 2}, 6),
        ({'max_epochs': 3, 'limit_train_batches': 0.5}, 6),
        ({'max_epochs': 3, 'accumulate_grad_batches': 2}, 9),
        ({'max_epochs': -1}, math.inf),
        ({'max_epochs': 0}, 0),
    ],
)
def test_steps_are_those_that_lightning_makes(settings, steps, archive, tmp_path):
    data = SeasonalDataModule(root=archive, batch_size=4)
    data.setup('fit')
    trainer = Trainer(accelerator='cpu', logger=False, default_root_dir=tmp_path, **settings)
    assert training_steps(trainer, data) == steps
    # Of another datamodule, whose loader has a length, or none.
    plain = SimpleNamespace(train_dataloader=lambda: range(5))
    assert training_steps(trainer, plain) == steps
    iterable = SimpleNamespace(train_dataloader=lambda: iter(range(5)))
    assert training_steps(trainer, iterable) == settings.get(
        'max_steps', 0 if not steps else math.inf
    )
    if 0 < steps < math.inf:
        task = small(MoCo, bands=None)
        Trainer(
            accelerator='cpu', logger=False, default_root_dir=tmp_path, enable_checkpointing=False,
            enable_progress_bar=False, **settings,
        ).fit(task, data)  # fmt: skip
        assert task.trainer.global_step == steps


def test_accumulated_batches_count_together(archive, tmp_path, caplog):
    task = small(MoCo, bands=None, **COMPUTED)
    data = SeasonalDataModule(root=archive, batch_size=4)
    with caplog.at_level('INFO'):
        Trainer(
            accelerator='cpu', logger=False, default_root_dir=tmp_path, enable_checkpointing=False,
            enable_progress_bar=False, max_epochs=1, accumulate_grad_batches=2,
        ).fit(task, data)  # fmt: skip
    assert 'computed for 3 steps of 8 images' in caplog.text


def test_given_values_stay(archive, tmp_path, caplog):
    task = small(MoCo, bands=None, lr=0.5, temperature=None)
    with caplog.at_level('INFO'):
        fit(task, archive, tmp_path)
    assert 'images: temperature 0.2\n' in caplog.text
    assert (task.hparams['lr'], task.hparams['momentum']) == (0.5, 0.999)
    assert 'momentum=0.999 averages the key encoder over 1,000 steps' in caplog.text


@pytest.mark.parametrize('method', [MoCo, SACo, SeCo])
def test_untrained_nets_guess(method):
    """With random keys InfoNCE is near the loss of a guess, whatever counts as negative."""
    task = small(method, temperature=10.0, projector_norm=True)
    task.contrast(IMAGE, LOCATION)
    task._contrasts.clear()
    task.contrast(IMAGE, LOCATION)
    nce, chance = torch.stack(task._contrasts).sum(0)
    assert (nce / chance).item() == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_loss_over_chance_is_shown(archive, tmp_path):
    task = small(MoCo, bands=None, temporal=True, **EASY)
    assert math.isnan(task.nce_over_chance)
    chances, shown, losses = [], [], []

    def before(batch, number):
        known = task.queues[0].locations
        others = (known >= 0) & (known != batch['location'][:, None])
        chances.append(sum(math.log(1 + count) for count in others.sum(1).tolist()) / 4)

    def after(*args):
        shown.append(task.trainer.progress_bar_metrics.get('nce_over_chance'))
        losses.append(float(task.trainer.logged_metrics['train_nce']))

    task.on_train_batch_start, task.on_train_batch_end = before, after
    fit(task, archive, tmp_path, epochs=12)
    # The first step has no negatives.
    assert (shown[0], chances[0]) == (None, 0)
    ratios = [loss / chance for loss, chance in zip(losses[1:], chances[1:], strict=True)]
    assert len(ratios) > 50
    assert shown[1:] == pytest.approx(ratios, rel=1e-4)
    assert task.nce_over_chance == pytest.approx(sum(ratios[-50:]) / 50, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('method', [CACo, CACoSimCLR])
def test_methods_of_two_years_say_it_too(method, tmp_path):
    days = ('20180501', '20180701', '20180901', '20190501', '20190701', '20190901')
    root = write_archive(tmp_path / 'archive', dates=days)
    task = small(method, bands=None, queue_size=8)
    fit(task, root, tmp_path / 'run', item='years', dates=3, batch_size=2)
    assert 0 < task.nce_over_chance < 3


def test_the_preset_computes_all_of_them():
    given = yaml.safe_load((CONFIGS / 'pretrain/small.yaml').read_text())['model']['init_args']
    # All groups that can be formed, too.
    assert {name for name, value in given.items() if value is None} == {*NAMES, 'groups'}


def test_data_without_a_batch_size_cannot_decide(archive, tmp_path):
    task = small(SACo, bands=None, **COMPUTED)
    whole = SeasonalDataModule(root=archive, batch_size=4)

    class Plain(LightningDataModule):
        """Hands over what another datamodule makes."""

        bands, sensor, setup = None, 'sentinel2_l1c', whole.setup
        train_dataloader, val_dataloader = whole.train_dataloader, whole.val_dataloader

    whole.setup('fit')
    Plain.bands = whole.bands
    trainer = Trainer(
        default_root_dir=tmp_path, max_epochs=1, accelerator='cpu', logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r'no batch_size to compute .*lr.*--model\.init_args\.lr'):
        trainer.fit(task, Plain())
