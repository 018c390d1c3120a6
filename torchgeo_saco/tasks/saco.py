# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""SACo+: semantically-aware contrastive learning."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchvision.models._api import WeightsEnum

from .contrastive import Contrast, ContrastiveTask


class SACo(ContrastiveTask):
    r"""SACo+: semantically-aware contrastive learning.

    Every image is shown to one shared backbone as groups of three bands and as their textures.
    The groups of an image are drawn to their mean, the cluster; the cluster is drawn to its
    augmented view and to another date of the place, against a memory of other places:

    .. math::

        L = L_{NCE}(q, k_1) + L_{NCE}(q, k_2) + \frac{1}{G} \sum_i (1 - \cos(o_i, \bar{o}))

    with :math:`q` the original date, :math:`k_1` its augmented view and :math:`k_2` the augmented
    view of another date. With ``temporal=False`` it is SA+MoCo v2: one key, and both views
    augmented.

    If you use this task in your research, please cite:

    * SACo+: https://doi.org/10.1016/j.isprsjprs.2025.02.024
    * MoCo v2: https://arxiv.org/abs/2003.04297
    """

    def __init__(
        self,
        model: str = 'resnet18',
        weights: WeightsEnum | str | bool | None = None,
        bands: Sequence[str] | None = None,
        groups: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        sensor: str | None = None,
        texture: bool | Sequence[str] = True,
        texture_points: int = 16,
        texture_radius: float = 2.0,
        temporal: bool = True,
        hidden_dims: Sequence[int] = (1024, 512),
        output_dim: int = 256,
        projector_norm: bool = False,
        temperature: float = 0.05,
        queue_size: int = 8192,
        momentum: float = 0.999,
        alignment_weight: float = 1.0,
        size: int = 64,
        rotation: float = 180.0,
        zoom: float = 2.0,
        gain: float = 0.1,
        shift: float = 0.01,
        lr: float = 1e-4,
        weight_decay: float = 1e-5,
    ) -> None:
        """Initialize a new SACo instance.

        Defaults are those of the original training code unless said otherwise.

        Args:
            model: Name of the `timm
                <https://huggingface.co/docs/timm/reference/models>`__ model to use.
            weights: Initial weights of the backbone. Either a weight enum, the string
                representation of a weight enum, True for ImageNet weights (as in the paper;
                they are downloaded), False or None for random weights, or the path to a saved
                model state dict.
            bands: Names of the channels of the images, or None to take them from the datamodule.
            groups: Published groups by name, a mapping from names of your own to three bands
                each, or None for all published groups. What the bands cannot form is left out.
            sensor: Sensor of the bands, a key of :data:`torchgeo_saco.bands.SENSORS`, or None
                to take it from the datamodule, else Sentinel-2.
            texture: Whether the textures of the groups are groups too, or the names of the
                groups whose textures are (the text of the paper; its code takes triplets of
                bands in the order of file names).
            texture_points: Neighbours on the circle of the local binary pattern.
            texture_radius: Its radius, in pixels.
            temporal: Whether another date of the place is a second key (SACo+), or the only
                one (SA+MoCo v2).
            hidden_dims: Widths of the hidden layers of the projector.
            output_dim: Length of the projections that are contrasted.
            projector_norm: Whether BatchNorm follows every layer of the projector, as in MoCo
                v3 (ours: it keeps nets that start from random weights from collapsing).
            temperature: Temperature of the contrast.
            queue_size: Keys kept as negatives (argparse default of the original; its main
                script sets 384).
            momentum: Share of the key encoder that stays in each step.
            alignment_weight: Weight of the alignment of groups with their cluster.
            size: Side of a view, in pixels.
            rotation: Largest rotation of a view, in degrees.
            zoom: Largest enlargement of a crop.
            gain: Largest relative change of reflectance in a view.
            shift: Largest added change of reflectance in a view (ours: the original changes
                contrast by up to 10 % instead).
            lr: Learning rate of Adam.
            weight_decay: Weight decay of Adam.

        Raises:
            ValueError: If an argument is out of range, or no group can be formed.
        """
        self.weights = weights
        super().__init__()

    def setup(self, stage: str) -> None:
        """See :meth:`ContrastiveTask.setup`."""
        super().setup(stage)
        if stage == 'fit' and self.hparams['temporal']:
            self._require_dates(getattr(getattr(self.trainer, 'datamodule', None), 'dates', 2))

    def contrast(self, image: Tensor, location: Tensor) -> Contrast:
        """Contrast with one or two keys, and alignment of the groups.

        Args:
            image: Reflectance, (B, T, C, H, W). Of more than two dates the first two count.
            location: Number of the place of each image, (B).

        Returns:
            Losses, and the features they compare.

        Raises:
            ValueError: If there is one date only and ``temporal`` is set.
        """
        this_date, other_date = image[:, 0], image[:, 1 if image.shape[1] > 1 else 0]
        if self.hparams['temporal']:
            self._require_dates(image.shape[1])
            query_view = self.views.original(this_date)
            key_views = [self.views.augmented(this_date), self.views.augmented(other_date)]
        else:
            query_view = self.views.augmented(this_date)
            key_views = [self.views.augmented(other_date)]
        query = self.query(query_view)
        keys = self.key(torch.cat(key_views)).chunk(len(key_views))

        negatives, excluded = self.queue.negatives(location)
        cluster = query.mean(1)
        names = ('nce_same_date', 'nce_other_date')[-len(keys) :]
        losses = {
            name: self.nce(cluster, key, negatives, excluded)
            for name, key in zip(names, keys, strict=True)
        }
        losses['group_alignment'] = self.hparams['alignment_weight'] * self.align(query)
        self.queue.enqueue(torch.cat(keys), location.repeat(len(keys)))
        return Contrast(losses, query, keys[-1])

    def _require_dates(self, dates: int) -> None:
        """Refuse samples of one date where two keys are needed."""
        if dates < 2:
            raise ValueError(
                f'temporal=True needs two dates a sample, got {dates}; set dates=2 of the '
                'datamodule, or temporal=False of the task'
            )
