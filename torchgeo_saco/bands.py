# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Band names, sensors and band groups: the only location that knows a band order."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Sensor(NamedTuple):
    """Bands of one instrument, in its usual file order."""

    #: Name shown in messages.
    name: str

    #: Canonical band names, and the side of a pixel in metres.
    bands: dict[str, float]

    #: Published three-band combinations, red channel first.
    groups: dict[str, tuple[str, str, str]]

    #: Band that stands in for another where the image lacks that one.
    substitutes: dict[str, str] | None = None

    #: Shortest and longest wavelength of bands in micrometres, or None where they are not known.
    wavelengths: dict[str, tuple[float, float]] | None = None


class BandGroup(NamedTuple):
    """Three bands shown to the backbone as one image."""

    #: Name of the group, such as ``natural_color``.
    name: str

    #: Canonical names of its bands, in channel order.
    bands: tuple[str, str, str]


class SkippedGroup(NamedTuple):
    """A group that the bands at hand cannot form."""

    #: Name of the group.
    name: str

    #: Why it cannot be formed, as a clause.
    reason: str


# Group table of SACo+, README of the original code. Only this table is used: the slices
# in the code itself pick other bands for four of the seven groups.
_SACO_GROUPS = {
    'natural_color': ('B04', 'B03', 'B02'),
    'near_infrared': ('B08', 'B04', 'B03'),
    'urban': ('B12', 'B11', 'B04'),
    'agriculture': ('B11', 'B8A', 'B02'),
    'atmospheric_penetration': ('B12', 'B11', 'B8A'),
    'complementary_1': ('B01', 'B05', 'B06'),
    'complementary_2': ('B07', 'B08', 'B10'),
}

# https://sentiwiki.copernicus.eu/web/s2-mission, band widths and resolutions
_SENTINEL2_BANDS = {
    'B01': 60.0,
    'B02': 10.0,
    'B03': 10.0,
    'B04': 10.0,
    'B05': 20.0,
    'B06': 20.0,
    'B07': 20.0,
    'B08': 10.0,
    'B8A': 20.0,
    'B09': 60.0,
    'B10': 60.0,
    'B11': 20.0,
    'B12': 20.0,
}

# Central wavelength plus and minus half of the width, of Sentinel-2A,
# https://sentiwiki.copernicus.eu/web/s2-mission
_SENTINEL2_WAVELENGTHS = {
    'B01': (0.432, 0.453),
    'B02': (0.460, 0.525),
    'B03': (0.542, 0.578),
    'B04': (0.649, 0.680),
    'B05': (0.697, 0.711),
    'B06': (0.733, 0.748),
    'B07': (0.773, 0.793),
    'B08': (0.780, 0.886),
    'B8A': (0.854, 0.875),
    'B09': (0.935, 0.955),
    'B10': (1.358, 1.389),
    'B11': (1.568, 1.660),
    'B12': (2.115, 2.290),
}

# SACo+ replaces the cirrus band by water vapour where the sensor has no cirrus band.
_SACO_SUBSTITUTES = {'B10': 'B09'}

SENTINEL2_L1C = Sensor(
    'Sentinel-2 L1C', _SENTINEL2_BANDS, _SACO_GROUPS, _SACO_SUBSTITUTES, _SENTINEL2_WAVELENGTHS
)

# Atmospheric correction uses the cirrus band B10 up.
SENTINEL2_L2A = Sensor(
    'Sentinel-2 L2A',
    {band: size for band, size in _SENTINEL2_BANDS.items() if band != 'B10'},
    _SACO_GROUPS,
    _SACO_SUBSTITUTES,
    {band: edges for band, edges in _SENTINEL2_WAVELENGTHS.items() if band != 'B10'},
)

