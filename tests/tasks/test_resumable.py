# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of what a checkpoint must agree on to be gone on from."""

import pytest
import torch
from lightning.pytorch import Trainer

from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.io.checkpoint import CheckpointError
from torchgeo_saco.runtime.ranks import RankWatch
from torchgeo_saco.tasks import GroupClassification, MoCo

from ..data.pretraining import BANDS, small


class OwnMoCo(MoCo):
    """A user's."""


def trainer(folder, **options):
    """A trainer of one epoch that shows and keeps nothing."""
    return Trainer(
        default_root_dir=folder, accelerator='cpu', logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, **({'max_epochs': 1} | options),
    )  # fmt: skip


def data(archive):
    """Two images a batch."""
    return SeasonalDataModule(root=archive, batch_size=2, val_fraction=0.4)


@pytest.fixture
def saved(archive, tmp_path):
    """Checkpoint of a training that was saved after it was validated."""
    run, task = trainer(tmp_path), small(MoCo)
    run.fit(task, data(archive))
    run.validate(task, data(archive), verbose=False)
    run.save_checkpoint(tmp_path / 'last.ckpt')
    return tmp_path / 'last.ckpt'


@pytest.mark.parametrize('precision', ['bf16-true', '16-true', '64-true'])
@pytest.mark.parametrize('stage', ['fit', 'validate', 'predict'])
def test_weights_of_another_type_than_float32_are_refused(precision, stage, archive, tmp_path):
    message = f'precision {precision} keeps weights in another type.*set trainer.precision to 32'
    with pytest.raises(ValueError, match=message):
        getattr(trainer(tmp_path, precision=precision), stage)(small(MoCo), data(archive))


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('accumulate_grad_batches', 0),
        ('accumulate_grad_batches', -2),
        ('gradient_clip_val', -1.0),
        ('gradient_clip_val', float('nan')),
        ('log_every_n_steps', -1),
    ],
)
def test_arguments_that_lightning_does_not_check_are_refused(name, value, archive, tmp_path):
    with pytest.raises(ValueError, match=rf'trainer\.{name} must be .*, got {value}'):
        trainer(tmp_path, **{name: value}).fit(small(MoCo), data(archive))


@pytest.mark.filterwarnings('ignore:.*barebones')
@pytest.mark.parametrize('options', [{'log_every_n_steps': 0}, {'barebones': True}])
def test_a_training_that_logs_nothing_runs(options, archive, tmp_path):
    run = Trainer(
        default_root_dir=tmp_path, accelerator='cpu', max_steps=1, logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        **options,
    )  # fmt: skip
    run.fit(small(MoCo, groups=None), data(archive))
    assert run.global_step == 1


@pytest.mark.slow
def test_a_run_saved_after_validation_goes_on(archive, tmp_path, saved):
    run = trainer(tmp_path, max_epochs=2)
    run.fit(small(MoCo), data(archive), ckpt_path=saved)
    assert run.current_epoch == 2


@pytest.fixture
def threads():
    """Threads of PyTorch, which are put back."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


@pytest.mark.slow
def test_another_number_of_threads_is_said(archive, tmp_path, saved, threads):
    torch.set_num_threads(threads + 1)
    run = trainer(tmp_path, max_epochs=2)
    message = rf'last\.ckpt is of a run with {threads} threads .* set OMP_NUM_THREADS={threads} for'
    with pytest.warns(UserWarning, match=message):
        run.fit(small(MoCo), data(archive), ckpt_path=saved)
    assert run.current_epoch == 2
    # Scores are of the weights, however they came to be.
    trainer(tmp_path).validate(small(MoCo), data(archive), ckpt_path=saved, verbose=False)


def test_a_subclass_takes_the_checkpoint_of_its_parent(archive, tmp_path, saved):
    trainer(tmp_path).validate(small(OwnMoCo), data(archive), ckpt_path=saved, verbose=False)


@pytest.mark.slow
def test_a_checkpoint_of_an_earlier_version_is_named_as_such(archive, tmp_path, saved):
    content = torch.load(saved, weights_only=True)
    del content['run'], content['checksum']
    torch.save(content, tmp_path / 'old.ckpt')
    with pytest.raises(CheckpointError, match=r'old\.ckpt does not say what it was trained on'):
        trainer(tmp_path, max_epochs=2).fit(
            small(MoCo), data(archive), ckpt_path=tmp_path / 'old.ckpt'
        )
    trainer(tmp_path).validate(
        small(MoCo), data(archive), ckpt_path=tmp_path / 'old.ckpt', verbose=False
    )


@pytest.mark.slow
def test_no_clipping_is_none_or_zero(archive, tmp_path, saved):
    run = trainer(tmp_path, max_epochs=2, gradient_clip_val=0)
    run.fit(small(MoCo), data(archive), ckpt_path=saved)
    assert run.current_epoch == 2


def test_one_process_has_no_ranks_to_watch(archive, tmp_path):
    run = trainer(tmp_path)
    run.fit(small(MoCo), data(archive))
    assert not [callback for callback in run.callbacks if isinstance(callback, RankWatch)]


def test_a_downstream_checkpoint_of_an_earlier_version_is_taken():
    task = GroupClassification(model='test_resnet', bands=BANDS, num_classes=2)
    content = {'state_dict': task.state_dict()}
    task.on_save_checkpoint(content)
    assert content.pop('task') == 'GroupClassification'
    task.on_load_checkpoint(content)
