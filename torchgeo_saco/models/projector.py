# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Projection heads."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor, nn

from ..runtime.checks import check_range


class Projectors(nn.ModuleList):
    """Projection heads, one multi-layer perceptron per sub-space of the embedding.

    Shape:
        - Input: features of every group, :math:`(B, G, C)`
        - Output: :math:`(S, B, G, D)`

    References:
        SeCo, 2021, https://arxiv.org/abs/2103.16607, section 3.2; one sub-space: MoCo v2, 2020,
        https://arxiv.org/abs/2003.04297
    """

    def __init__(
        self,
        width: int,
        hidden_dims: Sequence[int] | None = None,
        output_dim: int = 128,
        spaces: int = 1,
        norm: bool = False,
    ) -> None:
        """Initialize a new Projectors instance.

        Args:
            width: Length of a feature.
            hidden_dims: Widths of the hidden layers, or None for one as wide as the feature.
            output_dim: Length of a projection.
            spaces: Number of sub-spaces.
            norm: Whether BatchNorm follows every layer, as in MoCo v3.

        Raises:
            ValueError: If a width is not positive.
        """
        hidden = [width] if hidden_dims is None else list(hidden_dims)
        for size in (output_dim, *hidden):
            check_range('each of hidden_dims and output_dim', size, 'int [1, inf)')
        super().__init__(_perceptron([width, *hidden, output_dim], norm) for _ in range(spaces))

    def forward(self, features: Tensor) -> Tensor:
        """Project every group into every sub-space, in float32 or wider."""
        # BatchNorm takes no group axis.
        flat = features.flatten(0, 1)
        projections = torch.stack([projector(flat) for projector in self])
        projections = projections.to(torch.promote_types(projections.dtype, torch.float32))
        return rearrange(projections, 's (b g) d -> s b g d', b=len(features))


def _perceptron(widths: Sequence[int], norm: bool) -> nn.Sequential:
    """Stack linear layers with ReLU in between, each followed by BatchNorm if *norm*."""
    layers: list[nn.Module] = []
    for first, second in pairwise(widths[:-1]):
        layers += [nn.Linear(first, second, bias=not norm)]
        layers += [nn.BatchNorm1d(second)] if norm else []
        layers += [nn.ReLU(inplace=True)]
    layers += [nn.Linear(widths[-2], widths[-1], bias=not norm)]
    layers += [nn.BatchNorm1d(widths[-1], affine=False)] if norm else []
    return nn.Sequential(*layers)
