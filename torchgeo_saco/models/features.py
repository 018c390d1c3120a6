# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Features of band groups: calls of the one backbone that sees them all."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def group_features(backbone: nn.Module, groups: Tensor, one_by_one: bool = False) -> Tensor:
    """Features of every group.

    In one call of the backbone, whose BatchNorm then sees all groups together; or in a call for
    each. Of these nothing but the features is kept for the backward pass, which computes the
    rest anew, so memory is that of one group.

    Args:
        backbone: Maps (N, 3, H, W) to (N, D).
        groups: Three-channel images, (B, G, 3, H, W).
        one_by_one: Whether each group takes a call of its own.

    Returns:
        Features, (B, G, D), in float32 or wider. The cluster of an image is their mean over G.
    """
    if one_by_one:
        with _refused_sizes(backbone, groups):
            parts = [_recompute(backbone, group) for group in groups.unbind(1)]
        features = torch.stack(parts, dim=1)
    else:
        images = rearrange(groups, 'b g c h w -> (b g) c h w')
        with _refused_sizes(backbone, images):
            features = backbone(images.contiguous(memory_format=torch.channels_last))
        features = rearrange(features, '(b g) d -> b g d', b=groups.shape[0])
    # Means and cosines of rounded numbers would be rounded again.
    return features.to(torch.promote_types(features.dtype, torch.float32))


@contextmanager
def _refused_sizes(backbone: nn.Module, images: Tensor) -> Iterator[None]:
    """Within the block, say in one sentence that a backbone does not take images of a size."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (AssertionError, RuntimeError) as error:
        trained: Any = getattr(backbone, 'default_cfg', {})
        height, width = images.shape[-2:]
        # Of other backbones an error has other causes.
        if not trained.get('fixed_input_size') or (height, width) == trained['input_size'][1:]:
            raise
        side = trained['input_size'][-1]
        raise ValueError(
            f'{trained.get("architecture", type(backbone).__name__)} does not take images of '
            f'{height} x {width} px ({str(error).splitlines()[0].rstrip(".")}); give it {side} x '
            f'{side} px, by size of a pre-training task, or choose a backbone that takes any, such '
            'as resnet18'
        ) from error


def _recompute(backbone: nn.Module, images: Tensor) -> Tensor:
    """Features of images, whose backward pass goes through the backbone once more."""
    images = images.contiguous(memory_format=torch.channels_last)
    if not torch.is_grad_enabled():
        return backbone(images)
    contexts = partial(_first_and_again, backbone)
    features: Tensor = checkpoint(backbone, images, use_reentrant=False, context_fn=contexts)
    return features


def _first_and_again(backbone: nn.Module) -> tuple[Any, Any]:
    """Return the contexts of the forward pass and of its repetition."""
    return nullcontext(), _borrowed_buffers(backbone)


@contextmanager
def _borrowed_buffers(module: nn.Module) -> Iterator[None]:
    """Within the block, what happens to the buffers of a module happens to copies of them."""
    kept = [
        (m, name, value) for m in module.modules() for name, value in m.named_buffers('', False)
    ]
    for owner, name, buffer in kept:
        setattr(owner, name, buffer.clone())
    try:
        yield
    finally:
        for owner, name, buffer in kept:
            setattr(owner, name, buffer)


def group_maps(
    backbone: nn.Module, groups: Tensor, levels: Sequence[int] | None = None
) -> list[Tensor]:
    """Feature maps of every group, in one call of the backbone.

    Args:
        backbone: A timm model that can yield intermediate features.
        groups: Three-channel images, (B, G, 3, H, W).
        levels: Maps to yield, 0 for the finest, in ascending order; the layers beyond the last one
            are not computed. None for all.

    Returns:
        Maps from fine to coarse, each (B, G, C, h, w).

    Raises:
        ValueError: If the model yields no intermediate features.
    """
    if not hasattr(backbone, 'forward_intermediates'):
        raise ValueError(
            f'{type(backbone).__name__} yields no feature maps; choose a timm model that has '
            'forward_intermediates, such as resnet18'
        )
    images = rearrange(groups, 'b g c h w -> (b g) c h w')
    images = images.contiguous(memory_format=torch.channels_last)
    taps: Any = backbone.forward_intermediates
    with _refused_sizes(backbone, images):
        maps: list[Tensor] = taps(
            images,
            indices=None if levels is None else list(levels),
            stop_early=levels is not None,
            intermediates_only=True,
        )
    return [rearrange(map_, '(b g) c h w -> b g c h w', b=groups.shape[0]) for map_ in maps]
