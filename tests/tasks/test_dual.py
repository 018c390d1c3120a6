# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the tasks that contrast two modalities."""

import math

import numpy as np
import pytest
import torch
from lightly.loss import NTXentLoss
from lightning.pytorch import Trainer
from torchgeo.tasks import Classification

from torchgeo_saco import tasks
from torchgeo_saco.datamodules import PairedDataModule, SeasonalDataModule
from torchgeo_saco.embeddings import read_embeddings
from torchgeo_saco.embeddings.command import embed
from torchgeo_saco.embeddings.table import vectors
from torchgeo_saco.evaluation.features import fit_exact_statistics
from torchgeo_saco.io.checkpoint import CheckpointError, read_checkpoint
from torchgeo_saco.models import export_encoder, load_encoder
from torchgeo_saco.synthesis import generate_sample_benchmark
from torchgeo_saco.tasks import MMA, DualSimCLR

from ..data.archives import write_archive, write_radar_archive
from ..data.pretraining import DUAL_METHODS, history, same

S2 = ('B02', 'B03', 'B04', 'B08')
S1 = ('VV', 'VH')
LOCATION = torch.arange(4)

#: Bands as they are, as in the papers; groups and textures.
BANDS = {'input_bands': S2}
GROUPS = {
    'input_bands': None, 'groups': ['natural_color', 'near_infrared'], 'texture': True,
    'second_input_bands': None, 'second_texture': True,
}  # fmt: skip


def small(method, **arguments):
    torch.manual_seed(1)
    defaults = {
        'model': 'test_resnet', 'bands': S2, 'second_bands': S1, 'size': 16, 'crop': 1.0,
        'hidden_dims': [16], 'output_dim': 8, 'temperature': 0.5, **BANDS,
    }  # fmt: skip
    return method(**(defaults | arguments))


def batch(count=4, dates=1, side=16):
    generator = torch.Generator().manual_seed(0)
    return {
        'image': torch.rand(count, dates, len(S2), side, side, generator=generator),
        's1': torch.rand(count, dates, len(S1), side, side, generator=generator),
        'location': torch.arange(count),
    }


@pytest.fixture(scope='module')
def roots(tmp_path_factory):
    """Folders of six locations of Sentinel-2 and of Sentinel-1."""
    folder = tmp_path_factory.mktemp('dual')
    return (
        write_archive(folder / 's2', 8, bands=('B2', 'B3', 'B4', 'B8')),
        write_radar_archive(folder / 's1', 8),
    )


def data(roots, **arguments):
    return PairedDataModule(
        root=roots[0], second_root=roots[1], batch_size=4, dates=1, item='location', **arguments
    )


def trainer(folder, **arguments):
    options = {
        'max_epochs': 1, 'accelerator': 'cpu', 'logger': False, 'enable_progress_bar': False,
        'enable_model_summary': False, 'log_every_n_steps': 1, 'enable_checkpointing': False,
    }  # fmt: skip
    return Trainer(default_root_dir=folder, **(options | arguments))


def nt_xent(first, second, temperature):
    """The loss of the paper, image by image."""
    views = np.concatenate([first, second])
    views = views / np.linalg.norm(views, axis=1, keepdims=True)
    count = len(first)
    losses = []
    for i in range(2 * count):
        similarity = np.exp(views @ views[i] / temperature)
        positive = similarity[(i + count) % (2 * count)]
        losses.append(-np.log(positive / (similarity.sum() - similarity[i])))
    return np.mean(losses)


@pytest.mark.parametrize('arguments', [BANDS, GROUPS])
def test_dual_simclr_is_the_loss_of_lightly_and_of_the_paper(arguments):
    task = small(DualSimCLR, temperature=0.3, alignment_weight=0.5, **arguments).eval()
    images = task.images(batch())
    losses, query, key = task.objective(images, LOCATION)
    first = task.projector(task.encoder.forward_groups(images[:, 0, :4]))[0]
    second = task.second_projector(task.second_encoder.forward_groups(images[:, 0, 4:]))[0]
    pair = first.mean(1).detach(), second.mean(1).detach()
    assert torch.equal(losses['nt_xent'], NTXentLoss(0.3)(*pair))
    assert losses['nt_xent'].item() == pytest.approx(
        nt_xent(*(p.numpy() for p in pair), 0.3), rel=1e-5
    )
    torch.testing.assert_close(query[0].mean(1), pair[0])
    torch.testing.assert_close(key[0], pair[1])
    aligned = {name: part.item() for name, part in losses.items() if 'alignment' in name}
    if arguments is GROUPS:
        for name, groups in (('group_alignment', first), ('second_alignment', second)):
            cosine = torch.cosine_similarity(groups, groups.mean(1, keepdim=True), dim=-1)
            assert aligned[name] == pytest.approx(0.5 * (1 - cosine.mean().item()), abs=1e-6)
    else:
        assert not aligned
    # A loss of chance is that among all other views.
    assert task._contrasts[-1][1].item() == pytest.approx(math.log(7))


