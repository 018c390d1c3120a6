# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the layouts of published files, and of the checkpoints made of them."""

from collections import OrderedDict

import pytest
import torch
from timm import create_model
from torch import nn
from torchgeo.tasks import Classification, SemanticSegmentation

from torchgeo_saco.bands import SENTINEL2_L1C, SENTINEL2_L2A
from torchgeo_saco.io.checkpoint import CheckpointError
from torchgeo_saco.models import export_encoder, load_encoder
from torchgeo_saco.models.published import read_published, write_encoders
from torchgeo_saco.tasks import GroupClassification, MoCo

from ...data.published import ArgumentNamespace, below, dual_state, perceptron, seco_content, trunk

L2A = list(SENTINEL2_L2A.bands)


def files(net):
    """Content of a file of every layout of one ResNet-18, and the bands that its images have."""
    decoder, segments = nn.ModuleDict(), nn.ModuleDict()
    decoder['0'] = nn.ModuleDict({'double_conv': nn.Sequential(nn.Conv2d(4, 2, 3))})
    segments['0'] = nn.ModuleDict({'conv_1': nn.Sequential(nn.Conv2d(4, 2, 3))})
    encoder = below('model.model.', net) | below('model.fc.', perceptron())
    loss = {'epoch': 1, 'optimizer_state_dict': {}, 'loss': torch.tensor(0.5)}
    classified = below('resnet.model.model.', net)
    return {
        'saco_encoder': encoder,
        'saco_checkpoint': loss | {'model_state_dict': encoder},
        'saco_lbp': classified | below('resnet.model.fc.', nn.Linear(720, 10)),
        'saco_plain': classified | below('resnet.model.fc.', nn.Linear(512, 10)),
        'saco_change': below('encoder.', net) | below('decoder.', decoder),
        'saco_segmentation': below('encoder.', net) | below('decoder.', segments),
        'seco_training': seco_content(net),
        'seco_encoder': net.state_dict(),
    }  # fmt: skip


LAYOUTS = list(files(nn.Sequential(nn.Linear(1, 1))))


