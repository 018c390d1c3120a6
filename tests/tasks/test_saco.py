# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of SACo+ and of what contrastive tasks share."""

import copy
import warnings

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.utils.data import DataLoader
from torchgeo.tasks import ChangeDetection, Classification, SemanticSegmentation

from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.losses import alignment_loss, info_nce
from torchgeo_saco.tasks import SACo

from ..data import pretraining
from ..data.archives import write_archive
from ..data.fakes import FakeReflectance
from ..data.pretraining import BANDS, LOCATION, fit, history, same

IMAGE = pretraining.IMAGE[:, :2]


def small(**arguments):
    """A SACo+ task with a small backbone."""
    return pretraining.small(SACo, **({'texture': ['urban']} | arguments))


def test_defaults_are_those_of_the_original_code():
    task = SACo(bands=BANDS)
    wanted = {
        'model': 'resnet18', 'output_dim': 256, 'temperature': 0.05, 'queue_size': 8192,
        'momentum': 0.999, 'size': 64, 'lr': 1e-4, 'weight_decay': 1e-5,
    }  # fmt: skip
    assert {key: task.hparams[key] for key in wanted} == wanted
    assert [layer.out_features for layer in task.projector[0] if isinstance(layer, nn.Linear)] == [
        1024, 512, 256,
    ]  # fmt: skip
    optimizer = task.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    trained = sum(len(group['params']) for group in optimizer.param_groups)
    assert trained == len([*task.model.parameters(), *task.projector.parameters()])


def test_key_encoder_starts_equal_to_the_query_encoder():
    task = small()
    assert same(task.model.state_dict(), task.model_momentum.state_dict())
    assert same(task.projector.state_dict(), task.projector_momentum.state_dict())
    assert not any(weight.requires_grad for weight in task.model_momentum.parameters())


def test_loss_is_that_of_the_paper():
    task = small(alignment_weight=0.5)
    (queue,) = task.queues
    queue.enqueue(torch.randn(12, 8), torch.arange(12) + 2)
    queue = copy.deepcopy(queue)
    torch.manual_seed(3)
    losses = task.objective(IMAGE, LOCATION).losses

    reference = small()
    torch.manual_seed(3)
    same_date, other_date = (reference.views.augmented(IMAGE[:, t]) for t in (0, 1))
    (query,) = reference.query(reference.views.original(IMAGE[:, 0]))
    (keys,) = reference.key(torch.cat([same_date, other_date]))
    excluded = queue.locations == LOCATION[:, None]
    assert excluded.sum() == 2
    for name, key in zip(('nce_same_date', 'nce_other_date'), (keys[:4], keys[4:]), strict=True):
        expected = info_nce(query.mean(1), key, queue.keys, 0.05, excluded)
        assert torch.allclose(losses[name], expected, atol=1e-5)
    assert torch.allclose(losses['group_alignment'], 0.5 * alignment_loss(query), atol=1e-5)


def test_both_keys_enter_the_queue_with_their_locations():
    task = small()
    task.contrast(IMAGE, LOCATION)
    assert task.queues[0].locations.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, -1, -1, -1, -1]


def test_gradients_reach_the_online_encoder_only():
    task = small()
    task.queues[0].enqueue(torch.randn(12, 8), torch.arange(12) + 9)
    sum(task.objective(IMAGE, LOCATION).losses.values()).backward()
    assert all(weight.grad is not None for weight in task.model.parameters())
    assert all(weight.grad is None for weight in task.model_momentum.parameters())


def test_one_step_moves_the_key_encoder_by_the_formula(archive, tmp_path):
    task = small(momentum=0.9, lr=0.1)
    start = copy.deepcopy(task.model_momentum.state_dict())
    trainer, _ = fit(task, archive, tmp_path, batch_size=10)
    assert trainer.global_step == 2
    # The second step begins with the weights that the first has trained.
    moved = task.model_momentum.state_dict()['conv1.0.weight']
    assert not torch.equal(moved, start['conv1.0.weight'])
    trained = (moved - 0.9 * start['conv1.0.weight']) / 0.1
    # Adam's first step is lr per weight.
    assert torch.allclose(
        (trained - start['conv1.0.weight']).abs().max(), torch.tensor(0.1), rtol=1e-3
    )


