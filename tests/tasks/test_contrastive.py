# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests that a method of one's own is one file, and of the commands that then know it."""

import inspect
import re
import sys

import numpy as np
import pytest
import torch
from torchgeo.main import main as torchgeo

from torchgeo_saco import tasks
from torchgeo_saco.models import load_encoder
from torchgeo_saco.tasks import ContrastiveTask
from torchgeo_saco.tasks.contrastive import Contrast

from ..data.pretraining import BANDS, GROUPS, IMAGE, LOCATION, METHODS, small


class AlignedDates(ContrastiveTask):
    """Draw two dates together, without negatives."""

    dates = 2

    def __init__(self, weight: float = 1.0, **kwargs):
        """Initialize a new AlignedDates instance.

        Args:
            weight: Weight of the loss.
            **kwargs: See :class:`ContrastiveTask`.
        """
        super().__init__(**kwargs)

    def contrast(self, image, location):
        query = self.query(self.views.augmented(image[:, 0]))
        key = self.key(self.views.augmented(image[:, 1]))
        distance = 1 - torch.cosine_similarity(query[0].mean(1), key[0]).mean()
        return Contrast({'distance': self.hparams['weight'] * distance}, query, key)


def test_method_of_ones_own_trains_by_its_dotted_path(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['torchgeo'])
    torchgeo([
        'fit', f'--model={__name__}.AlignedDates', '--data=torchgeo_saco.datamodules.SeasonalDataModule',  # noqa: E501
        f'--data.root={archive}', '--data.batch_size=4', '--model.model=test_resnet',
        '--model.size=16', '--model.queue_size=8', '--model.weight=0.5', '--trainer.max_steps=2',
        '--trainer.accelerator=cpu', f'--trainer.default_root_dir={tmp_path}',
        '--trainer.enable_progress_bar=false', '--trainer.enable_model_summary=false',
        '--trainer.limit_val_batches=0',
    ])  # fmt: skip
    (checkpoint,) = tmp_path.rglob('*.ckpt')
    assert torch.load(checkpoint, weights_only=True)['hyper_parameters']['weight'] == 0.5
    assert list(load_encoder(BANDS, weights=str(checkpoint)).config.groups) == ['natural_color']


@pytest.mark.parametrize('name', METHODS)
def test_methods_share_their_arguments_and_document_them(name, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['torchgeo'])
    with pytest.raises(SystemExit):
        torchgeo(['fit', f'--model.help=torchgeo_saco.tasks.{name}'])
    text = capsys.readouterr().out
    for argument in [*inspect.signature(ContrastiveTask.__init__).parameters][1:]:
        # Its name, a sentence, and its type.
        assert re.search(rf'--model\.{argument} [^(]*[A-Z][a-z]+[^(]* [^(]*', text)
    assert 'kwargs' not in text
    assert len(text.splitlines()) < 220


@pytest.mark.parametrize('name', METHODS)
def test_hyper_parameters_hold_all_arguments(name):
    task = small(getattr(tasks, name))
    wanted = set(inspect.signature(ContrastiveTask.__init__).parameters) - {'self', 'weights'}
    assert wanted <= set(task.hparams)


def test_key_encoder_and_key_projector_follow_once_a_step():
    task = small(AlignedDates, momentum=0.75)
    networks = ((task.model, task.model_momentum), (task.projector, task.projector_momentum))
    with torch.no_grad():
        for network, _ in networks:
            for weight in network.parameters():
                weight += 1
    expected = [
        [0.25 * w + 0.75 * k for w, k in zip(net.parameters(), keys.parameters(), strict=True)]
        for net, keys in networks
    ]
    task._update_key_encoder()
    # A second batch of the same step of the optimizer.
    task._updated_step = task.global_step
    task._update_key_encoder()
    for (_, keys), weights in zip(networks, expected, strict=True):
        for weight, wanted in zip(keys.parameters(), weights, strict=True):
            torch.testing.assert_close(weight, wanted)


def test_alignment_is_the_mean_over_groups_and_sub_spaces():
    task = small(AlignedDates, **GROUPS, alignment_weight=0.5)
    query = torch.randn(3, 4, 5, 8)
    task.contrast = lambda image, location: Contrast({}, query, query.mean(2))
    terms = []
    for space in query.numpy():
        for groups in space:
            mean = groups.mean(0)
            terms += [
                1 - group @ mean / (np.linalg.norm(group) * np.linalg.norm(mean))
                for group in groups
            ]
    losses = task.objective(IMAGE, LOCATION).losses
    assert losses['group_alignment'].item() == pytest.approx(0.5 * np.mean(terms), abs=1e-6)


# Of the original code: SeCo, which MoCo v2 and CACo are run by as well, and SACo. The colour jitter
# of 0.4 is one of contrast and brightness there; a shift is ours.
SECO = {
    'temperature': 0.07, 'queue_size': 16384, 'momentum': 0.999, 'output_dim': 128,
    'optimizer': 'sgd', 'lr': 0.03, 'sgd_momentum': 0.9, 'weight_decay': 1e-4,
    'milestones': (0.6, 0.8), 'size': 224, 'crop': 0.2, 'contrast': 0.4, 'jitter': 0.8,
    'grayscale': 0.2, 'blur': 0.5, 'rotation': 0.0, 'horizontal_flip': 0.5, 'vertical_flip': 0.0,
    'texture': False, 'groups': ('natural_color',),
}  # fmt: skip
SACO = {
    'temperature': 0.05, 'queue_size': 8192, 'momentum': 0.999, 'output_dim': 256,
    'hidden_dims': (1024, 512), 'optimizer': 'adam', 'lr': 1e-4, 'weight_decay': 1e-5,
    'milestones': (), 'size': 64, 'crop': 1.0, 'contrast': 0.1, 'shift': 0.01, 'jitter': 0.5,
    'grayscale': 0.0, 'blur': 0.0, 'rotation': 180.0, 'horizontal_flip': 0.5,
    'vertical_flip': 0.0, 'texture': True, 'groups': None, 'alignment_weight': 1.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ('name', 'expected'),
    [('SACo', SACO), *((name, SECO) for name in ('MoCo', 'SeCo', 'CACo', 'CACoSimCLR'))],
)
def test_defaults_are_those_of_the_original(name, expected):
    found = getattr(tasks, name)(model='test_resnet').hparams
    assert {argument: found[argument] for argument in expected} == expected
