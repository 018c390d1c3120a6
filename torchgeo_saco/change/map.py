# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Map of change from a pre-trained task, without labels."""

from collections.abc import Generator, Sequence
from contextlib import closing
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np
import torch
from geopandas import GeoDataFrame
from rich.console import Console
from rich.progress import track
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.utils.data import DataLoader

from ..archives.dates import season_distance, too_few_dates, two_years
from ..archives.layout import Location
from ..datasets import SeasonalArchive
from ..losses import l2_normalize
from ..losses.change import change_ratio
from ..models.change import Mixture, bic_gain, two_gaussians
from ..runtime.modes import evaluation_mode
from ..samplers.collate import collate
from ..tasks import ContrastiveTask
from ..transforms import Backscatter, Reflectance

#: Dates that each of both years must have; distances within a year need two.
DATES = 2

#: What can be said of a location.
Decision = Literal['changed', 'unchanged', 'undecided']

#: Fewer locations than this are not parted in two unless another number is given.
LEAST_LOCATIONS = 50


class ChangeMap(NamedTuple):
    """Change of every location of an archive."""

    #: One row a location, by descending ratio.
    table: GeoDataFrame

    #: The components that changed locations are told by, or None if nothing is decided.
    mixture: Mixture | None

    #: Locations that are skipped, with the reason.
    skipped: list[str]

    #: Why nothing is decided, or an empty text.
    undecided: str = ''


class _Visits(NamedTuple):
    """Two years of a location, as positions among its scenes."""

    location: Location
    older: list[int]
    later: list[int]


def change_map(
    task: ContrastiveTask,
    archive: SeasonalArchive,
    reflectance: Reflectance | Backscatter | None = None,
    batch_size: int = 64,
    num_workers: int = 0,
    console: Console | None = None,
    least_locations: int = LEAST_LOCATIONS,
) -> ChangeMap:
    """How much every location changed between two years, by a pre-trained task.

    All dates of two years of a location are embedded by the online encoder, in the sub-space where
    dates of one location lie close. The ratio is the mean distance between dates of different years
    over the mean distance between dates of one year. A mixture of two Gaussians over all locations
    tells which ones have changed, if the locations are many enough, and if two Gaussians describe
    them better than one by the Bayesian information criterion (BIC); else all are undecided.

    Args:
        task: A trained task; its mode is kept.
        archive: Archive of the locations. Those without two dates in each of two years are left
            out.
        reflectance: Reflectance from stored numbers, or None to go by their type.
        batch_size: Images embedded at a time.
        num_workers: Processes that read.
        console: Where to show progress, or None for nowhere.
        least_locations: Number of locations below which nothing is decided.

    Returns:
        Table with ``location``, ``ratio``, ``decision`` (changed, unchanged or undecided),
        ``threshold`` (NaN if undecided), ``short_distance``, ``long_distance``,
        ``long_same_season`` (between dates of nearest season alone), ``first_year``, ``last_year``,
        ``dates`` and the footprint in EPSG:4326, None of files without georeference; the mixture;
        what was skipped; and why nothing is decided.

    Raises:
        ValueError: If the archive has other channels than the task, no location has two years, or
            an embedding is NaN or infinite.
        BandFileError: If a file cannot be read.
    """
    if archive.bands != task.bands:
        raise ValueError(
            f'the archive has bands {", ".join(archive.bands)}, the task was made for '
            f'{", ".join(task.bands or ("none yet",))}; read these'
        )
    visits, skipped = _visits(archive)
    reflectance = reflectance or Reflectance()
    found = _embeddings(task, archive, visits, reflectance, batch_size, num_workers)
    rows = []
    with closing(found) as embeddings:
        for visit in track(
            visits, 'locations', console=console, disable=console is None, transient=True
        ):
            count = len(visit.older)
            own = torch.stack(list(islice(embeddings, count + len(visit.later))))
            if not own.isfinite().all():
                raise ValueError(
                    f'an embedding of {visit.location.name} is NaN or infinite; look at its files, '
                    'and whether the training went well'
                )
            rows.append(_row(archive, visit, own[:count], own[count:]))
    table = GeoDataFrame(rows, geometry='geometry', crs='EPSG:4326')
    return _decide(table, skipped, least_locations)


def distances(
    older: Tensor, later: Tensor, pairs: Sequence[tuple[int, int]] = ()
) -> tuple[float, float, float]:
    """Mean distances of embeddings within and between two years.

    Args:
        older: Embeddings of the older year, (N, D), N at least 2.
        later: Embeddings of the later year, (M, D), M at least 2.
        pairs: Positions in both years that belong together.

    Returns:
        Within a year, the mean of both years; between years, over all pairs of dates; and between
        years over *pairs*, NaN if there are none.
    """
    between = _all_distances(older, later)
    within = [
        (_all_distances(year, year).sum() / (len(year) * (len(year) - 1)))
        for year in (older, later)
    ]
    paired = [between[i, j].item() for i, j in pairs]
    return (
        torch.stack(within).mean().item(),
        between.mean().item(),
        sum(paired) / len(paired) if paired else float('nan'),
    )


