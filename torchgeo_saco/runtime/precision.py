# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Precisions that a trainer may have, and support of devices for bfloat16."""

from collections.abc import Callable

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import nn

from .modes import evaluation_mode

# Precisions for which Lightning converts the weights.
_OTHER_WEIGHTS = ('16-true', 'bf16-true', '64-true')


def require_float32_weights(precision: str) -> None:
    """Refuse a precision in which a trainer keeps the weights in another type than float32.

    Images, textures and statistics are in float32; and what a key encoder changes in a step is
    less than bfloat16 resolves.

    Args:
        precision: Precision of the trainer, such as ``'32-true'``.

    Raises:
        ValueError: If it is one.
    """
    if precision in _OTHER_WEIGHTS:
        raise ValueError(
            f'precision {precision} keeps weights in another type than float32, which no task '
            'here works with; set trainer.precision to 32, bf16-mixed or 16-mixed'
        )


def require_bfloat16(device: torch.device, backbone: nn.Module, channels: int, side: int) -> None:
    """Warn of a device that emulates bfloat16, and refuse what a CPU computes wrongly in it.

    Args:
        device: The device.
        backbone: Maps (N, C, H, W) to features.
        channels: Channels of its images.
        side: Side of its images, in pixels.

    Raises:
        ValueError: If a layer would get wrong gradients.
    """
    if emulates_bfloat16(device):
        rank_zero_warn(
            f'this {device.type} has no bfloat16 instructions, so bfloat16 takes longer than '
            'float32; set trainer.precision to 32'
        )
    layer = single_pixel_layer(backbone, channels, side) if device.type == 'cpu' else None
    if layer is not None:
        raise ValueError(
            f'{layer} of the backbone sees a single pixel of views of size={side}, and PyTorch '
            'gives it wrong gradients in bfloat16 on a CPU; raise model.init_args.size, or set '
            'trainer.precision to 32'
        )


def emulates_bfloat16(device: torch.device) -> bool:
    """Whether a device has no bfloat16 instructions, and takes longer with it than with float32.

    Args:
        device: The device.

    Returns:
        False also where it is not known.
    """
    if device.type == 'cuda':
        return not torch.cuda.is_bf16_supported(including_emulation=False)
    # PyTorch before 2.9 does not tell.
    known = getattr(torch.cpu, 'get_capabilities', None)
    if device.type != 'cpu' or known is None:
        return False
    return not any(there for name, there in known().items() if 'bf16' in name)


@torch.no_grad()
def single_pixel_layer(backbone: nn.Module, channels: int, side: int) -> str | None:
    """Strided convolution that is left with a single pixel of an image.

    PyTorch 2.15 gives its weights gradients of any number where a CPU computes it in bfloat16.

    Args:
        backbone: Maps (N, C, H, W) to features.
        channels: Channels of the image.
        side: Side of the image, in pixels.

    Returns:
        Its name, or None if there is no such layer.
    """
    found: list[str] = []

    def looking(name: str, layer: nn.Conv2d) -> Callable[[nn.Module, tuple[torch.Tensor]], None]:
        wide = max(layer.stride) > 1 and max(layer.kernel_size) > 1

        def look(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
            if wide and inputs[0].shape[-2:] == (1, 1):
                found.append(name)

        return look

    layers = [(name, m) for name, m in backbone.named_modules() if isinstance(m, nn.Conv2d)]
    hooks = [layer.register_forward_pre_hook(looking(name, layer)) for name, layer in layers]
    weight = next(backbone.parameters())
    try:
        with evaluation_mode(backbone):
            backbone(weight.new_zeros(1, channels, side, side))
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else None
