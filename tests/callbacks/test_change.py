# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the figures of change while a task trains."""

import math
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from matplotlib import pyplot as plt
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import DataLoader

from torchgeo_saco.callbacks import change as callback
from torchgeo_saco.callbacks.change import ChangeFigures
from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.models.change import ChangeEstimate
from torchgeo_saco.tasks import CACo

from ..data.archives import write_archive


class Watcher(LightningModule):
    """A task that finds the first location changed, and the others alike."""

    def __init__(self, estimate=True, grows=True):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.grows = grows
        if estimate:
            self.change = ChangeEstimate(6)

    def training_step(self, batch, batch_idx):
        location = batch['location']
        if hasattr(self, 'change') and self.grows:
            ratio = 1 + 0.01 * location + 5 * (location == location.min())
            self.change.update(location, ratio[:, None].expand(-1, 2).float())
        return self.scale.sum()

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class Plain(LightningDataModule):
    """List locations without images."""

    def train_dataloader(self):
        return DataLoader([{'location': torch.tensor(place)} for place in range(6)], 3)

    val_dataloader = train_dataloader


def fit(module, data, folder, callbacks, epochs=1, logger=None):
    trainer = Trainer(
        default_root_dir=folder, max_epochs=epochs, accelerator='cpu', callbacks=callbacks,
        logger=logger or CSVLogger(folder), enable_progress_bar=False, limit_val_batches=0,
        enable_model_summary=False, num_sanity_val_steps=0, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(module, data)
    return trainer


def names(trainer):
    return sorted(path.name for path in (Path(trainer.log_dir) / 'figures').glob('*'))


def data(root):
    return SeasonalDataModule(root=root, batch_size=4, val_fraction=0.2, item='location')


@pytest.mark.slow
def test_figures_of_every_epoch(archive, tmp_path):
    trainer = fit(Watcher(), data(archive), tmp_path, [ChangeFigures()], 2)
    assert names(trainer) == [
        f'{name}_epoch{epoch:03d}.png'
        for name in ('change_ratio', 'changed_locations')
        for epoch in (1, 2)
    ]
    assert not plt.get_fignums()


@pytest.mark.slow
def test_figures_every_few_epochs_and_at_the_end(archive, tmp_path):
    trainer = fit(Watcher(), data(archive), tmp_path, [ChangeFigures(every_n_epochs=2)], 3)
    assert [name[-7:-4] for name in names(trainer)] == ['002', '003'] * 2


@pytest.mark.slow
def test_figures_are_in_tensorboard(archive, tmp_path):
    logger = TensorBoardLogger(tmp_path)
    trainer = fit(Watcher(), data(archive), tmp_path, [ChangeFigures()], logger=logger)
    events = EventAccumulator(trainer.log_dir, size_guidance={'images': 0}).Reload()
    assert sorted(events.Tags()['images']) == ['change_ratio', 'changed_locations']


@pytest.mark.slow
def test_figures_show_what_was_decided(archive, tmp_path, monkeypatch):
    shown = {}
    for name in ('plot_change_histogram', 'plot_change_locations'):
        plot = getattr(callback, name)
        monkeypatch.setattr(
            callback, name, lambda *a, n=name, p=plot: shown.update({n: a}) or p(*a)
        )
    module = Watcher()
    fit(module, data(archive), tmp_path, [ChangeFigures(pairs=2)])
    ratio, mixture, title = shown['plot_change_histogram']
    assert torch.equal(ratio.nan_to_num(-1), module.change.ratio.nan_to_num(-1))
    # The task itself never decides.
    assert mixture == module.change.mixture
    assert mixture is not None
    assert title == '2 of 8 ratios above the threshold, after 1 epoch'
    part, ratios, pairs, _ = shown['plot_change_locations']
    numbers = {place.name: part.location_index[place.name] for place in part.locations}
    seen = {name: module.change.ratio[i].mean().item() for name, i in numbers.items()}
    assert ratios == {name: ratio for name, ratio in seen.items() if not math.isnan(ratio)}
    assert len(ratios) == 4
    assert pairs == 2


@pytest.mark.slow
def test_figures_of_caco_do_not_disturb_it(tmp_path):
    dates = [f'{year}{day}' for year in (2018, 2019) for day in ('0410', '0715', '1005')]
    root = write_archive(tmp_path / 'archive', dates=dates, bands=('B2', 'B3', 'B4'), size=16)
    states = []
    for number, callbacks in enumerate(([], [ChangeFigures()])):
        torch.manual_seed(0)
        task = CACo(model='test_resnet', size=16, queue_size=8, hidden_dims=[16], output_dim=8)
        module = SeasonalDataModule(
            root=root, batch_size=2, val_fraction=0.2, item='years', dates=3
        )
        trainer = fit(task, module, tmp_path / str(number), callbacks, 2)
        states.append(task.state_dict())
    assert len(names(trainer)) == 4
    assert (states[0]['change.changed'] == 1).any()
    for name, value in states[0].items():
        assert torch.equal(value.nan_to_num(-1), states[1][name].nan_to_num(-1)), name


def test_tasks_without_an_estimate_are_said_once(archive, tmp_path, caplog):
    with caplog.at_level('INFO'):
        trainer = fit(Watcher(estimate=False), data(archive), tmp_path, [ChangeFigures()], 2)
    assert caplog.text.count('no figures of change: Watcher does not estimate it') == 1
    assert not names(trainer)


@pytest.mark.slow
def test_data_without_an_archive_give_the_histogram_alone(tmp_path, caplog):
    with caplog.at_level('INFO'):
        trainer = fit(Watcher(), Plain(), tmp_path, [ChangeFigures()], 2)
    assert caplog.text.count('no images of changed locations: the datamodule has no') == 1
    assert names(trainer) == ['change_ratio_epoch001.png', 'change_ratio_epoch002.png']


def test_nothing_is_drawn_before_a_location_was_seen(archive, tmp_path):
    trainer = fit(Watcher(grows=False), data(archive), tmp_path, [ChangeFigures()])
    assert not names(trainer)


@pytest.mark.parametrize('name', ['pairs', 'every_n_epochs'])
def test_wrong_number(name):
    with pytest.raises(ValueError, match=f'{name} must be at least 1, got 0'):
        ChangeFigures(**{name: 0})
