# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""SeCo: seasonal contrast."""

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor

from ..runtime.distributed import all_gather, local_mask
from .contrastive import Contrast, ContrastiveTask


class SeasonalFeatures(NamedTuple):
    """Query and the three keys of every image, in every sub-space."""

    #: Projections of every group of the query, (S, N, G, D).
    query: Tensor

    #: Clusters of the keys, (S, K, N, D): another date augmented, another date, augmented.
    keys: Tensor


class SeCo(ContrastiveTask):
    r"""SeCo: seasonal contrast in three sub-spaces of the embedding.

    With three dates of a location, the query :math:`q` shows the first one, and the keys
    :math:`k_0` the second one augmented, :math:`k_1` the third one, :math:`k_2` the first one
    augmented. Sub-space :math:`s` draws :math:`q` to :math:`k_s`:

    .. math::

        L = \sum_s -\log \frac{\exp(z_s \cdot \kappa_{s,s} / \tau)}
            {\exp(z_s \cdot \kappa_{s,s} / \tau) + \sum_n \exp(z_s \cdot n / \tau)}

    against the earlier :math:`\kappa_{s,s}` of other locations and, for :math:`s > 0`, all other
    keys of the batch. So sub-space 0 varies with neither season nor augmentation, 1 not with
    season, 2 not with augmentation. On groups and textures it is what we call SA+SeCo.

    If you use this task in your research, please cite:

    * https://arxiv.org/abs/2103.16607
    """

    spaces = 3
    season_space = 1

    #: What each sub-space draws together.
    names = ('nce_season_and_augmentation', 'nce_season', 'nce_augmentation')

    @property
    def dates(self) -> int:
        """Three, all different (the original draws them with replacement)."""
        return 3

    def contrast(self, image: Tensor, location: Tensor) -> Contrast:
        """Contrast in three sub-spaces.

        Args:
            image: Reflectance, (B, T, C, H, W). The first three dates count.
            location: Number of the location of each image, (B).

        Returns:
            Losses, and the features they compare.
        """
        query, keys = self.features(image)
        joined, locations = all_gather(keys, 2), all_gather(location)
        losses = {}
        for space, name in enumerate(self.names):
            negatives, excluded = self.negatives(space, joined[space], location, locations)
            positive = keys[space, space]
            losses[name] = self.info_nce(query[space], positive, negatives, excluded)
            self.queue(space).extend(joined[space, space], locations)
        return Contrast(losses, query, keys.diagonal().movedim(-1, 0))

    def features(self, series: Tensor) -> SeasonalFeatures:
        """Projections of the four views of every image.

        Args:
            series: Reflectance of three dates or more, (N, T, C, H, W).

        Returns:
            Query and keys.
        """
        first, second, third = series[:, 0], series[:, 1], series[:, 2]
        query_view = self.views.cropped(first)
        key_views = [
            self.views.augmented(second),
            self.views.cropped(third),
            self.views.augmented(first),
        ]
        query, keys = self.query(query_view), self.encode_keys(torch.cat(key_views))
        return SeasonalFeatures(query, rearrange(keys, 's (k n) d -> s k n d', k=len(key_views)))

    def encode_keys(self, views: Tensor) -> Tensor:
        """Clusters of key views, (S, N, D)."""
        return self.key(views)

    def negatives(
        self, space: int, keys: Tensor, location: Tensor, locations: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Collect the negatives of the queries of a sub-space.

        Args:
            space: Number of the sub-space.
            keys: All keys of the global batch in the sub-space, (K, J, D).
            location: Number of the location of each image of this rank, (B).
            locations: That of each image of the global batch, (J); None on a single rank.

        Returns:
            Queue and, but in the first sub-space, the keys that are not drawn to, (M, D); and
            where they do not count, (B, M): other images of the query's own location.
        """
        negatives, excluded = self.queue(space).negatives(location)
        if space == 0:
            return negatives, excluded
        others = [key for number, key in enumerate(keys) if number != space]
        masks = [same_location(location, locations)] * len(others)
        return torch.cat([negatives, *others]), torch.cat([excluded, *masks], dim=1)


def same_location(location: Tensor, locations: Tensor | None = None) -> Tensor:
    """Where an image of the global batch shows the location of one here, and is not the same image.

    Args:
        location: Number of the location of each image of this rank, (B).
        locations: That of each image of the global batch, (J); None on a single rank.

    Returns:
        The mask, (B, J).
    """
    locations = location if locations is None else locations
    return (location[:, None] == locations) & ~local_mask(len(location), location.device)
