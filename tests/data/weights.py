# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Checkpoints of tasks that were never trained, as quick to make as to load."""

from pathlib import Path

import torch

from torchgeo_saco.tasks import MoCo

from .pretraining import small


def write_checkpoint(path: Path, bands=('B02', 'B03', 'B04', 'B08'), size=16, **arguments):
    """Write a checkpoint of a small task of two groups and a texture; the path and the task."""
    groups = {'groups': ['natural_color', 'near_infrared'], 'texture': ['natural_color']}
    task = small(MoCo, bands=bands, size=size, **(groups | arguments)).eval()
    statistics = task.inputs.standardize
    statistics.running_mean.uniform_(0.1, 0.3)
    statistics.running_var.uniform_(0.01, 0.05)
    content = {
        'state_dict': task.state_dict(),
        'hyper_parameters': dict(task.hparams) | {'_class_path': 'torchgeo_saco.tasks.MoCo'},
    }
    torch.save(content, path)
    return str(path), task