# Same combinations under the numbering of the Operational Land Imager,
# https://www.usgs.gov/landsat-missions/landsat-8
LANDSAT_8_9 = Sensor(
    'Landsat 8/9',
    {f'B{band:02d}': size for band, size in enumerate([30.0] * 7 + [15.0, 30.0, 100.0, 100.0], 1)},
    {
        'natural_color': ('B04', 'B03', 'B02'),
        'near_infrared': ('B05', 'B04', 'B03'),
        'urban': ('B07', 'B06', 'B04'),
        'agriculture': ('B06', 'B05', 'B02'),
        'atmospheric_penetration': ('B07', 'B06', 'B05'),
    },
    wavelengths={
        'B01': (0.43, 0.45),
        'B02': (0.45, 0.51),
        'B03': (0.53, 0.59),
        'B04': (0.64, 0.67),
        'B05': (0.85, 0.88),
        'B06': (1.57, 1.65),
        'B07': (2.11, 2.29),
        'B08': (0.50, 0.68),
        'B09': (1.36, 1.38),
        'B10': (10.60, 11.19),
        'B11': (11.50, 12.51),
    },
)

# Thematic Mapper (TM) of Landsat 4 and 5, Enhanced Thematic Mapper Plus (ETM+) of Landsat 7, which
# adds the panchromatic band B08; B06 is thermal. Products have B06 on the grid of the others.
# https://www.usgs.gov/landsat-missions/landsat-5, https://www.usgs.gov/landsat-missions/landsat-7
LANDSAT_4_7 = Sensor(
    'Landsat 4-7',
    {f'B{band:02d}': size for band, size in enumerate([30.0] * 7 + [15.0], 1)},
    {
        'natural_color': ('B03', 'B02', 'B01'),
        'near_infrared': ('B04', 'B03', 'B02'),
        'urban': ('B07', 'B05', 'B03'),
        'agriculture': ('B05', 'B04', 'B01'),
        'atmospheric_penetration': ('B07', 'B05', 'B04'),
    },
    wavelengths={
        'B01': (0.45, 0.52),
        'B02': (0.52, 0.60),
        'B03': (0.63, 0.69),
        'B04': (0.76, 0.90),
        'B05': (1.55, 1.75),
        'B06': (10.40, 12.50),
        'B07': (2.08, 2.35),
        'B08': (0.52, 0.90),
    },
)

# Backscatter of ground-range detected products at 10 m, in dB, in the order of SSL4EO-S12,
# BigEarthNet and SEN12MS. A group has three channels; VV, which has less noise, is there twice.
SENTINEL1 = Sensor(
    'Sentinel-1', {'VV': 10.0, 'VH': 10.0}, {'dual_polarization': ('VV', 'VH', 'VV')}
)

# Both, for backbones that take the bands of both at once.
SENTINEL1_2 = Sensor(
    'Sentinel-1 and Sentinel-2', SENTINEL1.bands | _SENTINEL2_BANDS, _SACO_GROUPS, _SACO_SUBSTITUTES
)

RGB = Sensor('RGB', {'R': 1.0, 'G': 1.0, 'B': 1.0}, {'natural_color': ('R', 'G', 'B')})

# Panchromatic and multispectral sensor, 0.8 m and 3.2 m at nadir: blue, green, red, near infrared
GAOFEN2 = Sensor(
    'Gaofen-2',
    {'PAN': 0.8, 'B01': 3.2, 'B02': 3.2, 'B03': 3.2, 'B04': 3.2},
    {'natural_color': ('B03', 'B02', 'B01'), 'near_infrared': ('B04', 'B03', 'B02')},
    wavelengths={
        'PAN': (0.45, 0.90),
        'B01': (0.45, 0.52),
        'B02': (0.52, 0.59),
        'B03': (0.63, 0.69),
        'B04': (0.77, 0.89),
    },
)

# Blue, green, red and near infrared of the first instrument (PS2), Planet imagery product
# specifications, 2019; later ones and Planet Fusion, which combines several, differ a little.
PLANETSCOPE = Sensor(
    'PlanetScope',
    {f'B{band:02d}': 3.0 for band in range(1, 5)},
    {'natural_color': ('B03', 'B02', 'B01'), 'near_infrared': ('B04', 'B03', 'B02')},
    wavelengths={
        'B01': (0.455, 0.515),
        'B02': (0.500, 0.590),
        'B03': (0.590, 0.670),
        'B04': (0.780, 0.860),
    },
)

