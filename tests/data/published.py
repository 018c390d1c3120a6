# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Files in the layouts of published weights, with random numbers in the nets of torchvision."""

from collections import OrderedDict

import torch
import torchvision
from torch import nn


def trunk(model='resnet18', channels=3):
    """ResNet of torchvision without its pooling and classifier, as a sequence."""
    net = getattr(torchvision.models, model)()
    net.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    return shaken(nn.Sequential(*list(net.children())[:-2]))


def shaken(net):
    """The net with random statistics and scales in its BatchNorm layers, in evaluation mode."""
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(layer.weight, 0.5, 1.0)
            nn.init.normal_(layer.bias, 0, 0.1)
    return net.eval()


def below(prefix, net):
    """Tensors of a net with a prefix before their names."""
    return OrderedDict((prefix + name, value) for name, value in net.state_dict().items())


def perceptron():
    """Projector of SACo+."""
    return nn.Sequential(
        OrderedDict(fc1=nn.Linear(512, 1024), a=nn.ReLU(), fc2=nn.Linear(1024, 512), b=nn.ReLU(),
                    fc3=nn.Linear(512, 256))
    )  # fmt: skip


class ArgumentNamespace:
    """Class of the authors, which readers lack."""

    def __init__(self, text):
        self.text = text


def seco_content(net):
    """Content of a checkpoint of Lightning by SeCo or CACo, with an object of a class."""
    heads = nn.ModuleList(
        nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 128)) for _ in range(3)
    )
    state = below('encoder_q.', net) | below('encoder_k.', net)
    state |= below('heads_q.', heads) | below('heads_k.', heads)
    state |= {'queue': torch.rand(3, 128, 8), 'queue_ptr': torch.zeros(3, 1, dtype=torch.long)}
    hyper_parameters = {'lr': 0.03, 'datamodule': ArgumentNamespace('caco')}
    return {
        'epoch': 3,
        'pytorch-lightning_version': '1.1.8',
        'state_dict': state,
        'hyper_parameters': hyper_parameters,
        'optimizer_states': [{'state': {}}],
    }


def dual_state(model='resnet18'):
    """Encoders of Dual-SimCLR, with projectors: nets of torchvision, and their tensors."""
    nets = []
    for channels in (2, 13):
        net = getattr(torchvision.models, model)()
        net.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        width = net.fc.in_features
        net.fc = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 128))
        nets.append(shaken(net))
    return nets, below('backbone1.', nets[0]) | below('backbone2.', nets[1])
