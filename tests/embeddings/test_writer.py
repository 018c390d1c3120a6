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


def predict(task, items, output, **arguments):
    """The table of what a task predicts of items."""
    writer = EmbeddingWriter(str(output), **arguments)
    trainer = Trainer(accelerator='cpu', logger=False, callbacks=[writer],
                      enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    trainer.predict(task, DataLoader(items, 3), return_predictions=False)
    return read_embeddings(output)


class Doubled(LightningModule):
    """Predicts twice its input."""

    def predict_step(self, batch, batch_idx):
        return 2 * batch['image']


def test_tensors_of_other_data_are_numbered(tmp_path):
    values = torch.rand(7, 4)
    items = [{'image': value} for value in values]
    table = predict(Doubled(), items, tmp_path / 'a.parquet', dtype='float32')
    assert table.location.tolist() == [str(number) for number in range(7)]
    np.testing.assert_array_equal(vectors(table), 2 * values)
    assert table.geometry.isna().all() and table.date.isna().all()


def test_dates_of_a_batch_count_where_each_embedding_has_one(tmp_path):
    days = [20200102, 20200304, 0]
    items = [{'image': torch.rand(4), 'date': day} for day in days]
    table = predict(Doubled(), items, tmp_path / 'a.parquet')
    assert table.date.fillna('none').tolist() == ['2020-01-02', '2020-03-04', 'none']
    # Embeddings of images of two dates are of neither.
    items = [{'image': torch.rand(4), 'date': torch.tensor([day, day + 1])} for day in days]
    assert predict(Doubled(), items, tmp_path / 'b.parquet').date.isna().all()


def test_groups_are_written_where_there_are_some(tmp_path):
    items = [{'image': torch.rand(4)}]
    with pytest.raises(ValueError, match='hold no features of groups; set groups to false'):
        predict(Doubled(), items, tmp_path / 'a.parquet', groups=True)
    assert not (tmp_path / 'a.parquet').exists()
