# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of MoCo v2, of the losses of SACo+, and of encoders that see bands in place of groups."""

import copy

import numpy as np
import pytest
import torch
from torchgeo.tasks import Classification

from torchgeo_saco.models import load_encoder
from torchgeo_saco.tasks import MoCo, SACo

from ..data import formulas
from ..data.pretraining import BANDS, GROUPS, IMAGE, LOCATION, fit, history, same, small

TOLERANCES = [(torch.float32, 1e-6), (torch.float64, 1e-12)]


def memory_of(queue):
    """Keys of a queue with their locations, as the formulas take them."""
    filled = queue.locations >= 0
    pairs = zip(queue.keys[filled].double().numpy(), queue.locations[filled].tolist(), strict=True)
    return [(key, location, 0) for key, location in pairs]


def remembering(task, dtype):
    """The task in a precision, with features of locations in the batch and in memory."""
    for number, queue in enumerate(task.queues):
        count = queue.size - 2
        keys = torch.randn(count, 8, generator=torch.Generator().manual_seed(number))
        queue.enqueue(keys, torch.arange(count) % 7)
    return task.to(dtype)


def features(*shape, dtype):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


@pytest.mark.parametrize(('dtype', 'tolerance'), TOLERANCES)
def test_loss_equals_the_formula(dtype, tolerance, monkeypatch):
    task = remembering(small(MoCo), dtype)
    query, key = features(1, 4, 3, 8, dtype=dtype), features(1, 4, 8, dtype=dtype)
    monkeypatch.setattr(task, 'query', lambda view: query)
    monkeypatch.setattr(task, 'key', lambda view: key)
    memory = memory_of(task.queues[0])
    losses = task.objective(IMAGE.to(dtype), LOCATION).losses
    z, kappa = query.double().numpy(), key.double().numpy()
    expected = formulas.moco(z[0].mean(1), kappa[0], LOCATION.tolist(), memory, 0.07)
    assert losses['nce'].item() == pytest.approx(expected, rel=tolerance)
    assert losses['group_alignment'].item() == pytest.approx(
        formulas.alignment(z[0]), rel=tolerance
    )


@pytest.mark.parametrize(('dtype', 'tolerance'), TOLERANCES)
def test_loss_of_saco_equals_the_formula(dtype, tolerance, monkeypatch):
    task = remembering(small(SACo), dtype)
    query, keys = features(1, 4, 3, 8, dtype=dtype), features(1, 8, 8, dtype=dtype)
    monkeypatch.setattr(task, 'query', lambda view: query)
    monkeypatch.setattr(task, 'key', lambda view: keys)
    memory = memory_of(task.queues[0])
    losses = task.objective(IMAGE.to(dtype), LOCATION).losses
    z, kappa = query.double().numpy()[0].mean(1), keys.double().numpy()[0]
    for name, key in (('nce_same_date', kappa[:4]), ('nce_other_date', kappa[4:])):
        expected = formulas.moco(z, key, LOCATION.tolist(), memory, 0.05)
        assert losses[name].item() == pytest.approx(expected, rel=tolerance)


def test_key_is_another_view_or_another_date(monkeypatch):
    for temporal, date in ((False, 0), (True, 1)):
        task = small(MoCo, temporal=temporal, groups=None)
        seen = []
        draw = task.views.augmented
        monkeypatch.setattr(
            task.views, 'augmented', lambda image, draw=draw, seen=seen: seen.append(image) or draw(image)  # noqa: E501
        )  # fmt: skip
        task.contrast(IMAGE, LOCATION)
        assert torch.equal(seen[0], IMAGE[:, 0])
        assert torch.equal(seen[1], IMAGE[:, date])


def test_one_key_an_image_enters_the_queue():
    task = small(MoCo)
    task.contrast(IMAGE, LOCATION)
    assert task.queues[0].locations.tolist() == [0, 1, 2, 3, *[-1] * 8]


@pytest.mark.parametrize('method', [MoCo, SACo])
def test_key_encoder_is_a_true_copy(method):
    task = small(method)
    assert same(task.model.state_dict(), task.model_momentum.state_dict())
    assert same(task.projector.state_dict(), task.projector_momentum.state_dict())


def test_rgb_has_no_alignment_of_groups():
    assert set(small(MoCo).objective(IMAGE, LOCATION).losses) == {'nce'}


