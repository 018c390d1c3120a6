# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Change detection between two dates by an encoder of band groups."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torchmetrics import Metric

from ..metrics import ConfusionScores
from ..models import Encoder
from .downstream import DownstreamTask
from .segmentation import Decoder, GroupSegmenter


class GroupChangeDetector(GroupSegmenter):
    """Decoder of how much the feature maps of two dates differ, group by group."""

    def features(self, image: Tensor, length: Tensor | None = None) -> list[Tensor]:
        """Differences of the maps of two dates, (B, C, h, w); G before C if fusion learns."""
        if image.ndim != 5 or image.shape[1] != 2:
            raise ValueError(f'image must be (B, 2, C, H, W), two dates, got {tuple(image.shape)}')
        maps = self.encoder.forward_maps(torch.cat([image[:, 0], image[:, 1]]))
        # Before the groups are fused, so that differences do not cancel.
        differences = [(map_[: len(image)] - map_[len(image) :]).abs() for map_ in maps]
        return (
            differences if self.fusion.weight is not None else [self.fusion(d) for d in differences]
        )


class GroupChangeDetection(DownstreamTask):
    """Change detection by a siamese encoder of band groups: decodes :math:`|f_1 - f_2|`.

    If you use this task in your research, please cite:

    * SeCo, whose protocol it is: https://arxiv.org/abs/2103.16607
    * SACo+: https://doi.org/10.1016/j.isprsjprs.2025.02.024
    """

    axes: ClassVar[Sequence[str]] = ('B 2 C H W',)

    ranges: ClassVar[dict[str, str]] = {'decoder_widths': 'int [1, inf) or None'}

    def __init__(
        self,
        decoder: Decoder = 'unet',
        decoder_widths: Sequence[int] | None = None,
        loss: Literal['ce', 'focal', 'dice'] = 'ce',
        **kwargs: Any,
    ) -> None:
        """Initialize a new GroupChangeDetection instance.

        There are two classes, unchanged and changed. Two scores whose larger wins are one score
        with the threshold 0.5.

        Args:
            decoder: ``unet``, or ``linear`` for a linear classifier of every pixel.
            decoder_widths: Channels of the U-Net after each enlargement, or None for 256 halved
                each time.
            loss: One of 'ce', 'focal', or 'dice'.
            **kwargs: See :class:`DownstreamTask`.

        Raises:
            ValueError: If an argument is out of range, or weights and bands do not match.
        """
        super().__init__(loss=loss, **kwargs)

    def head(self, encoder: Encoder) -> GroupChangeDetector:
        """See :meth:`DownstreamTask.head`."""
        return GroupChangeDetector(
            encoder,
            self.hparams['num_classes'],
            self.hparams['fusion'],
            self.hparams['decoder'],
            self.hparams['decoder_widths'],
        )

    def scores_metric(self) -> Metric:
        """See :meth:`DownstreamTask.scores_metric`."""
        return ConfusionScores(self.labels, 'change')
