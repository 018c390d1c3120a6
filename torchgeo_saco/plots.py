# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Figures of groups, textures, views, embeddings and predictions."""

import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from torch import Tensor
from torchgeo.datasets.utils import quantile_normalization

from .io.files import atomic_file
from .losses import l2_normalize

#: Any colour that Matplotlib takes, or red, green and blue from 0 to 255.
Color = str | Sequence[float]

#: Twenty colours that differ clearly, the strongest first.
PALETTE = (
    '#e6194b', '#3cb44b', '#ffe119', '#4363d8', '#f58231', '#911eb4', '#46f0f0', '#f032e6',
    '#bcf60c', '#fabebe', '#008080', '#e6beff', '#9a6324', '#800000', '#aaffc3', '#808000',
    '#ffd8b1', '#000075', '#808080', '#003c14',
)  # fmt: skip

# Stripes of pixels without a class, and frames of right and wrong predictions.
_STRIPES = ((0.93, 0.93, 0.93), (0.78, 0.78, 0.78))
_RIGHT, _WRONG, _MISSED = '#2e7d32', '#c62828', '#8a8a8a'
_VERDICTS = {True: (_RIGHT, '#f2f8f2'), False: (_WRONG, '#fdf3f3')}


def write_figure(figure: Figure, path: str | os.PathLike[str], dpi: int = 110) -> None:
    """Write a figure, which appears at once and whole, and close it.

    Args:
        figure: The figure.
        path: File to write; its folder is made.
        dpi: Pixels per inch.

    Raises:
        WriteError: If it cannot be written.
    """
    with atomic_file(path) as partial:
        figure.savefig(partial, dpi=dpi)
    plt.close(figure)


class PredictionRow(NamedTuple):
    """One sample, and what several encoders make of it."""

    #: Images of the sample by title, (3, H, W), in any unit.
    images: Mapping[str, Tensor]

    #: Class of every pixel, (H, W), -1 for none; or of the image, (); or its labels, (L), 0 or 1.
    target: Tensor

    #: Predictions by name of the encoder, in the form of the target.
    predictions: Mapping[str, Tensor]


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
    centred = l2_normalize(embeddings).double().cpu()
    centred = centred - centred.mean(0)
    # A full decomposition: the randomised one would draw from the global generator.
    # One image alone spans no plane.
    rows = centred if len(centred) > 1 else centred.new_zeros(2, centred.shape[1])
    scores, strengths, _ = torch.linalg.svd(rows, full_matrices=False)
    shares = strengths.square() / strengths.square().sum().clamp_min(1e-12)
    scores = (scores * strengths)[: len(centred), :2].numpy()
    figure, axis = plt.subplots(figsize=(7, 5), layout='constrained')
    for number, name in enumerate(classes):
        chosen = (labels == number).cpu().numpy()
        color = PALETTE[number % len(PALETTE)]
        points = scores[chosen]
        label = f'{name} ({chosen.sum()})'
        axis.scatter(points[:, 0], points[:, 1], s=14, color=color, label=label)
    axis.set_xlabel(f'principal component 1 ({shares[0]:.0%} of variance)')
    axis.set_ylabel(f'principal component 2 ({shares[1]:.0%} of variance)')
    axis.legend(loc='center left', bbox_to_anchor=(1, 0.5), frameon=False)
    if title is not None:
        axis.set_title(title)
    return figure


