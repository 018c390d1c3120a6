# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the callbacks."""

import copy
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from torchgeo_saco.bands import SENTINEL2_L2A
from torchgeo_saco.callbacks import ContrastiveFigures, KNNProbe, RunReport
from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.tasks import MoCo, SACo

from ..data.archives import write_archive, write_labels, write_tif

pytestmark = pytest.mark.filterwarnings('ignore:The dirpath has changed')


class MeanColour(LightningModule):
    """An encoder that needs no training: the mean of each band."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(12)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, image):
        return image, self.norm(image.mean((2, 3)))

    def training_step(self, batch, batch_idx):
        return self.scale.sum()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def task(**arguments):
    torch.manual_seed(0)
    return SACo(
        model='test_resnet', size=16, queue_size=8, hidden_dims=[16], output_dim=8,
        texture=['urban'], **arguments,
    )  # fmt: skip


def fit(module, data, folder, callbacks, epochs=1, resume=None, logger=True):
    trainer = Trainer(
        default_root_dir=folder, max_epochs=epochs, accelerator='cpu', callbacks=callbacks,
        logger=TensorBoardLogger(folder, 'logs') if logger is True else logger,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(module, data, ckpt_path=resume)
    return trainer


def data(root, **arguments):
    return SeasonalDataModule(root=root, batch_size=4, val_fraction=0.4, **arguments)


@pytest.fixture(scope='module')
def coloured(tmp_path_factory):
    """Places whose class is their colour."""
    root = write_archive(tmp_path_factory.mktemp('coloured'), locations=10, size=12)
    for location in range(10):
        for band in ('B2', 'B3', 'B4', 'B8'):
            for path in (root / f'{location:06d}').rglob(f'{band}.tif'):
                write_tif(path, np.full((12, 12), 10 if location % 2 else 250, 'uint8'))
    write_labels(root, ['bright', 'dark'] * 5)
    return root


@pytest.mark.slow
def test_accuracy_of_an_encoder_that_sees_the_class(coloured, tmp_path):
    probe = KNNProbe(k=3)
    fit(MeanColour(), data(coloured), tmp_path, [probe], epochs=2)
    assert [epochs for epochs, _ in probe.rows] == [0, 1, 2]
    assert probe.rows[-1][1] == 1.0


@pytest.mark.slow
def test_untrained_row_is_calibrated_and_leaves_no_trace(coloured, tmp_path):
    module = MeanColour()
    start = copy.deepcopy(module.state_dict())
    probe = KNNProbe(k=3)
    seen = {}
    module.on_train_epoch_start = lambda: seen.update(copy.deepcopy(module.state_dict()))
    fit(module, data(coloured), tmp_path, [probe])
    assert all(torch.equal(seen[key], start[key]) for key in start)
    assert module.training
    assert probe.rows[0][1] == 1.0


@pytest.mark.slow
def test_probe_does_not_disturb_training(coloured, tmp_path):
    states = [
        fit(task(), data(coloured), tmp_path / str(i), callbacks, epochs=2).model.state_dict()
        for i, callbacks in enumerate(([], [KNNProbe(k=3), ContrastiveFigures()]))
    ]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.slow
def test_rows_come_every_few_epochs_and_at_the_end(coloured, tmp_path):
    probe = KNNProbe(k=3, every_n_epochs=2)
    fit(MeanColour(), data(coloured), tmp_path, [probe], epochs=5)
    assert [epochs for epochs, _ in probe.rows] == [0, 2, 4, 5]


@pytest.mark.slow
def test_resumed_run_keeps_the_untrained_row(coloured, tmp_path):
    first, second = KNNProbe(k=3), KNNProbe(k=3)
    saver = ModelCheckpoint(tmp_path / 'saved', save_last=True)
    fit(MeanColour(), data(coloured), tmp_path, [first, saver])
    saver = ModelCheckpoint(tmp_path / 'saved2', save_last=True)
    fit(
        MeanColour(), data(coloured), tmp_path, [second, saver], epochs=2,
        resume=tmp_path / 'saved' / 'last.ckpt',
    )  # fmt: skip
    assert [epochs for epochs, _ in second.rows] == [0, 1, 2]
    assert second.rows[0] == first.rows[0]


@pytest.mark.slow
def test_rows_are_printed_and_logged(coloured, tmp_path, capsys):
    trainer = fit(MeanColour(), data(coloured), tmp_path, [KNNProbe(k=3)])
    text = capsys.readouterr().out
    assert '3-nearest-neighbour accuracy on held-out locations' in text
    assert 'untrained' in text
    assert 'after 1 epoch' in text
    assert text.count('100.0%') == 2
    events = EventAccumulator(trainer.log_dir, size_guidance={'images': 0}).Reload()
    assert [event.value for event in events.Scalars('val_knn_accuracy')] == [1.0, 1.0]
    assert len(events.Images('embeddings')) == 2
    assert (Path(trainer.log_dir) / 'figures' / 'embeddings_epoch001.png').stat().st_size > 1000


@pytest.mark.slow
def test_fewer_images_than_neighbours_are_said_once(coloured, tmp_path, capsys, caplog):
    probe = KNNProbe(k=1000)
    with caplog.at_level('INFO'):
        fit(MeanColour(), data(coloured), tmp_path, [probe], epochs=2)
    said = re.findall(r'k is 1000, and (\d+) images are labelled: all vote', caplog.text)
    assert len(said) == 1
    assert f'{said[0]}-nearest-neighbour accuracy' in capsys.readouterr().out


def test_data_without_labels_are_said_once(tmp_path, caplog):
    root = write_archive(tmp_path / 'archive', bands=['B4', 'B3', 'B2'], size=12)
    probe = KNNProbe()
    with caplog.at_level('INFO'):
        fit(task(), data(root), tmp_path, [probe], epochs=2)
    assert caplog.text.count('has no labels; add labels.csv') == 1
    assert not probe.rows


@pytest.mark.parametrize('name', ['k', 'temperature', 'every_n_epochs', 'dates_per_location'])
def test_wrong_number(name):
    with pytest.raises(ValueError, match=f'{name} must be .*, got 0'):
        KNNProbe(**{name: 0})


@pytest.mark.slow
def test_figures_of_the_first_batch(coloured, tmp_path):
    trainer = fit(task(), data(coloured), tmp_path, [ContrastiveFigures(samples=2)])
    folder = Path(trainer.log_dir) / 'figures'
    assert sorted(path.name for path in folder.iterdir()) == [
        'groups.png', 'textures.png', 'views.png',
    ]  # fmt: skip
    events = EventAccumulator(trainer.log_dir, size_guidance={'images': 0}).Reload()
    assert sorted(events.Tags()['images']) == ['groups', 'textures', 'views']


@pytest.mark.slow
def test_figures_without_texture_or_natural_colour(coloured, tmp_path):
    module = SACo(
        model='test_resnet', size=16, queue_size=8, hidden_dims=[16], output_dim=8, texture=False,
        groups=['urban'],
    )  # fmt: skip
    logger = CSVLogger(tmp_path)
    fit(module, data(coloured), tmp_path, [ContrastiveFigures()], logger=logger)
    folder = Path(logger.log_dir) / 'figures'
    assert sorted(path.name for path in folder.iterdir()) == ['groups.png', 'views.png']


def test_figures_of_another_task_are_left_out(coloured, tmp_path):
    trainer = fit(MeanColour(), data(coloured), tmp_path, [ContrastiveFigures()])
    assert not (Path(trainer.log_dir) / 'figures').exists()


def test_figures_need_a_sample():
    with pytest.raises(ValueError, match='samples must be at least 1, got 0'):
        ContrastiveFigures(0)


@pytest.mark.slow
def test_report_says_where_things_are(coloured, tmp_path, capsys):
    saver = ModelCheckpoint(save_last=True)
    module = task(bands=list(SENTINEL2_L2A.bands))
    trainer = fit(module, data(coloured), tmp_path, [saver, RunReport()])
    text = capsys.readouterr().out
    assert f'checkpoint  {saver.last_model_path}\n' in text
    assert Path(saver.last_model_path).is_file()
    assert f'figures     {trainer.log_dir}/figures\n' in text
    assert f'tensorboard --logdir {trainer.log_dir}\n' in text
    assert f'weights: {saver.last_model_path}' in text
    assert 'Classification with `model: test_resnet`' in text
    assert 'ChangeDetection (fcsiamdiff) with `backbone: test_resnet`' in text


@pytest.mark.parametrize(
    ('ratio', 'said'),
    [
        (0.96, 'apart no better than by chance; train longer'),
        (0.95, 'apart little better than by chance; train longer'),
        (0.8, None),
        (math.nan, None),
    ],
)
def test_report_advises_where_the_loss_is_near_chance(coloured, tmp_path, capsys, ratio, said):
    module = MeanColour()
    module.nce_over_chance = ratio
    fit(module, data(coloured), tmp_path, [RunReport()])
    text = ' '.join(capsys.readouterr().out.split())
    assert (f'{ratio:.2f} of the loss of a guess' in text) == (not math.isnan(ratio))
    assert said in text if said else 'than by chance' not in text


def test_report_without_a_checkpoint(coloured, tmp_path, capsys):
    fit(MeanColour(), data(coloured), tmp_path, [RunReport(), ModelCheckpoint(every_n_epochs=9)])
    text = capsys.readouterr().out
    assert 'checkpoint  none was written' in text
    assert 'weights:' not in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ('bands', 'figures'),
    [
        (['B08', 'B04', 'B03', 'B02'], {'bands', 'views'}),
        (['B08', 'B04'], {'bands', 'views'}),
        (None, {'groups', 'views'}),
    ],
)
def test_figures_of_bands_as_one_image(bands, figures, coloured, tmp_path):
    module = MoCo(model='test_resnet', size=16, queue_size=8, crop=1.0, input_bands=bands)
    fit(module, data(coloured), tmp_path, [ContrastiveFigures()], logger=False)
    assert {path.stem for path in (tmp_path / 'figures').iterdir()} == figures