def _all_distances(first: Tensor, second: Tensor) -> Tensor:
    """Distance of every two embeddings, (N, M), exact also where they nearly coincide."""
    return torch.cdist(first, second, compute_mode='donot_use_mm_for_euclid_dist')


def _visits(archive: SeasonalArchive) -> tuple[list[_Visits], list[str]]:
    """List locations with two years, and why others are skipped."""
    visits, skipped = [], []
    for location in archive.locations:
        years = two_years(location, DATES, archive.year_rule)
        if years is None:
            reason = too_few_dates(location, DATES, 'years', 'any', archive.year_rule)
            skipped.append(reason or location.name)
        else:
            visits.append(_Visits(location, *years))
    if not visits:
        raise ValueError(
            f'{archive.root} has no location with {DATES} dates in each of two years, such as '
            f'{skipped[0] if skipped else "any"}; add dates, or set year_rule=halves if years '
            'cross the turn of the year'
        )
    return visits, skipped


def _embeddings(
    task: ContrastiveTask,
    archive: SeasonalArchive,
    visits: Sequence[_Visits],
    reflectance: Reflectance | Backscatter,
    batch_size: int,
    num_workers: int,
) -> Generator[Tensor]:
    """Embeddings of all dates of the visits in their order, of length one, float64."""
    part = archive.subset([visit.location.name for visit in visits], 1, 'date')
    order, start = [], 0
    for visit in visits:
        order += [start + scene for scene in (*visit.older, *visit.later)]
        start += len(visit.location.days)
    loader = DataLoader(
        part,
        batch_size,
        sampler=order,
        num_workers=num_workers,
        collate_fn=collate,
        multiprocessing_context=part.worker_context if num_workers else None,
    )
    with evaluation_mode(task):
        for batch in loader:
            image = reflectance(batch['image'].to(task.device)).flatten(0, -4)
            with torch.inference_mode():
                projections = task.query(task.views.original(image))[task.season_space]
                found = l2_normalize(projections.mean(1)).cpu().double()
            yield from found


def _row(
    archive: SeasonalArchive, visit: _Visits, older: Tensor, later: Tensor
) -> dict[str, object]:
    """Row of the table of one location."""
    location = visit.location
    days = [[location.days[scene] for scene in year] for year in (visit.older, visit.later)]
    apart = [[season_distance(first, second) for second in days[1]] for first in days[0]]
    pairs = list(zip(*linear_sum_assignment(apart), strict=True))
    short, long, same_season = distances(older, later, pairs)
    ratio = change_ratio(torch.tensor(short).double(), torch.tensor(long).double())
    return {
        'location': location.name,
        'ratio': ratio.item(),
        'short_distance': short,
        'long_distance': long,
        'long_same_season': same_season,
        'first_year': days[0][0].year,
        'last_year': days[1][-1].year,
        'dates': len(days[0]) + len(days[1]),
        'geometry': archive.footprint(location),
    }


def _decide(table: GeoDataFrame, skipped: list[str], least_locations: int) -> ChangeMap:
    """The map, with what the mixture tells of every location."""
    ratios = table['ratio'].to_numpy()
    mixture = two_gaussians(ratios)
    reason = _undecided(ratios, mixture, least_locations)
    mixture = None if reason else mixture
    decisions: Sequence[Decision] = ['undecided'] * len(ratios)
    if mixture is not None:
        decisions = ['changed' if upper else 'unchanged' for upper in mixture.upper(ratios)]
    table.insert(2, 'decision', decisions)
    table.insert(3, 'threshold', float('nan') if mixture is None else mixture.threshold)
    table = table.sort_values(['ratio', 'location'], ascending=[False, True], ignore_index=True)
    return ChangeMap(table, mixture, skipped, reason)


def _undecided(ratios: np.ndarray, mixture: Mixture | None, least_locations: int) -> str:
    """Why ratios do not tell which locations have changed, or an empty text."""
    if len(ratios) < least_locations:
        return f'{len(ratios)} locations are fewer than least_locations={least_locations}'
    if mixture is None:
        return 'two kinds of locations need two different ratios'
    gain = bic_gain(ratios, mixture)
    if gain <= 0:
        return (
            'two Gaussians describe the ratios no better than one '
            f'(BIC {-gain:.1f} higher), so there may be one kind of location'
        )
    return ''