@pytest.mark.parametrize('arguments', [BANDS, GROUPS])
def test_mma_is_the_loss_of_the_paper(arguments):
    task = small(MMA, temperature=0.2, size=32, **arguments).eval()
    images = task.images(batch(side=32))
    losses, query, _ = task.objective(images, LOCATION)
    maps = [
        encoder.forward_maps(part)[-1].mean(1).detach().double()
        for encoder, _, part in task.branches(images[:, 0])
    ]
    u, v = (part / part.norm(dim=1, keepdim=True) for part in maps)
    similarity = torch.einsum('ichw,jchw->ij', u, v) / (u.shape[2] * u.shape[3])
    diagonal = similarity.diag() / 0.2
    ways = [((similarity / 0.2).logsumexp(dim) - diagonal).mean() for dim in (0, 1)]
    assert losses['nce'].item() == pytest.approx(float(sum(ways)) / 2, rel=1e-4)
    # The feature of an image is the mean of its map.
    encoder = task.encoder.forward_groups(images[:, 0, :4])
    torch.testing.assert_close(query[0], encoder, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize('name', DUAL_METHODS)
def test_both_modalities_show_the_same_ground(name):
    task = small(getattr(tasks, name), crop=0.2, horizontal_flip=0.5, rotation=90.0)
    images = batch(side=32)
    # The same picture in all bands of both.
    images['image'] = images['image'][:, :, :1].expand(-1, -1, 4, -1, -1)
    images['s1'] = images['image'][:, :, :2]
    (_, _, first), (_, _, second) = task.branches(task.views.augmented(task.images(images)[:, 0]))
    assert torch.equal(first[:, :2], second)
    assert not torch.equal(first, task.views.original(images['image'][:, 0]))


@pytest.mark.slow
@pytest.mark.parametrize('name', DUAL_METHODS)
@pytest.mark.parametrize('arguments', [BANDS, GROUPS], ids=['bands', 'groups'])
def test_training_moves_both_encoders_and_either_is_loaded(name, arguments, roots, tmp_path):
    task = small(getattr(tasks, name), bands=None, second_bands=None, lr=1e-3, **arguments)
    before = {key: value.clone() for key, value in task.state_dict().items()}
    run = trainer(tmp_path)
    run.fit(task, data(roots))
    after = task.state_dict()
    for part in ('model.', 'second_backbone.'):
        assert any(
            not torch.equal(before[key], value)
            for key, value in after.items()
            if key.startswith(part) and key.endswith('weight')
        )
    assert 0 < task.nce_over_chance < 2
    scores = run.callback_metrics
    assert 0 <= scores['val_s2_to_s1_top1'] <= scores['val_s2_to_s1_top10'] <= 1
    path = str(tmp_path / 'last.ckpt')
    run.save_checkpoint(path)
    content = read_checkpoint(path)
    assert not [
        key for key in content['state_dict'] if 'model.' in key and not key.startswith('model.')
    ]
    # Loaded by the sensor; the statistics of the inputs too.
    images = {'sentinel2_l1c': (S2, task.encoder), 'sentinel1': (S1, task.second_encoder)}
    for sensor, (bands, encoder) in images.items():
        loaded = load_encoder(bands, sensor, weights=path)
        assert loaded.encoder.names == encoder.names
        assert not loaded.unfitted
        view = torch.rand(2, len(bands), 16, 16)
        torch.testing.assert_close(loaded.encoder.eval()(view), encoder.eval()(view))
    again = type(task).load_from_checkpoint(path, weights_only=True)
    assert same(again.state_dict(), task.state_dict())


@pytest.fixture(scope='module')
def trained(roots, tmp_path_factory):
    """A task after a step, and its checkpoint."""
    folder = tmp_path_factory.mktemp('trained')
    task = small(DualSimCLR, bands=None, second_bands=None)
    run = trainer(folder, limit_train_batches=1)
    run.fit(task, data(roots))
    run.save_checkpoint(folder / 'last.ckpt')
    return task.eval(), str(folder / 'last.ckpt')


def test_a_stock_task_takes_the_first_encoder_and_an_exported_one(trained, tmp_path):
    task, path = trained
    exported = str(tmp_path / 'radar.ckpt')
    export_encoder(path, 'sentinel1', exported)
    for weights, channels, backbone in ((path, 4, task.model), (exported, 2, task.second_backbone)):
        stock = Classification(
            model='test_resnet', weights=weights, in_channels=channels, num_classes=2
        )
        assert torch.equal(stock.model.conv1[0].weight, backbone.conv1[0].weight)
        assert torch.equal(stock.model.bn1.running_mean, backbone.bn1.running_mean)


@pytest.mark.parametrize('sensor', ['sentinel2_l1c', 'sentinel1'])
def test_an_exported_encoder_is_that_of_the_sensor(trained, sensor, tmp_path):
    task, path = trained
    exported = str(tmp_path / 'one.ckpt')
    export_encoder(path, sensor, exported)
    bands, encoder = (S2, task.encoder) if sensor != 'sentinel1' else (S1, task.second_encoder)
    view = torch.rand(2, len(bands), 16, 16)
    loaded = load_encoder(bands, sensor, weights=exported)
    torch.testing.assert_close(loaded.encoder.eval()(view), encoder(view))
    assert not [name for name in read_checkpoint(exported)['hyper_parameters'] if 'second' in name]
    with pytest.raises(CheckpointError, match='is of one sensor; give it to tasks as it is'):
        export_encoder(exported, sensor, tmp_path / 'again.ckpt')
    with pytest.raises(CheckpointError, match='of sentinel2_l1c and sentinel1, none of rgb'):
        export_encoder(path, 'rgb', tmp_path / 'again.ckpt')
    assert not (tmp_path / 'again.ckpt').exists()


@pytest.mark.parametrize('number', [0, 1])
def test_the_command_embeds_images_of_either_sensor(trained, number, roots, tmp_path):
    task, path = trained
    sensor = ('sentinel2_l1c', 'sentinel1')[number]
    output = tmp_path / 'embeddings.parquet'
    embed(path, str(roots[number]), str(output), sensor=sensor, dtype='float32', progress=False)
    table = read_embeddings(output)
    archive = SeasonalDataModule(root=roots[number], sensor=sensor, batch_size=2, dates=1)
    archive.setup('predict')
    image = archive.reflectance(archive.predict_dataset[3]['image'])
    encoder = (task.encoder, task.second_encoder)[number]
    with torch.no_grad():
        wanted = encoder(task.views.original(image))[0]
    torch.testing.assert_close(torch.from_numpy(vectors(table)[3]), wanted, atol=1e-4, rtol=1e-3)
    # It says which it used.
    assert table.attrs['provenance']['sensor'] == sensor


@pytest.mark.slow
@pytest.mark.parametrize('name', DUAL_METHODS)
def test_a_training_goes_on_where_it_was_interrupted(name, roots, tmp_path):
    def fit(epochs, folder, resume=None):
        task = small(getattr(tasks, name), bands=None, second_bands=None, lr=1e-3)
        losses = history(task)
        run = trainer(folder, max_epochs=epochs)
        run.fit(task, data(roots), ckpt_path=resume)
        run.save_checkpoint(folder / 'last.ckpt')
        return task, losses

    whole, losses = fit(3, tmp_path / 'whole')
    _, begun = fit(1, tmp_path / 'part')
    resumed, rest = fit(3, tmp_path / 'part', str(tmp_path / 'part' / 'last.ckpt'))
    assert begun + rest == losses
    assert same(resumed.state_dict(), whole.state_dict())


@pytest.mark.slow
def test_retrieval_rises_tenfold_over_chance_on_the_sample(tmp_path):
    root = generate_sample_benchmark('sen12ms', tmp_path / 'sen12ms', progress=False)
    torch.manual_seed(0)
    task = DualSimCLR(
        'test_resnet', None, groups=['natural_color', 'near_infrared', 'urban'], texture=True,
        texture_histograms=True, second_input_bands=None, second_texture=True,
        second_texture_histograms=True, size=32, crop=1.0, rotation=180.0, horizontal_flip=0.5,
        hidden_dims=[256], projector_norm=True, temperature=0.1, lr=3e-3,
    )  # fmt: skip
    datamodule = PairedDataModule(
        root=root, layout='sen12ms', sensor='sentinel2_l1c', batch_size=64, val_fraction=0.5,
        cache=True,
    )  # fmt: skip
    run = trainer(tmp_path, max_steps=50, max_epochs=None, limit_val_batches=0)
    run.fit(task, datamodule)
    (scores,) = trainer(tmp_path).validate(task, datamodule, verbose=False)
    # 50 steps of 64 patches; 120 are held out.
    chance = 1 / len(datamodule.val_dataset.locations)
    found = [scores[f'val_{way}_top1'] for way in ('s2_to_s1', 's1_to_s2')]
    assert sum(found) / 2 >= 10 * chance
    assert min(found) >= 5 * chance


@pytest.mark.parametrize('arguments', [BANDS, GROUPS], ids=['bands', 'groups'])
def test_one_modality_is_embedded_alone(arguments):
    task = small(DualSimCLR, **arguments).eval()
    both = batch(dates=2)
    whole = task.embed(both)
    assert whole.shape == (8, 2 * task.encoder.num_features)
    torch.testing.assert_close(whole, task(task.images(both).flatten(0, 1)))
    width = task.encoder.num_features
    for name, missing, own, other in (
        ('image', 's1', slice(width), slice(width, None)),
        ('s1', 'image', slice(width, None), slice(width)),
    ):
        alone = {key: value for key, value in both.items() if key != missing}
        embedding = task.embed(alone)
        torch.testing.assert_close(embedding[:, own], whole[:, own])
        assert embedding[:, other].eq(0).all()
        prediction = task.predict_step(alone, 0)
        torch.testing.assert_close(prediction['embedding'].flatten(0, 1), embedding)
        # It says what it saw.
        assert prediction['modalities'].tolist() == [[name == 'image', name == 's1']] * 4
        with pytest.raises(
            ValueError, match=r'compares s2 and s1, and the batch has no s[12]; use'
        ):
            task.training_step(alone, 0)
    with pytest.raises(ValueError, match='the batch has no image, but location'):
        task.embed({'location': LOCATION})


def test_either_sensor_alone_is_predicted(trained, roots, tmp_path):
    task, path = trained
    for number, sensor in enumerate(('sentinel2_l1c', 'sentinel1')):
        again = DualSimCLR.load_from_checkpoint(path, weights_only=True)
        module = SeasonalDataModule(root=roots[number], sensor=sensor, batch_size=4, dates=1)
        (first, *_) = trainer(tmp_path).predict(again, module)
        assert first['modalities'].unique(dim=0).tolist() == [[number == 0, number == 1]]
        scaled = module.reflectance(
            torch.stack([module.predict_dataset[i]['image'][0] for i in range(4)])
        )
        encoder = (task.encoder, task.second_encoder)[number]
        with torch.no_grad():
            wanted = torch.nn.functional.normalize(encoder(task.views.original(scaled)))
        width = encoder.num_features
        found = first['embedding'][:, 0, width * number : width * (number + 1)]
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-3)


