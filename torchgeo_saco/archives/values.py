# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Whether stored numbers can be what they are declared to be."""

import numpy as np

from ..io.raster import require_no_fill
from ..transforms.backscatter import require_decibel
from ..transforms.reflectance import Reflectance
from .listing import Locations, spread_dates
from .readers import ArchiveReader

# Dates that are looked at, spread over the archive, and pixels of a side of each.
_DATES, _SIDE = 16, 64

# No archive is as dark as that in all bands, all of whose numbers are surely in another unit; what
# the unit is set to must be more wrong to be refused.
_DARK, _DARK_IN_UNIT = 0.03, 0.002

# Nor is any as bright in all pixels of all bands: 0 of Landsat's collection 2 would be 0.73.
_BRIGHT_EVERYWHERE = 0.5

# Sun glint reaches 5, no median of an image 3; offsets leave dark water little below 0.
_BRIGHT, _MEDIAN, _NEGATIVE = 20.0, 3.0, -0.1


def require_plausible(
    source: ArchiveReader, locations: Locations, reflectance: Reflectance, is_given: bool
) -> None:
    """Refuse numbers that are plainly no reflectance, by some dates spread over an archive.

    Args:
        source: Reads the images.
        locations: The locations.
        reflectance: Unit and offset of the numbers.
        is_given: Whether the user or the files say the unit.

    Raises:
        ValueError: If a date is far too bright, all are far too dark or as bright as no ground is,
            or a band is filled with a number for missing ones.
        BandFileError: If an image cannot be read.
    """
    unit = reflectance.unit_of(source.dtype)
    remedy = (
        'correct unit and offset: set unit to the number stored for reflectance 1, such as '
        f'{10000 if unit != 10000 else 255}, and set offset to what is added before'
    )
    brightest, largest, smallest = -np.inf, -np.inf, np.inf
    for location, scene in spread_dates(locations, _DATES):
        name = f'{location.name}/{location.scenes[scene].name}'
        image = source.read(location, scene).numpy()
        require_no_fill(f'{source.root}: {name}', image, source.bands)
        step = [max(1, side // _SIDE) for side in image.shape[-2:]]
        pixels = image[:, :: step[0], :: step[1]].astype(np.float64)
        largest, smallest = max(largest, float(pixels.max())), min(smallest, float(pixels.min()))
        pixels = (pixels + reflectance.offset) / unit
        brightest = max(brightest, float(pixels.max()))
        median = float(np.median(pixels))
        if _NEGATIVE <= median <= _MEDIAN and np.abs(pixels).max() <= _BRIGHT:
            continue
        band, row, column = np.unravel_index(np.abs(pixels).argmax(), pixels.shape)
        stored = image[band, row * step[0], column * step[1]]
        raise ValueError(
            f'{source.root}: {name} holds {_kind(source.dtype)} such as {stored:g} in band '
            f'{source.bands[band]}, which is no reflectance by {_spelled(reflectance, unit)}; '
            f'{remedy}'
        )
    if unit == 10000 and not is_given and smallest / unit > _BRIGHT_EVERYWHERE:
        raise ValueError(
            f'{source.root} holds {_kind(source.dtype)} from {smallest:g} on, which is at least '
            f'{smallest / unit:.2g} of reflectance by unit 10000, brighter than all ground is; set '
            'unit and offset, for collection 2 of Landsat unit 36363.64 and offset -7272.73, or '
            'unit 10000 if all is cloud or snow'
        )
    darkest = _DARK_IN_UNIT if is_given else _DARK
    if brightest < darkest or _largest(source.dtype) / unit < _DARK:
        raise ValueError(
            f'{source.root} holds {_kind(source.dtype)} up to {largest:g}, which is at most '
            f'{brightest:.2g} of reflectance by {_spelled(reflectance, unit)}, darker than land or '
            'clouds are; set unit to the number stored for reflectance 1'
            + ('' if is_given else f', which is {unit:g} if the ground is as dark as deep water')
        )


def require_plausible_decibel(source: ArchiveReader, locations: Locations) -> None:
    """Refuse backscatter that is plainly not in dB, by some dates spread over an archive.

    Args:
        source: Reads the images.
        locations: The locations.

    Raises:
        ValueError: If it is not.
        BandFileError: If an image cannot be read.
    """
    for location, scene in spread_dates(locations, _DATES):
        # Of 16 bits without a sign, PyTorch finds no least.
        require_decibel(str(source.root), source.read(location, scene).float())


def _largest(dtype: np.dtype) -> float:
    """Largest number of a type."""
    return np.inf if dtype.kind == 'f' else float(np.iinfo(dtype).max)


def _kind(dtype: np.dtype) -> str:
    """What numbers are, in a word."""
    return 'floats' if dtype.kind == 'f' else f'{dtype} numbers'


def _spelled(reflectance: Reflectance, unit: float) -> str:
    """Unit and offset in words."""
    offset = f' and offset {reflectance.offset:g}' if reflectance.offset else ''
    return f'unit {unit:g}{offset}'
