# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""TorchGeo: MoCo's key encoder starts from other random weights than its query encoder."""

from torchgeo.tasks import MoCo

task = MoCo(model='resnet18', weights=None, in_channels=3)
query = dict(task.backbone.named_parameters())
differences = [
    (parameter - query[name]).abs().max().item()
    for name, parameter in task.backbone_momentum.named_parameters()
]
print(f'largest difference of a weight: {max(differences):.2f}; of copies it is 0')
print('shown' if max(differences) > 0 else 'not shown')
