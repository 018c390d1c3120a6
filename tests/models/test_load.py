# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of encoders from any weights, matched by band name."""

import hashlib
from pathlib import Path

import pytest
import torch
from timm import create_model
from torch import nn
from torchgeo.models import ResNet18_Weights

from torchgeo_saco.bands import SENSORS, SENTINEL2_L1C, SENTINEL2_L2A
from torchgeo_saco.io.checkpoint import CheckpointError
from torchgeo_saco.models import BandInputs, EncoderConfig, fit_input_statistics, load_encoder
from torchgeo_saco.models.load import SECOND, stored_config
from torchgeo_saco.models.scaling import weight_scaling
from torchgeo_saco.tasks import GroupClassification, SACo

from ..data.weights import write_checkpoint


def parts(*arguments, **options):
    """What loading gives, in the order of its attributes."""
    loaded = load_encoder(*arguments, **options)
    return loaded.encoder, loaded.config, loaded.random, loaded.skipped, loaded.unfitted


L1C, L2A = list(SENTINEL2_L1C.bands), list(SENTINEL2_L2A.bands)
PASTIS = ['B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12']


def checkpoint(folder, bands=L2A, sensor='sentinel2_l2a', **arguments):
    """Checkpoint of a task whose statistics count up from 0."""
    task = SACo(
        model='test_resnet', bands=bands, sensor=sensor, size=16, queue_size=8,
        **({'texture': ['urban']} | arguments),
    )  # fmt: skip
    task.inputs.standardize.running_mean.copy_(torch.arange(3.0 * len(task.inputs.names)))
    path = folder / 'last.ckpt'
    torch.save({'state_dict': task.state_dict(), 'hyper_parameters': dict(task.hparams)}, path)
    return task, str(path)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Makes TorchGeo find a local file where it would download weights."""

    def write(name, channels):
        state = create_model('resnet18', in_chans=channels, num_classes=0).state_dict()
        torch.save(state, tmp_path / 'weights.pth')
        digest = hashlib.sha256((tmp_path / 'weights.pth').read_bytes()).hexdigest()[:8]
        path = (tmp_path / 'weights.pth').rename(tmp_path / f'resnet18-{digest}.pth')
        monkeypatch.setattr(ResNet18_Weights[name].value, 'url', path.as_uri())
        monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
        return state

    return write


def test_random_encoder_sees_all_groups_and_their_textures():
    encoder, plan, random, skipped, unfitted = parts(L1C, model='test_resnet')
    assert random
    assert not skipped
    assert len(encoder.inputs.names) == len(unfitted) == 14
    assert plan.groups['complementary_2'] == ['B07', 'B08', 'B10']
    assert encoder(torch.rand(2, 13, 16, 16)).shape == (2, encoder.num_features)


def test_groups_that_the_bands_cannot_form_are_left_out():
    _, plan, _, skipped, _ = parts(PASTIS, 'sentinel2_l2a', 'test_resnet')
    assert [group.name for group in skipped] == ['complementary_1', 'complementary_2']
    assert 'B01' in skipped[0].reason
    assert len(plan.groups) == 5


def test_groups_that_the_sensor_does_not_know_are_left_out():
    _, plan, _, skipped, _ = parts(
        ['R', 'G', 'B'], 'rgb', 'test_resnet', groups=['natural_color', 'urban'], texture=['urban']
    )
    assert (plan.groups, plan.texture) == ({'natural_color': ['R', 'G', 'B']}, [])
    assert skipped == [('urban', 'RGB has no such group')]
    with pytest.raises(ValueError, match=r"RGB has no published group 'urbane'"):
        load_encoder(['R', 'G', 'B'], 'rgb', groups=['natural_color', 'urbane'])


def test_no_group_that_the_sensor_knows():
    with pytest.raises(ValueError, match=r'urban.*RGB has no such group'):
        load_encoder(['R', 'G', 'B'], 'rgb', groups=['urban'])


def test_checkpoint_of_ours_gives_the_features_of_its_task(tmp_path):
    task, path = checkpoint(tmp_path)
    encoder, plan, random, skipped, unfitted = parts(L2A, 'sentinel2_l2a', weights=path)
    assert (plan.model, random, skipped, unfitted) == ('test_resnet', False, [], [])
    image = torch.rand(2, 12, 16, 16)
    # Weights lie in another order in memory, which some processors round otherwise.
    torch.testing.assert_close(
        encoder.eval().forward_groups(image), task.eval().forward_groups(image)
    )


def test_a_path_is_taken_as_its_text_is(tmp_path):
    _, path = checkpoint(tmp_path)
    assert load_encoder(L2A, 'sentinel2_l2a', weights=Path(path)).config.model == 'test_resnet'


def test_bands_in_another_order_give_the_same_features(tmp_path):
    task, path = checkpoint(tmp_path)
    encoder = load_encoder(L2A[::-1], 'sentinel2_l2a', weights=path).encoder.eval()
    image = torch.rand(2, 12, 16, 16)
    torch.testing.assert_close(
        encoder.forward_groups(image.flip(1)), task.eval().forward_groups(image)
    )


def test_groups_are_matched_by_name_and_keep_their_statistics(tmp_path):
    task, path = checkpoint(tmp_path)
    encoder, _plan, _, skipped, unfitted = parts(PASTIS, 'sentinel2_l2a', weights=path)
    assert [group.name for group in skipped] == ['complementary_1', 'complementary_2']
    assert not unfitted
    trained = task.inputs.names
    wanted = [3.0 * trained.index(name) for name in encoder.inputs.names]
    assert encoder.inputs.standardize.running_mean[::3].tolist() == wanted


def test_trained_bands_are_taken_even_where_the_published_ones_are_there(tmp_path):
    # Trained on B09 for B10; level 1C has both.
    _, path = checkpoint(tmp_path)
    plan = load_encoder(L1C, 'sentinel2_l1c', weights=path).config
    assert plan.groups['complementary_2'] == ['B07', 'B08', 'B09']


def test_group_of_another_sensor_has_no_statistics_yet(tmp_path):
    _, path = checkpoint(tmp_path, texture=['natural_color'])
    _, plan, _, skipped, unfitted = parts(['R', 'G', 'B'], 'rgb', weights=path)
    assert plan.groups == {'natural_color': ['R', 'G', 'B']}
    assert unfitted == ['natural_color', 'natural_color_texture']
    assert len(skipped) == 6


TM = ['B01', 'B02', 'B03', 'B04', 'B05', 'B07']


def test_bands_of_another_sensor_stand_in_by_group_or_by_wavelength(tmp_path):
    _, path = checkpoint(tmp_path, texture=False, groups={'own': ['B8A', 'B03', 'B11']})
    loaded = load_encoder(TM, 'landsat_4_7', weights=path)
    assert loaded.config.groups == {'own': ['B04', 'B02', 'B05']}
    assert loaded.substitutions() == [
        'own: B04 B02 B05 of Landsat 4-7 in place of B8A B03 B11 of Sentinel-2 L2A'
    ]
    _, path = checkpoint(tmp_path, texture=False)
    loaded = load_encoder(TM, 'landsat_4_7', weights=path)
    assert loaded.config.groups == {k: list(v) for k, v in SENSORS['landsat_4_7'].groups.items()}
    assert len(loaded.substitutions()) == 5
    assert not load_encoder(L1C, 'sentinel2_l1c', weights=path).substitutions()


def test_a_group_that_one_band_would_form_twice_is_left_out(tmp_path):
    groups = {'two': ['B08', 'B8A', 'B04'], 'urban': ['B12', 'B11', 'B04']}
    _, path = checkpoint(tmp_path, texture=False, groups=groups)
    loaded = load_encoder(TM, 'landsat_4_7', weights=path)
    assert list(loaded.config.groups) == ['urban']
    assert [group.name for group in loaded.skipped] == ['two']


def test_input_bands_of_another_sensor_are_matched_by_wavelength(tmp_path):
    _, path = checkpoint(tmp_path, texture=False, input_bands=['B02', 'B04', 'B08'])
    loaded = load_encoder(TM, 'landsat_4_7', weights=path)
    assert loaded.config.input_bands == ['B01', 'B03', 'B04']
    assert loaded.substitutions() == [
        'bands: B01 B03 B04 of Landsat 4-7 in place of B02 B04 B08 of Sentinel-2 L2A'
    ]
    _, path = checkpoint(tmp_path, texture=False, input_bands=['B04', 'B05', 'B08'])
    with pytest.raises(ValueError, match='of which 2 have one of their own among'):
        load_encoder(TM, 'landsat_4_7', weights=path)


def test_own_groups_have_none_like_them_where_wavelengths_are_not_known(tmp_path):
    _, path = checkpoint(tmp_path, texture=False, groups={'own': ['B04', 'B03', 'B02']})
    with pytest.raises(
        ValueError, match='trained on own, and the bands R, G, B form none of these'
    ):
        load_encoder(['R', 'G', 'B'], 'rgb', weights=path)
    two = {'own': ['B04', 'B03', 'B02'], 'natural_color': ['B04', 'B03', 'B02']}
    _, path = checkpoint(tmp_path, texture=False, groups=two)
    loaded = load_encoder(['R', 'G', 'B'], 'rgb', weights=path)
    assert loaded.config.groups == {'natural_color': ['R', 'G', 'B']}
    assert [group.name for group in loaded.skipped] == ['own']


def test_own_groups_are_left_out_where_one_of_their_bands_is_missing(tmp_path):
    groups = {'own': ['B08', 'B8A', 'B04'], 'natural_color': ['B04', 'B03', 'B02']}
    _, path = checkpoint(tmp_path, texture=False, groups=groups)
    loaded = load_encoder(['B02', 'B03', 'B04', 'B08'], 'sentinel2_l2a', weights=path)
    assert list(loaded.config.groups) == ['natural_color'] and not loaded.unfitted
    assert loaded.skipped == [('own', 'the images lack some of B08, B8A, B04')]


def test_configuration_of_published_weights():
    assert stored_config('ResNet18_Weights.SENTINEL2_RGB_SECO') is None
    config = stored_config('SACoResNet18_Weights.SENTINEL2_GROUPS_EUROSAT')
    assert config.model == 'resnet18' and config.groups['urban'] == ['B12', 'B11', 'B04']


def test_configuration_of_a_checkpoint_of_two_sensors(tmp_path):
    _, path = checkpoint(tmp_path)
    assert stored_config(path).sensor == 'sentinel2_l2a'
    content = torch.load(path)
    radar = {'sensor': 'sentinel1', 'bands': ['VV', 'VH'], 'groups': None, 'texture': False}
    content['hyper_parameters'] |= {f'{SECOND}{name}': value for name, value in radar.items()}
    torch.save(content, path)
    with pytest.raises(CheckpointError, match='of sentinel2_l2a and sentinel1; set sensor to one'):
        stored_config(path)
    assert stored_config(path, 'sentinel1').bands == ['VV', 'VH']
    # Both levels of Sentinel-2 have the same bands.
    for sensor in ('sentinel2_l2a', 'sentinel2_l1c'):
        assert stored_config(path, sensor).bands == L2A


def test_some_groups_of_a_checkpoint(tmp_path):
    _, path = checkpoint(tmp_path)
    plan = load_encoder(
        L2A, 'sentinel2_l2a', weights=path, groups=['urban', 'agriculture'], texture=False
    ).config
    assert (list(plan.groups), plan.texture) == (['urban', 'agriculture'], [])


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'bands': ['B01', 'B09']}, r'trained on natural_color.*bands B01, B09 form none'),
        ({'model': 'resnet50'}, r'last.ckpt holds a test_resnet, but model=resnet50'),
        ({'groups': ['moisture']}, r'was not trained on moisture; its groups are natural_color'),
        ({'groups': {'own': ['B02', 'B03', 'B04']}}, r'brings its groups; list names'),
        ({'texture': ['agriculture']}, r'not trained on textures of agriculture.*those of urban'),
        ({'texture_points': 8}, r'other textures than .*8.*leave them out'),
    ],
)
def test_checkpoint_refuses_what_it_was_not_trained_on(tmp_path, arguments, message):
    _, path = checkpoint(tmp_path)
    with pytest.raises(ValueError, match=message):
        load_encoder(**({'bands': L2A, 'sensor': 'sentinel2_l2a', 'weights': path} | arguments))


def test_checkpoint_with_missing_tensors(tmp_path):
    _, path = checkpoint(tmp_path)
    content = torch.load(path)
    del content['state_dict']['model.conv1.0.weight']
    torch.save(content, path)
    with pytest.raises(ValueError, match=r'do not fit test_resnet: 1 tensors are missing.*conv1'):
        load_encoder(L2A, 'sentinel2_l2a', weights=path)


@pytest.mark.parametrize('in_channels', [3, 13])
def test_published_weights_see_their_own_bands(published, in_channels):
    name = 'SENTINEL2_RGB_SECO' if in_channels == 3 else 'SENTINEL2_ALL_MOCO'
    state = published(name, in_channels)
    encoder, plan, random, _, unfitted = parts(L1C, weights=f'ResNet18_Weights.{name}')
    assert (plan.model, random, unfitted) == ('resnet18', False, [])
    assert torch.equal(encoder.backbone.conv1.weight, state['conv1.weight'])
    assert isinstance(encoder.inputs, BandInputs)
    wanted = ['B04', 'B03', 'B02'] if in_channels == 3 else L1C
    image = torch.rand(2, 13, 8, 8)
    index = [L1C.index(band) for band in wanted]
    scaled = weight_scaling(ResNet18_Weights[name])(image[:, index])
    assert torch.equal(encoder.inputs(image), scaled[:, None])


def test_published_weights_of_three_bands_on_groups(published):
    published('SENTINEL2_RGB_MOCO', 3)
    enum = ResNet18_Weights.SENTINEL2_RGB_MOCO
    encoder = load_encoder(L1C, weights=enum, groups=['urban'], texture=True).encoder
    assert encoder.inputs.names == ['urban', 'urban_texture']
    encoder = load_encoder(L1C, weights=enum, texture=True).encoder
    assert encoder.inputs.names == ['bands', 'bands_texture']


def test_published_weights_refuse_what_they_do_not_take(published):
    published('SENTINEL2_ALL_MOCO', 13)
    enum = ResNet18_Weights.SENTINEL2_ALL_MOCO
    with pytest.raises(ValueError, match=r'takes 13 bands, not groups of three'):
        load_encoder(L1C, weights=enum, groups=['urban'])
    with pytest.raises(ValueError, match=r'B10'):
        load_encoder(L2A, 'sentinel2_l2a', weights=enum)
    with pytest.raises(ValueError, match=r'neither a file nor the name of a TorchGeo weight'):
        load_encoder(L1C, weights='nonsense')


def test_plan_makes_the_same_encoder_again(published):
    published('SENTINEL2_RGB_SECO', 3)
    enum = ResNet18_Weights.SENTINEL2_RGB_SECO
    for plan in (
        load_encoder(L1C, weights=enum).config,
        load_encoder(L1C, model='test_resnet', groups=['urban'], texture_points=8).config,
    ):
        again = EncoderConfig.from_dict(plan.to_dict())
        image = torch.rand(2, 13, 8, 8)
        assert torch.equal(again.inputs()(image), plan.inputs()(image))


def test_calibration_gives_groups_of_mean_zero_and_deviation_one():
    encoder = load_encoder(L1C, model='test_resnet', groups=['urban'], texture=[]).encoder
    weights = [weight.clone() for weight in encoder.parameters()]
    image = torch.rand(8, 13, 16, 16) * 0.1 + torch.arange(8).reshape(8, 1, 1, 1) * 0.1
    fit_input_statistics(encoder.train(), lambda: image.split([5, 2, 1]))
    assert all(torch.equal(a, b) for a, b in zip(weights, encoder.parameters(), strict=True))
    assert encoder.training
    groups = encoder.eval().inputs(image)
    # Exact, whatever the batches.
    assert groups.mean((0, 1, 3, 4)).abs().max() < 1e-4
    assert (groups.std((0, 1, 3, 4)) - 1).abs().max() < 1e-3
    assert encoder.backbone.bn1.running_mean.abs().max() == 0


def test_calibration_of_a_random_backbone():
    encoder = load_encoder(L1C, model='test_resnet', groups=['urban'], texture=[]).encoder
    image = torch.rand(8, 13, 16, 16)
    fit_input_statistics(encoder.eval(), lambda: [image], backbone=True)
    assert not encoder.training
    assert encoder.backbone.bn1.running_mean.abs().max() > 0
    once = encoder(image)
    fit_input_statistics(encoder, lambda: [image], backbone=True)
    assert torch.equal(encoder(image), once)


def test_checkpoint_that_holds_code(tmp_path):
    torch.save({'state_dict': nn.Linear(1, 1)}, tmp_path / 'bad.ckpt')
    with pytest.raises(CheckpointError, match=r'bad.ckpt holds more than tensors.*could run code'):
        load_encoder(L1C, weights=str(tmp_path / 'bad.ckpt'))


def test_checkpoint_written_before_training(tmp_path):
    task = SACo(model='test_resnet', queue_size=8)
    content = {'state_dict': task.state_dict(), 'hyper_parameters': dict(task.hparams)}
    torch.save(content, tmp_path / 'early.ckpt')
    with pytest.raises(CheckpointError, match=r'before its bands were known'):
        load_encoder(L1C, weights=str(tmp_path / 'early.ckpt'))


@pytest.mark.parametrize('prefix', ['', 'model.', 'backbone.', 'model.backbone.model.'])
def test_checkpoint_of_torchgeo_or_plain(tmp_path, prefix):
    state = create_model('test_resnet', num_classes=5).state_dict()
    named = {f'{prefix}{key}': value for key, value in state.items()}
    torch.save({'state_dict': named, 'hyper_parameters': {'model': 'x'}} if prefix else named,
               tmp_path / 'other.ckpt')  # fmt: skip
    encoder = load_encoder(L1C, model='test_resnet', weights=str(tmp_path / 'other.ckpt')).encoder
    loaded = encoder.backbone.state_dict()
    assert all(torch.equal(loaded[key], state[key]) for key in loaded)


def test_checkpoint_of_a_downstream_task_that_takes_bands(tmp_path, published):
    published('SENTINEL2_RGB_SECO', 3)
    enum = ResNet18_Weights.SENTINEL2_RGB_SECO
    task = GroupClassification(weights=enum, bands=L1C, num_classes=2)
    path = str(tmp_path / 'bands.ckpt')
    content = {'state_dict': task.state_dict(), 'hyper_parameters': {}}
    task.on_save_checkpoint(content)
    torch.save(content, path)
    encoder, plan, _, skipped, unfitted = parts(PASTIS, 'sentinel2_l2a', weights=path)
    assert (plan.input_bands, plan.groups, skipped, unfitted) == (['B4', 'B3', 'B2'], None, [], [])
    image = torch.rand(2, 13, 16, 16)
    same = image[:, [L1C.index(band) for band in PASTIS]]
    assert torch.equal(encoder.eval()(same), task.eval().embed({'image': image}))
    with pytest.raises(ValueError, match=r'bands\.ckpt takes bands, not groups; leave out groups'):
        load_encoder(L1C, weights=path, groups=['urban'])


def test_a_group_that_is_only_called_like_a_published_one_takes_its_own_bands(tmp_path):
    groups = {'natural_color': ['B05', 'B04', 'B03']}
    bands = ['B02', 'B03', 'B04', 'B05']
    path, _ = write_checkpoint(tmp_path / 'own.ckpt', bands, groups=groups, texture=False)
    loaded = load_encoder(bands, 'sentinel2_l2a', weights=path)
    assert loaded.config.groups == groups
    with pytest.raises(ValueError, match=r'trained on natural_color, and the bands .* read more'):
        load_encoder(['B02', 'B03', 'B04', 'B08'], 'sentinel2_l2a', weights=path)
