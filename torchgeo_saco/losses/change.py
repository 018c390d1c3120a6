# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Ratios of long-term to seasonal change of embeddings, as in CACo."""

from torch import Tensor


def change_ratio(short: Tensor, long: Tensor, eps: float = 1e-4, squared: bool = False) -> Tensor:
    r"""How much farther two years of a location lie apart than two dates of one year.

    .. math::

        R = \frac{d_{long}}{d_{short} + \epsilon}

    Where dates of a year coincide, :math:`\epsilon` keeps it finite; two years that coincide as
    well have ratio 0, and count as unchanged.

    Args:
        short: Distance between dates of one year.
        long: Distance between years, of a shape that goes with *short*.
        eps: Added to the shorter distance.
        squared: Whether to take the ratio of squared distances.

    Returns:
        The ratio.

    References:
        CACo, 2023, https://doi.org/10.1109/CVPR52729.2023.00529. Its code divides distances, its
        project page squared ones.

    Example:
        >>> import torch
        >>> change_ratio(torch.tensor([0.5, 0.0]), torch.tensor([1.0, 0.0]))
        tensor([1.9996, 0.0000])
    """
    if squared:
        short, long = short.square(), long.square()
    return long / (short + eps)


def year_ratios(first: Tensor, second: Tensor, squared: bool = False) -> Tensor:
    """Compute change ratios of locations seen at two dates of the same seasons in two years.

    Between years, either date may be compared with its like; the mean of both is taken.

    Args:
        first: Features of one date in both years, of length one, (2, B, D).
        second: Those of the other date.
        squared: As for :func:`change_ratio`.

    Returns:
        Ratio of every location and year, (B, 2).
    """
    short = (first - second).norm(dim=-1).T
    long = ((first[0] - first[1]).norm(dim=-1) + (second[0] - second[1]).norm(dim=-1)) / 2
    return change_ratio(short, long[:, None], squared=squared)