@pytest.mark.slow
def test_loss_falls(archive, tmp_path):
    task = small(
        lr=1e-3, queue_size=16, momentum=0.9, projector_norm=True, temperature=0.2, output_dim=32
    )
    losses = history(task)
    fit(task, archive, tmp_path, epochs=12)
    assert sum(losses[-10:]) < 0.8 * sum(losses[5:15])


@pytest.mark.slow
def test_two_runs_with_one_seed_are_equal(archive, tmp_path):
    states = [
        fit(small(), archive, tmp_path / str(run), epochs=2)[0].model.state_dict()
        for run in range(2)
    ]
    assert same(*states)


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:.*fork.*:DeprecationWarning')
def test_workers_do_not_change_the_weights(archive, tmp_path):
    states = [
        fit(small(), archive, tmp_path / str(n), epochs=2, num_workers=n)[0].model.state_dict()
        for n in (0, 1)
    ]
    assert same(*states)


@pytest.mark.slow
def test_other_seed_gives_other_weights(archive, tmp_path, monkeypatch):
    first = fit(small(), archive, tmp_path / 'a')[0].model.state_dict()
    monkeypatch.setenv('PL_GLOBAL_SEED', '1')
    assert not same(first, fit(small(), archive, tmp_path / 'b')[0].model.state_dict())


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:The dirpath has changed')
def test_resumed_run_ends_where_the_unbroken_one_does(archive, tmp_path):
    unbroken = fit(small(), archive, tmp_path / 'whole', epochs=2)[0].model.state_dict()
    _, last = fit(small(), archive, tmp_path / 'half', epochs=1)
    saved = torch.load(last, weights_only=True)['state_dict']
    resumed = small()
    seen = {}
    resumed.on_train_start = lambda: seen.update(copy.deepcopy(resumed.state_dict()))
    fit(resumed, archive, tmp_path / 'rest', epochs=2, resume=last)
    for key in ('queues.0.keys', 'queues.0.locations', 'model_momentum.conv1.0.weight'):
        assert torch.equal(seen[key], saved[key])
    assert same(resumed.state_dict(), unbroken)


