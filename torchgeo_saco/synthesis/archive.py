# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Generation of the sample archive on disk."""

import csv
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..runtime.checks import check_range
from .geotiff import write_location
from .landcover import COVERS
from .locations import SampleLocation, sample_location
from .publication import Tree, publish
from .scenes import LocationScenes
from .spectra import SOURCES, SPECTRUM_SOURCES

#: Version of the generator. Archives of other versions hold other pixels.
VERSION = 1

_SMALLEST = 24

_README = """\
# Synthetic seasonal archive

**SYNTHETIC**: no pixel here was measured. Landscapes, weather and sensor are simulated by
`torchgeo_saco.synthesis`, generator version {version}, seed {seed}; the coordinates only give
the files several UTM zones. Made for trying out software, not for statements about the Earth.

- `seasonal/<location>/<scene>/<band>.tif`: {locations} locations x {years} x {dates_per_year}
  dates, Sentinel-2 level 2A as SeCo stores it: reflectance x 255 (uint8), 12 bands on their
  grids of 10, 20 and 60 m.
- `seasonal/labels.csv`: kind of each location, its centre, and whether it changed for good.
- `s1/<location>/<scene>/VV.tif`, `VH.tif`: Sentinel-1 backscatter in dB x 100 (int16).
- `masks/<location>.tif`: land cover of the first year on the 10 m grid, see `classes.csv`.
- `change/<location>.tif`: 1 where land use changed between the years, for changed locations.

The same seed and parameters give the same pixels.

## Spectra
Reflectances are approximate: set by hand to what is usual for each material, not copied from
measurements. Publications to compare them with:

{sources}
"""


class _Parameters(NamedTuple):
    """Parameters that the pixels depend on."""

    version: int
    seed: int
    locations: int
    years: list[int]
    dates_per_year: int
    size: int


def generate_sample_archive(
    root: str | os.PathLike[str],
    locations: int = 200,
    years: Sequence[int] = (2018, 2019),
    dates_per_year: int = 5,
    size: int = 96,
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Generate a synthetic seasonal archive in the layout of SeCo and CACo.

    Does nothing where the same archive is already complete. The archive appears under *root*
    at once and whole: it is written beside it first. The pixels depend on the seed, not on
    the number of processes. Scripts that call this with several workers need the usual
    ``if __name__ == '__main__':``.

    Args:
        root: Folder to make.
        locations: How many locations.
        years: The two years to show, in order.
        dates_per_year: Scenes of each location in a year, 1 to 12.
        size: Pixels of 10 m along a scene, a multiple of 6, at least 24.
        seed: Seed of all randomness, not negative.
        workers: Processes; None for one per processor.
        progress: Whether to report on standard error.

    Returns:
        The folder.

    Raises:
        ValueError: If an argument is out of its range, or *root* holds a sample archive of
            other parameters or another version.
        FileExistsError: If *root* holds anything else.
        RuntimeError: If a worker process dies.
    """
    wanted = _Parameters(VERSION, seed, locations, list(years), dates_per_year, size)
    _require_sound(wanted)
    tree = Tree(
        'sample archive',
        'archive.json',
        wanted._asdict(),
        locations,
        'locations',
        partial(_write_one, wanted),
        partial(_write_tables, wanted),
    )
    return publish(tree, root, workers, progress)


def _require_sound(wanted: _Parameters) -> None:
    """Refuse parameters out of their ranges."""
    check_range('locations', wanted.locations, 'int [1, inf)')
    if wanted.size < _SMALLEST or wanted.size % 6:
        raise ValueError(
            f'size must be a multiple of 6, for the 60 m bands, and at least {_SMALLEST}, '
            f'got {wanted.size}'
        )
    if not 1 <= wanted.dates_per_year <= 12:
        raise ValueError(f'dates_per_year must be 1 to 12, got {wanted.dates_per_year}')
    if len(wanted.years) != 2 or wanted.years[0] >= wanted.years[1]:
        raise ValueError(f'years must be two years in order, got {wanted.years}')
    check_range('seed', wanted.seed, 'int [0, inf)')


def _write_one(wanted: _Parameters, root: Path, index: int) -> SampleLocation:
    """Write the files of one location."""
    location = sample_location(wanted.seed, index, wanted.size)
    scenes = LocationScenes(location, wanted.years, wanted.dates_per_year, wanted.seed)
    write_location(root, scenes)
    return location


def _write_tables(wanted: _Parameters, root: Path, locations: list[SampleLocation]) -> None:
    """Write labels, classes and description."""
    (root / 'change').mkdir(exist_ok=True)
    with (root / 'seasonal' / 'labels.csv').open('w', newline='', encoding='utf-8') as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerow(('location', 'label', 'longitude', 'latitude', 'changed'))
        for location in locations:
            row = (
                location.name,
                location.label,
                location.longitude,
                location.latitude,
                int(location.changed),
            )
            table.writerow(row)
    with (root / 'classes.csv').open('w', newline='', encoding='utf-8') as file:
        table = csv.writer(file, lineterminator='\n')
        table.writerow(('value', 'name', 'color'))
        for cover in COVERS.values():
            table.writerow((cover.value, cover.name, '#{:02x}{:02x}{:02x}'.format(*cover.color)))
    readme = _README.format(**wanted._asdict(), sources=_spectra_by_source())
    (root / 'README.md').write_text(readme, encoding='utf-8')


def _spectra_by_source() -> str:
    """A list of the publications and the materials that follow them."""
    lines = []
    for key, publication in SOURCES.items():
        materials = [name for name, source in SPECTRUM_SOURCES.items() if source == key]
        lines.append(f'- {publication}: {", ".join(materials)}')
    return '\n'.join(lines)