def test_another_second_sensor_than_was_trained_is_refused(roots, tmp_path):
    task = small(DualSimCLR, second_sensor='sentinel2_l2a', second_bands=None, bands=None)
    with pytest.raises(ValueError, match='is sentinel2_l2a, that of the data sentinel1'):
        trainer(tmp_path).fit(task, data(roots))


def test_one_sensor_alone_has_no_joined_image():
    with pytest.raises(ValueError, match='of s2 and s1 have 6 channels, got 4; give one sensor'):
        small(DualSimCLR)(torch.rand(2, 4, 16, 16))


def test_statistics_of_both_encoders_are_those_of_the_training_images(roots):
    datamodule = data(roots)
    task = small(DualSimCLR, bands=None, second_bands=None)
    datamodule.setup('fit')
    task.configure_bands(datamodule.bands, datamodule.sensor)
    task.configure_second_bands(datamodule.modality_bands['s1'], 'sentinel1')
    fit_exact_statistics(task, datamodule, trained=True)
    loader = datamodule.ordered_dataloader('train', labelled=False)
    parts = [datamodule.on_after_batch_transfer(part, 0) for part in loader]
    for name, inputs in (('image', task.inputs), ('s1', task.second_inputs)):
        images = torch.cat([task.views.original(part[name][:, 0]) for part in parts]).double()
        mean, variance = images.mean((0, 2, 3)), images.var((0, 2, 3), unbiased=False)
        torch.testing.assert_close(
            inputs.standardize.running_mean.double(), mean, atol=1e-4, rtol=1e-3
        )
        torch.testing.assert_close(
            inputs.standardize.running_var.double(), variance, atol=1e-5, rtol=1e-3
        )


def test_images_on_two_grids_and_data_of_one_sensor_are_refused(roots, tmp_path):
    task = small(DualSimCLR)
    wrong = batch()
    wrong['s1'] = wrong['s1'][..., :8]
    with pytest.raises(ValueError, match=r'images of s2 are .*16, 16\), those of s1 .*16, 8\)'):
        task.training_step(wrong, 0)
    unpaired = SeasonalDataModule(root=roots[0], batch_size=4, dates=1)
    with pytest.raises(ValueError, match='bands of a second sensor; use PairedDataModule'):
        trainer(tmp_path).fit(small(DualSimCLR, bands=None, second_bands=None), unpaired)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'grayscale': 0.1}, 'grayscale would mix the bands of two sensors, got 0.1'),
        ({'group_dropout': 0.5}, 'DualSimCLR does without group_dropout'),
        ({'contrast_groups': True}, 'no key encoder to draw groups to'),
        ({'input_bands': ['B02', 'B12']}, 'has no band B12'),
    ],
)
def test_arguments_without_a_meaning_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(DualSimCLR, **arguments)


def test_mma_has_no_maps_of_histograms():
    with pytest.raises(ValueError, match='set second_texture_histograms to false'):
        small(MMA, **GROUPS, second_texture_histograms=True)
