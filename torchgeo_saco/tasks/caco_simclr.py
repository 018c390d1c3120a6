# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""CACo without key encoder and queues: our reading of its SimCLR variant."""

import torch
from torch import Tensor

from ..runtime.distributed import all_gather
from .caco import CACo
from .seco import SeasonalFeatures, same_location


class CACoSimCLR(CACo):
    """CACo without key encoder and queues: **our reading** of its SimCLR variant.

    The page of the paper reports numbers of such a variant, and no code of it is public. Here one
    encoder sees all views. In every sub-space the query and its key are each other's positives;
    negatives are queries and keys of all other locations of the batch in both years, those of the
    same location in the other year if it has changed, and, but in the first sub-space, the keys
    that are not drawn to. All have gradients.

    If you use this task in your research, please cite:

    * CACo: https://doi.org/10.1109/CVPR52729.2023.00529
    * SimCLR: https://arxiv.org/abs/2002.05709
    """

    @property
    def has_key_encoder(self) -> bool:
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
        locations = all_gather(location)
        excluded = self.batch_mask(location, apart, locations)
        same = same_location(location, locations)
        # Gradients reach the views of all processes.
        joined = self.gather_years(torch.cat([query.mean(2)[:, None], keys], dim=1))
        losses = {}
        for space, name in enumerate(self.names):
            queries, positives = query[space].mean(1), keys[space, space]
            views, own_key = joined[space, 0], joined[space, 1 + space]
            others = [
                key for number, key in enumerate(joined[space, 1:]) if number != space and space > 0
            ]
            losses[name] = self.info_nce(
                torch.cat([queries, positives]),
                torch.cat([positives, queries]),
                torch.cat([views, own_key, *others]),
                torch.cat([excluded, same.repeat(2 * self.years, self.years * len(others))], dim=1),
            )
        return losses

    def batch_mask(
        self, location: Tensor, apart: Tensor, locations: Tensor | None = None
    ) -> Tensor:
        """Where views of the global batch are no negatives of views here, (4 B, 4 J).

        Args:
            location: Number of the location of each image of this rank, (B).
            apart: Whether the other year of a location is a negative, (B, 2).
            locations: Number of the location of each image of the global batch, (J); None on a
                single rank.

        Returns:
            Mask over queries of both years, then keys of both years: views of one location and
            year, and of one location that has not changed.
        """
        rows, columns = (
            self._years_and_locations(part)
            for part in (location, location if locations is None else locations)
        )
        other_year = rows[0][:, None] != columns[0]
        same = rows[1][:, None] == columns[1]
        return same & ~(other_year & apart.T.flatten().repeat(2)[:, None])

    def _years_and_locations(self, location: Tensor) -> tuple[Tensor, Tensor]:
        """Year and location of every query and key, (4 N) each, of locations (N)."""
        years = torch.arange(self.years, device=location.device)
        return years.repeat_interleave(len(location)).repeat(2), location.repeat(2 * self.years)