def test_all_that_training_changes_is_in_the_checkpoint():
    task = small()
    before = {key: value.clone() for key, value in task.state_dict().items()}
    task.contrast(IMAGE, LOCATION)
    changed = {
        k.split('.')[0] for k, v in task.state_dict().items() if not torch.equal(v, before[k])
    }
    assert changed == {'model', 'model_momentum', 'queues', 'inputs'}
    tensors = {name for name, value in vars(task).items() if isinstance(value, torch.Tensor)}
    assert not tensors


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Checkpoint of a ResNet-18 after one step."""
    folder = tmp_path_factory.mktemp('checkpoint')
    root = write_archive(folder / 'archive', locations=3)
    task = small(model='resnet18', bands=None, queue_size=4, texture=False)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return fit(task, root, folder, batch_size=8)[1]


def online_encoder(checkpoint):
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    return {key[6:]: value for key, value in state.items() if key.startswith('model.')}


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:num classes')
def test_stock_classification_loads_the_checkpoint(checkpoint):
    task = Classification(model='resnet18', weights=checkpoint, in_channels=3, num_classes=4)
    state = task.model.state_dict()
    encoder = online_encoder(checkpoint)
    assert len(encoder) == 120
    for key, value in encoder.items():
        assert torch.equal(state[key], value)


@pytest.mark.parametrize(
    'task',
    [
        lambda weights: SemanticSegmentation(
            'unet', 'resnet18', weights, in_channels=3, num_classes=4
        ),
        lambda weights: ChangeDetection('fcsiamdiff', 'resnet18', weights, in_channels=3),
    ],
    ids=['unet', 'fcsiamdiff'],
)
def test_stock_dense_tasks_load_the_checkpoint(checkpoint, task):
    state = task(checkpoint).model.encoder.state_dict()
    encoder = online_encoder(checkpoint)
    assert len(encoder) == 120
    for key, value in encoder.items():
        assert torch.equal(state[key], value)


def test_checkpoint_holds_plain_types_and_the_bands(checkpoint):
    saved = torch.load(checkpoint, weights_only=True)
    assert saved['hyper_parameters']['model'] == 'resnet18'
    assert saved['hyper_parameters']['bands'] == list(BANDS)
    assert not [key for key in saved['state_dict'] if 'model.' in key and key[:6] != 'model.']


def test_task_is_restored_with_its_groups(checkpoint):
    task = SACo.load_from_checkpoint(checkpoint, weights_only=True)
    assert task.bands == BANDS
    assert len(task.inputs.names) == 7
    task.eval()
    assert task(IMAGE[:, 0]).shape == (4, 512)


def test_prediction_gives_cluster_and_groups(archive, tmp_path):
    task = small(bands=None)
    trainer = Trainer(
        default_root_dir=tmp_path, accelerator='cpu', logger=False, enable_progress_bar=False
    )
    outputs = trainer.predict(task, SeasonalDataModule(root=archive, batch_size=5))
    assert torch.cat([out['embedding'] for out in outputs]).shape == (24, 1, 96)
    first = outputs[0]
    assert first['groups'].shape == (5, 1, 8, 96)
    assert torch.allclose(first['groups'].mean(2), first['embedding'])
    assert set(first) == {'embedding', 'groups', 'location', 'date', 'label'}


def test_records_of_training(archive, tmp_path):
    trainer, _ = fit(small(), archive, tmp_path, val_fraction=0.4)
    wanted = {
        'train_loss', 'train_nce_same_date', 'train_nce_other_date', 'train_group_alignment',
        'feature_std', 'alignment', 'uniformity', 'effective_rank', 'val_alignment',
        'val_uniformity',
    }  # fmt: skip
    assert wanted <= set(trainer.logged_metrics)
    parts = [trainer.logged_metrics[f'train_{part}'] for part in
             ('nce_same_date', 'nce_other_date', 'group_alignment')]  # fmt: skip
    assert torch.allclose(trainer.logged_metrics['train_loss'], sum(parts))


def test_collapse_is_said_once(archive, tmp_path, recwarn):
    task = small(lr=0.0)
    nn.init.zeros_(task.projector[0][-1].weight)
    fit(task, archive, tmp_path)
    said = [str(w.message) for w in recwarn if 'collapsed' in str(w.message)]
    assert len(said) == 1
    assert 'feature_std is 0.0000, where 1 is an even spread; lower lr' in said[0]


def test_groups_that_are_left_out_are_named_before_training(tmp_path, caplog):
    root = write_archive(tmp_path / 'archive', bands=['B2', 'B3', 'B4', 'B8', 'B7'], size=12)
    with caplog.at_level('INFO'):
        fit(small(bands=None, texture=False), root, tmp_path / 'run')
    assert 'groups: natural_color, near_infrared' in caplog.text
    assert 'skipped: group urban, since the image lacks B12, B11' in caplog.text
    assert 'skipped: group complementary_2, since the image lacks B10 (and B09)' in caplog.text


def test_batch_without_locations_counts_every_image_apart():
    task = small()
    assert task._locations({'image': IMAGE}).tolist() == [0, 1, 2, 3]


def test_single_images_have_a_time_axis_added():
    assert small().images({'image': IMAGE[:, 0]}).shape == (4, 1, 12, 36, 36)


def test_other_order_of_bands_is_updated_step_by_name():
    task = small().eval()
    order = torch.randperm(12).tolist()
    before = task(IMAGE[:, 0])
    task.configure_bands([BANDS[i] for i in order])
    assert torch.allclose(task(IMAGE[:, 0][:, order]), before, atol=1e-6)


def test_other_groups_than_trained_are_refused():
    with pytest.raises(
        ValueError, match=r'trained on: near_infrared \(B08 B04 B03\), .*read the bands B01'
    ):
        small().configure_bands(BANDS[:4])


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'bands': ['B4', 'B99']}, "no band 'B99'"),
        ({'bands': ['B1', 'B9']}, r'no group can be formed from the bands B01, B09'),
        ({'groups': ['urban', 'moon']}, "no published group 'moon'"),
        ({'groups': {'own': ['B4', 'B3']}}, r"group 'own' needs three bands, got 2"),
        ({'texture': 'urban'}, "texture must be true, false or a list of groups, got 'urban'"),
        ({'texture': ['moon']}, 'texture is asked of moon, which is no group here'),
        ({'temperature': 0.0}, 'temperature must be from .* or None, got 0'),
        ({'momentum': 1.5}, r'momentum must be from 0 to 1 or None, got 1\.5'),
        ({'queue_size': 0}, 'queue_size must be at least 1 or None, got 0'),
        ({'size': 0}, 'size must be at least 1, got 0'),
        ({'weights': 'nowhere.ckpt'}, "'nowhere.ckpt' is neither a file nor the name"),
    ],
)
def test_wrong_argument(wrong, message):
    with pytest.raises(ValueError, match=message):
        small(**wrong)


def test_sensor_is_taken_from_the_data_or_must_agree(archive, tmp_path):
    task = small(bands=None)
    fit(task, archive, tmp_path / 'a', sensor='sentinel2_l2a')
    assert task.hparams['sensor'] == 'sentinel2_l2a'
    with pytest.raises(ValueError, match=r'task is set to sensor rgb, the data to sentinel2_l1c'):
        fit(small(bands=None, sensor='rgb'), archive, tmp_path / 'b')


def test_dates_are_checked_before_training(archive, tmp_path):
    with pytest.raises(
        ValueError,
        match=(
            r'SACo compares 2 dates of a location, samples have 1; set data\.init_args\.dates '
            r'to 2'
        ),
    ):
        fit(small(), archive, tmp_path, dates=1)


def test_group_of_other_bands_than_trained_is_refused():
    task = small(bands=BANDS)
    with pytest.raises(ValueError, match=r'trained on: complementary_2 \(B07 B08 B09\); read'):
        task.configure_bands([*BANDS, 'B10'])


def test_batches_of_one_step_draw_apart_and_move_the_key_encoder_once(archive, tmp_path):
    task = small()
    seen, moved = [], []
    draw = task.views.augmented
    task.views.augmented = lambda image: seen.append(torch.rand(1).item()) or draw(image)
    task.on_train_batch_end = lambda *args: moved.append(
        task.model_momentum.state_dict()['conv1.0.weight'].clone()
    )
    data = SeasonalDataModule(root=archive, batch_size=4)
    trainer = Trainer(
        default_root_dir=tmp_path, max_epochs=1, limit_train_batches=4, accelerator='cpu',
        accumulate_grad_batches=2, logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, limit_val_batches=0,
    )  # fmt: skip
    trainer.fit(task, data)
    assert len(set(seen)) == 8
    assert torch.equal(moved[0], moved[1])
    assert not torch.equal(moved[1], moved[2])
    assert torch.equal(moved[2], moved[3])


def test_queue_holds_as_many_keys_as_there_are_items(archive, tmp_path, caplog):
    task = small(queue_size=21)
    with caplog.at_level('INFO'):
        _, last = fit(task, archive, tmp_path)
    assert 'queue_size=21 is more than the 20 training items; the queue holds 20' in caplog.text
    assert task.queue().keys.shape[0] == task.hparams['queue_size'] == 20
    assert SACo.load_from_checkpoint(last).queue().keys.shape[0] == 20


def test_one_date_for_two_keys():
    with pytest.raises(
        ValueError,
        match=(
            r'SACo compares 2 dates of a location, samples have 1; set data\.init_args\.dates '
            r'to 2'
        ),
    ):
        small()._training_image({'image': IMAGE[:, :1]})


def test_batch_with_other_channels():
    with pytest.raises(
        ValueError, match=r'image must be \(B, T, 12, H, W\) .* B01, B02.* got \(4, 2, 3,'
    ):
        small().images({'image': IMAGE[:, :, :3]})


def test_unknown_bands():
    with pytest.raises(ValueError, match=r'the groups are unknown; set bands of the task'):
        small(bands=None)(IMAGE[:, 0])


def test_nan_stops_training_before_the_weights_change(archive, tmp_path):
    task = small()
    data = SeasonalDataModule(root=archive, batch_size=4)
    data.given = FakeReflectance(lambda image: image.float() * torch.nan)
    trainer = Trainer(
        default_root_dir=tmp_path, max_epochs=1, accelerator='cpu', logger=False,
        enable_progress_bar=False, enable_checkpointing=False, num_sanity_val_steps=0,
    )  # fmt: skip
    task.configure_bands(BANDS)
    before = copy.deepcopy(task.state_dict())
    with pytest.raises(
        ValueError, match=r'an image is NaN .* at step 0, on the locations number \['
    ):
        trainer.fit(task, data)
    assert same(before, task.state_dict())


def test_datamodule_that_does_not_name_its_bands(tmp_path):
    task = small(bands=None)
    trainer = Trainer(default_root_dir=tmp_path, accelerator='cpu', logger=False, max_epochs=1)
    with pytest.raises(ValueError, match='does not name its bands; set bands of the task'):
        trainer.predict(task, DataLoader([{'image': IMAGE[0]}]))
