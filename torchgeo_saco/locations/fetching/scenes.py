# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Scenes of an archive on disk: each appears at once and whole."""

import datetime
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio

from ...archives.layout import scene_date
from ...bands import SENTINEL2_L2A
from ...io.files import not_whole, writing
from ...io.raster import opened_raster
from .grid import Square
from .items import BandFile, Candidate
from .pixels import NODATA, Band
from .points import DateWindow, TargetLocation

_METADATA = 'metadata.json'

# Hidden, so that the datasets pass over what is not finished.
_UNFINISHED = '.unfinished-'


class Kept(NamedTuple):
    """A scene that is there."""

    #: Name of its folder.
    name: str

    #: DateWindow that it was fetched for.
    window: DateWindow

    #: Day of the acquisition.
    day: datetime.date


def kept_scenes(root: Path, location: TargetLocation, bands: Sequence[str]) -> list[Kept]:
    """Scenes of a location that are there; what a killed run left unfinished is removed.

    Args:
        root: Folder of the archive.
        location: The location.
        bands: Bands that a scene must have.

    Returns:
        Scenes by name.

    Raises:
        ValueError: If the folder holds anything that was fetched for another table of points, or
            not fetched at all.
    """
    folder = root / location.name
    if not folder.is_dir():
        return []
    scenes = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith(_UNFINISHED):
            shutil.rmtree(entry.path)
        elif entry.is_dir() and not entry.name.startswith('.'):
            scenes.append(_kept(Path(entry.path), location, bands))
    return scenes


def write_scene(
    root: Path,
    location: TargetLocation,
    window: DateWindow,
    scene: Candidate,
    bands: Mapping[str, Band],
    files: Mapping[str, BandFile],
    square: Square,
    skipped_scenes: Sequence[str],
) -> Kept:
    """Write ``<root>/<location>/<scene>/<band>.tif`` and ``metadata.json`` beside the bands.

    Args:
        root: Folder of the archive.
        location: The location.
        window: DateWindow that the scene is for.
        scene: The scene.
        bands: Its bands.
        files: Where they come from.
        square: Ground that they show.
        skipped_scenes: Scenes that would have come first, each with the reason.

    Returns:
        The scene as it is there now.

    Raises:
        OSError: If it cannot be written.
        ValueError: If it was not written whole, as where a disk is full.
    """
    name = scene_name(scene)
    folder = root / location.name / name
    unfinished = root / location.name / f'{_UNFINISHED}{name}'
    try:
        with writing(folder, unfinished / _METADATA):
            unfinished.mkdir(parents=True)
            for band, pixels in bands.items():
                _write_band(unfinished / f'{band}.tif', band, pixels, square)
            record = _record(location, window, scene, bands, files, square, skipped_scenes)
            text = json.dumps(record, indent=2) + '\n'
            (unfinished / _METADATA).write_text(text, encoding='utf-8')
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return Kept(name, window, scene.time.date())


def scene_name(scene: Candidate) -> str:
    """Name of the folder of a scene: its identifier, with the time before it if it holds none."""
    name = re.sub(r'[^\w.-]', '-', scene.id, flags=re.ASCII).lstrip('.-')
    try:
        dated = scene_date(name) == scene.time.date()
    except ValueError:
        dated = False
    return name if dated else f'{scene.time:%Y%m%dT%H%M%S}_{name}'


def _kept(folder: Path, location: TargetLocation, bands: Sequence[str]) -> Kept:
    """Scene in a folder."""
    try:
        record = json.loads((folder / _METADATA).read_text(encoding='utf-8'))
        window = DateWindow(*map(datetime.date.fromisoformat, record['window']))
        day = datetime.datetime.fromisoformat(record['datetime']).date()
        point = tuple(record['point'])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{folder} was not fetched by this command ({error}); name another root, or move it '
            'away'
        ) from error
    if point != (location.longitude, location.latitude) or window not in location.windows:
        raise ValueError(
            f'{folder} was fetched for the point {point} and the window {window}, which the table '
            'of points does not have; name another root for another sample'
        )
    lacking = [band for band in bands if not (folder / f'{band}.tif').is_file()]
    if lacking:
        raise ValueError(f'{folder} lacks {", ".join(lacking)}; remove it, and fetch it again')
    return Kept(folder.name, window, day)


def _record(
    location: TargetLocation,
    window: DateWindow,
    scene: Candidate,
    bands: Mapping[str, Band],
    files: Mapping[str, BandFile],
    square: Square,
    skipped_scenes: Sequence[str],
) -> dict[str, Any]:
    """Make the metadata that is written beside the bands."""
    return {
        'item': scene.id,
        'collection': scene.item.get('collection'),
        'datetime': scene.time.isoformat(),
        'cloud_cover': scene.cloud,
        'point': [location.longitude, location.latitude],
        'window': [str(day) for day in window],
        'epsg': square.epsg,
        'bounds': [square.left, square.top - square.size, square.left + square.size, square.top],
        'bands': {
            band: {
                'href': files[band].unsigned,
                'scale': files[band].scale,
                'offset': files[band].offset,
                'below_zero': round(pixels.below_zero, 6),
            }
            for band, pixels in bands.items()
        },
        'skipped_scenes': list(skipped_scenes),
    }


def _write_band(path: Path, band: str, pixels: Band, square: Square) -> None:
    """One georeferenced file of one band."""
    height, width = pixels.numbers.shape
    with (
        writing(path),
        rasterio.open(
            path,
            'w',
            driver='GTiff',
            count=1,
            height=height,
            width=width,
            dtype=pixels.numbers.dtype,
            crs=f'EPSG:{square.epsg}',
            transform=square.transform(SENTINEL2_L2A.bands[band]),
            nodata=NODATA,
            compress='deflate',
            predictor=2,
        ) as file,
    ):
        file.write(pixels.numbers, 1)
        file.set_band_description(1, band)
    # Closing a file does not tell of all that failed. Without its georeference it would be warned
    # of, and filters of warnings are not those of one thread.
    with opened_raster(path, 1, georeference=True) as file:
        written = file.read(1)
    if not np.array_equal(written, pixels.numbers):
        raise not_whole(path)
