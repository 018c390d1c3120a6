# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Losses of contrastive learning."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..runtime.checks import check_range

# The default of 1e-12 lets the gradient at a zero vector reach 1e12.
_EPS = 1e-6

#: Cosines divided by less leave no finite gradient in float32.
TEMPERATURE_RANGE = '[1e-6, 1e6]'


def l2_normalize(features: Tensor) -> Tensor:
    """Features of length one along the last axis, in float32 or wider."""
    return F.normalize(_wide(features), dim=-1, eps=_EPS)


def _wide(features: Tensor) -> Tensor:
    """Features in float32 or wider."""
    return features if features.dtype == torch.float64 else features.float()


def _check_temperature(temperature: float) -> None:
    """Refuse a temperature that no loss can be computed with."""
    # The compiler would trace into it at every temperature.
    if not torch.compiler.is_compiling():
        check_range('temperature', temperature, TEMPERATURE_RANGE)


def info_nce(
    query: Tensor,
    key: Tensor,
    negatives: Tensor,
    temperature: float = 0.05,
    excluded: Tensor | None = None,
) -> Tensor:
    r"""Noise-contrastive estimation of one positive among negatives.

    .. math::

        -\log \frac{\exp(q \cdot k / \tau)}{\exp(q \cdot k / \tau) + \sum_j \exp(q \cdot n_j /
        \tau)}

    averaged over the batch, by log-sum-exp. Features are scaled to length one here.

    Args:
        query: Features, (B, D).
        key: Positive of every query, (B, D).
        negatives: Features all queries are pushed from, (K, D). K may be 0.
        temperature: Divides the cosines.
        excluded: Negatives that do not count, (K) or (B, K), True where excluded.

    Returns:
        The loss. It is 0 where no negative counts.

    Raises:
        ValueError: If shapes disagree or *temperature* is out of range.

    References:
        van den Oord et al., 2018, https://arxiv.org/abs/1807.03748, equation 4; with a queue,
        He et al., 2020, https://arxiv.org/abs/1911.05722, equation 1.

    Example:
        >>> query = torch.tensor([[1.0, 0.0]])
        >>> info_nce(query, query, torch.tensor([[0.0, 1.0]]), temperature=1.0)
        tensor(0.3133)
    """
    _check_temperature(temperature)
    if query.ndim != 2 or query.shape != key.shape or negatives.shape[1:] != query.shape[1:]:
        raise ValueError(
            'query and key must be (B, D) and negatives (K, D), got '
            f'{tuple(query.shape)}, {tuple(key.shape)} and {tuple(negatives.shape)}'
        )
    with torch.autocast(query.device.type, enabled=False):
        query, key, negatives = l2_normalize(query), l2_normalize(key), l2_normalize(negatives)
        positive = (query * key).sum(-1, keepdim=True)
        others = query @ negatives.T
        if excluded is not None:
            others = others.masked_fill(excluded, -torch.inf)
        logits = torch.cat([positive, others], dim=1) / temperature
        return (logits.logsumexp(1) - logits[:, 0]).mean()


def dense_similarity(first: Tensor, second: Tensor) -> Tensor:
    r"""Mean cosine of feature maps, position by position, of every pair of images.

    .. math::

        s_{ij} = \frac{1}{hw} \sum_{p} \langle u_i(p), v_j(p) \rangle

    Channels at a position are scaled to length one here.

    Args:
        first: Feature maps, (N, C, h, w).
        second: Feature maps on the same grid, (M, C, h, w).

    Returns:
        Similarities, (N, M), from -1 to 1.

    Raises:
        ValueError: If shapes disagree.

    References:
        Windsor et al., 2021, https://arxiv.org/abs/2107.06652, of maps that are not shifted.
    """
    if first.ndim != 4 or first.shape[1:] != second.shape[1:]:
        raise ValueError(
            'maps must be (N, C, h, w) and (M, C, h, w), got '
            f'{tuple(first.shape)} and {tuple(second.shape)}'
        )
    with torch.autocast(first.device.type, enabled=False):
        maps = [l2_normalize(part.movedim(1, -1)).flatten(1) for part in (first, second)]
        return maps[0] @ maps[1].T / (first.shape[-2] * first.shape[-1])


def symmetric_cross_entropy(similarity: Tensor, temperature: float = 0.1) -> Tensor:
    """Mean of the cross-entropies of finding one modality by the other, both ways.

    Args:
        similarity: Similarity of every image in the first modality (rows) and in the second
            (columns), (N, N); those of one image are on the diagonal.
        temperature: Divides the similarities.

    Returns:
        The loss.

    Raises:
        ValueError: If *temperature* is out of range, or *similarity* is not square.

    References:
        Windsor et al., 2021, https://arxiv.org/abs/2107.06652
    """
    _check_temperature(temperature)
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise ValueError(f'similarity must be (N, N), got {tuple(similarity.shape)}')
    right = torch.arange(len(similarity), device=similarity.device)
    ways = [F.cross_entropy(part / temperature, right) for part in (similarity, similarity.T)]
    return torch.stack(ways).mean()


def chance_level(negatives: Tensor, excluded: Tensor | None = None) -> Tensor:
    """InfoNCE of a guess among the positive and the negatives that count.

    Args:
        negatives: Features, (K, D).
        excluded: Negatives that do not count, (K) or (B, K), True where excluded.

    Returns:
        Logarithm of one more than the number of negatives, averaged over the batch.

    Example:
        >>> chance_level(torch.zeros(3, 8))
        tensor(1.3863)
    """
    if excluded is None:
        excluded = torch.zeros(len(negatives), dtype=torch.bool, device=negatives.device)
    return (1 + (~excluded).sum(-1)).log().mean()


def alignment_loss(groups: Tensor) -> Tensor:
    r"""Mean of one minus the cosine between each group and the cluster of its image.

    The original code instead holds groups at distance one from the cluster, which is largest
    where they agree; its own comment says that they should be close.

    Args:
        groups: Features of every group, (B, G, D).

    Returns:
        The loss, from 0 (all groups agree) to 2.

    Raises:
        ValueError: If *groups* is not (B, G, D).

    References:
        SACo+, 2025, https://doi.org/10.1016/j.isprsjprs.2025.02.024
    """
    if groups.ndim != 3:
        raise ValueError(f'groups must be (B, G, D), got {tuple(groups.shape)}')
    cluster = l2_normalize(_wide(groups).mean(1, keepdim=True))
    return 1 - (l2_normalize(groups) * cluster).sum(-1).mean()


class InfoNCE(nn.Module):
    """Module form of :func:`info_nce`."""

    def __init__(self, temperature: float = 0.05) -> None:
        """Initialize a new InfoNCE instance.

        Args:
            temperature: Divides the cosines.

        Raises:
            ValueError: If *temperature* is out of range.
        """
        super().__init__()
        self.temperature = check_range('temperature', temperature, TEMPERATURE_RANGE)

    def forward(
        self, query: Tensor, key: Tensor, negatives: Tensor, excluded: Tensor | None = None
    ) -> Tensor:
        """See :func:`info_nce`."""
        return info_nce(query, key, negatives, self.temperature, excluded)


class AlignmentLoss(nn.Module):
    """Module form of :func:`alignment_loss`."""

    def forward(self, groups: Tensor) -> Tensor:
        """See :func:`alignment_loss`."""
        return alignment_loss(groups)
