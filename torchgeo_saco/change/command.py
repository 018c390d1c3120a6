# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""``torchgeo-saco changes``."""

import inspect
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from ..datasets import SeasonalArchive
from ..io.checkpoint import CheckpointError, read_checkpoint
from ..io.tables import require_new, write_table
from ..tasks import ContrastiveTask
from ..transforms import Reflectance
from .figures import plot_change_histogram, plot_change_locations, plot_change_map
from .map import ChangeMap, change_map

_DESCRIPTION = """\
Which locations of a seasonal archive have changed for good, by a pre-trained encoder and without
labels. The change ratio of a location is the mean distance between its images of two years over the
mean distance between images of one year; a mixture of two Gaussians over all locations tells which
have changed. Writes one row a location with its ratio and footprint.
"""

_EPILOG = """\
For example:

  torchgeo-saco changes --weights logs/saco/last.ckpt --root data/sample/seasonal \\
    --output changes.parquet --figure changes.png --images locations.png
"""

_LISTED = 20


def main(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: Arguments after ``changes``.
    """
    options = _parser().parse_args(list(args))
    console = Console(soft_wrap=True, highlight=False)
    try:
        changes = _changes(options)
    except (ValueError, OSError) as error:
        sys.stderr.write(f'torchgeo-saco changes: error: {error}\n')
        sys.exit(2)
    console.print(_summary(changes, options.top))
    console.print(_report(changes, options.output))


def restored_task(path: str, name: str | None = None) -> ContrastiveTask:
    """Contrastive task of a checkpoint. No code that the checkpoint names is run.

    Args:
        path: Checkpoint that a trainer wrote.
        name: Class of the task, or None to take its name from the checkpoint. It is one of
            :mod:`torchgeo_saco.tasks`, or of yours if its module has been imported.

    Returns:
        The task, with the weights of the checkpoint.

    Raises:
        CheckpointError: If the file is no checkpoint of such a task.
        ValueError: If the class is unknown.
    """
    content = read_checkpoint(path)
    arguments = content.get('hyper_parameters')
    if not isinstance(arguments, dict) or 'state_dict' not in content:
        raise CheckpointError(
            f'{path} holds no task, at most weights; give a checkpoint that torchgeo-saco fit wrote'
        )
    name = name or arguments.get('_class_path')
    known = {task.__name__: task for task in _subclasses(ContrastiveTask)}
    if not name:
        raise CheckpointError(
            f'{path} does not say which task it is of; name it: --task one of '
            f'{", ".join(sorted(known))}'
        )
    task_class = known.get(name.rsplit('.', 1)[-1])
    if task_class is None:
        raise ValueError(
            f'{path} is of {name}, which is no contrastive task known here; they are '
            f'{", ".join(sorted(known))}'
        )
    if arguments.get('bands') is None:
        raise CheckpointError(f'{path} was written before its bands were known; train first')
    try:
        # What Lightning adds begins with an underscore.
        task = task_class(**{key: arguments[key] for key in arguments if key[:1] != '_'})
        task.load_state_dict(content['state_dict'])
    except (RuntimeError, TypeError) as error:
        raise CheckpointError(
            f'{path} does not fit {task_class.__name__} of this version ({_first_lines(error)}); '
            'name another task by --task, or train again'
        ) from error
    return task


def _changes(options: Namespace) -> ChangeMap:
    """Everything but the words."""
    for name in ('batch_size', 'pairs', 'top'):
        if options[name] < 1:
            raise ValueError(f'{name} must be at least 1, got {options[name]}')
    _require_writable(options.output)
    for path in (options.figure, options.images):
        if path is not None:
            _require_writable(path, '.png', '.pdf', '.svg', '.jpg')
    task = restored_task(options.weights, options.task).to(_device(options.device))
    bands = _needed_bands(task)
    sensor = options.sensor or task.hparams['sensor']
    archive = SeasonalArchive(
        options.root,
        bands,
        sensor=sensor,
        previews=options.previews,
        year_rule=options.year_rule,
        size=options.size,
        resampling=options.resampling,
        max_nodata=options.max_nodata,
        on_missing='drop',
    )
    task.configure_bands(archive.bands, 'rgb' if options.previews else sensor)
    changes = change_map(
        task,
        archive,
        Reflectance(options.unit, options.offset),
        options.batch_size,
        options.num_workers,
        Console(stderr=True),
    )
    changes = changes._replace(skipped=[*archive.skipped, *changes.skipped])
    if options.images is not None and len(changes.table) < 2:
        raise ValueError(
            'a most and a least changed location need two locations with two years, and there is '
            'one; '
            'leave out --images'
        )
    write_table(changes.table, options.output)
    _write_figures(changes, archive, options)
    return changes


def _needed_bands(task: ContrastiveTask) -> list[str]:
    """Bands that the groups of the task are formed of, so that no other is read."""
    used = {band for bands in task.inputs.channels.values() for band in bands}  # type: ignore[union-attr]
    return [band for band in task.bands or () if band in used]


def _device(name: str) -> torch.device:
    """Device by name, the fastest one for ``auto``."""
    if name == 'auto':
        name = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f'device {name} is not there ({_first_lines(error)}); try cpu') from error


def _require_writable(path: str, *endings: str) -> None:
    """Refuse a file that could not be written in the end, or is there."""
    require_new(Path(path), *([endings] if endings else []))
    folder = Path(path).absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ValueError(f'{path} cannot be written; make the folder {folder} first')


def _write_figures(changes: ChangeMap, archive: SeasonalArchive, options: Namespace) -> None:
    """Figures that are asked for."""
    table = changes.table
    title = f'{int(table.changed.sum())} of {len(table)} locations changed'
    if options.figure is not None:
        placed = bool((~table.geometry.isna()).any())
        figure, axes = plt.subplots(
            1, 1 + placed, squeeze=False, figsize=(7 + 6 * placed, 4), layout='constrained'
        )
        plot_change_histogram(table['ratio'], changes.mixture, title, axes[0, 0])
        if placed:
            plot_change_map(table, axes[0, 1])
        figure.savefig(options.figure, dpi=110)
        plt.close(figure)
    if options.images is not None:
        ratios = dict(zip(table['location'], table['ratio'], strict=True))
        part = archive.subset(list(ratios), 2, 'years')
        figure = plot_change_locations(
            part, ratios, options.pairs, 'most changed locations (left) and least changed ones'
        )
        figure.savefig(options.images, dpi=110)
        plt.close(figure)


def _summary(changes: ChangeMap, top: int) -> Table:
    """The most changed locations."""
    table = Table(title=f'most changed of {len(changes.table)} locations')
    for name in ('location', 'ratio', 'changed', 'years', 'dates', 'longitude', 'latitude'):
        table.add_column(name, justify='left' if name == 'location' else 'right')
    for row in changes.table.head(top).itertuples():
        coordinates = ('', '')
        if row.geometry is not None:
            point = row.geometry.representative_point()
            coordinates = (f'{point.x:.4f}', f'{point.y:.4f}')
        table.add_row(
            row.location,
            f'{row.ratio:.3f}',
            'yes' if row.changed else 'no',
            f'{row.first_year} - {row.last_year}',
            str(row.dates),
            *coordinates,
        )
    return table


def _report(changes: ChangeMap, output: str) -> str:
    """Summarize decisions and what is missing."""
    table = changes.table
    lines = [f'{output}: {int(table.changed.sum())} of {len(table)} locations changed']
    if changes.mixture is None:
        lines[0] += ', for two kinds of locations need two different ratios'
    else:
        lines[0] += f', with a ratio above {changes.mixture.threshold:.3f}'
    homeless = int(table.geometry.isna().sum())
    if homeless:
        lines.append(
            f'{homeless} locations have no footprint, for their files are not georeferenced'
        )
    skipped = changes.skipped
    lines += [f'skipped: {reason}' for reason in skipped[:_LISTED]]
    if len(skipped) > _LISTED:
        lines.append(f'skipped: {len(skipped) - _LISTED} more')
    return '\n'.join(lines)


def _subclasses(base: type[Any]) -> list[type[Any]]:
    """Classes derived from a class that can be made."""
    found: list[type[Any]] = []
    for child in base.__subclasses__():
        found += [child, *_subclasses(child)]
    return [c for c in found if not inspect.isabstract(c)]


def _first_lines(error: Exception) -> str:
    """Beginning of a message that can be very long, in one line."""
    text = ' '.join(str(error).split())
    return text if len(text) <= 200 else f'{text[:200]}...'


def _parser() -> ArgumentParser:
    """Arguments of the command."""
    parser = ArgumentParser(
        prog='torchgeo-saco changes', description=_DESCRIPTION, epilog=_EPILOG, default_env=False
    )
    add = parser.add_argument
    add('--weights', required=True, help='checkpoint of a contrastive task')
    add('--root', required=True, help='archive, laid out as <location>/<date>/<band>.tif')
    add('--output', required=True, help='new table, ending in .parquet, .geojson or .gpkg')
    add('--figure', type=str | None, help='histogram of the ratio, and map of the locations')
    add('--images', type=str | None, help='images of the most and the least changed locations')
    add('--pairs', type=int, default=4, help='locations of either kind in them')
    add('--task', type=str | None, help='class of the task, where the checkpoint does not say')
    add('--sensor', type=str | None, help='sensor of the archive, if not that of training')
    add('--previews', type=bool, default=False, help='read 3-band previews, not band files')
    add('--year_rule', default='calendar', help='which two years: calendar, or halves of all dates')
    add('--unit', type=float | None, help='stored number of reflectance 1; default by file type')
    add('--offset', type=float, default=0.0, help='added to stored numbers before that')
    add('--size', type=int | None, help='side in pixels of a centred window; default the whole')
    add('--resampling', default='bilinear', help='how coarser bands are brought to 10 m')
    add('--max_nodata', type=float, default=0.0, help='largest share of nodata in a band')
    add('--batch_size', type=int, default=64, help='images embedded at a time')
    add('--num_workers', type=int, default=0, help='processes that read')
    add('--device', default='auto', help='cpu, cuda, or auto')
    add('--top', type=int, default=10, help='locations in the table on screen')
    return parser