@pytest.mark.parametrize('layout', LAYOUTS)
def test_encoder_of_every_layout_is_the_net_of_torchvision(tmp_path, layout):
    net = trunk(channels=10 if layout == 'saco_segmentation' else 3)
    path = tmp_path / 'published.pth'
    torch.save(files(net)[layout], path)
    file = read_published(path)
    write_encoders(file, tmp_path / 'encoder.ckpt')
    loaded = load_encoder(L2A, 'sentinel2_l2a', weights=str(tmp_path / 'encoder.ckpt'))
    encoder = loaded.encoder.eval()
    assert loaded.config.model == 'resnet18' and not loaded.random and not loaded.skipped
    image = torch.rand(2, 12, 32, 32)
    with torch.no_grad():
        inputs = encoder.inputs(image)
        wanted = torch.stack([net(group).mean((-2, -1)) for group in inputs.unbind(1)], 1)
        torch.testing.assert_close(encoder.forward_groups(image), wanted, rtol=1e-5, atol=1e-5)
    if layout == 'saco_segmentation':
        assert loaded.unfitted == ['bands'] and inputs.shape[2] == 10
    elif layout.startswith('saco'):
        # Reflectance itself, by the indices of SACo+ on the order of file names.
        names = ['B01', 'B11', 'B12', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B09']
        groups = ((5, 4, 3), (2, 9, 3), (10, 5, 4), (2, 1, 5), (2, 1, 11), (0, 6, 7), (8, 9, 11))
        alphabetic = image[:, [L2A.index(name) for name in names]]
        wanted = torch.stack([alphabetic[:, group] for group in groups], 1)
        assert torch.equal(inputs, wanted) and not loaded.unfitted
    else:
        # 8-bit values stretched by SeCo's quantiles, then as ImageNet is scaled.
        digits = image[:, [L2A.index(name) for name in ('B04', 'B03', 'B02')]] * 255
        low, high = (torch.tensor(of)[:, None, None] for of in ([0, 2, 3], [129, 103, 88]))
        stretched = ((digits - low) / (high - low)).clamp(0, 1)
        mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
        torch.testing.assert_close(inputs[:, 0], (stretched - mean) / std, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope='module')
def converted(tmp_path_factory):
    """Checkpoint of the encoder of SACo+, and its tensors."""
    folder = tmp_path_factory.mktemp('converted')
    torch.save(files(trunk())['saco_encoder'], folder / 'q_weights.pt')
    file = read_published(folder / 'q_weights.pt')
    write_encoders(file, folder / 'saco.ckpt')
    return str(folder / 'saco.ckpt'), file.encoders[0].state


def test_scaling_stays_in_training(converted):
    inputs = load_encoder(L2A, 'sentinel2_l2a', weights=converted[0]).encoder.inputs
    image = torch.rand(2, 12, 8, 8)
    assert torch.equal(inputs.train()(image), inputs.eval()(image))


def test_stock_tasks_take_it(converted):
    path, state = converted
    classifier = Classification(model='resnet18', weights=path, in_channels=3, num_classes=2).model
    unet = SemanticSegmentation(
        model='unet', backbone='resnet18', weights=path, in_channels=3, num_classes=2
    ).model
    for found in (classifier.state_dict(), unet.encoder.state_dict()):
        for name, value in state.items():
            assert torch.equal(found[name], value)


def test_our_tasks_take_it(converted):
    path, state = converted
    task = GroupClassification(weights=path, bands=L2A, sensor='sentinel2_l2a', num_classes=2)
    assert torch.equal(task.model.encoder.backbone.conv1.weight, state['conv1.weight'])
    assert len(task.model.encoder.names) == 7
    moco = MoCo(model='resnet18', weights=path, bands=L2A, groups=['urban'], texture=False)
    assert torch.equal(moco.model.conv1.weight, state['conv1.weight'])


def test_other_bands_and_sensors(converted):
    path, _ = converted
    loaded = load_encoder(['B02', 'B03', 'B04', 'B11', 'B12'], weights=path)
    assert list(loaded.config.groups) == ['natural_color', 'urban'] and not loaded.unfitted
    assert len(loaded.skipped) == 5
    landsat = load_encoder([f'B{n:02d}' for n in range(1, 8)], 'landsat_8_9', weights=path)
    assert landsat.config.groups['natural_color'] == ['B04', 'B03', 'B02']
    assert landsat.substitutions()


def test_deeper_nets(tmp_path):
    torch.save(trunk('resnet50').state_dict(), tmp_path / 'a.pth')
    assert read_published(tmp_path / 'a.pth').encoders[0].model == 'resnet50'


def test_two_sensors(tmp_path):
    nets, state = dual_state()
    content = {'epoch': 100, 'arch': 'resnet18', 'state_dict': state, 'optimizer': {}}
    torch.save(content, tmp_path / 'dual.pth')
    file = read_published(tmp_path / 'dual.pth')
    report = '\n'.join(file.report())
    assert 'projector of Sentinel-1: 4 tensors' in report
    assert 'beside the weights: epoch, arch, optimizer; left out' in report
    write_encoders(file, tmp_path / 'both.ckpt')
    write_encoders(file, tmp_path / 'radar.ckpt', 'sentinel1')
    export_encoder(tmp_path / 'both.ckpt', 'sentinel1', tmp_path / 'exported.ckpt')
    for name, bands, sensor, net in (
        ('both', ['VV', 'VH'], 'sentinel1', nets[0]),
        ('radar', ['VV', 'VH'], 'sentinel1', nets[0]),
        ('exported', ['VV', 'VH'], 'sentinel1', nets[0]),
        ('both', list(SENTINEL2_L1C.bands), 'sentinel2_l1c', nets[1]),
    ):
        loaded = load_encoder(bands, sensor, weights=str(tmp_path / f'{name}.ckpt'))
        assert loaded.unfitted == ['bands']
        net.fc = nn.Identity()
        image = torch.rand(1, len(bands), 32, 32)
        with torch.no_grad():
            found = loaded.encoder.eval().backbone(image)
            torch.testing.assert_close(found, net(image), rtol=1e-5, atol=1e-5)
    with pytest.raises(CheckpointError, match=r'encoders of sentinel1, sentinel2_l1c, none of rgb'):
        write_encoders(file, tmp_path / 'no.ckpt', 'rgb')


def test_encoders_are_those_of_a_pre_training(tmp_path):
    torch.save({'encoder': {'model': 'resnet18'}, 'state_dict': {}}, tmp_path / 'tuned.ckpt')
    with pytest.raises(
        CheckpointError,
        match=r'tuned\.ckpt is of a downstream task; give the checkpoint of the pre',
    ):
        export_encoder(tmp_path / 'tuned.ckpt', 'sentinel1', tmp_path / 'no.ckpt')
    assert not (tmp_path / 'no.ckpt').exists()


@pytest.mark.slow
def test_swin_in_the_names_of_its_authors(tmp_path):
    state = OrderedDict()
    nets = []
    for prefix, channels in (('backbone1.', 2), ('backbone2.', 13)):
        net = create_model('swin_tiny_patch4_window7_224', in_chans=channels, num_classes=0)
        nets.append(net)
        for name, value in net.state_dict().items():
            for stage in (1, 2, 3):
                name = name.replace(f'layers.{stage}.downsample', f'layers.{stage - 1}.downsample')
            state[prefix + name] = value
        index = 'layers.0.blocks.0.attn.relative_position_index'
        state[prefix + index] = torch.zeros(49, 49, dtype=torch.long)
        state[f'{prefix}head.weight'] = torch.rand(128, 768)
    torch.save({'state_dict': state}, tmp_path / 'swin.pth')
    encoders = read_published(tmp_path / 'swin.pth').encoders
    for encoder, net in zip(encoders, nets, strict=True):
        assert encoder.model == 'swin_tiny_patch4_window7_224'
        wanted = net.state_dict()
        assert encoder.state.keys() - wanted.keys() == set()
        assert all(torch.equal(encoder.state[name], value) for name, value in wanted.items())


def test_report_of_a_training_with_classes(tmp_path):
    torch.save(seco_content(trunk()), tmp_path / 'seco.ckpt')
    report = read_published(tmp_path / 'seco.ckpt').report()
    assert report[0].endswith('seco.ckpt: SeCo or CACo, pre-training')
    assert 'backbone: 120 tensors' in report[1] and 'resnet18 of sentinel2_l2a' in report[1]
    assert [line.split(':')[0] for line in report[2:]] == [
        'key encoder', 'projectors', 'projectors of the key encoder', 'queue of keys',
        'position in the queue', 'beside the weights',
    ]  # fmt: skip
    assert all(': ' in line and 'left out' in line for line in report[2:])
    assert 'hyper_parameters' in report[-1]


def test_report_says_what_runs_elsewhere(tmp_path):
    content = files(trunk())
    for layout, head in (('saco_lbp', 'classifier'), ('saco_change', 'decoder')):
        torch.save(content[layout], tmp_path / 'a.pth')
        report = read_published(tmp_path / 'a.pth').report()
        assert report[1].startswith('backbone: 120 tensors')
        assert report[2].startswith(f'{head}: 2 tensors, 0.')
        assert report[2].endswith('left out, for an encoder has no head; load_published runs it')


def test_file_without_an_encoder_of_timm(tmp_path):
    state = {'convs1.layers.0.weight': torch.rand(64, 2, 3, 3), 'fc.weight': torch.rand(2, 2)}
    torch.save({'s1_model_weights': state, 's2_model_weights': state}, tmp_path / 'mma.pth')
    file = read_published(tmp_path / 'mma.pth')
    assert not file.encoders
    assert [line.partition(':')[0] for line in file.report()[1:]] == [
        'VGG of Sentinel-1', 'VGG of Sentinel-2'
    ]  # fmt: skip
    for line in file.report()[1:]:
        assert line.endswith('left out, for it is no timm model; load_published runs it')
    with pytest.raises(
        CheckpointError, match='holds no encoder of a timm model; run it by load_pub'
    ):
        write_encoders(file, tmp_path / 'no.ckpt')


def test_backbone_that_was_never_trained(tmp_path):
    net = trunk()
    torch.save(net.state_dict(), tmp_path / 'a.pth')
    assert not read_published(tmp_path / 'a.pth').encoders[0].untrained
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
    torch.save(net.state_dict(), tmp_path / 'b.pth')
    report = '\n'.join(read_published(tmp_path / 'b.pth').report())
    assert 'every BatchNorm scales by 1 and shifts by 0, so it was never trained' in report


def without(state, *names):
    return {name: value for name, value in state.items() if name not in names}


def quantized(state):
    weight = torch.quantize_per_tensor(torch.rand(3), 0.1, 0, torch.qint8)
    return state | {'6.1.conv2.weight': weight}


WRONG = {
    'truncated net': (lambda net: without(net.state_dict(), '5.1.bn2.bias'),
                      'the backbone is no resnet18 .*layer2.1.bn2.bias'),
    'missing block': (lambda net: {n: v for n, v in net.state_dict().items() if n[:4] != '7.1.'},
                      'stages of 2, 2, 2, 1 blocks, as no ResNet has'),
    'spare tensor': (lambda net: net.state_dict() | {'9.weight': torch.ones(1)},
                     'which has no 9.weight; it is of another version'),
    'spare head': (lambda net: files(net)['saco_change'] | below('auxiliary.', nn.Linear(1, 1)),
                   'which has no auxiliary.weight, auxiliary.bias; it is'),
    'other shape': (lambda net: net.state_dict() | {'4.0.conv1.weight': torch.ones(64, 64, 1, 1)},
                    'the backbone is no resnet18 .*layer1.0.conv1.weight'),
    'no first layer': (lambda net: without(below('encoder_q.', net), 'encoder_q.1.weight'),
                       'the backbone is no resnet18 .*bn1.weight'),
    'flat first layer': (lambda net: net.state_dict() | {'0.weight': torch.ones(64)},
                         'lacks the first layer of its backbone; it may be incomplete: fetch it'),
    'foreign': (lambda _: create_model('test_resnet').state_dict(),
                'is of no layout that is known .*conv1'),
    'empty': (lambda _: {}, r'is of no layout that is known \(0 tensors: none'),
    'quantized': (lambda net: quantized(net.state_dict()),
                  '6.1.conv2.weight is quantized, to torch.qint8; give the file of before'),
    'integers': (lambda net: net.state_dict() | {'1.bias': torch.ones(64, dtype=torch.int8)},
                 '1.bias is quantized, to torch.int8; give the file of before'),
    'NaN': (lambda net: net.state_dict() | {'1.bias': torch.full((64,), torch.nan)},
            '1.bias holds NaN or infinity; fetch the file again'),
    'object': (lambda net: net.state_dict() | {'1.bias': ArgumentNamespace('a')},
               '1.bias is an object of .*ArgumentNamespace, no tensor; save the state_dict'),
    'whole model': (lambda net: {'model': net}, 'no layout|an object of'),
    'other channels': (lambda _: trunk(channels=5).state_dict(),
                       'takes images of 5 channels, and which bands they are is not known'),
}  # fmt: skip


# PyTorch will drop these types, which files may hold.
@pytest.mark.filterwarnings('ignore:.*quantized tensor creation', 'ignore:TypedStorage is deprec')
@pytest.mark.parametrize('case', WRONG)
def test_wrong_files_are_refused_in_one_sentence(tmp_path, case):
    make, message = WRONG[case]
    torch.save(make(trunk()), tmp_path / 'wrong.pth')
    with pytest.raises(CheckpointError, match=message) as refused:
        read_published(tmp_path / 'wrong.pth')
    assert 'wrong.pth' in str(refused.value) and '\n' not in str(refused.value)


@pytest.mark.parametrize('share', [0.1, 0.7])
def test_truncated_file(tmp_path, share):
    torch.save(seco_content(trunk()), tmp_path / 'whole.ckpt')
    whole = (tmp_path / 'whole.ckpt').read_bytes()
    (tmp_path / 'cut.ckpt').write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r'cut\.ckpt cannot be read as a checkpoint'):
        read_published(tmp_path / 'cut.ckpt')
