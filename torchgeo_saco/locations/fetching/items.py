# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""STAC items of scenes: time, cloud cover, footprint, files and unit of their numbers."""

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from shapely.geometry import shape

from ...bands import SENTINEL2_L2A, band_name
from .grid import Square, around
from .points import DateWindow

#: A STAC item, as it came.
Item = Mapping[str, Any]

# Common names of https://github.com/stac-extensions/eo in versions 1 and 2, and the names that
# Earth Search gives to bands. Plain `rededge` is any of three bands.
_COMMON = {
    'coastal': 'B01',
    'blue': 'B02',
    'green': 'B03',
    'red': 'B04',
    'rededge1': 'B05',
    'rededge2': 'B06',
    'rededge3': 'B07',
    'rededge071': 'B05',
    'rededge075': 'B06',
    'rededge078': 'B07',
    'nir': 'B08',
    'nir08': 'B8A',
    'nir09': 'B09',
    'swir16': 'B11',
    'swir22': 'B12',
}

# QUANTIFICATION_VALUE, and BOA_ADD_OFFSET from processing baseline 04.00 on, as reflectance,
# https://sentiwiki.copernicus.eu/web/s2-products
_SCALE, _OFFSET, _OFFSET_SINCE = 1e-4, -0.1, 4.0

# Lists of bands in an asset, in STAC 1.1 and the extensions of STAC 1.0.
_BAND_LISTS = ('bands', 'eo:bands', 'raster:bands')

# What GDAL reads without settings of its own.
_REMOTE = ('https', 'http', 's3', 'gs')


class ItemError(ValueError):
    """An item that cannot be used; the message says why, as a clause."""


class BandFile(NamedTuple):
    """One band of a scene: its file, and the unit of its numbers."""

    #: Address.
    href: str

    #: Media type, or an empty text.
    kind: str

    #: Reflectance of one step of the numbers.
    scale: float

    #: Reflectance of the number 0.
    offset: float

    #: Number that stands for no data.
    nodata: float

    @property
    def unsigned(self) -> str:
        """Address without its query, which may hold a signature, and without a password."""
        scheme, host, path, *_ = urlsplit(self.href)
        return urlunsplit((scheme, host.rpartition('@')[2], path, '', ''))


class Candidate(NamedTuple):
    """A scene that may be taken for a window."""

    #: Identifier in the catalogue.
    id: str

    #: Time of acquisition, UTC.
    time: datetime.datetime

    #: Share of cloud in the whole scene, in percent.
    cloud: float

    #: The item.
    item: Item


def rank_scenes(
    items: Sequence[Item], window: DateWindow, square: Square, max_cloud: float
) -> tuple[list[Candidate], list[str]]:
    """Scenes that fit, the best one first, and why the others do not.

    Every acquisition comes in a tile of the UTM zone of the location, whose pixels need no
    resampling; these go first. Then the least cloudy, then the one nearest to the middle of
    the window.

    Args:
        items: What the catalogue found. It is not trusted to have kept to what was asked.
        window: Days asked for.
        square: Ground that the scene must cover.
        max_cloud: Share of cloud, in percent, below which a scene must lie.

    Returns:
        Candidates; and one clause for each other item.
    """
    found, reasons = [], []
    outline = square.outline()
    for item in items:
        try:
            _require_sound(item)
            found.append(_candidate(item, window, square, outline, max_cloud))
        except ItemError as error:
            name = item.get('id') if isinstance(item, Mapping) else None
            reasons.append(f'{name or "an item without id"} {error}')
    found.sort(
        key=lambda scene: (
            _zone(scene.item) not in (None, square.epsg),
            scene.cloud,
            abs(scene.time - window.middle),
            scene.id,
        )
    )
    return found, reasons


def band_files(item: Item, bands: Sequence[str]) -> dict[str, BandFile]:
    """Files of the bands, whatever the catalogue calls them.

    A band is known by its name (``B02``), by its common name (``blue``) or by the name of the
    asset. Of several files of a band, the one at its own resolution is taken, GeoTIFF first.

    Args:
        item: The item.
        bands: Canonical names.

    Returns:
        File of each band.

    Raises:
        ItemError: If a band has no file, or the unit of its numbers is unknown.
    """
    files: dict[str, list[tuple[Any, str]]] = {}
    for key, asset in item.get('assets', {}).items():
        band = _band(key, asset)
        if band is not None and urlsplit(asset.get('href', '')).scheme in _REMOTE:
            files.setdefault(band, []).append((_preference(asset, band), key))
    lacking = [band for band in bands if band not in files]
    if lacking:
        raise ItemError(f'has no file of {", ".join(lacking)}')
    keys = {band: min(files[band])[1] for band in bands}
    return {band: _band_file(item, item['assets'][key]) for band, key in keys.items()}


def _require_sound(item: Any) -> None:
    """Refuse what is no item, https://github.com/radiantearth/stac-spec, before it is looked at."""
    if not isinstance(item, Mapping) or not isinstance(item.get('id'), str) or not item['id']:
        raise ItemError('is none, for it has no id')
    for name in ('properties', 'assets'):
        if not isinstance(item.get(name), Mapping):
            raise ItemError(f'has no mapping {name}, but {item.get(name)!r}')
    for key, asset in item['assets'].items():
        if not isinstance(asset, Mapping) or not isinstance(asset.get('href'), str):
            raise ItemError(f'has an asset {key} without href')
        for name in _BAND_LISTS:
            listed = asset.get(name) or []
            if not isinstance(listed, list) or not all(isinstance(b, Mapping) for b in listed):
                raise ItemError(f'has an asset {key} whose {name} is no list of mappings')


