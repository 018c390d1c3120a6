# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""CACo without key encoder and queues: our reading of its SimCLR variant."""

import torch
from torch import Tensor

from .caco import CACo
from .seco import SeasonalFeatures, same_place


class CACoSimCLR(CACo):
    """CACo without key encoder and queues: **our reading** of its SimCLR variant.

    The page of the paper reports numbers of such a variant, and no code of it is public. Here one
    encoder sees all views. In every sub-space the query and its key are each other's positives;
    negatives are queries and keys of all other places of the batch in both years, those of the
    same place in the other year if it has changed, and, but in the first sub-space, the keys
    that are not drawn to. All have gradients.

    If you use this task in your research, please cite:

    * CACo: https://doi.org/10.1109/CVPR52729.2023.00529
    * SimCLR: https://arxiv.org/abs/2002.05709
    """

    @property
    def keyed(self) -> bool:
        """Never: one encoder for all views, and the batch in place of a queue."""
        return False

    def encode_keys(self, views: Tensor) -> Tensor:
        """Clusters of key views by the online encoder, (S, N, D)."""
        return self.query(views).mean(2)

    def year_losses(
        self, features: SeasonalFeatures, location: Tensor, apart: Tensor
    ) -> dict[str, Tensor]:
        """Normalised temperature-scaled cross-entropy of every sub-space."""
        query, keys = features
        excluded = self.batch_mask(location, apart)
        losses = {}
        for space, name in enumerate(self.names):
            queries, positives = query[space].mean(1), keys[space, space]
            views = torch.cat([queries, positives])
            others = [k for number, k in enumerate(keys[space]) if number != space and space > 0]
            twins = same_place(location).repeat(2 * self.years, self.years * len(others))
            losses[name] = self.nce(
                views,
                torch.cat([positives, queries]),
                torch.cat([views, *others]),
                torch.cat([excluded, twins], dim=1),
            )
        return losses

    def batch_mask(self, location: Tensor, apart: Tensor) -> Tensor:
        """Where two views of a batch are no negatives, (4 B, 4 B).

        Args:
            location: Number of the place of each image, (B).
            apart: Whether the other year of a place is a negative, (B, 2).

        Returns:
            Mask over queries of both years, then keys of both years: views of one place and year,
            and of one place that has not changed.
        """
        count = len(location)
        places = location.repeat(2 * self.years)
        years = torch.arange(self.years, device=location.device).repeat_interleave(count).repeat(2)
        apart = apart.T.flatten().repeat(2)
        other_year = years[:, None] != years
        return (places[:, None] == places) & ~(other_year & apart[:, None])
