# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Devices by name, and their preparation for training."""

from collections.abc import Iterable

import torch
from torch import nn

from .compile import compile_module
from .memory import keep_freed_memory
from .precision import require_bfloat16


def prepare_device(
    device: torch.device,
    precision: str,
    backbones: Iterable[nn.Module],
    channels: int,
    size: int,
    compile: bool = False,
) -> None:
    """Prepare a device for training, and refuse a precision that it computes wrongly in.

    Args:
        device: The device.
        precision: Precision of the trainer.
        backbones: The backbone that is trained, and its copies.
        channels: Channels of its images.
        size: Side of its images, in pixels.
        compile: Whether to compile the backbones.

    Raises:
        ValueError: If a layer would get wrong gradients in bfloat16.
    """
    backbones = list(backbones)
    if device.type == 'cpu':
        keep_freed_memory()
    if precision.startswith('bf16'):
        require_bfloat16(device, backbones[0], channels, size)
    if compile:
        for backbone in backbones:
            compile_module(backbone, device, 'the backbone')


def known_device(name: str) -> torch.device:
    """Device by name, the fastest one for ``auto``.

    Args:
        name: cpu, cuda, auto, or another of PyTorch.

    Raises:
        ValueError: If it is not there.
    """
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        text = ' '.join(str(error).split())[:200]
        raise ValueError(f'device {name} is not there ({text}); try cpu') from error
