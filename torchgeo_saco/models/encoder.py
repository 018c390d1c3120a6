# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Encoder: inputs, one backbone for all of them, and a fusion of what it gives."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ..runtime.checks import check_choice
from ..runtime.modes import evaluation_mode
from .features import group_features, group_maps
from .inputs import BandInputs, GroupInputs
from .texture import TextureFeatures

Fusion = Literal['mean', 'concat', 'learned']


class GroupFusion(nn.Module):
    """Fuse the features of all groups: their mean, all of them, or a learned mean.

    Shape:
        - Input: :math:`(B, G, C, ...)`
        - Output: :math:`(B, C, ...)`, or :math:`(B, G C, ...)` for ``concat``
    """

    def __init__(self, fusion: Fusion, groups: int) -> None:
        """Initialize a new GroupFusion instance.

        Args:
            fusion: ``mean``, ``concat``, or ``learned``: weights that start equal and sum to 1.
            groups: Number of groups.

        Raises:
            ValueError: If *fusion* is unknown.
        """
        super().__init__()
        self.fusion = check_choice('fusion', fusion, get_args(Fusion))
        #: How many features one of a group becomes.
        self.widening = groups if fusion == 'concat' else 1
        self.weight = nn.Parameter(torch.zeros(groups)) if fusion == 'learned' else None

    def forward(self, features: Tensor) -> Tensor:
        """Fuse features."""
        if self.weight is not None:
            return torch.einsum('bg...,g->b...', features, self.weight.softmax(0))
        return features.flatten(1, 2) if self.fusion == 'concat' else features.mean(1)


class Encoder(nn.Module):
    """Inputs, a backbone that all of them share, and their fusion.

    One modality has one encoder.

    Shape:
        - Input: reflectance, :math:`(B, C, H, W)`
        - Output: :math:`(B, D)`; by default the mean over groups

    References:
        SACo+, 2025, https://doi.org/10.1016/j.isprsjprs.2025.02.024
    """

    def __init__(
        self,
        inputs: GroupInputs | BandInputs,
        backbone: nn.Module,
        fusion: Fusion = 'mean',
        checkpoint_groups: bool = False,
        texture: TextureFeatures | None = None,
    ) -> None:
        """Initialize a new Encoder instance.

        Args:
            inputs: Makes the images that the backbone sees, (B, G, 3, H, W).
            backbone: Maps (N, 3, H, W) to (N, D), such as a timm model without classes.
            fusion: How the features of the groups become one, see :class:`GroupFusion`.
            checkpoint_groups: Whether each group takes a call of its own, computed again in the
                backward pass to save memory.
            texture: Features of textures, which follow those of the groups, or None.
        """
        super().__init__()
        self.inputs = inputs
        self.backbone = backbone
        self.texture = texture
        self.fusion = GroupFusion(fusion, len(self.names))
        self.checkpoint_groups = checkpoint_groups

    @property
    def names(self) -> list[str]:
        """Names of the groups and textures, in the order of their features."""
        return [*self.inputs.names, *(self.texture.names if self.texture is not None else ())]

    @property
    def num_features(self) -> int:
        """Length of the feature of a group."""
        return int(self.backbone.num_features)  # type: ignore[arg-type]

    @property
    def map_channels(self) -> list[int]:
        """Channels of the feature maps, from fine to coarse."""
        info: Sequence[Mapping[str, int]] = self.backbone.feature_info  # type: ignore[assignment]
        return [level['num_chs'] for level in info]

    @property
    def halves_maps(self) -> bool:
        """Whether each feature map is coarser than the one before, as a U-Net needs them."""
        info: Sequence[Mapping[str, int]] = self.backbone.feature_info  # type: ignore[assignment]
        return all(fine['reduction'] < coarse['reduction'] for fine, coarse in pairwise(info))

    def forward_groups(self, image: Tensor, chosen: Sequence[int] | None = None) -> Tensor:
        """Compute the features of every group, (B, G, D).

        Args:
            image: Reflectance, (B, C, H, W).
            chosen: Numbers of the groups and textures to compute, ascending, or None for all.

        Returns:
            The features.
        """
        images = len(self.inputs.names)
        numbers = range(len(self.names)) if chosen is None else chosen
        seen = [number for number in numbers if number < images]
        parts = []
        if seen:
            groups = self.inputs(image)
            groups = groups if len(seen) == images else groups[:, seen]
            parts.append(group_features(self.backbone, groups, self.checkpoint_groups))
        textures = [number - images for number in numbers if number >= images]
        if self.texture is not None and textures:
            features = self.texture(image, textures)
            parts.append(features.to(torch.promote_types(features.dtype, torch.float32)))
        return torch.cat(parts, dim=1)

    def forward_maps(self, image: Tensor, levels: Sequence[int] | None = None) -> list[Tensor]:
        """Compute feature maps of every group from fine to coarse, each (B, G, C, h, w).

        Textures from histograms have none.

        Args:
            image: Reflectance, (B, C, H, W).
            levels: Maps to compute, 0 for the finest, in ascending order; None for all.
        """
        return group_maps(self.backbone, self.inputs(image), levels)

    def forward(self, image: Tensor) -> Tensor:
        """Compute the embedding, (B, D)."""
        embedding: Tensor = self.fusion(self.forward_groups(image))
        return embedding


@torch.no_grad()
def fit_input_statistics(
    encoder: Encoder, images: Callable[[], Iterable[Tensor]], backbone: bool = False
) -> None:
    """Fit the statistics that standardize the inputs to images.

    They are exact, whatever the batches; those of the BatchNorm layers of a backbone are means over
    batches, which should hold images of all kinds.

    Args:
        encoder: The encoder. Weights that bring their own scaling keep it.
        images: Makes an iterator over batches of reflectance, (B, C, H, W).
        backbone: Whether to fit the BatchNorm layers of the backbone too, as random weights
            need.
    """
    standardize = encoder.inputs.standardize
    if isinstance(standardize, nn.BatchNorm2d):
        mean, variance = _moments(
            encoder.inputs.unnormalized(batch).flatten(1, 2) for batch in images()
        )
        standardize.running_mean = mean.to(standardize.running_mean)
        standardize.running_var = variance.to(standardize.running_var)
    if not backbone:
        return
    norms = (nn.BatchNorm1d, nn.BatchNorm2d)
    layers = [
        layer
        for layer in encoder.modules()
        if isinstance(layer, norms) and layer is not encoder.inputs.standardize
    ]
    momentum = {layer: layer.momentum for layer in layers}
    with evaluation_mode(encoder):
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # the mean over batches
            layer.train()
        for batch in images():
            encoder(batch)
    for layer, kept in momentum.items():
        layer.momentum = kept


def _moments(batches: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Compute mean and variance of every channel over all batches, (C), float64."""
    count: int = 0
    total: Any = 0
    squares: Any = 0
    for batch in batches:
        values = batch.double()
        count += values.numel() // values.shape[1]
        total = total + values.sum((0, 2, 3))
        squares = squares + values.square().sum((0, 2, 3))
    mean = total / count
    return mean, (squares / count - mean.square()).clamp_min(0)