def plot_confusion(matrix: Tensor, classes: Sequence[str], title: str | None = None) -> Figure:
    """Plot a confusion matrix, rows target, each cell in per cent of its row.

    Args:
        matrix: Counts, (C, C), rows target, columns prediction.
        classes: Names of the classes.
        title: Title of the figure.

    Returns:
        The figure. A class that the target lacks has an empty row.

    Raises:
        ValueError: If *matrix* is not (C, C) with one row a class.
    """
    if tuple(matrix.shape) != (len(classes), len(classes)):
        raise ValueError(
            f'matrix must be ({len(classes)}, {len(classes)}), one row a class, '
            f'got {tuple(matrix.shape)}'
        )
    counts = matrix.double().cpu().numpy()
    totals = counts.sum(1)
    shares = counts / np.where(totals > 0, totals, np.nan)[:, None]
    cell = float(np.clip(5 / len(classes), 0.42, 1.1))
    side = cell * len(classes)
    figure, axis = plt.subplots(figsize=(side + 3.4, side + 2.2), layout='constrained')
    drawn = axis.imshow(shares, cmap='Blues', vmin=0, vmax=1)
    axis.set_facecolor('0.95')
    for (row, column), share in np.ndenumerate(shares):
        if counts[row, column] > 0:
            axis.text(
                column,
                row,
                _percent(share),
                ha='center',
                va='center',
                fontsize=min(11, 18 * cell),
                color='white' if share > 0.55 else '0.2' if share >= 0.005 else '0.6',
            )
    names = [_readable(name, 34) for name in classes]
    counted = [f'{name}  ({_count(n)})' for name, n in zip(names, totals, strict=True)]
    axis.set_xticks(range(len(classes)), names, rotation=45, ha='right', rotation_mode='anchor')
    axis.set_yticks(range(len(classes)), counted)
    axis.tick_params(length=0, labelsize=9)
    axis.set_xticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(len(classes) + 1) - 0.5, minor=True)
    axis.grid(which='minor', color='white', linewidth=1)
    axis.tick_params(which='minor', length=0)
    axis.spines[:].set_visible(False)
    axis.set_xlabel('prediction')
    axis.set_ylabel('target')
    bar = figure.colorbar(drawn, ax=axis, shrink=0.6, format=PercentFormatter(1), pad=0.02)
    bar.set_label('share of the target')
    bar.outline.set_visible(False)
    if title is not None:
        axis.set_title(title, pad=12)
    return figure


def plot_curves(
    lines: Mapping[str, Mapping[float, Sequence[float]]],
    xlabel: str,
    ylabel: str,
    title: str | None = None,
) -> Figure:
    """Plot scores against a number, the mean over seeds and a band from the least to the largest.

    Args:
        lines: By name, the scores of all seeds by the number, from 0 to 1, or NaN for none.
        xlabel: What the number is; its axis is logarithmic.
        ylabel: What the score is.
        title: Title of the figure.

    Returns:
        The figure.
    """
    figure, axis = plt.subplots(figsize=(7, 4.5), layout='constrained')
    colors, markers = plt.colormaps['tab10'].colors, 'osD^vP*X<>'  # type: ignore[attr-defined]
    for count, (name, values) in enumerate(lines.items()):
        known = {n: [score for score in values[n] if not np.isnan(score)] for n in sorted(values)}
        numbers = [number for number, scores in known.items() if scores]
        scores = [np.array(known[number]) for number in numbers]
        color = colors[count % len(colors)]
        axis.plot(
            numbers,
            [each.mean() for each in scores],
            marker=markers[count % len(markers)],
            # Beyond ten, colours repeat.
            linestyle='-' if count < len(colors) else '--',
            color=color,
            label=name,
        )
        axis.fill_between(
            numbers,
            [each.min() for each in scores],
            [each.max() for each in scores],
            color=color,
            alpha=0.15,
            linewidth=0,
        )
    axis.set_xscale('log')
    every = sorted({number for values in lines.values() for number in values})
    axis.set_xticks(every, [f'{number:g}' for number in every])
    axis.minorticks_off()
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize='small', loc='center left', bbox_to_anchor=(1, 0.5))
    return figure


def plot_differences(
    differences: Mapping[str, Mapping[str, tuple[float, float, float]]],
    reference: str,
    title: str | None = None,
) -> Figure:
    """Plot how far scores are ahead of those of a reference, with their intervals.

    Args:
        differences: By score and name, the difference, lower and upper end, from -1 to 1.
        reference: What the others are compared with, the line at 0.
        title: Title of the figure.

    Returns:
        The figure.
    """
    names = list(dict.fromkeys(name for values in differences.values() for name in values))
    figure, axes = plt.subplots(
        1,
        len(differences),
        figsize=(1.5 + 2.8 * len(differences), 1.2 + 0.25 * len(names)),
        sharey=True,
        squeeze=False,
        layout='constrained',
    )
    for axis, (score, values) in zip(axes[0], differences.items(), strict=True):
        for name, (center, low, high) in values.items():
            # Faint where the interval holds 0.
            color = '0.6' if low <= 0 <= high else 'tab:blue'
            row = names.index(name)
            axis.plot([low, high], [row, row], color=color, linewidth=1.5)
            axis.plot([center], [row], 'o', color=color, markersize=5)
        axis.axvline(0, color='0.3', linewidth=0.8)
        axis.xaxis.set_major_formatter(PercentFormatter(1, symbol=''))
        axis.set(title=score, xlabel=f'points ahead of {reference}')
        axis.grid(axis='x', alpha=0.3)
    axes[0, 0].set_yticks(range(len(names)), names)
    axes[0, 0].invert_yaxis()
    figure.suptitle(title or '')
    return figure


