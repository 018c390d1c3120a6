# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Multi-modal alignment: feature maps of two modalities agree position by position."""

from typing import Any

from torch import Tensor, nn

from ..losses import dense_similarity, l2_normalize, symmetric_cross_entropy
from ..models import Encoder
from ..runtime.distributed import all_gather, world_size
from .contrastive import Contrast
from .dual import DualTask


class MMA(DualTask):
    """Multi-modal alignment (MMA): feature maps of two modalities agree position by position.

    The similarity of two images is the mean cosine of their last feature maps at equal positions,
    with no projector between. Either modality is to find the other at its own location among
    all of the batch. The original takes an encoder of four blocks like VGG whose map has an eighth
    of the resolution; here it is any timm backbone, whose last map may be coarser, so views should
    not be small. Of groups the mean of their maps is compared; textures from histograms have none.

    If you use this task in your research, please cite:

    * MMA: https://arxiv.org/abs/2107.06652
    * MMA of Sentinel-1 and Sentinel-2: https://doi.org/10.5194/isprs-annals-V-3-2022-705-2022
    """

    def __init__(
        self, temperature: float | None = 0.1, lr: float | None = 1e-5, **kwargs: Any
    ) -> None:
        """Initialize a new MMA instance.

        Args:
            temperature: Temperature of the contrast.
            lr: Learning rate.
            **kwargs: See :class:`DualTask`.

        Raises:
            ValueError: If an argument is out of range, or no group can be formed.
        """
        super().__init__(temperature=temperature, lr=lr, **kwargs)

    def configure_models(self) -> None:
        """Initialize backbones and views."""
        super().configure_models()
        self.projector, self.second_projector = nn.Identity(), nn.Identity()

    def configure_losses(self) -> None:
        """Initialize the loss criterion."""
        super().configure_losses()
        for name in ('texture_histograms', 'second_texture_histograms'):
            if self.hparams[name]:
                raise ValueError(
                    f'MMA compares maps, and histograms have none; set {name} to false'
                )

    def contrast(self, image: Tensor, location: Tensor) -> Contrast:
        """Contrast the two modalities.

        Args:
            image: Images of both sensors, (B, T, C, H, W). The first date counts.
            location: Number of the location of each image, (B).

        Returns:
            Losses, and the features they compare.
        """
        view = self.views.augmented(image[:, 0])
        first, second = (_last_map(encoder, part) for encoder, _, part in self.branches(view))
        # Every process computes the loss of all images, and gradients are averaged.
        maps = [all_gather(part.mean(1)) for part in (first, second)]
        loss = symmetric_cross_entropy(dense_similarity(*maps), self.hparams['temperature'])
        query, key = (part.mean((-2, -1)) for part in (first, second))
        losses = self.losses('nce', loss, len(image) * world_size(), key)
        return Contrast(losses, query[None], key.mean(1)[None])

    def retrieval_features(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`DualTask.retrieval_features`: maps, scaled at every position, flat."""
        first, second = (
            l2_normalize(_last_map(encoder, part).mean(1).movedim(1, -1)).flatten(1)
            for encoder, _, part in self.branches(image)
        )
        return first, second


def _last_map(encoder: Encoder, image: Tensor) -> Tensor:
    """Coarsest feature map of every group, (B, G, C, h, w)."""
    return encoder.forward_maps(image, [len(encoder.map_channels) - 1])[0]
