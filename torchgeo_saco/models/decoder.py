# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Decoders: class scores of every pixel from feature maps."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import Tensor, nn
from torch.nn import functional as F


class LinearDecoder(nn.Module):
    """Linear classifier of the features of a pixel on all levels: what they hold as they are.

    Every level is standardized, scored by a 1 x 1 convolution and enlarged bilinearly to the
    finest; the sum, as of one linear layer on the joined levels, is enlarged to the image.

    Shape:
        - Input: maps, each :math:`(B, C_i, h_i, w_i)`
        - Output: :math:`(B, classes, H, W)`
    """

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        """Initialize a new LinearDecoder instance.

        Args:
            channels: Channels of each level.
            classes: Number of classes.
        """
        super().__init__()
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(width, affine=False), nn.Conv2d(width, classes, 1, bias=level == 0)
            )
            for level, width in enumerate(channels)
        )

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Scores at a height and width of *size*."""
        scores = [level(map_) for level, map_ in zip(self.levels, maps, strict=True)]
        finest = scores[0].shape[-2:]
        enlarged = [F.interpolate(score, finest, mode='bilinear') for score in scores[1:]]
        return F.interpolate(torch.stack([scores[0], *enlarged]).sum(0), size, mode='bilinear')


class UNetDecoder(nn.Module):
    """Decoder of a U-Net, which joins each level of the encoder to what it has enlarged.

    The widths of SeCo's and SACo's decoders are those of their encoder, halved at each level; the
    dropout between their layers is not here.

    Shape:
        - Input: maps, each half the size of the one before, :math:`(B, C_i, h_i, w_i)`
        - Output: :math:`(B, classes, H, W)`

    References:
        SeCo, 2021, https://arxiv.org/abs/2103.16607, and SACo+, 2025,
        https://doi.org/10.1016/j.isprsjprs.2025.02.024.
    """

    def __init__(
        self, channels: Sequence[int], classes: int, widths: Sequence[int] | None = None
    ) -> None:
        """Initialize a new UNetDecoder instance.

        Args:
            channels: Channels of each level of the encoder, from fine to coarse.
            classes: Number of classes.
            widths: Channels after each enlargement, from coarse to fine; None for 256 halved
                each time.

        Raises:
            ValueError: If widths and levels differ in number.
        """
        super().__init__()
        widths = [256 >> level for level in range(len(channels))] if widths is None else widths
        if len(widths) != len(channels):
            raise ValueError(
                f'the encoder has {len(channels)} levels, but {len(widths)} widths are given'
            )
        # The first entry stands for the image itself, whose size alone counts.
        self.decoder = UnetDecoder([0, *channels], list(widths), len(channels))
        self.classify = nn.Conv2d(widths[-1], classes, 1)

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Scores at a height and width of *size*."""
        sizes = [map_.shape[-2:] for map_ in maps]
        if any(fine == coarse for fine, coarse in pairwise(sizes)):
            raise ValueError(
                f'a U-Net needs levels of falling size, got {[tuple(s) for s in sizes]}; choose '
                'decoder linear, or a backbone such as resnet18'
            )
        scores: Tensor = self.classify(self.decoder([maps[0].new_empty(1, 0, *size), *maps]))
        return scores
