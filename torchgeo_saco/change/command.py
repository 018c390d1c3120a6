# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""``torchgeo-saco changes``."""

import inspect
import os
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from rich.console import Console
from rich.table import Table

from ..datasets import SeasonalArchive
from ..io.checkpoint import CheckpointError, read_checkpoint
from ..io.tables import require_new, write_table
from ..plots import write_figure
from ..runtime.checks import check_range
from ..runtime.device import known_device
from ..tasks import ContrastiveTask, DualTask
from ..transforms import Reflectance
from .figures import plot_change_histogram, plot_change_locations, plot_change_map
from .map import LEAST_LOCATIONS, ChangeMap, change_map

_LISTED = 20


def changes(
    weights: str,
    root: str,
    output: str,
    figure: str | None = None,
    images: str | None = None,
    pairs: int = 4,
    task: str | None = None,
    sensor: str | None = None,
    unit: float | None = None,
    offset: float = 0.0,
    batch_size: int = 64,
    num_workers: int = 0,
    device: str = 'auto',
    top: int = 10,
    least_locations: int = LEAST_LOCATIONS,
    progress: bool = True,
    **kwargs: Any,
) -> None:
    r"""Say which locations of an archive have changed for good, without labels.

    The change ratio of a location is the mean distance between its images of two years over the
    mean distance between images of one year, in the embedding of a pre-trained encoder; a mixture
    of two Gaussians over all locations tells which have changed. Nothing is decided of few
    locations, or where two Gaussians describe the ratios no better than one (BIC). Writes one row
    per location with its ratio, decision and footprint.

    For example:

      torchgeo-saco changes --weights logs/caco/version_0/checkpoints/last.ckpt \
          --root data/sample/seasonal --output changes.parquet \
          --figure changes.png --images locations.png

    Args:
        weights: Checkpoint of a contrastive task.
        root: Archive, laid out as <location>/<date>/<band>.tif.
        output: New table, ending in .parquet, .geojson or .gpkg.
        figure: Histogram of the ratio, and map of the locations.
        images: Images of the most and the least changed locations.
        pairs: Locations of either kind in them.
        task: Class of the task, where the checkpoint does not say.
        sensor: Sensor of the archive, if not that of training.
        unit: Digital number of reflectance 1; by file type as default.
        offset: Added to stored numbers before that.
        batch_size: Images embedded at a time.
        num_workers: Processes that read.
        device: cpu, cuda, or auto.
        top: Locations in the table on screen.
        least_locations: Number of locations below which nothing is decided.
        progress: Whether to show a progress bar.
        **kwargs: Further arguments of :class:`~torchgeo_saco.datasets.SeasonalArchive`.

    Raises:
        ValueError: If an argument is out of range, or the checkpoint does not fit the archive.
        OSError: If a file cannot be read or written.
    """
    numbers = {'batch_size': batch_size, 'pairs': pairs, 'top': top}
    numbers['least_locations'] = least_locations
    for name, number in numbers.items():
        check_range(name, number, 'int [1, inf)')
    _require_writable(output)
    for path in (figure, images):
        if path is not None:
            _require_writable(path, '.png', '.pdf', '.svg', '.jpg')
    restored = restored_task(weights, task).to(known_device(device))
    # Arguments are named where the command does not offer them.
    archive = SeasonalArchive(
        root,
        _needed_bands(restored),
        dates=1,
        item='date',
        other_dates='any',
        same_season=True,
        sensor=sensor or restored.hparams['sensor'],
        on_missing='drop',
        cache=False,
        transforms=None,
        time_axis=True,
        **kwargs,
    )
    restored.configure_bands(archive.bands, archive.sensor_name)
    result = change_map(
        restored,
        archive,
        archive.reflectance(Reflectance(unit, offset)),
        batch_size,
        num_workers,
        Console(stderr=True) if progress else None,
        least_locations,
    )
    result = result._replace(skipped=[*archive.skipped, *result.skipped])
    if images is not None and len(result.table) < 2:
        raise ValueError(
            'a most and a least changed location need two locations with two years, and there is '
            'one; leave out --images'
        )
    write_table(result.table, output)
    if figure is not None:
        _write_figure(result, figure)
    if images is not None:
        _write_images(result, archive, pairs, images)
    console = Console(soft_wrap=True, highlight=False)
    console.print(_summary(result, top))
    console.print(_report(result, output))


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
    trained = content.get('task') or arguments.get('_class_path')
    if name and trained and _last(name) != _last(trained):
        raise CheckpointError(
            f'{path} is of {_last(trained)}, but --task {name} is asked for; leave --task out'
        )
    name = name or trained
    # Change is of images of one sensor.
    known = {
        task.__name__: task
        for task in _subclasses(ContrastiveTask)
        if not issubclass(task, DualTask)
    }
    if not name:
        raise CheckpointError(
            f'{path} does not say which task it is of; name it: --task one of '
            f'{", ".join(sorted(known))}'
        )
    task_class = known.get(_last(name))
    if task_class is None:
        raise ValueError(
            f'{path} is of {name}, which is no contrastive task known here; they are '
            f'{", ".join(sorted(known))}'
        )
    if arguments.get('bands') is None:
        raise CheckpointError(f'{path} was written before its bands were known; train first')
    try:
        # What Lightning adds begins with an underscore. Weights are in the checkpoint; one that
        # names others would have them looked for elsewhere.
        given = {k: v for k, v in arguments.items() if k[:1] != '_' and k != 'weights'}
        task = task_class(**given)
        task.load_state_dict(content['state_dict'])
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f'{path} does not fit {task_class.__name__} of this version ({_first_lines(error)}); '
            'name another task by --task, or train again'
        ) from error
    return task