def test_two_dates_are_needed_for_another_date(archive, tmp_path):
    with pytest.raises(
        ValueError, match=r'MoCo compares 2 dates of a location, samples have 1; set'
    ):
        fit(small(MoCo, temporal=True), archive, tmp_path, dates=1)


def test_defaults_are_those_of_seco_and_caco():
    task = MoCo(bands=BANDS)
    wanted = {
        'temperature': 0.07, 'queue_size': 16384, 'momentum': 0.999, 'size': 224, 'lr': 0.03,
        'weight_decay': 1e-4, 'output_dim': 128, 'groups': ('natural_color',),
    }  # fmt: skip
    assert {key: task.hparams[key] for key in wanted} == wanted
    assert [layer.out_features for layer in task.projector[0][::2]] == [512, 128]
    assert task.views.crop == 0.2
    optimizer = task.configure_optimizers()
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults['momentum'] == 0.9


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'milestones': [1.5]}, r'each of milestones must be above 0 and at most 1, got 1\.5'),
        ({'crop': 0.0}, r'crop must be above 0 and at most 1, got 0'),
        ({'blur': 2.0}, r'blur must be from 0 to 1, got 2'),
        ({'input_bands': ['B4', 'B99']}, r"no band 'B99'"),
        ({'output_dim': 0}, 'output_dim must be at least 1, got 0'),
        ({'hidden_dims': [0]}, 'each of hidden_dims must be at least 1 or None, got 0'),
        ({'optimizer': 'rmsprop'}, r"optimizer must be one of adam, adamw, sgd, got 'rmsprop'"),
    ],
)
def test_wrong_argument(wrong, message):
    with pytest.raises(ValueError, match=message):
        small(MoCo, **wrong)


@pytest.mark.slow
def test_one_date_has_no_alignment(archive, tmp_path):
    for dates in (1, 2):
        trainer, _ = fit(small(MoCo), archive, tmp_path / str(dates), dates=dates, val_fraction=0.4)
        assert ('val_alignment' in trainer.logged_metrics) == (dates == 2)
        assert 'val_uniformity' in trainer.logged_metrics


def test_typo_in_an_argument():
    with pytest.raises(TypeError, match='temprature'):
        MoCo(temprature=0.1)


@pytest.fixture(scope='module')
def on_bands(tmp_path_factory, archive):
    """Checkpoint of an encoder that takes five bands at once."""
    task = small(
        MoCo, input_bands=['B11', 'B08', 'B04', 'B03', 'B02'], bands=None, model='resnet18'
    )
    losses = history(task)
    _, last = fit(task, archive, tmp_path_factory.mktemp('bands'), batch_size=8)
    assert np.isfinite(losses).all()
    return task, last


@pytest.mark.slow
def test_any_bands_as_one_image(on_bands):
    task, last = on_bands
    assert task.model.conv1.in_channels == 5
    restored = MoCo.load_from_checkpoint(last, weights_only=True).eval()
    loaded = load_encoder(BANDS[::-1], weights=last)
    encoder, plan = loaded.encoder, loaded.config
    skipped, unfitted = loaded.skipped, loaded.unfitted
    assert (plan.input_bands, skipped, unfitted) == (['B11', 'B08', 'B04', 'B03', 'B02'], [], [])
    image = restored.views.original(IMAGE[:, 0])
    embedding = encoder.eval()(image.flip(1))
    assert torch.allclose(embedding, restored(image), atol=1e-5)


@pytest.mark.filterwarnings('ignore:num classes')
def test_stock_task_loads_an_encoder_of_five_bands(on_bands):
    _, last = on_bands
    stock = Classification(model='resnet18', weights=last, in_channels=5, num_classes=4)
    saved = torch.load(last, weights_only=True)['state_dict']
    assert torch.equal(stock.model.conv1.weight, saved['model.conv1.weight'])


def test_other_bands_than_the_one_image_has_are_refused(on_bands):
    task, _ = on_bands
    with pytest.raises(ValueError, match=r'image lacks|no band|lacks'):
        copy.deepcopy(task).configure_bands(['B02', 'B03'])


def test_groups_make_it_semantically_aware(archive, tmp_path):
    trainer, last = fit(small(MoCo, temporal=True, bands=None, **GROUPS), archive, tmp_path)
    assert {'train_nce', 'train_group_alignment'} <= set(trainer.logged_metrics)
    plan = load_encoder(BANDS, weights=last).config
    assert plan.texture == ['urban']
    assert len(plan.groups) == 7
