# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Embeddings of several modalities, of which some may be missing."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ..losses import l2_normalize


def join_modalities(features: Mapping[str, Tensor], widths: Mapping[str, int]) -> Tensor:
    """Join the features of several modalities, each scaled to length one.

    Cosines of embeddings of one modality are those of this modality alone, up to a factor, also
    beside embeddings of both.

    Args:
        features: Features of the modalities that are there, (B, D) each.
        widths: Length of a feature of every modality, in their order.

    Returns:
        Embedding, (B, D1 + D2 + ...); 0 where a modality is missing.

    Raises:
        ValueError: If there is none.

    Example:
        >>> join_modalities({'s1': torch.tensor([[3.0, 4.0]])}, {'s2': 1, 's1': 2})
        tensor([[0.0000, 0.6000, 0.8000]])
    """
    found = [features[name] for name in widths if name in features]
    if not found:
        raise ValueError(f'none of {", ".join(widths)} is there; give one at least')
    parts = [
        l2_normalize(features[name])
        if name in features
        else torch.zeros(len(found[0]), width, device=found[0].device)
        for name, width in widths.items()
    ]
    return torch.cat(parts, dim=1)
