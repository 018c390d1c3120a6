# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figures of groups, textures, views and embeddings."""

from collections.abc import Sequence

import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torchgeo.datasets.utils import quantile_normalization

from .losses import unit


def plot_groups(groups: Tensor, names: Sequence[str], title: str | None = None) -> Figure:
    """Plot three-channel groups side by side, each stretched to its own values.

    Args:
        groups: Images, (G, 3, H, W), in any unit.
        names: Name of each group.
        title: Title of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: If *groups* is not (G, 3, H, W), or names and groups differ in number.
    """
    if groups.ndim != 4 or groups.shape[1] != 3 or len(groups) != len(names):
        raise ValueError(
            f'groups must be ({len(names)}, 3, H, W), one a name, got {tuple(groups.shape)}'
        )
    return plot_panels([list(zip(names, groups, strict=True))], title)


def plot_panels(
    rows: Sequence[Sequence[tuple[str, Tensor]]], title: str | None = None, columns: int = 7
) -> Figure:
    """Plot rows of named three-channel images.

    Args:
        rows: Names and images, (3, H, W), of every row; long rows are broken.
        title: Title of the figure.
        columns: Panels in a line.

    Returns:
        The figure.
    """
    lines = [row[i : i + columns] for row in rows for i in range(0, len(row), columns)]
    width = max(len(line) for line in lines)
    figure, axes = plt.subplots(
        len(lines),
        width,
        squeeze=False,
        figsize=(1.9 * width, 2.1 * len(lines) + 0.3),
        layout='constrained',
    )
    for line, row in zip(lines, axes, strict=True):
        for axis in row[len(line) :]:
            axis.axis('off')
        for axis, (name, image) in zip(row, line, strict=False):
            _show(axis, name, image)
    if title is not None:
        figure.suptitle(title)
    return figure


def plot_embeddings(
    embeddings: Tensor, labels: Tensor, classes: Sequence[str], title: str | None = None
) -> Figure:
    """Plot the first two principal components of embeddings of length one, by class.

    Args:
        embeddings: Embeddings, (N, D).
        labels: Class of each, (N).
        classes: Names of the classes.
        title: Title of the figure.

    Returns:
        The figure.
    """
    centred = unit(embeddings).double().cpu()
    centred = centred - centred.mean(0)
    # A full decomposition: the randomised one would draw from the global generator.
    scores, strengths, _ = torch.linalg.svd(centred, full_matrices=False)
    shares = strengths.square() / strengths.square().sum().clamp_min(1e-12)
    scores = (scores * strengths)[:, :2].numpy()
    figure, axis = plt.subplots(figsize=(7, 5), layout='constrained')
    colors = plt.get_cmap('tab20')
    for number, name in enumerate(classes):
        chosen = (labels == number).cpu().numpy()
        color = colors(number % 20)
        points = scores[chosen]
        label = f'{name} ({chosen.sum()})'
        axis.scatter(points[:, 0], points[:, 1], s=14, color=color, label=label)
    axis.set_xlabel(f'principal component 1 ({shares[0]:.0%} of variance)')
    axis.set_ylabel(f'principal component 2 ({shares[1]:.0%} of variance)')
    axis.legend(loc='center left', bbox_to_anchor=(1, 0.5), frameon=False)
    if title is not None:
        axis.set_title(title)
    return figure


def _show(axis: Axes, name: str, image: Tensor) -> None:
    """One stretched panel."""
    stretched = quantile_normalization(image.detach().float().cpu())
    axis.imshow(stretched.permute(1, 2, 0).numpy(), interpolation='nearest')
    axis.set_title(name.replace('_', ' '), fontsize=8)
    axis.axis('off')
