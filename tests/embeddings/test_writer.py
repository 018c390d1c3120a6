# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the table of ``torchgeo predict`` on two processes, and of other data."""

import sys

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from torchgeo_saco.callbacks import EmbeddingWriter
from torchgeo_saco.embeddings import read_embeddings, vectors
from torchgeo_saco.embeddings.command import embed

from ..data.archives import write_archive
from ..data.processes import run_together, torchrun_environments

PREDICT = """
import sys
from lightning.pytorch import Trainer
from torchgeo_saco.callbacks import EmbeddingWriter
from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.change.command import restored_task
checkpoint, root, output = sys.argv[1:]
task = restored_task(checkpoint, 'MoCo')
data = SeasonalDataModule(root=root, batch_size=3, bands=['B02', 'B03', 'B04', 'B08'])
trainer = Trainer(accelerator='cpu', devices=2, strategy='ddp', logger=False,
                  callbacks=[EmbeddingWriter(output)], enable_progress_bar=False)
trainer.predict(task, data, return_predictions=False)
"""


@pytest.mark.slow
def test_two_processes_write_one_table(trained, tmp_path):
    root = write_archive(tmp_path / 'archive', 5, ('20180101', '20190101', '20200101'))
    output = tmp_path / 'two.parquet'
    command = [sys.executable, '-c', PREDICT, trained[0], str(root), str(output)]
    for process in run_together(command, torchrun_environments()):
        assert process.returncode == 0, process.stdout
    embed(trained[0], str(root), str(tmp_path / 'one.parquet'), progress=False, device='cpu')
    two, one = read_embeddings(output), read_embeddings(tmp_path / 'one.parquet')
    assert len(two) == 15
    assert two.drop(columns='embedding').equals(one.drop(columns='embedding'))
    np.testing.assert_allclose(vectors(two), vectors(one), atol=2e-3)
    assert not list(tmp_path.glob('.*'))


class Doubled(LightningModule):
    """Predicts twice its input."""

    def predict_step(self, batch, batch_idx):
        return 2 * batch['image']


def test_tensors_of_other_data_are_numbered(tmp_path):
    values = torch.rand(7, 4)
    loader = DataLoader([{'image': value} for value in values], 3)
    writer = EmbeddingWriter(str(tmp_path / 'a.parquet'), dtype='float32')
    trainer = Trainer(accelerator='cpu', logger=False, callbacks=[writer],
                      enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    trainer.predict(Doubled(), loader, return_predictions=False)
    table = read_embeddings(tmp_path / 'a.parquet')
    assert table.location.tolist() == [str(number) for number in range(7)]
    np.testing.assert_array_equal(vectors(table), 2 * values)
    assert table.geometry.isna().all() and table.date.isna().all()