def _shape(ground: Any) -> Any:
    """Footprint of an item."""
    try:
        return shape(ground)
    # Shapely raises anything on what is no GeoJSON.
    except Exception as error:
        raise ItemError(f'has a geometry that is no GeoJSON ({error})') from error


def _candidate(
    item: Item, window: DateWindow, square: Square, outline: Any, max_cloud: float
) -> Candidate:
    """Scene of an item, if it fits."""
    time = _time(item)
    if not window.start <= time.date() <= window.end:
        raise ItemError(f'is of {time.date()}')
    cloud = item['properties'].get('eo:cloud_cover')
    if not isinstance(cloud, int | float) or not math.isfinite(cloud):
        raise ItemError('does not say how cloudy it is')
    if cloud >= max_cloud:
        raise ItemError(f'has {cloud:.4g} % cloud')
    # Where the footprint is unknown, the pixels decide.
    ground = item.get('geometry')
    if ground and not around(_shape(ground), square.longitude).covers(outline):
        raise ItemError('covers the square in part')
    return Candidate(str(item['id']), time, float(cloud), item)


def _time(item: Item) -> datetime.datetime:
    """Time of acquisition."""
    properties = item.get('properties') or {}
    text: Any = properties.get('datetime') or properties.get('start_datetime')
    try:
        time = datetime.datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise ItemError(f'has no time of acquisition, but {text!r}') from error
    return time.replace(tzinfo=time.tzinfo or datetime.UTC).astimezone(datetime.UTC)


def _zone(item: Item) -> int | None:
    """Number of the coordinate reference system of a scene, if it is given."""
    properties = item['properties']
    code = properties.get('proj:epsg') or str(properties.get('proj:code', '')).removeprefix('EPSG:')
    return int(code) if str(code).isdigit() else None


def _parts(asset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Metadata of each band in an asset, in STAC 1.1 or the extensions of STAC 1.0."""
    lists = [asset.get(name) or [] for name in _BAND_LISTS]
    count = max(map(len, lists))
    parts = [{**asset} for _ in range(count or 1)]
    for listed in lists:
        for part, more in zip(parts, listed, strict=False):
            part.update(more)
    return parts


def _band(key: str, asset: Mapping[str, Any]) -> str | None:
    """Canonical name of the band that an asset holds, if it holds one."""
    parts = _parts(asset)
    if len(parts) != 1:
        return None
    part = parts[0]
    names = (part.get('name'), key, part.get('eo:common_name'), part.get('common_name'))
    for name in names:
        if isinstance(name, str) and name.lower() in _COMMON:
            return _COMMON[name.lower()]
        try:
            return band_name(name, SENTINEL2_L2A)  # type: ignore[arg-type]
        except ValueError:
            continue
    return None


def _preference(asset: Mapping[str, Any], band: str) -> tuple[float, bool, bool]:
    """Rank of a file among those of one band, the lowest first."""
    part = _parts(asset)[0]
    pixel = (
        part.get('gsd') or part.get('spatial_resolution') or part.get('raster:spatial_resolution')
    )
    pixel = pixel or (part.get('proj:transform') or [None])[0]
    wanted = SENTINEL2_L2A.bands[band]
    misfit = abs(math.log(pixel / wanted)) if pixel else 0.0
    remote = urlsplit(asset['href']).scheme in ('https', 'http')
    return misfit, 'tiff' not in asset.get('type', ''), not remote


def _band_file(item: Item, asset: Mapping[str, Any]) -> BandFile:
    """File of a band with the unit of its numbers."""
    part = _parts(asset)[0]
    scale = part.get('raster:scale', part.get('scale'))
    offset = part.get('raster:offset', part.get('offset'))
    baseline = _baseline(item)
    properties = item['properties']
    if any(
        properties.get(f'{prefix}:boa_offset_applied') for prefix in ('earthsearch', 'sentinel')
    ):
        # Earth Search goes on declaring the offset that it has subtracted already,
        # https://github.com/Element84/earth-search/issues/66
        offset = 0.0
    elif baseline is not None and baseline < _OFFSET_SINCE:
        offset = 0.0
    elif offset is None and baseline is not None:
        offset = _OFFSET
    elif offset is None and scale is None:
        raise ItemError('tells neither scale and offset of its numbers nor a processing baseline')
    try:
        file = BandFile(
            asset['href'],
            str(asset.get('type') or ''),
            float(_SCALE if scale is None else scale),
            float(offset or 0.0),
            float(part.get('nodata') or 0.0),
        )
    except (TypeError, ValueError) as error:
        raise ItemError(f'has scale {scale!r}, offset {offset!r}, not numbers') from error
    if not (math.isfinite(file.scale) and file.scale > 0 and math.isfinite(file.offset)):
        raise ItemError(f'has scale {scale!r}, offset {offset!r}, not finite numbers')
    return file


def _baseline(item: Item) -> float | None:
    """Processing baseline, from where the catalogues keep it."""
    properties = item['properties']
    for name in ('s2:processing_baseline', 'sentinel:processing_baseline', 'processing:version'):
        text = str(properties.get(name, ''))
        if re.fullmatch(r'\d\d?\.\d+', text):
            return float(text)
    for text in (str(properties.get('s2:product_uri', '')), str(item['id'])):
        match = re.search(r'_N(\d\d)(\d\d)_', text)
        if match:
            return float(f'{match[1]}.{match[2]}')
    return None
