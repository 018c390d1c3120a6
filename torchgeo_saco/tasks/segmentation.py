# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Segmentation of images and of time series by an encoder of band groups."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor
from torchgeo.datasets.utils import Sample
from torchmetrics import Metric

from ..datamodules.benchmark import IGNORED
from ..metrics import ConfusionScores
from ..models import Encoder, Fusion, GroupFusion, LinearDecoder, UNetDecoder
from .downstream import DownstreamHead, DownstreamTask

Decoder = Literal['unet', 'linear']


class GroupSegmenter(DownstreamHead):
    """Decoder of the feature maps of the groups; scores of dates are averaged."""

    def __init__(
        self,
        encoder: Encoder,
        classes: int,
        fusion: Fusion = 'mean',
        decoder: Decoder = 'unet',
        widths: Sequence[int] | None = None,
        dates: Literal['late_mean', 'early_mean'] = 'late_mean',
    ) -> None:
        """Initialize a new GroupSegmenter instance.

        Args:
            encoder: The encoder.
            classes: Number of classes.
            fusion: How the groups become one, see :class:`~torchgeo_saco.models.GroupFusion`.
            decoder: ``unet``, or ``linear`` for a linear classifier of every pixel.
            widths: Channels of the U-Net after each enlargement, or None for 256 halved.
            dates: Whether the scores or the feature maps of the dates are averaged.

        Raises:
            ValueError: If an argument is unknown.
        """
        super().__init__(encoder)
        if decoder not in ('unet', 'linear'):
            raise ValueError(f"decoder must be 'unet' or 'linear', got {decoder!r}")
        if dates not in ('late_mean', 'early_mean'):
            raise ValueError(f"dates must be 'late_mean' or 'early_mean', got {dates!r}")
        if encoder.texture is not None:
            names = ', '.join(encoder.texture.names)
            rank_zero_info(f'skipped: {names}, since histograms of codes give no maps')
            encoder.texture = None
        self.fusion = GroupFusion(fusion, len(encoder.inputs.names))
        self.dates = dates
        if decoder == 'unet' and not encoder.halves_maps:
            raise ValueError(
                'a U-Net needs feature maps of falling size, and this backbone gives maps of one '
                'size; set decoder to linear, or choose a backbone such as resnet18'
            )
        channels = [width * self.fusion.widening for width in encoder.map_channels]
        self.decoder = (
            LinearDecoder(channels, classes)
            if decoder == 'linear'
            else UNetDecoder(channels, classes, widths)
        )

    def features(self, image: Tensor, length: Tensor | None = None) -> list[Tensor]:
        """Feature maps, each (B, C, h, w) or (B, T, C, h, w); with G before C if fusion learns.

        Dates beyond *length* are not encoded, so that padding does not enter BatchNorm; their
        maps are 0.
        """
        if image.ndim == 4:
            return self._fuse(self.encoder.forward_maps(image))
        there = self._date_weights(image, length) > 0
        series = []
        for map_ in self._fuse(self.encoder.forward_maps(image[there])):
            padded = map_.new_zeros(*there.shape, *map_.shape[1:])
            padded[there] = map_
            series.append(padded)
        return series

    def _fuse(self, maps: list[Tensor]) -> list[Tensor]:
        """Maps after the fusion, unless that is learned."""
        return maps if self.fusion.weight is not None else [self.fusion(map_) for map_ in maps]

    def scores(self, features: Sequence[Tensor], batch: Sample) -> Tensor:
        """Scores of every pixel, (B, classes, H, W)."""
        size = tuple(batch['mask' if 'mask' in batch else 'image'].shape[-2:])
        single = 4 if self.fusion.weight is None else 5
        if features[0].ndim == single:
            return self._decode(features, size)
        weights = self._date_weights(features[0], batch.get('length'))
        if self.dates == 'early_mean':
            means = [torch.einsum('bt...,bt->b...', map_, weights) for map_ in features]
            return self._decode(means, size)
        there = weights > 0
        scores = self._decode([map_[there] for map_ in features], size)
        series = scores.new_zeros(*there.shape, *scores.shape[1:])
        series[there] = scores
        return torch.einsum('bt...,bt->b...', series, weights)

    def _decode(self, maps: Sequence[Tensor], size: tuple[int, ...]) -> Tensor:
        """Scores of single images."""
        if self.fusion.weight is not None:
            maps = [self.fusion(map_) for map_ in maps]
        scores: Tensor = self.decoder(maps, size)
        return scores

    @staticmethod
    def _date_weights(series: Tensor, length: Tensor | None) -> Tensor:
        """Weight of each date, (B, T): equal for those there are, 0 for padding."""
        dates = torch.arange(series.shape[1], device=series.device)
        if length is None:
            length = torch.full((len(series),), series.shape[1], device=series.device)
        there = (dates < length[:, None]).to(series.dtype)
        return there / length[:, None]


class GroupSegmentation(DownstreamTask):
    """Semantic segmentation by an encoder of band groups, of one date or of a time series.

    Every date of a series is an image of its own; the scores of the dates are averaged.

    If you use this task in your research, please cite:

    * SACo+: https://doi.org/10.1016/j.isprsjprs.2025.02.024
    """

    axes: ClassVar[Sequence[str]] = ('B C H W', 'B T C H W')

    ranges: ClassVar[dict[str, str]] = {
        'decoder_widths': 'int [1, inf) or None',
        'void_classes': 'int [0, inf)',
    }

    def __init__(
        self,
        decoder: Decoder = 'unet',
        decoder_widths: Sequence[int] | None = None,
        dates: Literal['late_mean', 'early_mean'] = 'late_mean',
        protocol: Literal['segmentation', 'pastis'] = 'segmentation',
        void_classes: Sequence[int] = (),
        loss: Literal['ce', 'focal', 'dice'] = 'ce',
        **kwargs: Any,
    ) -> None:
        """Initialize a new GroupSegmentation instance.

        Args:
            decoder: ``unet``, or ``linear`` for a linear classifier of every pixel.
            decoder_widths: Channels of the U-Net after each enlargement, or None for 256 halved
                each time.
            dates: Whether the scores (``late_mean``) or the feature maps (``early_mean``, as many
                times cheaper as there are dates) of a series are averaged.
            protocol: Metrics of ``segmentation``, or those of PASTIS in both its conventions.
            void_classes: Classes that do not enter the loss, such as 19 of PASTIS.
            loss: One of 'ce', 'focal', or 'dice'.
            **kwargs: See :class:`DownstreamTask`.

        Raises:
            ValueError: If an argument is out of range, or weights and bands do not match.
        """
        super().__init__(loss=loss, **kwargs)

    def head(self, encoder: Encoder) -> GroupSegmenter:
        """See :meth:`DownstreamTask.head`."""
        return GroupSegmenter(
            encoder,
            self.hparams['num_classes'],
            self.hparams['fusion'],
            self.hparams['decoder'],
            self.hparams['decoder_widths'],
            self.hparams['dates'],
        )

    def scores_metric(self) -> Metric:
        """See :meth:`DownstreamTask.scores_metric`."""
        return ConfusionScores(self.labels, self.hparams['protocol'])

    def training_target(self, target: Tensor) -> Tensor:
        """See :meth:`DownstreamTask.training_target`."""
        for void in self.hparams['void_classes']:
            target = target.where(target != void, IGNORED)
        return target