def _needed_bands(task: ContrastiveTask) -> list[str]:
    """Bands that the groups of the task are formed of, so that no other is read."""
    used = {band for bands in task.inputs.channels.values() for band in bands}  # type: ignore[union-attr]
    return [band for band in task.bands or () if band in used]


def _require_writable(path: str, *endings: str) -> None:
    """Refuse a file that could not be written in the end, or is there."""
    require_new(Path(path), *([endings] if endings else []))
    folder = Path(path).absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise ValueError(f'{path} cannot be written; make the folder {folder} first')


def _title(changes: ChangeMap) -> str:
    """How many locations have changed, or that it is not decided."""
    count = len(changes.table)
    if changes.undecided:
        return f'{count} locations, undecided which of them changed'
    return f'{int((changes.table.decision == "changed").sum())} of {count} locations changed'


def _write_figure(changes: ChangeMap, path: str) -> None:
    """Histogram of the ratio, and map of the locations that have a footprint."""
    table = changes.table
    placed = bool((~table.geometry.isna()).any())
    figure, axes = plt.subplots(
        1, 1 + placed, squeeze=False, figsize=(7 + 6 * placed, 4), layout='constrained'
    )
    plot_change_histogram(table['ratio'], changes.mixture, _title(changes), axes[0, 0])
    if placed:
        plot_change_map(table, axes[0, 1])
    write_figure(figure, path)


def _write_images(changes: ChangeMap, archive: SeasonalArchive, pairs: int, path: str) -> None:
    """Images of the most and the least changed locations."""
    ratios = dict(zip(changes.table['location'], changes.table['ratio'], strict=True))
    figure = plot_change_locations(
        archive.subset(list(ratios), 2, 'years'),
        ratios,
        pairs,
        'largest change ratios (left) and smallest ones',
    )
    write_figure(figure, path)


def _summary(changes: ChangeMap, top: int) -> Table:
    """The most changed locations."""
    kind = 'largest ratios' if changes.undecided else 'most changed'
    table = Table(title=f'{kind} of {len(changes.table)} locations')
    for name in ('location', 'ratio', 'decision', 'years', 'dates', 'longitude', 'latitude'):
        table.add_column(name, justify='left' if name == 'location' else 'right')
    for row in changes.table.head(top).itertuples():
        coordinates = ('', '')
        if row.geometry is not None:
            point = row.geometry.representative_point()
            coordinates = (f'{point.x:.4f}', f'{point.y:.4f}')
        table.add_row(
            row.location,
            f'{row.ratio:.3f}',
            row.decision,
            f'{row.first_year} - {row.last_year}',
            str(row.dates),
            *coordinates,
        )
    return table


def _report(changes: ChangeMap, output: str) -> str:
    """Summarize decisions and what is missing."""
    table = changes.table
    lines = [f'{output}: {_title(changes)}']
    if changes.undecided:
        lines[0] += f': {changes.undecided}; the ratios stand all the same'
    elif changes.mixture is not None:
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


def _last(name: Any) -> str:
    """Name of a class without that of its module."""
    return str(name).rsplit('.', 1)[-1]


def _first_lines(error: Exception) -> str:
    """Beginning of a message that can be very long, in one line."""
    text = ' '.join(str(error).split())
    return text if len(text) <= 200 else f'{text[:200]}...'