#: Sensors by the name used in configuration files.
SENSORS = {
    'sentinel2_l1c': SENTINEL2_L1C,
    'sentinel2_l2a': SENTINEL2_L2A,
    'landsat_8_9': LANDSAT_8_9,
    'sentinel1': SENTINEL1,
    'sentinel1_2': SENTINEL1_2,
    'rgb': RGB,
    'gaofen2': GAOFEN2,
    'landsat_4_7': LANDSAT_4_7,
    'planetscope': PLANETSCOPE,
}

_MODALITIES = {'sentinel1': 's1', 'sentinel2_l1c': 's2', 'sentinel2_l2a': 's2'}

_COLORS = {'RED': 'R', 'GREEN': 'G', 'BLUE': 'B', 'PANCHROMATIC': 'PAN'}


def known_sensor(name: str | Sensor) -> Sensor:
    """Sensor of that name.

    Args:
        name: A key of :data:`SENSORS`, or a sensor, which is returned as it is.

    Returns:
        The sensor.

    Raises:
        ValueError: If no sensor has that name.
    """
    if isinstance(name, Sensor):
        return name
    if name not in SENSORS:
        raise ValueError(f'unknown sensor {name!r}; choose one of {", ".join(SENSORS)}')
    return SENSORS[name]


def modality_name(sensor: str) -> str:
    """Name of the images of a sensor in a batch of several modalities.

    Args:
        sensor: A key of :data:`SENSORS`.

    Returns:
        ``s1`` or ``s2``, or the key itself of other sensors.

    Example:
        >>> modality_name('sentinel2_l2a'), modality_name('gaofen2')
        ('s2', 'gaofen2')
    """
    return _MODALITIES.get(sensor, sensor)


def band_name(spelling: str, sensor: str | Sensor = SENTINEL2_L1C) -> str:
    """Canonical name of a band, however it is spelled.

    ``B4``, ``b04``, ``B04``, ``Band 4`` and ``SR_B4`` are one band.

    Args:
        spelling: Name as a file, a catalogue or a user writes it.
        sensor: Sensor that has the band.

    Returns:
        Name as in :attr:`Sensor.bands`.

    Raises:
        ValueError: If the sensor has no such band; the message names the closest one.

    Example:
        >>> band_name('b8a'), band_name('SR_B4', LANDSAT_8_9), band_name('red', RGB)
        ('B8A', 'B04', 'R')
    """
    known = known_sensor(sensor).bands
    if not isinstance(spelling, str):
        raise ValueError(f'a band is named by text such as {next(iter(known))!r}, got {spelling!r}')
    text = re.sub(r'^(SR_|BAND)', '', re.sub(r'[\s_-]+(?=\d)', '', spelling.strip().upper()))
    text = _COLORS.get(text, text)
    number = re.fullmatch(r'B?0*(\d+)(A?)', text)
    if number:
        digits, suffix = number.groups()
        text = f'B{digits}{suffix}' if suffix else f'B{int(digits):02d}'
    if text in known:
        return text
    close = difflib.get_close_matches(text, known, n=1, cutoff=0.0)[0]
    raise ValueError(
        f'{known_sensor(sensor).name} has no band {spelling!r}; did you mean {close!r}? '
        f'Its bands are {", ".join(known)}'
    )


def band_names(spellings: Iterable[str], sensor: str | Sensor = SENTINEL2_L1C) -> tuple[str, ...]:
    """Canonical names of several bands, in the order given.

    Args:
        spellings: Names in any spelling.
        sensor: Sensor that has the bands.

    Returns:
        Names as in :attr:`Sensor.bands`.

    Raises:
        ValueError: If the sensor lacks a band, a band is listed twice, or none is listed.
    """
    if isinstance(spellings, str) or not isinstance(spellings, Iterable):
        raise ValueError(f'bands must be a list of names, got {spellings!r}')
    spellings = list(spellings)
    names = tuple(band_name(spelling, sensor) for spelling in spellings)
    for position, name in enumerate(names):
        first = names.index(name)
        if first != position:
            raise ValueError(
                f'band {name} is listed twice, as {spellings[first]!r} at position {first} '
                f'and {spellings[position]!r} at position {position}; remove one'
            )
    if not names:
        raise ValueError('bands is empty; list at least one band')
    return names


