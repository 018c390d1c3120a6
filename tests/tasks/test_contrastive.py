# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests that a method of one's own is one file, and of the commands that then know it."""

import inspect
import re
import sys

import pytest
import torch
from torchgeo.main import main as torchgeo

from torchgeo_saco import tasks
from torchgeo_saco.models import load_encoder
from torchgeo_saco.tasks import ContrastiveTask
from torchgeo_saco.tasks.contrastive import Contrast

from ..data.pretraining import BANDS, small


class Attraction(ContrastiveTask):
    """Draws two dates together, and pushes nothing away."""

    dates = 2

    def __init__(self, weight: float = 1.0, **shared):
        """Initialize a new Attraction instance.

        Args:
            weight: Weight of the attraction.
            shared: See :class:`ContrastiveTask`.
        """
        super().__init__(**shared)

    def contrast(self, image, location):
        query = self.query(self.views.augmented(image[:, 0]))
        key = self.key(self.views.augmented(image[:, 1]))
        distance = 1 - torch.cosine_similarity(query[0].mean(1), key[0]).mean()
        return Contrast({'attraction': self.hparams['weight'] * distance}, query, key)


def test_method_of_ones_own_trains_by_its_dotted_path(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['torchgeo'])
    torchgeo([
        'fit', f'--model={__name__}.Attraction', '--data=torchgeo_saco.datamodules.SeasonalDataModule',
        f'--data.root={archive}', '--data.batch_size=4', '--model.model=test_resnet',
        '--model.size=16', '--model.queue_size=8', '--model.weight=0.5', '--trainer.max_steps=2',
        '--trainer.accelerator=cpu', f'--trainer.default_root_dir={tmp_path}',
        '--trainer.enable_progress_bar=false', '--trainer.enable_model_summary=false',
        '--trainer.limit_val_batches=0',
    ])  # fmt: skip
    (checkpoint,) = tmp_path.rglob('*.ckpt')
    assert torch.load(checkpoint, weights_only=True)['hyper_parameters']['weight'] == 0.5
    assert list(load_encoder(BANDS, weights=str(checkpoint)).plan.groups) == ['natural_color']


METHODS = ('MoCo', 'SeCo', 'CACo', 'CACoSimCLR', 'SACo')


@pytest.mark.parametrize('name', METHODS)
def test_methods_share_their_arguments_and_document_them(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['torchgeo'])
    with pytest.raises(SystemExit):
        torchgeo(['fit', f'--model.help=torchgeo_saco.tasks.{name}'])
    text = capsys.readouterr().out
    for argument in [*inspect.signature(ContrastiveTask.__init__).parameters][1:]:
        # Its name, a sentence, and its type.
        assert re.search(rf'--model\.{argument} [^(]*[A-Z][a-z]+[^(]* [^(]*', text)
    assert 'shared' not in text
    assert len(text.splitlines()) < 220


@pytest.mark.parametrize('name', METHODS)
def test_hyper_parameters_hold_all_arguments(name):
    task = small(getattr(tasks, name))
    wanted = set(inspect.signature(ContrastiveTask.__init__).parameters) - {'self', 'weights'}
    assert wanted <= set(task.hparams)
