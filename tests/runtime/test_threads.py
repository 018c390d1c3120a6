# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the threads of runs that are to be deterministic."""

import logging

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.tasks import MoCo

from ..data.pretraining import small


@pytest.fixture(autouse=True)
def threads(monkeypatch):
    """Three threads in each test; they and the algorithms of PyTorch are put back."""
    before = torch.get_num_threads()
    monkeypatch.setenv('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    torch.set_num_threads(3)
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(before)


class Seen(Callback):
    """Notes the threads of each step, and raises if asked."""

    def __init__(self, error=None):
        self.error, self.threads = error, []

    def on_train_batch_start(self, *args):
        self.threads.append(torch.get_num_threads())
        if self.error is not None:
            raise self.error


def trainer(folder, seen, **options):
    return Trainer(
        default_root_dir=folder, accelerator='cpu', max_epochs=1, limit_train_batches=1,
        limit_val_batches=0, logger=False, callbacks=[seen], enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, **options,
    )  # fmt: skip


def task_and_data(archive):
    return small(MoCo, groups=None), SeasonalDataModule(root=archive, batch_size=4)


def test_one_thread_computes_where_the_trainer_is_deterministic(archive, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    seen = Seen()
    run = trainer(tmp_path, seen, deterministic=True)
    for _ in range(2):
        run.fit_loop.max_epochs += 1
        run.fit(*task_and_data(archive))
        assert torch.get_num_threads() == 3
    assert set(seen.threads) == {1}
    # Also of what is saved after the run.
    run.save_checkpoint(tmp_path / 'after.ckpt')
    assert torch.load(tmp_path / 'after.ckpt', weights_only=True)['threads'] == 1
    assert 'deterministic: 1 thread computes in place of 3' in caplog.messages


@pytest.mark.parametrize('options', [{}, {'deterministic': False}], ids=str)
def test_threads_stay_as_they_are_otherwise(options, archive, tmp_path):
    seen = Seen()
    trainer(tmp_path, seen, **options).fit(*task_and_data(archive))
    assert seen.threads == [3]


@pytest.mark.parametrize('error', [OSError('no such image'), KeyboardInterrupt()], ids=repr)
def test_threads_are_put_back_after_a_run_that_fails(error, archive, tmp_path):
    with pytest.raises((OSError, SystemExit, KeyboardInterrupt)):
        trainer(tmp_path, Seen(error), deterministic=True).fit(*task_and_data(archive))
    assert torch.get_num_threads() == 3