def band_index(bands: Sequence[str], wanted: Iterable[str]) -> list[int]:
    """Channel of each wanted band in an image.

    Args:
        bands: Canonical names of the channels of the image.
        wanted: Canonical names to look up.

    Returns:
        One channel number per wanted band.

    Raises:
        ValueError: If the image lacks a band.
    """
    bands = list(bands)
    wanted = list(wanted)
    missing = [band for band in wanted if band not in bands]
    if missing:
        raise ValueError(
            f'the image has no band {", ".join(missing)}; its bands are {", ".join(bands)}'
        )
    return [bands.index(band) for band in wanted]


def band_groups(
    groups: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    sensor: str | Sensor = SENTINEL2_L1C,
) -> list[BandGroup]:
    """Groups asked for, by published name or by their bands.

    Args:
        groups: Names of published groups, a mapping from names of your own to three bands
            each, or None for all published groups of the sensor.
        sensor: Sensor that has the bands.

    Returns:
        The groups, their bands in canonical spelling.

    Raises:
        ValueError: If a name is unknown or given twice, a group has not exactly three bands,
            a band is unknown, or *groups* is empty.

    References:
        SACo+, 2025, https://doi.org/10.1016/j.isprsjprs.2025.02.024, band combinations.

    Example:
        >>> band_groups({'moisture': ['B8A', 'B11', 'B04']})
        [BandGroup(name='moisture', bands=('B8A', 'B11', 'B04'))]
    """
    sensor = known_sensor(sensor)
    if groups is None:
        return [BandGroup(name, bands) for name, bands in sensor.groups.items()]
    if isinstance(groups, str) or not isinstance(groups, Sequence | Mapping):
        raise ValueError(f'groups must be a list or a mapping, got {groups!r}')
    if not groups:
        raise ValueError('groups is empty; leave it out to use all published groups')
    if isinstance(groups, Mapping):
        return [_own_group(name, bands, sensor) for name, bands in groups.items()]
    for position, name in enumerate(groups):
        if not isinstance(name, str):
            raise ValueError(
                f'a published group is named by text, got {name!r}; '
                'to add one of your own, map its name to three bands'
            )
        if name in groups[:position]:
            raise ValueError(f'group {name!r} is listed twice; remove one')
    return [_published_group(name, sensor) for name in groups]


def nearest_bands(
    bands: Sequence[str], sensor: str | Sensor, others: Sequence[str], other_sensor: str | Sensor
) -> dict[str, str]:
    """Bands of one sensor, and the band of another that is nearest to each by wavelength.

    Two bands correspond if their ranges of wavelengths overlap; of several, the one whose centre
    is nearest.

    Args:
        bands: Bands of the first sensor, in any spelling.
        sensor: The first sensor.
        others: Bands of the other sensor to choose among, in any spelling.
        other_sensor: The other sensor.

    Returns:
        Band of the other sensor by band of the first, in canonical names; without those bands that
        nothing overlaps. Several may have the same one.

    Raises:
        ValueError: If a band is unknown, or the wavelengths of a sensor are not known.

    Example:
        >>> nearest_bands(['B02', 'B05', 'B8A'], 'sentinel2_l2a', ['B1', 'B4'], 'landsat_4_7')
        {'B02': 'B01', 'B8A': 'B04'}
    """
    sensor, other_sensor = known_sensor(sensor), known_sensor(other_sensor)
    bands, others = band_names(bands, sensor), band_names(others, other_sensor)
    if sensor == other_sensor:
        return {band: band for band in bands if band in others}
    for one, wanted in ((sensor, bands), (other_sensor, others)):
        if not set(wanted) <= set(one.wavelengths or ()):
            raise ValueError(
                f'the wavelengths of {one.name} are not known, so its bands cannot be matched with '
                f'those of {(other_sensor if one is sensor else sensor).name}; use images of one '
                'sensor'
            )
    ours, theirs = sensor.wavelengths or {}, other_sensor.wavelengths or {}
    found = {}
    for band in bands:
        low, high = ours[band]
        near = [other for other in others if theirs[other][0] < high and low < theirs[other][1]]
        if near:
            found[band] = min(near, key=lambda other: abs(sum(theirs[other]) - sum(ours[band])))
    return found


