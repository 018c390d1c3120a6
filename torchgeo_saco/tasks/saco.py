# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""SACo+: semantically-aware contrastive learning."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from .contrastive import Contrast, ContrastiveTask


class SACo(ContrastiveTask):
    r"""SACo+: semantically-aware contrastive learning.

    Every image is shown to one shared backbone as groups of three bands and as their textures.
    The groups of an image are drawn to their mean, the cluster; the cluster is drawn to its
    augmented view and to another date of the location, against a memory of other locations:

    .. math::

        L = L_{NCE}(q, k_1) + L_{NCE}(q, k_2) + \frac{1}{G} \sum_i (1 - \cos(o_i, \bar{o}))

    with :math:`q` the original date, :math:`k_1` its augmented view and :math:`k_2` the augmented
    view of another date. Its form with one key, SA+MoCo v2, is
    :class:`~torchgeo_saco.tasks.MoCo` on groups.

    If you use this task in your research, please cite:

    * SACo+: https://doi.org/10.1016/j.isprsjprs.2025.02.024
    """

    keys_per_image = 2

    def __init__(
        self,
        groups: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        texture: bool | Sequence[str] = True,
        hidden_dims: Sequence[int] | None = (1024, 512),
        output_dim: int = 256,
        temperature: float | None = 0.05,
        queue_size: int | None = 8192,
        size: int = 64,
        crop: float = 1.0,
        rotation: float = 180.0,
        zoom: float = 2.0,
        contrast: float = 0.1,
        shift: float = 0.01,
        jitter: float = 0.5,
        grayscale: float = 0.0,
        blur: float = 0.0,
        optimizer: Literal['adam', 'adamw', 'sgd'] = 'adam',
        lr: float | None = 1e-4,
        weight_decay: float = 1e-5,
        milestones: Sequence[float] = (),
        augment_query: bool = False,
        **kwargs: Any,
    ) -> None:
        """Initialize a new SACo instance.

        Defaults are those of the original training code unless said otherwise.

        Args:
            groups: Published groups by name, a mapping from names of your own to three bands
                each, or None for all published groups. What the bands cannot form is skipped.
            texture: Whether the textures of the groups are groups too, or the names of the
                groups whose textures are (the text of the paper; its code takes triplets of
                bands in the order of file names).
            hidden_dims: Widths of the hidden layers of the projector, or None for one as wide as
                the features of the backbone.
            output_dim: Length of the projections that are contrasted.
            temperature: Temperature of the contrast.
            queue_size: Keys kept as negatives (argparse default of the original; its main
                script sets 384).
            size: Side of a view, in pixels.
            crop: Smallest share of the ground in a view; 1 for all of it.
            rotation: Largest rotation of an augmented view, in degrees.
            zoom: Largest enlargement of an augmented view.
            contrast: Largest relative change of contrast, around the mean of each band.
            shift: Largest change of all reflectances (ours: the original changes contrast alone).
            jitter: Probability of a change of contrast, and of a shift.
            grayscale: Probability that all bands of an augmented view become their mean.
            blur: Probability that an augmented view is blurred.
            optimizer: Stochastic gradient descent, or Adam.
            lr: Learning rate.
            weight_decay: Weight decay.
            milestones: Shares of the epochs after which the learning rate falls to a tenth.
            augment_query: Whether the query is augmented as the keys are (ours); the paper's is the
                original date.
            **kwargs: See :class:`ContrastiveTask`.

        Raises:
            ValueError: If an argument is out of range, or no group can be formed.
        """
        super().__init__(
            groups=groups,
            texture=texture,
            hidden_dims=hidden_dims,
            output_dim=output_dim,
            temperature=temperature,
            queue_size=queue_size,
            size=size,
            crop=crop,
            rotation=rotation,
            zoom=zoom,
            contrast=contrast,
            shift=shift,
            jitter=jitter,
            grayscale=grayscale,
            blur=blur,
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            milestones=milestones,
            **kwargs,
        )

    @property
    def dates(self) -> int:
        """The original date and another one."""
        return 2

    def contrast(self, image: Tensor, location: Tensor) -> Contrast:
        """Contrast with two keys.

        Args:
            image: Reflectance, (B, T, C, H, W). Of more than two dates the first two count.
            location: Number of the location of each image, (B).

        Returns:
            Losses, and the features they compare.
        """
        this_date, other_date = image[:, 0], image[:, 1]
        query_view = (
            self.views.augmented(this_date)
            if self.hparams['augment_query']
            else self.views.cropped(this_date)
        )
        key_views = [self.views.augmented(this_date), self.views.augmented(other_date)]
        query = self.query(query_view)
        (keys,) = self.key(torch.cat(key_views))
        queue = self.queue()
        negatives, excluded = queue.negatives(location)
        losses = {
            name: self.info_nce(query[0], key, negatives, excluded)
            for name, key in zip(('nce_same_date', 'nce_other_date'), keys.chunk(2), strict=True)
        }
        queue.enqueue(keys, location.repeat(2))
        return Contrast(losses, query, keys.chunk(2)[1][None])
