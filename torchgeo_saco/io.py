# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Reading of band files: the only place that opens a raster."""

import os
import stat
import warnings

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from torchgeo.datasets.utils import Path

# A patch is a few hundred pixels wide; a header that declares more is damaged or hostile.
_MAX_SIDE = 12_000

_KINDS = ('uint8', 'uint16', 'int16', 'int32', 'float32', 'float64')


class BandFileError(ValueError):
    """A file that cannot be read as bands; the message names it and the remedy."""


def read_bands(
    path: Path,
    count: int = 1,
    shape: tuple[int, int] | None = None,
    resampling: str = 'bilinear',
    max_nodata: float = 0.0,
) -> np.ndarray:
    """Stored numbers of a GeoTIFF.

    Args:
        path: GeoTIFF file. No other format is opened, whatever the file holds.
        count: Bands that the file must have.
        shape: Height and width to resample to, or None for the stored ones. Each must be
            1, 2, 3 or 6 times the stored one, as between 10, 20 and 60 m bands.
        resampling: A :class:`rasterio.enums.Resampling` by name.
        max_nodata: Largest share of pixels that may carry the file's nodata value. They
            are set to 0.

    Returns:
        Array of shape (count, height, width), in the type of the file.

    Raises:
        BandFileError: If the file is missing, not a regular file, damaged, not a GeoTIFF,
            has other bands, type or size, or holds NaN, infinity or too much nodata.
    """
    _require_regular_file(path)
    try:
        with warnings.catch_warnings():
            # Patches are often stored without a place on Earth, and none is needed here.
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            with rasterio.open(path, driver='GTiff', sharing=False) as file:
                _require_header(path, file, count, shape)
                image = file.read(
                    out_shape=None if shape is None else (count, *shape),
                    resampling=Resampling[resampling],
                    masked=file.nodata is not None,
                )
    except (RasterioError, OSError) as error:
        cause = error.__cause__ or error
        raise BandFileError(
            f'{path} cannot be read as a GeoTIFF ({cause}); it may be truncated or of another '
            'format: fetch it again, or remove its folder from the archive'
        ) from error
    return _checked_values(path, image, max_nodata)


def _require_regular_file(path: Path) -> None:
    """Refuse what would block or mislead before it is opened."""
    try:
        mode = os.stat(path).st_mode
    except PermissionError as error:
        raise BandFileError(f'{path} cannot be read: permission denied') from error
    except OSError as error:
        raise BandFileError(f'{path} is missing; fetch it again, or remove its folder') from error
    if not stat.S_ISREG(mode):
        raise BandFileError(f'{path} is not a regular file; put a GeoTIFF there, or remove it')


def _require_header(
    path: Path, file: rasterio.DatasetReader, count: int, shape: tuple[int, int] | None
) -> None:
    """Refuse what the header shows to be wrong."""
    if file.count != count:
        raise BandFileError(f'{path} has {file.count} bands where {count} is expected')
    if file.dtypes[0] not in _KINDS:
        raise BandFileError(
            f'{path} holds {file.dtypes[0]}; store integers or floats: {", ".join(_KINDS)}'
        )
    if max(file.shape) > _MAX_SIDE:
        raise BandFileError(
            f'{path} declares {file.width} x {file.height} px, above the limit of {_MAX_SIDE}; '
            'cut it into patches'
        )
    if shape is not None:
        ratios = {wanted / stored for wanted, stored in zip(shape, file.shape, strict=True)}
        if len(ratios) > 1 or not ratios <= {1, 2, 3, 6}:
            raise BandFileError(
                f'{path} is {file.width} x {file.height} px, which does not fit the grid of '
                f'{shape[1]} x {shape[0]} px; 10, 20 and 60 m bands differ by 2 and 6: '
                'resample it, or crop it to the same ground'
            )


def _checked_values(path: Path, image: np.ndarray, max_nodata: float) -> np.ndarray:
    """Values without NaN, infinity and hidden nodata."""
    if isinstance(image, np.ma.MaskedArray):
        share = float(np.ma.getmaskarray(image).mean())
        if share > max_nodata:
            raise BandFileError(
                f'{path} has {share:.1%} nodata, more than max_nodata={max_nodata:.1%}; '
                'raise max_nodata to take such pixels as 0, or remove the folder'
            )
        image = image.filled(0)
    if image.dtype.kind == 'f' and not np.isfinite(image).all():
        bad = np.argwhere(~np.isfinite(image))
        row, column = (int(number) for number in bad[0][-2:])
        raise BandFileError(
            f'{path} holds {len(bad)} NaN or infinite values, the first at row {row}, '
            f'column {column}; mask them with a nodata value, or remove the folder'
        )
    return image
