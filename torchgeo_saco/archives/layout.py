# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Folder layout of SeCo, CACo and anything stored like them."""

import datetime
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from torchgeo.datasets.utils import Path

from ..bands import Sensor, band_name

LAYOUT = '<location>/<date or scene id>/<band>.tif'
PREVIEWS = '<location>/<scene id>.tif'

#: Day of a scene whose date is not known.
UNDATED = datetime.date.min

_STRAY = {'__MACOSX', 'lost+found', 'System Volume Information', '$RECYCLE.BIN'}


# Time of day behind a date.
_TIME = re.compile(r'\d{8}T(\d{6})')

# Tile of Sentinel-2, or path and row of Landsat, in the name of a scene.
_TILE = re.compile(r'(?<![A-Za-z0-9])T\d\d[A-Z]{3}(?![A-Za-z0-9])|(?<=_)\d{6}(?=_)')


class LayoutError(ValueError):
    """A folder that holds no location in the layout looked for."""


class Scene(NamedTuple):
    """One acquisition of one location."""

    #: Folder, or preview file, relative to the folder of the location.
    name: str

    #: Day of the acquisition, :data:`UNDATED` where it is not known.
    date: datetime.date

    #: File name of each band, or of all bands together under the empty name.
    files: Mapping[str, str]


class Location:
    """One location with its acquisitions, by date."""

    def __init__(self, name: str, scenes: Sequence[Scene]) -> None:
        """Initialize a new Location instance.

        Args:
            name: Folder of the location, relative to the root.
            scenes: Its acquisitions, the oldest first.
        """
        self.name = name
        self._scenes = tuple(scenes)

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """Its acquisitions, the oldest first."""
        return self._scenes

    @property
    def days(self) -> list[datetime.date]:
        """Days of its acquisitions."""
        return [scene.date for scene in self.scenes]


def scene_date(name: str) -> datetime.date:
    """Day of acquisition in the name of a scene.

    Args:
        name: Such as ``20190415``, ``2019-04-15`` or a Sentinel-2 product identifier. Of
            several dates the first counts: Sentinel-2 puts the acquisition there.

    Returns:
        The day.

    Raises:
        ValueError: If the name holds no date.

    Example:
        >>> scene_date('20200604T054639_20200604T054831_T43RCP')
        datetime.date(2020, 6, 4)
    """
    # The same separator twice; else path and row of Landsat look like a year and a month.
    for year, _, month, day in re.findall(r'(?<!\d)((?:19|20)\d\d)([-_]?)(\d\d)\2(\d\d)', name):
        try:
            return datetime.date(int(year), int(month), int(day))
        except ValueError:
            continue
    raise ValueError(
        f'{name!r} holds no date; name the folder by date as in 20190415, or by Sentinel-2 scene id'
    )


def read_layout(
    root: Path, sensor: Sensor, previews: bool = False
) -> tuple[list[Location], list[str]]:
    """Places below a folder, by name, without opening any image.

    Args:
        root: Folder of the locations.
        sensor: Sensor whose bands are looked for; other files are passed over.
        previews: Look for one 3-band ``<location>/<scene id>.tif`` a scene, not for band files.

    Returns:
        All locations, also those without a scene; and the names of GeoTIFFs that are no band.

    Raises:
        FileNotFoundError: If the folder is missing or no folder.
        PermissionError: If a folder may not be read.
        ValueError: If no location is found, a scene has no date or is there twice, or a band has
            two files.
    """
    require_folder(root)
    shared: dict[frozenset[str], dict[str, str]] = {}
    find = _preview_scenes if previews else _band_scenes
    locations = []
    for folder in list_folders(root):
        scenes = sorted(find(folder.path, sensor, shared), key=lambda scene: scene[1::-1])
        _require_distinct(folder.path, scenes)
        locations.append(Location(folder.name, scenes))
    if not any(scene.files for location in locations for scene in location.scenes):
        pattern = PREVIEWS if previews else LAYOUT
        raise LayoutError(f'{root} holds no location laid out as {pattern}')
    no_band = {name for names, files in shared.items() for name in names - set(files.values())}
    return locations, sorted(no_band)


def complete_locations(
    locations: Iterable[Location],
    bands: Sequence[str],
    lacking_dates: Callable[[Location], str | None],
) -> tuple[list[Location], list[str]]:
    """List locations with enough scenes that have all bands, and what is missing elsewhere.

    Args:
        locations: Locations as listed.
        bands: Bands that a scene must have.
        lacking_dates: Says what dates a location lacks, as a clause, or None if it has enough.

    Returns:
        Locations with their complete scenes; and a clause for every scene and location skipped.
    """
    kept, skipped = [], []
    for location in locations:
        complete = []
        for scene in location.scenes:
            lacking = [band for band in bands if band not in scene.files]
            if lacking:
                skipped.append(f'{location.name}/{scene.name} lacks {", ".join(lacking)}')
            else:
                complete.append(scene)
        if len(complete) < len(location.scenes):
            location = Location(location.name, complete)
        reason = lacking_dates(location)
        if reason is None:
            kept.append(location)
        else:
            skipped.append(reason)
    return kept, skipped


