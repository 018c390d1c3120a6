# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Classification of images by an encoder of band groups."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchgeo.datasets.utils import Sample
from torchmetrics import Metric

from ..datasets.features import cached_features
from ..metrics import ConfusionScores, MultilabelScores
from ..models import Encoder, Fusion, GroupFusion
from ..transforms import LBPHistogram
from .downstream import DownstreamHead, DownstreamTask


class GroupClassifier(DownstreamHead):
    """Linear classifier of the features of the groups, and of the texture of every band."""

    def __init__(
        self,
        encoder: Encoder,
        classes: int,
        fusion: Fusion = 'mean',
        histogram: LBPHistogram | None = None,
        codes: int = 0,
        norm: bool = True,
    ) -> None:
        """Initialize a new GroupClassifier instance.

        Args:
            encoder: The encoder.
            classes: Number of classes.
            fusion: How the groups become one, see :class:`~torchgeo_saco.models.GroupFusion`.
            histogram: Texture of an image, or None for none.
            codes: Length of that texture, over all bands.
            norm: Whether features are standardized before the linear layer.
        """
        super().__init__(encoder)
        self.fusion = GroupFusion(fusion, len(encoder.names))
        self.histogram = histogram
        width = encoder.num_features * self.fusion.widening
        width += codes if histogram is not None else 0
        self.norm = nn.BatchNorm1d(width, affine=False) if norm else nn.Identity()
        self.linear = nn.Linear(width, classes)

    def features(self, image: Tensor, length: Tensor | None = None) -> list[Tensor]:
        """Features of every group, (B, G, D), and the histogram of every band, (B, C bins)."""
        groups = self.encoder.forward_groups(image)
        if self.histogram is None:
            return [groups]
        return [groups, self.histogram(image).flatten(1)]

    def scores(self, features: Sequence[Tensor], batch: Sample) -> Tensor:
        """Scores of every class, (B, classes)."""
        joined = torch.cat([self.fusion(features[0]), *features[1:]], 1)
        scores: Tensor = self.linear(self.norm(joined))
        return scores


class GroupClassification(DownstreamTask):
    """Image classification by an encoder of band groups: linear probe or fine-tuning.

    The paper gives each group the texture histogram, classifies it by one shared linear layer and
    takes the mean. Of scores, that is the linear layer on the mean of the groups, which this is
    by default. Its histogram drops two of eighteen codes and is scaled by the batch; ours counts
    all and divides by the pixels.

    If you use this task in your research, please cite:

    * SACo+: https://doi.org/10.1016/j.isprsjprs.2025.02.024
    """

    target = 'label'

    def __init__(
        self,
        histogram: bool = False,
        norm: bool = True,
        task: Literal['multiclass', 'multilabel'] = 'multiclass',
        loss: Literal['ce', 'bce', 'focal'] = 'ce',
        weight_decay: float = 0.0,
        **kwargs: Any,
    ) -> None:
        """Initialize a new GroupClassification instance.

        Args:
            histogram: Whether the texture histogram of every band is a feature, as in the paper.
            norm: Whether features are standardized before the linear layer (ours: the paper
                learns 30 times longer instead).
            task: One of 'multiclass' or 'multilabel'.
            loss: One of 'ce', 'bce', or 'focal'; 'bce' for multilabel.
            weight_decay: Weight decay of Adam.
            **kwargs: See :class:`DownstreamTask`.

        Raises:
            ValueError: If an argument is out of range, or weights and bands do not match.
        """
        if (task == 'multilabel') != (loss == 'bce'):
            raise ValueError(
                f"task 'multilabel' goes with loss 'bce' alone, got {task!r}, {loss!r}"
            )
        super().__init__(loss=loss, weight_decay=weight_decay, **kwargs)

    def head(self, encoder: Encoder) -> GroupClassifier:
        """See :meth:`DownstreamTask.head`."""
        points, radius = self.hparams['texture_points'] or 16, self.hparams['texture_radius'] or 2.0
        return GroupClassifier(
            encoder,
            self.hparams['num_classes'],
            self.hparams['fusion'],
            LBPHistogram(points, radius) if self.hparams['histogram'] else None,
            len(self.hparams['bands']) * (points + 2),
            self.hparams['norm'],
        )

    def scores_metric(self) -> Metric:
        """See :meth:`DownstreamTask.scores_metric`."""
        if self.hparams['task'] == 'multilabel':
            return MultilabelScores(self.labels)
        return ConfusionScores(self.labels, 'classification')

    def embed(self, batch: Sample) -> Tensor:
        """Embedding of the images: the mean of the groups, as the encoder leaves it.

        Args:
            batch: ``image`` as reflectance, (B, C, H, W), or features already taken.

        Returns:
            Embeddings, (B, D).
        """
        groups, *_ = cached_features(batch) or [
            self._model.encoder.forward_groups(self._require_bands(batch))
        ]
        return groups.mean(1)
