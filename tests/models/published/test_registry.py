# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of published weights by name."""

import hashlib

import pytest
import torch
from torchgeo.models import api, get_weight
from torchgeo.tasks import Classification, SemanticSegmentation

from torchgeo_saco.bands import SENTINEL1, SENTINEL2_L1C, SENTINEL2_L2A
from torchgeo_saco.io.checkpoint import CheckpointError
from torchgeo_saco.models import load_encoder
from torchgeo_saco.models.published.registry import REGISTRY, register_weights
from torchgeo_saco.models.scaling import weight_scaling

from ...data.published import below, dual_state, perceptron, seco_content, trunk

L2A = list(SENTINEL2_L2A.bands)
ALL = [weight for enum in REGISTRY for weight in enum]


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Puts content where a weight is published, and returns the path."""

    def write(name, content, ending='.pth', md5=None):
        weight = get_weight(name)
        torch.save(content, tmp_path / 'file.pth')
        digest = hashlib.sha256((tmp_path / 'file.pth').read_bytes()).hexdigest()[:8]
        path = (tmp_path / 'file.pth').rename(tmp_path / f'file-{digest}{ending}')
        monkeypatch.setattr(weight.value, 'url', path.as_uri())
        monkeypatch.setitem(weight.value.meta, 'md5', md5)
        monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
        return path

    return write


@pytest.mark.parametrize('weight', ALL, ids=str)
def test_torchgeo_finds_every_weight(weight):
    assert get_weight(str(weight)) is weight
    meta = weight.meta
    assert meta['in_chans'] == len(meta['bands'])
    assert weight.url.startswith('https://zenodo.org/') or not weight.url
    assert meta['page'].startswith('https://') and meta['license'] and meta['publication']
    if meta['groups'] is None:
        assert set(meta['bands']) <= set({**SENTINEL2_L1C.bands, **SENTINEL1.bands})
    assert (weight_scaling(weight) is None) == (meta['scaling'] is None)


def test_registering_again_changes_nothing():
    before = dict(api._model_weights)
    register_weights()
    assert api._model_weights == before


def test_file_names_in_the_cache_differ():
    files = {(weight.meta['file'], weight.url) for weight in ALL}
    assert len({file for file, _ in files}) == len(files)


CACO = 'CACoResNet18_Weights.SENTINEL2_RGB_CACO_100K'
SACO = 'SACoResNet18_Weights.SENTINEL2_GROUPS_EUROSAT'
SECO = 'SeCoResNet18_Weights.SENTINEL2_RGB_1M'
DUAL = 'DualSimCLRResNet50_Weights.SENTINEL1_SEN12MS'


def test_stock_tasks_take_them_by_name(published):
    net = trunk()
    published(CACO, net.state_dict())
    classifier = Classification(model='resnet18', weights=CACO, in_channels=3, num_classes=2).model
    unet = SemanticSegmentation(
        model='unet', backbone='resnet18', weights=get_weight(CACO), in_channels=3, num_classes=2
    ).model
    for found in (classifier, unet.encoder):
        assert torch.equal(found.conv1.weight, net[0].weight)
        assert torch.equal(found.layer4[1].bn2.running_var, net[7][1].bn2.running_var)


def test_encoder_of_caco(published):
    net = trunk()
    published(CACO, net.state_dict())
    loaded = load_encoder(L2A, 'sentinel2_l2a', weights=CACO)
    assert loaded.config.input_bands == ['B04', 'B03', 'B02']
    assert (loaded.random, loaded.unfitted) == (False, [])
    image = torch.rand(1, 12, 32, 32)
    with torch.no_grad():
        scaled = loaded.encoder.inputs(image)[:, 0]
        wanted = net(scaled).mean((-2, -1))
        found = loaded.encoder.eval()(image)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
        # The transforms of the weights do the same to digital numbers.
        rgb = image[:, [L2A.index(band) for band in ('B04', 'B03', 'B02')]]
        same = get_weight(CACO).transforms(rgb * 10000)
    torch.testing.assert_close(same, scaled, rtol=1e-4, atol=1e-4)
    grouped = load_encoder(L2A, 'sentinel2_l2a', weights=CACO, groups=['urban'])
    assert grouped.config.groups == {'urban': ['B12', 'B11', 'B04']}
    assert grouped.unfitted == ['urban']


def test_encoder_of_saco_sees_its_groups(published):
    net = trunk()
    state = below('resnet.model.model.', net)
    published(SACO, state | below('resnet.model.fc.', torch.nn.Linear(720, 10)))
    loaded = load_encoder(L2A, 'sentinel2_l2a', weights=SACO)
    assert loaded.config.groups['agriculture'] == ['B12', 'B08', 'B02']
    assert len(loaded.config.groups) == 7 and not loaded.unfitted
    with pytest.raises(ValueError, match=r'SACoResNet18.* was not trained on moisture; its groups'):
        load_encoder(L2A, 'sentinel2_l2a', weights=SACO, groups=['moisture'])
    with pytest.raises(ValueError, match=r'holds a resnet18, but model=resnet50 is asked for'):
        load_encoder(L2A, 'sentinel2_l2a', weights=SACO, model='resnet50')


def test_files_of_seco_are_checked_by_md5(published):
    path = published(SECO, seco_content(trunk()), '.ckpt', md5='0' * 32)
    with pytest.raises(CheckpointError, match=r'not the file that its authors published .MD5 0000'):
        get_weight(SECO).get_state_dict()
    right = hashlib.md5(path.read_bytes()).hexdigest()  # noqa: S324
    get_weight(SECO).meta['md5'] = right
    assert get_weight(SECO).get_state_dict()['conv1.weight'].shape == (64, 3, 7, 7)


def test_file_with_another_hash_than_its_name_says(published, monkeypatch):
    path = published(CACO, trunk().state_dict())
    other = path.rename(path.with_name('file-00000000.pth'))
    monkeypatch.setattr(get_weight(CACO).value, 'url', other.as_uri())
    with pytest.raises(CheckpointError, match=r'file-00000000.pth is not the file that its name'):
        get_weight(CACO).get_state_dict(check_hash=True)


def test_file_that_is_not_there(published):
    published(CACO, {}).unlink()
    with pytest.raises(
        ValueError, match=r'cannot be downloaded .* set weights to null or to a fil'
    ):
        load_encoder(L2A, 'sentinel2_l2a', weights=CACO)


def test_file_of_another_depth_or_method(published):
    published(CACO, below('model.model.', trunk('resnet34')) | below('model.fc.', perceptron()))
    with pytest.raises(
        CheckpointError, match=r'is a resnet18 of sentinel2_l2a, and .* holds resnet34 .* --output'
    ):
        get_weight(CACO).get_state_dict()


def test_file_of_the_same_net_for_other_bands(published):
    net, decoder = trunk(channels=10), torch.nn.Sequential(torch.nn.Conv2d(4, 2, 3))
    published(CACO, below('encoder.', net) | below('decoder.0.conv_1.', decoder))
    with pytest.raises(
        CheckpointError, match=r'takes other bands than .*SENTINEL2_RGB_CACO_100K.*; fetch it again'
    ):
        get_weight(CACO).get_state_dict()


@pytest.mark.parametrize(
    'name, page', [(CACO, 'utkarshmall13/CACo'), (DUAL, 'HSG-AIML/SSLTransformerRS')]
)
def test_files_whose_address_is_not_known(monkeypatch, tmp_path, name, page):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    with pytest.raises(CheckpointError, match=f'{page}, and give it to torchgeo-saco conv') as said:
        load_encoder(['VV', 'VH'] if name == DUAL else L2A, get_weight(name).meta['sensor'],
                     weights=name)  # fmt: skip
    assert '\n' not in str(said.value)


def test_file_that_is_saved_where_the_refusal_says(monkeypatch, tmp_path):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    path = tmp_path / 'hub' / 'checkpoints' / get_weight(CACO).meta['file']
    with pytest.raises(CheckpointError, match=str(path)):
        get_weight(CACO).get_state_dict()
    net = trunk()
    path.parent.mkdir(parents=True)
    torch.save(net.state_dict(), path)
    assert torch.equal(get_weight(CACO).get_state_dict()['conv1.weight'], net[0].weight)


@pytest.mark.slow
def test_one_file_of_two_sensors(published):
    nets, state = dual_state('resnet50')
    published(DUAL, {'state_dict': state})
    loaded = load_encoder(['VV', 'VH'], 'sentinel1', weights=DUAL)
    assert torch.equal(loaded.encoder.backbone.conv1.weight, nets[0].conv1.weight)
    assert loaded.unfitted == ['bands']