def require_folder(root: Path, pattern: str = LAYOUT) -> None:
    """Refuse a root that is no folder.

    Args:
        root: Folder of the locations.
        pattern: How they are laid out, for the message.

    Raises:
        FileNotFoundError: If it is missing or no folder.
    """
    if not os.path.exists(root):
        raise FileNotFoundError(
            f'{root} does not exist; set root to a folder laid out as {pattern}'
        )
    if not os.path.isdir(root):
        raise FileNotFoundError(f'{root} is a file; set root to a folder laid out as {pattern}')


def list_folders(path: Path) -> list[os.DirEntry[str]]:
    """List sub-folders by name. Unlike glob and walk, this raises where it may not read."""
    try:
        with os.scandir(path) as entries:
            found = [
                entry
                for entry in entries
                if is_data(entry.name) and entry.is_dir() and _is_text(path, entry.name)
            ]
    except PermissionError as error:
        raise PermissionError(f'{path} cannot be listed: permission denied') from error
    return sorted(found, key=lambda entry: entry.name)


def is_data(name: str) -> bool:
    """Whether an entry is data, not what an operating system or editor left behind."""
    return not name.startswith('.') and name not in _STRAY


def _is_text(folder: Path, name: str) -> bool:
    """Refuse a name of bytes that are no UTF-8, which tables and other programs cannot hold."""
    if name.isprintable() or name.encode(errors='replace').decode() == name:
        return True
    raise ValueError(
        f'{folder} has an entry whose name {os.fsencode(name)!r} is no text in UTF-8; rename it'
    )


def list_names(path: Path, wanted: Callable[[str], bool] = lambda name: True) -> list[str]:
    """List names in a folder.

    Args:
        path: The folder.
        wanted: Whether a name is one to list. Others may be anything.

    Raises:
        PermissionError: If the folder may not be read.
        ValueError: If a name is no text.
    """
    try:
        return [name for name in os.listdir(path) if wanted(name) and _is_text(path, name)]
    except PermissionError as error:
        raise PermissionError(f'{path} cannot be listed: permission denied') from error


def list_tifs(path: Path) -> list[str]:
    """List the names of the GeoTIFFs in a folder."""
    return sorted(list_names(path, _is_tif))


def _is_tif(name: str) -> bool:
    """Whether a file is named as a GeoTIFF."""
    return is_data(name) and name.lower().endswith(('.tif', '.tiff'))


def _require_distinct(location: str, scenes: Sequence[Scene]) -> None:
    """Refuse an acquisition that is there twice, as far as names say; one day may have several."""
    for one, other in itertools.pairwise(scenes):
        if one.date == other.date:
            times = {time[1] for s in (one, other) if (time := _TIME.search(s.name))}
            tiles = {tile[0] for s in (one, other) if (tile := _TILE.search(s.name))}
            if len(times) < 2 and len(tiles) < 2:
                raise ValueError(
                    f'{location} has two scenes of {one.date}, {one.name} and {other.name}; remove '
                    'one, or name both with the time as in 20190415T103021'
                )


def _band_scenes(
    location: str, sensor: Sensor, shared: dict[frozenset[str], dict[str, str]]
) -> Iterator[Scene]:
    """Scenes stored as one file a band."""
    for folder in list_folders(location):
        names = frozenset(list_tifs(folder.path))
        # A million scenes share a handful of file lists; keep each list once.
        if names not in shared:
            shared[names] = _band_files(folder.path, sorted(names), sensor)
        # A dated folder without bands is a scene that lacks all of them; others are no scenes.
        if shared[names] or _has_date(folder.name):
            yield Scene(folder.name, _parse_date(folder.path), shared[names])


def _preview_scenes(
    location: str, sensor: Sensor, shared: dict[frozenset[str], dict[str, str]]
) -> Iterator[Scene]:
    """Scenes stored as one preview each."""
    for name in list_tifs(location):
        yield Scene(name, _parse_date(os.path.join(location, name)), {'': ''})


def _band_files(folder: str, names: list[str], sensor: Sensor) -> dict[str, str]:
    """File of each band of the sensor."""
    files: dict[str, str] = {}
    for name in names:
        try:
            band = band_name(os.path.splitext(name)[0], sensor)
        except ValueError:
            continue
        if band in files:
            raise ValueError(
                f'{folder} has two files of band {band}: {files[band]} and {name}; remove one'
            )
        files[band] = name
    return files


def _has_date(name: str) -> bool:
    """Whether a name holds a date."""
    try:
        scene_date(name)
    except ValueError:
        return False
    return True


def _parse_date(path: str) -> datetime.date:
    """Date in the last part of a path; an error names the whole path."""
    try:
        return scene_date(os.path.basename(path))
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error