def plot_predictions(
    rows: Sequence[PredictionRow],
    classes: Sequence[str],
    colors: Sequence[Color] | None = None,
    title: str | None = None,
) -> Figure:
    """Plot samples in rows: image, target, and one prediction an encoder.

    Maps of classes get one legend, of the classes that occur. Classes and labels of whole
    images are written out, wrong ones in red.

    Args:
        rows: The samples; all have the same images and encoders.
        classes: Names of the classes.
        colors: Colour of each class, or None for distinct ones.
        title: Title of the figure.

    Returns:
        The figure.

    Raises:
        ValueError: If there is no row, rows differ in panels, classes and colours differ in
            number, or a class has no name.
    """
    if not rows:
        raise ValueError('there is no row to plot; choose at least one sample')
    titles = [*rows[0].images, 'target', *rows[0].predictions]
    palette = _palette(classes, colors)
    figure, axes = plt.subplots(
        len(rows),
        len(titles),
        squeeze=False,
        figsize=(1.75 * len(titles) + 0.2, 1.75 * len(rows) + 1.1),
        layout='constrained',
    )
    present: set[int] = set()
    for row, line in zip(rows, axes, strict=True):
        if [*row.images, 'target', *row.predictions] != titles:
            raise ValueError(
                f'rows must have the same panels, {", ".join(titles)}, got '
                f'{", ".join([*row.images, "target", *row.predictions])}'
            )
        for axis, image in zip(line, row.images.values(), strict=False):
            # Each band on its own: haze would tint what the sensor sees above the atmosphere.
            _show(axis, '', torch.stack([_stretch_contrast(band) for band in image]))
        answers = [('', row.target), *row.predictions.items()]
        for axis, (name, answer) in zip(line[len(row.images) :], answers, strict=True):
            answer, target = answer.detach().cpu(), row.target.detach().cpu()
            _require_named(answer, classes)
            if answer.ndim == 2:
                present |= set(answer.unique().tolist())
                _show_map(axis, answer, palette)
            else:
                _write_classes(axis, answer, target if name else None, classes)
    for axis, name in zip(axes[0], titles, strict=True):
        axis.set_title('\n'.join(textwrap.wrap(name.replace('_', ' '), 22)), fontsize=10)
    if present:
        _add_legend(figure, sorted(present), classes, palette, 2 * len(titles) // 3)
    if title is not None:
        figure.suptitle(title, fontsize=12)
    return figure


def _show_map(axis: Axes, mask: Tensor, palette: np.ndarray) -> None:
    """One map of classes; stripes where there is none."""
    numbers = mask.numpy()
    # Stripes cross an image about 16 times, whatever its size.
    step = max(1, max(numbers.shape) // 32)
    diagonal = np.add.outer(*(np.arange(size) for size in numbers.shape)) // step % 2
    picture = np.where((numbers < 0)[..., None], np.array(_STRIPES)[diagonal], palette[numbers])
    axis.imshow(picture, interpolation='nearest')
    _frame(axis, '0.6', 0.6)


def _write_classes(
    axis: Axes, answer: Tensor, target: Tensor | None, classes: Sequence[str]
) -> None:
    """Classes of a whole image in words, and which of them are right."""
    chosen = _class_numbers(answer)
    true = chosen if target is None else _class_numbers(target)
    entries = [(number, _RIGHT if number in true else _WRONG) for number in chosen]
    entries += [(number, _MISSED) for number in true if number not in chosen and answer.ndim]
    signs = {_RIGHT: '\u2713 ', _WRONG: '\u2717 ', _MISSED: '\u2013 '}
    single = answer.ndim == 0
    if target is None:
        signs = dict.fromkeys(signs, '')
    size = 10 if single else float(np.clip(40 / max(1, len(entries)), 5.5, 8))
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_box_aspect(1)
    heights = np.linspace(0, 1, len(entries) + 2)[-2:0:-1]
    for (number, color), height in zip(entries, heights, strict=True):
        name = _readable(classes[number], 40 if single else 26)
        axis.text(
            0.5 if single else 0.04,
            height,
            '\n'.join(textwrap.wrap(signs[color] + name, 14)) if single else signs[color] + name,
            ha='center' if single else 'left',
            va='center',
            fontsize=size,
            color='0.15' if target is None else color,
        )
    if not entries:
        axis.text(0.5, 0.5, 'none', ha='center', va='center', fontsize=10, color='0.5')
    wrong = any(color != _RIGHT for _, color in entries)
    frame, face = ('0.6', 'white') if target is None else _VERDICTS[not wrong]
    axis.set_facecolor(face)
    _frame(axis, frame, 1.2)


def _class_numbers(answer: Tensor) -> list[int]:
    """Numbers of the classes of a whole image."""
    return (answer.nonzero().flatten() if answer.ndim else answer.reshape(1)).tolist()


def _frame(axis: Axes, color: str, width: float) -> None:
    """A frame without ticks."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set(color=color, linewidth=width)


def _add_legend(
    figure: Figure,
    present: Sequence[int],
    classes: Sequence[str],
    palette: np.ndarray,
    columns: int,
) -> None:
    """Legend of the classes that occur, below all panels."""
    handles = [
        Patch(facecolor=palette[number], edgecolor='0.6', label=_readable(classes[number], 34))
        for number in present
        if number >= 0
    ]
    if present[0] < 0:
        light, dark = _STRIPES
        handles.append(Patch(facecolor=light, edgecolor=dark, hatch='/////', label='no class'))
    figure.legend(
        handles=handles,
        loc='outside lower center',
        ncols=min(len(handles), max(2, columns)),
        frameon=False,
        fontsize=9,
        handlelength=1.2,
        handleheight=1.2,
    )


def _palette(classes: Sequence[str], colors: Sequence[Any] | None) -> np.ndarray:
    """Colours from 0 to 1, (C, 3)."""
    if colors is None:
        colors = [PALETTE[i % len(PALETTE)] for i in range(len(classes))]
    if len(colors) != len(classes):
        raise ValueError(
            f'there are {len(classes)} classes and {len(colors)} colours; give one each'
        )
    parsed = [color if isinstance(color, str) else np.asarray(color, float) for color in colors]
    bytes_ = any(not isinstance(color, str) and color.max() > 1 for color in parsed)
    return np.array(
        [
            to_rgb(color if isinstance(color, str) else tuple(color[:3] / (255 if bytes_ else 1)))
            for color in parsed
        ]
    )


def _require_named(answer: Tensor, classes: Sequence[str]) -> None:
    """Refuse classes without a name."""
    highest = len(answer) - 1 if answer.ndim == 1 else int(answer.max())
    if highest >= len(classes):
        raise ValueError(f'there is a class {highest}, but only {len(classes)} names')


def _readable(name: str, width: int) -> str:
    """A class name in words, shortened."""
    words = re.sub('(?<=[a-z])(?=[A-Z])|_', ' ', name)
    return textwrap.shorten(words, width, placeholder='\u2026')


def _percent(share: float) -> str:
    """Share without a sign; a trace is not nothing."""
    return '<1' if share < 0.005 else f'{100 * share:.0f}'


def _count(number: float) -> str:
    """A count in few digits."""
    for unit_, size in (('G', 1e9), ('M', 1e6), ('k', 1e3)):
        if number >= size:
            return f'{number / size:.3g} {unit_}'
    return f'{number:.0f}'


def _stretch_contrast(image: Tensor) -> Tensor:
    """Image from 0 to 1 between its 2nd and 98th percentile."""
    return quantile_normalization(image.detach().float().cpu())


def _show(axis: Axes, name: str, image: Tensor) -> None:
    """One stretched panel."""
    stretched = _stretch_contrast(image)
    axis.imshow(stretched.permute(1, 2, 0).numpy(), interpolation='nearest')
    axis.set_title(name.replace('_', ' '), fontsize=8)
    axis.axis('off')