def natural_color(bands: Sequence[str], sensor: Sensor) -> list[int] | None:
    """Return the channels of red, green and blue.

    Args:
        bands: Names of the channels.
        sensor: Their sensor.

    Returns:
        Three positions in *bands*, or None if one is missing.
    """
    wanted = sensor.groups.get('natural_color')
    if wanted is None or not set(wanted) <= set(bands):
        return None
    return band_index(bands, wanted)


def _published_group(name: str, sensor: Sensor) -> BandGroup:
    """Group of the published table."""
    if name in sensor.groups:
        return BandGroup(name, sensor.groups[name])
    close = difflib.get_close_matches(name, sensor.groups, n=1, cutoff=0.0)[0]
    raise ValueError(
        f'{sensor.name} has no published group {name!r}; did you mean {close!r}? '
        'To add one of your own, map its name to three bands'
    )


def _own_group(name: str, bands: Sequence[str], sensor: Sensor) -> BandGroup:
    """Group from three bands in any spelling."""
    if isinstance(bands, str) or not isinstance(bands, Sequence):
        raise ValueError(f'group {name!r}: bands must be a list of names, got {bands!r}')
    try:
        # Of two bands a group shows one twice.
        names = [band_name(band, sensor) for band in bands]
        if len(sensor.bands) > 2:
            names = list(band_names(bands, sensor))
    except ValueError as error:
        raise ValueError(f'group {name!r}: {error}') from error
    if len(names) != 3:
        raise ValueError(f'group {name!r} needs three bands, got {len(names)}: {", ".join(names)}')
    return BandGroup(name, (names[0], names[1], names[2]))


def available_groups(
    bands: Sequence[str],
    groups: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    sensor: str | Sensor = SENTINEL2_L1C,
) -> tuple[list[BandGroup], list[SkippedGroup]]:
    """Groups that the bands at hand can form, and those they cannot.

    Of Sentinel-2, B10 is replaced by B09 where the image has no B10.

    Args:
        bands: Bands of the image, in any spelling.
        groups: As for :func:`band_groups`.
        sensor: Sensor that has the bands.

    Returns:
        Groups whose bands are all there, and the others with the reason.

    Raises:
        ValueError: If no group can be formed, or as :func:`band_groups`.

    Example:
        >>> formed, skipped = available_groups(['B2', 'B3', 'B4', 'B9', 'B7', 'B8'])
        >>> formed[-1].bands, skipped[0]
        (('B07', 'B08', 'B09'), SkippedGroup(name='urban', reason='the image lacks B12, B11'))
    """
    sensor = known_sensor(sensor)
    bands = band_names(bands, sensor)
    formed: list[BandGroup] = []
    skipped: list[SkippedGroup] = []
    for group in band_groups(groups, sensor):
        first, second, third = (_present(band, group, bands, sensor) for band in group.bands)
        if first and second and third:
            formed.append(BandGroup(group.name, (first, second, third)))
        else:
            skipped.append(SkippedGroup(group.name, _lack(group, bands, sensor)))
    if not formed:
        reasons = '; '.join(f'{name}: {reason}' for name, reason in skipped)
        raise ValueError(
            f'no group can be formed from the bands {", ".join(bands)} ({reasons}); '
            'read more bands or name groups of your own'
        )
    return formed, skipped


def _present(band: str, group: BandGroup, bands: Sequence[str], sensor: Sensor) -> str | None:
    """The band itself or its substitute, whichever the image has, or None."""
    if band in bands:
        return band
    substitute = (sensor.substitutes or {}).get(band)
    # A group that has the substitute already would show it twice.
    return substitute if substitute in bands and substitute not in group.bands else None


def _lack(group: BandGroup, bands: Sequence[str], sensor: Sensor) -> str:
    """Why the bands do not form a group."""
    names = []
    for band in group.bands:
        if _present(band, group, bands, sensor) is None:
            substitute = (sensor.substitutes or {}).get(band)
            both = substitute is not None and substitute not in bands
            names.append(f'{band} (and {substitute})' if both else band)
    return f'the image lacks {", ".join(names)}'
