# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Opening of whole scenes, by what lies at a path."""

import os
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torchgeo.datasets.utils import Path

from ..bands import SENSORS, band_name, band_names
from .raster import open_scene_file
from .scene_reader import BandSource, SceneError, SceneReader


class SceneOptions(NamedTuple):
    """What the user says of a scene; None is taken from the product."""

    #: Bands to read, or for a file without names of bands, its bands in order.
    bands: Sequence[str] | None = None

    #: Sensor, a key of :data:`torchgeo_saco.bands.SENSORS`.
    sensor: str | None = None

    #: Digital number of reflectance 1.
    unit: float | None = None

    #: Added to stored numbers before that.
    offset: float | None = None


#: What opens a scene, by the first that knows the path: from a path and what the user says of it
#: to a scene, or None where the path holds something else.
type SceneOpener = Callable[[str, SceneOptions], SceneReader | None]


def open_raster_scene(path: str, asked: SceneOptions) -> SceneReader | None:
    """Open a GeoTIFF of several bands.

    Bands are named by the descriptions in the file, else by ``bands``, else by the sensor if it
    has as many.

    Args:
        path: The file.
        asked: What the user says.

    Returns:
        The scene, or None if the path is no GeoTIFF.

    Raises:
        SceneError: If the bands have no names.
    """
    if not os.path.isfile(path) or not path.lower().endswith(('.tif', '.tiff')):
        return None
    with open_scene_file(path) as file:
        count, names = file.count, file.descriptions
        tags = [file.tags(channel + 1) for channel in range(count)]
    both = zip(names, tags, strict=True)
    names = [name or tag.get('band') or tag.get('BAND') for name, tag in both]
    if all(names):
        sensor = _sensor(path, names, asked.sensor)
        known = band_names(names, sensor)
        wanted = known if asked.bands is None else band_names(asked.bands, sensor)
        lacking = [band for band in wanted if band not in known]
        if lacking:
            raise SceneError(
                f'{path} has no band {", ".join(lacking)}; its bands are {", ".join(known)}'
            )
        sources = [BandSource(band, path, known.index(band) + 1) for band in wanted]
    else:
        given = asked.bands
        if given is None and asked.sensor is not None:
            given = list(SENSORS[asked.sensor].bands)
        if given is None or len(given) != count:
            raise SceneError(
                f'{path} has {count} bands without names, and {len(given or ())} are given; name '
                'all in their order by bands, such as [B02, B03, B04, B08]'
            )
        sensor = _sensor(path, given, asked.sensor)
        sources = [
            BandSource(band, path, channel)
            for channel, band in enumerate(band_names(given, sensor), 1)
        ]
    return SceneReader(path, sources, sensor, asked.unit, asked.offset)


def open_band_folder(path: str, asked: SceneOptions) -> SceneReader | None:
    """Open a folder of one GeoTIFF a band, ``<band>.tif`` or ``..._<band>.tif``.

    It may be the one folder in the path, as in Major TOM, where a cell holds the folder of its
    product.

    Args:
        path: The folder.
        asked: What the user says.

    Returns:
        The scene, or None if no file there is named by a band.

    Raises:
        SceneError: If a band that is asked for is missing, or has two files.
    """
    folder = path
    entries = [e for e in sorted(os.listdir(path)) if e[:1] != '.'] if os.path.isdir(path) else []
    if len(entries) == 1:
        folder = os.path.join(path, entries[0])
    if not os.path.isdir(folder):
        return None
    names = [n for n in sorted(os.listdir(folder)) if n.lower().endswith(('.tif', '.tiff'))]
    stems = {name: os.path.splitext(name)[0] for name in names if name[:1] != '.'}
    sensor, found = _sensor_of_files(folder, stems, asked.sensor)
    if not found:
        return None
    wanted = [b for b in SENSORS[sensor].bands if b in found]
    if asked.bands is not None:
        wanted = list(band_names(asked.bands, sensor))
    lacking = [band for band in wanted if band not in found]
    if lacking:
        raise SceneError(
            f'{folder} has no file of band {", ".join(lacking)}; it has {", ".join(found)}'
        )
    sources = [BandSource(band, os.path.join(folder, found[band])) for band in wanted]
    return SceneReader(folder, sources, sensor, asked.unit, asked.offset)


#: Tried in this order.
SCENE_OPENERS: list[SceneOpener] = [open_raster_scene, open_band_folder]


def open_scene(
    path: Path,
    bands: Sequence[str] | None = None,
    sensor: str | None = None,
    unit: float | None = None,
    offset: float | None = None,
) -> SceneReader:
    """Open a scene by what lies at a path.

    Args:
        path: GeoTIFF of several bands, or folder of one GeoTIFF a band.
        bands: Bands to read, or names of the bands of a file without; None for all.
        sensor: Sensor, a key of :data:`torchgeo_saco.bands.SENSORS`, or None to tell it by names.
        unit: Digital number of reflectance 1, or None to go by file and type.
        offset: Added to stored numbers before that, or None for that of the file, else 0.

    Returns:
        The scene, which is to be closed.

    Raises:
        FileNotFoundError: If nothing lies there.
        SceneError: If that is no scene, or its bands do not fit together.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f'{path} does not exist; give a GeoTIFF, or a folder of bands')
    if sensor is not None and sensor not in SENSORS:
        raise SceneError(f'unknown sensor {sensor!r}; choose one of {", ".join(SENSORS)}')
    asked = SceneOptions(bands, sensor, unit, offset)
    for opener in SCENE_OPENERS:
        scene = opener(path, asked)
        if scene is not None:
            return scene
    raise SceneError(
        f'{path} is no scene: neither a GeoTIFF of several bands nor a folder of files <band>.tif, '
        'such as B02.tif'
    )


def _sensor(path: str, names: Sequence[str], given: str | None) -> str:
    """Sensor by name, that given or the first whose bands these are."""
    if given is not None:
        return given
    level = re.search(r'MSI(L1C|L2A)', path)
    known = [f'sentinel2_{level[1].lower()}'] if level else []
    for sensor in [*known, *SENSORS]:
        try:
            band_names(names, sensor)
        except ValueError:
            continue
        return sensor
    raise SceneError(
        f'{path} has bands {", ".join(names)}, which are those of no sensor known; set sensor, and '
        'name them by bands'
    )


def _sensor_of_files(
    folder: str, stems: dict[str, str], given: str | None
) -> tuple[str, dict[str, str]]:
    """Sensor that most file names are bands of, and the file of each band."""
    level = re.search(r'MSI(L1C|L2A)', folder)
    likely = [f'sentinel2_{level[1].lower()}'] if level else []
    found: dict[str, dict[str, str]] = {}
    for sensor in [given] if given is not None else [*likely, *SENSORS]:
        files: dict[str, str] = {}
        for name, stem in stems.items():
            band = _band_of(stem, sensor)
            if band is not None and band in files:
                raise SceneError(f'{folder} has two files of band {band}: {files[band]}, {name}')
            if band is not None:
                files[band] = name
        found.setdefault(sensor, files)
    best = max(found, key=lambda sensor: len(found[sensor]))
    return best, found[best]


def _band_of(stem: str, sensor: str) -> str | None:
    """Band that a file is named by, whole or after its last underscore."""
    for text in (stem, stem.rsplit('_', 1)[-1]):
        # Numbers alone name dates and tiles, too.
        if text.isdigit():
            continue
        try:
            return band_name(text, sensor)
        except ValueError:
            continue
    return None
