# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Change detection between two dates by an encoder of band groups."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor
from torchmetrics import Metric
from torchvision.models._api import WeightsEnum

from ..metrics import ConfusionScores
from ..models import Encoder, Fusion
from .downstream import GroupTask
from .segmentation import Decoder, GroupSegmenter


class GroupChangeDetector(GroupSegmenter):
    """Decoder of how much the feature maps of two dates differ, group by group."""

    def features(self, image: Tensor, length: Tensor | None = None) -> list[Tensor]:
        """Differences of the maps of two dates, each (B, C, h, w); with G before C if fusion learns."""
        if image.ndim != 5 or image.shape[1] != 2:
            raise ValueError(f'image must be (B, 2, C, H, W), two dates, got {tuple(image.shape)}')
        maps = self.encoder.forward_maps(torch.cat([image[:, 0], image[:, 1]]))
        # Before the groups are fused, lest differences cancel.
        differences = [(map_[: len(image)] - map_[len(image) :]).abs() for map_ in maps]
        return (
            differences if self.fusion.weight is not None else [self.fusion(d) for d in differences]
        )


class GroupChangeDetection(GroupTask):
    """Change detection by a siamese encoder of band groups: decodes :math:`|f_1 - f_2|`.

    If you use this task in your research, please cite:

    * SeCo, whose protocol it is: https://arxiv.org/abs/2103.16607
    * SACo+: https://doi.org/10.1016/j.isprsjprs.2025.02.024
    """

    def __init__(
        self,
        model: str | None = None,
        weights: WeightsEnum | str | bool | None = None,
        bands: Sequence[str] | None = None,
        groups: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        sensor: str | None = None,
        texture: bool | Sequence[str] | None = None,
        texture_points: int | None = None,
        texture_radius: float | None = None,
        fusion: Fusion = 'mean',
        decoder: Decoder = 'unet',
        decoder_widths: Sequence[int] | None = None,
        num_classes: int | None = None,
        labels: Sequence[str] | None = None,
        loss: Literal['ce', 'focal', 'dice'] = 'ce',
        class_weights: Sequence[float] | None = None,
        statistics: Literal['data', 'weights'] = 'data',
        freeze_backbone: bool = True,
        cache_gib: float = 4.0,
        lr: float = 1e-3,
        weight_decay: float = 1e-4,
    ) -> None:
        """Initialize a new GroupChangeDetection instance.

        Args:
            model: See :class:`GroupSegmentation`, as for all arguments that are not here.
            weights: See :class:`GroupSegmentation`.
            bands: See :class:`GroupSegmentation`.
            groups: See :class:`GroupSegmentation`.
            sensor: See :class:`GroupSegmentation`.
            texture: See :class:`GroupSegmentation`.
            texture_points: See :class:`GroupSegmentation`.
            texture_radius: See :class:`GroupSegmentation`.
            fusion: How the differences of the groups become one.
            decoder: See :class:`GroupSegmentation`.
            decoder_widths: See :class:`GroupSegmentation`.
            num_classes: Number of classes, 2: unchanged and changed. Two scores whose larger
                wins are one score with the threshold 0.5.
            labels: See :class:`GroupSegmentation`.
            loss: See :class:`GroupSegmentation`.
            class_weights: See :class:`GroupSegmentation`.
            statistics: See :class:`GroupSegmentation`.
            freeze_backbone: See :class:`GroupSegmentation`.
            cache_gib: See :class:`GroupSegmentation`.
            lr: See :class:`GroupSegmentation`.
            weight_decay: See :class:`GroupSegmentation`.

        Raises:
            ValueError: If an argument is out of range, or weights and bands do not match.
        """
        self.weights = weights
        super().__init__()

    def head(self, encoder: Encoder) -> GroupChangeDetector:
        """See :meth:`GroupTask.head`."""
        return GroupChangeDetector(
            encoder,
            self.hparams['num_classes'],
            self.hparams['fusion'],
            self.hparams['decoder'],
            self.hparams['decoder_widths'],
        )

    def scores_metric(self) -> Metric:
        """See :meth:`GroupTask.scores_metric`."""
        return ConfusionScores(self.labels, 'change')
