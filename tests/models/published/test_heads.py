# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the heads of published files, against functions of their tensors alone."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from torchgeo_saco.io.checkpoint import CheckpointError
from torchgeo_saco.models import load_published
from torchgeo_saco.models.published import (
    PublishedChangeDetector,
    PublishedClassifier,
    PublishedPairClassifier,
    PublishedSegmenter,
    PublishedVGG,
)

from ...data.published import below, dual_state, seco_content, shaken, trunk

#: Channels of each group of EuroSAT's files, and what the files hold.
GROUPS = ((3, 2, 1), (11, 8, 1), (7, 3, 2), (11, 10, 3), (11, 10, 0), (0, 4, 5), (6, 8, 9))
EUROSAT = [*(f'B{number:02d}' for number in range(1, 13)), 'B8A']

#: Channels after both convolutions of every level of a decoder, all different.
WIDTHS = ((24, 20), (18, 16), (14, 12), (10, 8))


def save(path, state):
    torch.save(state, path)
    return path


def close(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def norm(x, state, name):
    names = ('running_mean', 'running_var', 'weight', 'bias')
    return F.batch_norm(x, *(state[f'{name}.{one}'] for one in names))


def convolved(x, state, conv, batch_norm):
    x = F.conv2d(x, state[f'{conv}.weight'], state.get(f'{conv}.bias'), padding=1)
    return F.relu(norm(x, state, batch_norm))


def levels(net, image):
    """Maps of layer1 to layer4."""
    maps = []
    for number, layer in enumerate(net):
        image = layer(image)
        if number >= 4:
            maps.append(image)
    return maps


def pattern(image):
    """Codes of uniform patterns of 16 neighbours 2 pixels away; outside the image is 0."""
    height, width = image.shape
    padded = np.pad(image.astype(float), 3)
    bits = []
    for turn in 2 * np.pi * np.arange(16) / 16:
        down, right = round(-2 * np.sin(turn), 5), round(2 * np.cos(turn), 5)
        top, left = int(np.floor(down)), int(np.floor(right))
        neighbour = 0
        for i, vertical in enumerate((1 - (down - top), down - top)):
            for j, horizontal in enumerate((1 - (right - left), right - left)):
                part = padded[3 + top + i :, 3 + left + j :][:height, :width]
                neighbour = neighbour + vertical * horizontal * part
        # Sums of equal weighted numbers are rounded.
        bits.append(neighbour - image >= -1e-9)
    bits = np.array(bits, int)
    changes = (bits[1:] != bits[:-1]).sum(0)
    return np.where(changes <= 2, bits.sum(0), 17)


def histograms(scaled):
    """Counts of codes 0 to 15 of every band, (B, 208)."""
    counts = torch.empty(len(scaled), 13, 16)
    for image, of in zip(scaled, counts, strict=True):
        for band, row in zip(image, of, strict=True):
            codes = torch.tensor(pattern((band * 255).int().numpy()), dtype=torch.float32)
            row.copy_(torch.histc(codes, bins=16, min=0, max=15))
    return counts.flatten(1)


def between(values):
    return (values - values.min()) / (values.max() - values.min())


def classified(net, linear, image, scale):
    """Scores of SACo+'s classifier."""
    scaled = torch.stack([between(one) for one in image])
    counts = None
    if scale:
        counts = histograms(scaled)
        counts = between(counts) if scale == 'batch' else torch.stack([*map(between, counts)])
    scores = []
    for group in GROUPS:
        feature = net(scaled[:, list(group)]).mean((-2, -1))
        joined = feature if counts is None else torch.cat([feature, counts], 1)
        scores.append(torch.softmax(F.linear(joined, linear.weight, linear.bias), 1))
    return sum(scores) / len(scores)


@pytest.mark.parametrize('scale', ['image', 'batch', None])
def test_classifier(tmp_path, scale):
    net, linear = trunk(), nn.Linear(720 if scale else 512, 10)
    # Groups then differ in their scores, and means of probabilities are others than of scores.
    nn.init.normal_(linear.weight, 0, 0.3)
    state = below('resnet.model.model.', net) | below('resnet.model.fc.', linear)
    module = load_published(save(tmp_path / 'a.pth', state))
    assert isinstance(module, PublishedClassifier) and not module.training
    module.histogram_scale = scale or 'image'
    # Smooth ground, so that many patterns are uniform; of two images of other contrast.
    contrast = torch.tensor([900, 400])[:, None, None, None]
    image = F.avg_pool2d(torch.rand(2, 13, 36, 36), 5, 1) * contrast
    with torch.no_grad():
        found = module(image)
        close(found, classified(net, linear, image, scale))
        other = PublishedClassifier(texture=bool(scale), bands=EUROSAT[::-1]).eval()
        other.load_state_dict(module.state_dict())
        other.histogram_scale = module.histogram_scale
        close(other(image.flip(1)), found)
        # Digital numbers are scaled, and an image of one value has nothing to scale.
        flat = module(torch.full((1, 13, 32, 32), 7, dtype=torch.uint16))
    close(found.sum(1), torch.ones(2))
    assert flat.isfinite().all()


def test_scores_of_an_image_depend_on_the_batch_alone_if_asked_for():
    image = torch.rand(2, 13, 32, 32)
    module = PublishedClassifier(texture=True).eval()
    with torch.no_grad():
        close(module(image)[:1], module(image[:1]))
        module.histogram_scale = 'batch'
        assert not torch.allclose(module(image)[:1], module(image[:1]), atol=1e-7)
    with pytest.raises(
        ValueError, match=r"unknown histogram_scale 'all'; choose one of image, bat"
    ):
        PublishedClassifier(histogram_scale='all')


def decoder_of_change(skips, before=512):
    """Modules with the names of the file."""
    decoder = nn.ModuleDict()
    for level, (skip, (middle, out)) in enumerate(zip(skips, WIDTHS, strict=True)):
        decoder[str(level)] = nn.ModuleDict({'double_conv': nn.Sequential(
            nn.Conv2d(before + skip, middle, 3), nn.BatchNorm2d(middle), nn.ReLU(),
            nn.Conv2d(middle, out, 3), nn.BatchNorm2d(out),
        )})  # fmt: skip
        before = out
    decoder['4'] = nn.Conv2d(before, 1, 1)
    return shaken(decoder)


def decoder_of_segments(skips, before=512):
    """Modules with the names of the file."""
    decoder = nn.ModuleDict()
    for level, (skip, (middle, out)) in enumerate(zip(skips, WIDTHS, strict=True)):
        channels = before + skip
        decoder[str(level)] = nn.ModuleDict({
            'conv_1': nn.Sequential(nn.Conv2d(channels, middle, 3), nn.BatchNorm2d(middle)),
            'conv_2': nn.Sequential(nn.Conv2d(channels + middle, out, 3), nn.BatchNorm2d(out)),
        })  # fmt: skip
        before = out
    decoder['4'] = nn.Conv2d(before, 20, 1)
    return shaken(decoder)


def twice(x):
    return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


def decoded(maps, level, state):
    """Scores from maps of layer1 to layer4."""
    x = maps[3]
    for i in range(4):
        x = level(twice(torch.cat([x, maps[3 - i]], 1)), i)
    return F.conv2d(twice(x), state['4.weight'], state['4.bias'])


@pytest.mark.parametrize('model', ['resnet18', 'resnet50'])
def test_change_detector(tmp_path, model):
    skips = (512, 256, 128, 64) if model == 'resnet18' else (2048, 1024, 512, 256)
    net, decoder = trunk(model), decoder_of_change(skips, skips[0])
    state = decoder.state_dict()

    def level(x, i):
        x = convolved(x, state, f'{i}.double_conv.0', f'{i}.double_conv.1')
        return convolved(x, state, f'{i}.double_conv.3', f'{i}.double_conv.4')

    file = below('encoder.', net) | below('decoder.', decoder)
    module = load_published(save(tmp_path / 'a.pth', file))
    assert isinstance(module, PublishedChangeDetector) and not module.training
    image = torch.rand(2, 2, 3, 32, 64)
    with torch.no_grad():
        pairs = zip(levels(net, image[:, 0]), levels(net, image[:, 1]), strict=True)
        wanted = decoded([abs(one - other) for one, other in pairs], level, state)
        assert wanted.shape == (2, 1, 32, 64) and wanted.std() > 0.001
        close(module(image), wanted)
        close(module(image.flip(1)), wanted)


def test_segmenter(tmp_path):
    net, decoder = trunk(channels=10), decoder_of_segments((512, 256, 128, 64))
    state = decoder.state_dict()

    def level(x, i):
        x1 = convolved(x, state, f'{i}.conv_1.0', f'{i}.conv_1.1')
        return convolved(torch.cat([x, x1], 1), state, f'{i}.conv_2.0', f'{i}.conv_2.1')

    file = below('encoder.', net) | below('decoder.', decoder)
    module = load_published(save(tmp_path / 'a.pth', file))
    assert isinstance(module, PublishedSegmenter) and not module.training
    image = torch.randn(2, 10, 64, 32)
    with torch.no_grad():
        wanted = decoded(levels(net, image), level, state)
        assert wanted.shape == (2, 20, 64, 32) and wanted.std() > 0.001
        close(module(image), wanted)
    with pytest.raises(ValueError, match='image is 64 x 30 px, and the decoder takes multiples of'):
        module(image[..., :30])


def pair_state(with_projectors):
    """Tensors of a classifier of two sensors, and its parts."""
    nets, state = dual_state()
    linear = nn.Linear(1024, 8)
    if not with_projectors:
        state = {name: tensor for name, tensor in state.items() if '.fc.' not in name}
    for net in nets:
        net.fc = nn.Identity()
    return nets, linear, state | below('fc.', linear)


@pytest.mark.parametrize('with_projectors', [False, True])
def test_pair_classifier(tmp_path, with_projectors):
    nets, linear, state = pair_state(with_projectors)
    content = {'epoch': 200, 'state_dict': state, 'optimizer': {}}
    module = load_published(save(tmp_path / 'a.pth', content))
    assert isinstance(module, PublishedPairClassifier) and not module.training
    s1, s2 = torch.rand(2, 2, 32, 32), torch.rand(2, 13, 32, 32)
    with torch.no_grad():
        close(module(s1, s2), linear(torch.cat([nets[0](s1), nets[1](s2)], 1)))


def vgg(channels, last):
    """Modules with the names of the file."""
    stages = nn.ModuleDict()
    for number, width in enumerate((64, 128, 256, last), 1):
        stages[f'convs{number}'] = nn.ModuleDict({'layers': nn.Sequential(
            nn.Conv2d(channels, width, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, width, 3, bias=False), nn.BatchNorm2d(width),
        )})  # fmt: skip
        channels = width
    return shaken(stages)


@pytest.mark.parametrize('last', [256, 128])
def test_vgg(tmp_path, last):
    nets = {'sentinel1': vgg(2, last), 'sentinel2_l1c': vgg(13, last)}
    states = [net.state_dict() for net in nets.values()]
    content = dict(zip(('s1_model_weights', 's2_model_weights'), states, strict=True))
    modules = load_published(save(tmp_path / 'a.pth', content))
    assert list(modules) == list(nets)
    for module, state, channels in zip(modules.values(), states, (2, 13), strict=True):
        assert isinstance(module, PublishedVGG) and not module.training
        image = torch.rand(2, channels, 24, 16)
        x = image
        for stage in range(1, 5):
            for conv in (0, 3):
                name = f'convs{stage}.layers'
                x = convolved(x, state, f'{name}.{conv}', f'{name}.{conv + 1}')
            x = F.max_pool2d(x, 2) if stage < 4 else x
        with torch.no_grad():
            assert x.shape == (2, last, 3, 2)
            close(module(image), x)


def change_state(**changed):
    decoder = decoder_of_change((512, 256, 128, 64)).state_dict()
    state = below('encoder.', trunk()) | {f'decoder.{n}': v for n, v in decoder.items()}
    for name, tensor in changed.items():
        state.pop(f'decoder.{name}', None)
        if tensor is not None:
            state[f'decoder.{name}'] = tensor
    return state


def classifier_state(width):
    linear = nn.Linear(width, 10)
    return below('resnet.model.model.', trunk()) | below('resnet.model.fc.', linear)


def two_depths():
    state = pair_state(True)[2]
    deeper = {n: v for n, v in dual_state('resnet34')[1].items() if n.startswith('backbone2.')}
    return {n: v for n, v in state.items() if not n.startswith('backbone2.')} | deeper


def vgg_state(name):
    state = vgg(2, 256).state_dict()
    del state[name]
    return {'s1_model_weights': state, 's2_model_weights': vgg(13, 256).state_dict()}


WRONG = {
    'no head': (lambda: seco_content(trunk()), 'has no head; make an encoder of it by torchgeo-'),
    'other classifier': (lambda: classifier_state(600),
                         'classifier of 600 numbers, and a resnet18 gives 512, with textures 720'),
    'no classifier': (lambda: {n: v for n, v in classifier_state(512).items()
                               if n != 'resnet.model.fc.bias'},
                      'the classifier is another net .*classifier.bias'),
    'spare classifier': (lambda: classifier_state(512) | {'resnet.model.fc.a': torch.ones(1)},
                         'the classifier is another net .*classifier.a'),
    'no level': (lambda: change_state(**{'2.double_conv.3.weight': None}),
                 'lacks 2.double_conv.3.weight of its decoder'),
    'spare level': (lambda: change_state(**{'5.weight': torch.ones(1)}),
                    'the decoder is another net .*decoder.5.weight'),
    'other skips': (lambda: change_state(**{'1.double_conv.0.weight': torch.ones(18, 9, 3, 3)}),
                    'the decoder is another net .*decoder.1.double_conv.0.weight'),
    'two depths': (two_depths, 'holds a resnet18 and a resnet34, where both are of one depth'),
    'no stage': (lambda: vgg_state('convs3.layers.0.weight'),
                 'the VGG of Sentinel-1 lacks a stage of four'),
    'no norm': (lambda: vgg_state('convs3.layers.1.bias'),
                'the VGG of Sentinel-1 is another net .*convs3.layers.1.bias'),
}  # fmt: skip


@pytest.mark.parametrize('case', WRONG)
def test_other_heads_are_refused_in_one_sentence(tmp_path, case):
    make, message = WRONG[case]
    with pytest.raises(CheckpointError, match=message) as refused:
        load_published(save(tmp_path / 'wrong.pth', make()))
    assert 'wrong.pth' in str(refused.value) and '\n' not in str(refused.value)
