# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Reading of bands, masks and arrays: the only place that opens a raster."""

import os
import stat
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import rasterio
from PIL import Image
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window
from torchgeo.datasets.utils import Path

from .files import atomic_file, not_whole
from .resampling import EXACT_KINDS, EXACT_METHODS, enlarged
from .tiff import PixelGrid, decode_plain

#: Largest side of a file. A patch is a few hundred pixels wide, a tile of GID 7200; a header that
#: declares more is damaged or hostile.
MAX_SIDE = 12_000

_KINDS = ('uint8', 'uint16', 'int16', 'int32', 'float32', 'float64')

# Forms of PNG that Pillow turns into 8 bits without loss of a class number.
_MASK_MODES = ('1', 'L', 'LA', 'P', 'RGB', 'RGBA')

# What Pillow raises on damaged files.
_PNG_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)

# Besides the least and largest number of a type, what missing numbers are filled with; and the
# share of a band that may hold such a number, as bright pixels may.
_FILL, _FILLED = -9999, 0.01

# A larger file is no patch, and is read by parts.
_MAX_PLAIN = 1 << 26

# Side of a tile of the files written here, https://gdal.org/drivers/raster/gtiff.html
_TILE = 256


# Floats beyond are no measurement, but what missing numbers are filled with.
_LARGEST = 1e9


class BandFileError(ValueError):
    """A file that cannot be read as bands; the message names it and the remedy."""


class InvalidValuesError(BandFileError):
    """A file that can be read, and whose numbers cannot be used; NaN, nodata, or empty."""

    @property
    def reason(self) -> str:
        """The message without the remedy."""
        return str(self).partition('; ')[0]


class StoredBand(NamedTuple):
    """One band of a file."""

    #: Its numbers, (height, width), on the grid asked for.
    image: np.ndarray

    #: Height and width in the file.
    shape: tuple[int, int]

    #: Where the pixels of the file lie, or None if its header does not say so.
    grid: PixelGrid | None


def read_band(
    path: Path,
    shape: tuple[int, int] | None = None,
    resampling: str = 'bilinear',
    max_nodata: float = 0.0,
    max_side: int = MAX_SIDE,
) -> StoredBand:
    """Stored numbers of a GeoTIFF of one band, and where they lie.

    Args:
        path: See :func:`read_bands`.
        shape: See :func:`read_bands`.
        resampling: See :func:`read_bands`.
        max_nodata: See :func:`read_bands`.
        max_side: Largest height and width of the file.

    Returns:
        The band.

    Raises:
        BandFileError: As of :func:`read_bands`.
    """
    plain, grid = _plain_pixels(path, max_side)
    if plain is not None and (shape is None or resampling in EXACT_METHODS):
        _require_grid(path, plain.shape, shape)
        image = plain if shape is None else enlarged(plain, shape, resampling)
        return StoredBand(image, plain.shape, grid)
    with opened_raster(path, 1, max_side=max_side) as file:
        image = _read_opened(path, file, [0], shape, resampling, None)
        size = file.shape
    return StoredBand(_checked_values(path, image, max_nodata)[0], size, grid)


def read_bands(
    path: Path,
    count: int = 1,
    shape: tuple[int, int] | None = None,
    resampling: str = 'bilinear',
    max_nodata: float = 0.0,
    window: tuple[int, int, int, int] | None = None,
    channels: Sequence[int] | None = None,
    allow_nan: bool = False,
) -> np.ndarray:
    """Stored numbers of a GeoTIFF.

    Of a window, only the strips or tiles of the file that it touches are read. The file is
    closed again, so GDAL keeps nothing of it in memory.

    Args:
        path: GeoTIFF file. No other format is opened, whatever the file holds.
        count: Bands that the file must have.
        shape: Height and width to resample to, or None for the stored ones. Each must be
            1, 2, 3 or 6 times the stored one, as between 10, 20 and 60 m bands.
        resampling: A :class:`rasterio.enums.Resampling` by name.
        max_nodata: Largest share of pixels that may carry the file's nodata value. They
            are set to 0.
        window: First row, first column, height and width of the part to read, or None for
            the whole. A window is not resampled.
        channels: Positions of the bands to read, from 0, or None for all.
        allow_nan: Whether floats may be NaN, as beyond the border of a swath; nodata is NaN then,
            too, however much there is.

    Returns:
        Array of shape (bands, height, width), in the type of the file.

    Raises:
        BandFileError: If the file is missing, not a regular file, damaged, not a GeoTIFF,
            has other bands, type or size, holds NaN, infinity or too much nodata, or ends
            before the window does.
        ValueError: If both *shape* and *window* are given.
    """
    if shape is not None and window is not None:
        raise ValueError('a window is read as stored; leave out either shape or window')
    if count == 1 and window is None and channels is None and not allow_nan:
        return read_band(path, shape, resampling, max_nodata).image[None]
    channels = range(count) if channels is None else channels
    with opened_raster(path, count) as file:
        image = _read_opened(path, file, channels, shape, resampling, window)
    if allow_nan and image.dtype.kind == 'f':
        image = np.ma.filled(image, np.nan)
    return _checked_values(path, image, max_nodata, allow_nan)


def _read_opened(
    path: Path,
    file: rasterio.DatasetReader,
    channels: Sequence[int],
    shape: tuple[int, int] | None,
    resampling: str,
    window: tuple[int, int, int, int] | None,
) -> np.ndarray:
    """Stored numbers of some bands of an open file, masked if it has a nodata value."""
    _require_grid(path, file.shape, shape)
    _require_plain_numbers(path, file)
    masked = file.nodata is not None
    exact = not masked and resampling in EXACT_METHODS and file.dtypes[0] in EXACT_KINDS
    image: np.ndarray = file.read(
        [channel + 1 for channel in channels],
        window=_window(path, file.shape, window),
        out_shape=None if shape is None or exact else (len(channels), *shape),
        resampling=Resampling[resampling],
        masked=masked,
    )
    if shape is not None and exact:
        image = np.stack([enlarged(band, shape, resampling) for band in image])
    return image


def read_size(path: Path, count: int = 1) -> tuple[int, int]:
    """Height and width of a GeoTIFF, from its header.

    Args:
        path: GeoTIFF file.
        count: Bands that the file must have.

    Returns:
        Height and width, in pixels.

    Raises:
        BandFileError: If the header shows the file to be wrong, see :func:`read_bands`.
    """
    with opened_raster(path, count) as file:
        height, width = file.shape
    return height, width


def read_mask(
    path: Path,
    shape: tuple[int, int],
    values: Collection[int],
    image: Path,
    window: tuple[int, int, int, int] | None = None,
) -> np.ndarray:
    """Stored numbers of a mask, one for each pixel of an image.

    Args:
        path: PNG file, in grey or equal colours, or GeoTIFF of one band.
        shape: Height and width of the image.
        values: Numbers that the mask may hold, from 0 to 255.
        image: File of the image, named where the sizes differ.
        window: First row, first column, height and width of the part to read, or None for
            the whole. A PNG file is decoded whole.

    Returns:
        Array of shape (height, width), uint8.

    Raises:
        BandFileError: If the file is missing or damaged, has another size than the image,
            holds another number, or ends before the window does.
    """
    if os.path.splitext(path)[1].lower() in ('.tif', '.tiff'):
        with opened_raster(path, 1) as file:
            _require_size(path, file.shape, image, shape)
            mask = file.read(1, window=_window(path, file.shape, window))
    else:
        mask = _png(path)
        _require_size(path, mask.shape, image, shape)
        part = _window(path, mask.shape, window)
        mask = mask if part is None else mask[part.toslices()]
    return _checked_classes(path, mask, values)


def read_image_file(path: Path) -> np.ndarray:
    """Colours of an image of 8 bits.

    Args:
        path: JPEG or PNG file. No other format is opened, whatever the file holds.

    Returns:
        Red, green and blue, (3, height, width), uint8.

    Raises:
        BandFileError: If the file is missing, damaged, or holds anything but 8-bit colours.
    """
    require_regular_file(path)
    try:
        with warnings.catch_warnings():
            # The limit of the sides is lower than what is warned of.
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            with Image.open(path, formats=['JPEG', 'PNG']) as file:
                _require_side(path, *file.size)
                # Of 16-bit colours Pillow would give the upper half without a word.
                if file.mode not in ('RGB', 'RGBA', 'P') or '16' in str(file.tile[0][3]):
                    raise BandFileError(
                        f'{path} holds no colours of 8 bits (its mode is {file.mode}); convert it '
                        'to RGB, or remove it'
                    )
                colors = np.asarray(file.convert('RGBA'))
    except BandFileError:
        raise
    except _PNG_ERRORS as error:
        raise BandFileError(
            f'{path} cannot be read as a JPEG or PNG file ({error}); it may be truncated or of '
            'another format: fetch it again, or remove it'
        ) from error
    if colors[..., 3].min(initial=255) < 255:
        raise BandFileError(f'{path} has transparent pixels; fill them, or remove the image')
    return np.ascontiguousarray(np.moveaxis(colors[..., :3], -1, 0))


def raster_band_count(path: Path) -> int:
    """Return the number of bands of a GeoTIFF, from its header.

    Args:
        path: GeoTIFF file.

    Raises:
        BandFileError: If it cannot be opened.
    """
    with opened_raster(path, None) as file:
        return int(file.count)


def open_array(path: Path) -> np.ndarray:
    """A NumPy file as an array that stays on disk; what is indexed is read.

    Args:
        path: File as :func:`numpy.save` writes it.

    Returns:
        The array, not to be written to.

    Raises:
        BandFileError: If the file is missing, damaged, or holds anything but numbers.
    """
    require_regular_file(path)
    try:
        array = np.load(path, mmap_mode='r', allow_pickle=False)
        # Of a zip archive, NumPy makes a mapping.
        if not isinstance(array, np.ndarray) or array.dtype.kind not in 'biufc':
            raise ValueError('it holds no numbers')
    # A damaged header is parsed as text, which fails in many ways.
    except Exception as error:
        raise BandFileError(
            f'{path} cannot be read as an array ({error}); it may be truncated or of another '
            'format: fetch it again'
        ) from error
    return array


def write_tiled(path: Path, image: np.ndarray) -> None:
    """Write a GeoTIFF of compressed tiles, of which windows are read fast.

    It appears under its name at once and whole.

    Args:
        path: File to write; its folder is made.
        image: Array of shape (bands, height, width).

    Raises:
        WriteError: If it cannot be written, or was not written whole, as where a disk is full.
    """
    count, height, width = image.shape
    with atomic_file(path) as unfinished, warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        with rasterio.open(
            unfinished,
            'w',
            driver='GTiff',
            count=count,
            height=height,
            width=width,
            dtype=image.dtype,
            tiled=True,
            blockxsize=_TILE,
            blockysize=_TILE,
            interleave='pixel',
            compress='deflate',
        ) as file:
            file.write(image)
        # Closing a file does not tell of all that failed.
        try:
            whole = np.array_equal(read_bands(unfinished, count), image)
        except BandFileError as error:
            raise not_whole(path) from error
        if not whole:
            raise not_whole(path)


def raster_environment(georeference: bool = False) -> rasterio.Env:
    """Make the environment of GDAL that rasters are opened in; one may hold many reads.

    Files beside a raster, such as another nodata value, are not followed.

    Args:
        georeference: Whether rasters tell where they lie.
    """
    # GDAL spends most of the time of opening a small file on its coordinate system.
    sources = 'INTERNAL' if georeference else 'NONE'
    return rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN='EMPTY_DIR', GDAL_GEOREF_SOURCES=sources)


@contextmanager
def opened_raster(
    path: Path,
    count: int | None,
    georeference: bool = False,
    kinds: Collection[str] = _KINDS,
    max_side: int = MAX_SIDE,
) -> Iterator[rasterio.DatasetReader]:
    """Open a GeoTIFF whose header is as expected; errors of reading name it.

    Args:
        path: GeoTIFF.
        count: Bands that it must have, or None for any number.
        georeference: Whether to read where it lies, which takes longer than small images.
        kinds: Types of numbers that it may hold.
        max_side: Largest height and width.

    Yields:
        The open file.

    Raises:
        BandFileError: If it cannot be opened or read.
    """
    require_regular_file(path)
    try:
        with warnings.catch_warnings():
            # Patches are often stored without a location on Earth, and none is needed here.
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            with (
                raster_environment(georeference),
                rasterio.open(path, driver='GTiff', sharing=False) as file,
            ):
                _require_header(path, file, count, kinds, max_side)
                yield file
    except (RasterioError, OSError) as error:
        cause = error.__cause__ or error
        raise BandFileError(
            f'{path} cannot be read as a GeoTIFF ({cause}); it may be truncated or of another '
            'format: fetch it again, or remove its folder from the archive'
        ) from error


def _plain_pixels(path: Path, max_side: int) -> tuple[np.ndarray | None, PixelGrid | None]:
    """Pixels of a file that needs no GDAL, (height, width), or None; and where they lie."""
    require_regular_file(path)
    try:
        with open(path, 'rb', buffering=0) as file:
            content = file.read(_MAX_PLAIN + 1)
    except PermissionError as error:
        raise BandFileError(_forbidden(path)) from error
    # GDAL meets the same, and its message is shown.
    except OSError:
        return None, None
    return decode_plain(content, max_side) if len(content) <= _MAX_PLAIN else (None, None)


def _png(path: Path) -> np.ndarray:
    """Grey values of a PNG file, uint8."""
    require_regular_file(path)
    try:
        with warnings.catch_warnings():
            # The limit of the sides is lower than what is warned of.
            warnings.simplefilter('ignore', Image.DecompressionBombWarning)
            with Image.open(path, formats=['PNG']) as file:
                _require_side(path, *file.size)
                if file.mode not in _MASK_MODES:
                    raise BandFileError(
                        f'{path} holds {file.mode} where 8 bits are expected; store classes as '
                        'uint8'
                    )
                return np.array(file.convert('L'))
    except BandFileError:
        raise
    except _PNG_ERRORS as error:
        raise BandFileError(
            f'{path} cannot be read as a PNG file ({error}); it may be truncated or of another '
            'format: fetch it again'
        ) from error


def require_regular_file(path: Path) -> None:
    """Refuse what would block or mislead before it is opened.

    Args:
        path: File to open.

    Raises:
        BandFileError: If it is missing, a broken link, or anything but a regular file.
    """
    try:
        mode = os.stat(path).st_mode
    except PermissionError as error:
        raise BandFileError(_forbidden(path)) from error
    except OSError as error:
        if os.path.islink(path):
            raise BandFileError(
                f'{path} is a broken link to {os.readlink(path)}; put its target there, or remove '
                'the link'
            ) from error
        raise BandFileError(f'{path} is missing; fetch it again, or remove its folder') from error
    if not stat.S_ISREG(mode):
        raise BandFileError(f'{path} is not a regular file; put a file there, or remove it')


def _forbidden(path: Path) -> str:
    """Say that a file may not be read."""
    return f'{path} cannot be read: permission denied; give yourself the right to read it'


def _require_header(
    path: Path,
    file: rasterio.DatasetReader,
    count: int | None,
    kinds: Collection[str] = _KINDS,
    max_side: int = MAX_SIDE,
) -> None:
    """Refuse what the header shows to be wrong."""
    if count is not None and file.count != count:
        wanted = 'one band a file' if count == 1 else f'these {count} bands'
        raise BandFileError(
            f'{path} has {file.count} bands where {count} is expected; store {wanted}'
        )
    if file.dtypes[0] not in kinds:
        raise BandFileError(
            f'{path} holds {file.dtypes[0]}; store integers or floats: {", ".join(kinds)}'
        )
    _require_side(path, file.width, file.height, max_side)


def _require_plain_numbers(path: Path, file: rasterio.DatasetReader) -> None:
    """Refuse bands whose stored numbers are not the values."""
    bits = file.tags(1, ns='IMAGE_STRUCTURE').get('NBITS')
    if bits is not None and int(bits) < 8:
        raise BandFileError(
            f'{path} holds numbers of {bits} bit, as masks and classes have; store values of at '
            'least 8 bits'
        )
    if set(file.scales) != {1.0} or set(file.offsets) != {0.0}:
        raise BandFileError(
            f'{path} says that its numbers are to be multiplied by {file.scales[0]:g} and raised '
            f'by {file.offsets[0]:g}, which is not done here; write the numbers without scale and '
            'offset, and set unit and offset of the data'
        )
    require_pixels(path, file)


def require_pixels(path: Path, file: rasterio.DatasetReader) -> None:
    """Refuse bands that hold something else than numbers to read.

    Args:
        path: The file, for messages.
        file: It, open.

    Raises:
        BandFileError: If it has a colour table or a mask of its own.
    """
    if ColorInterp.palette in file.colorinterp:
        raise BandFileError(
            f'{path} holds numbers of a colour table, not values; expand it, such as by '
            'gdal_translate -expand rgb'
        )
    if any(MaskFlags.per_dataset in flags for flags in file.mask_flag_enums):
        raise BandFileError(
            f'{path} has a mask of its own, which is not read; mark missing pixels by a nodata '
            'value instead'
        )


def _require_side(path: Path, width: int, height: int, max_side: int = MAX_SIDE) -> None:
    """Refuse sizes that no image here has."""
    if max(width, height) > max_side:
        raise BandFileError(
            f'{path} declares {width} x {height} px, above the limit of {max_side}; '
            'cut it into patches'
        )


def _require_grid(path: Path, stored: tuple[int, int], shape: tuple[int, int] | None) -> None:
    """Refuse a size that does not fit the grid to resample to."""
    if shape is not None:
        ratios = {wanted / side for wanted, side in zip(shape, stored, strict=True)}
        if len(ratios) > 1 or not ratios <= {1, 2, 3, 6}:
            raise BandFileError(
                f'{path} is {stored[1]} x {stored[0]} px, which does not fit the grid of '
                f'{shape[1]} x {shape[0]} px; 10, 20 and 60 m bands differ by 2 and 6: '
                'resample it, or crop it to the same ground'
            )


def _require_size(path: Path, size: tuple[int, int], image: Path, shape: tuple[int, int]) -> None:
    """Refuse a mask that does not lie on its image pixel by pixel."""
    if tuple(size) != tuple(shape):
        raise BandFileError(
            f'{path} is {size[1]} x {size[0]} px, its image {image} is {shape[1]} x {shape[0]} '
            'px; fetch both again, or bring them to one size'
        )


def _window(
    path: Path, shape: tuple[int, int], window: tuple[int, int, int, int] | None
) -> Window | None:
    """The window in the form of rasterio, if the image holds all of it."""
    if window is None:
        return None
    row, column, height, width = window
    if (
        min(row, column) < 0
        or min(height, width) < 1
        or row + height > shape[0]
        or column + width > shape[1]
    ):
        raise BandFileError(
            f'{path} is {shape[1]} x {shape[0]} px, which does not hold the window of {width} x '
            f'{height} px at row {row}, column {column}; choose one inside'
        )
    return Window(column, row, width, height)


def _checked_values(
    path: Path, image: np.ndarray, max_nodata: float, allow_nan: bool = False
) -> np.ndarray:
    """Values without infinity and hidden nodata, and without NaN unless it is allowed."""
    if isinstance(image, np.ma.MaskedArray):
        share = float(np.ma.getmaskarray(image).mean())
        if share > max_nodata:
            raise InvalidValuesError(
                f'{path} has {share:.1%} nodata, more than max_nodata={max_nodata:.1%}; '
                'raise max_nodata to take such pixels as 0, or remove the folder'
            )
        image = image.filled(0)
    if image.dtype.kind == 'f':
        # Also False of NaN.
        usable = np.abs(image) < _LARGEST
        if allow_nan:
            usable |= np.isnan(image)
        if not np.all(usable):
            raise InvalidValuesError(_unusable(path, image, usable))
    return image


def _unusable(path: Path, image: np.ndarray, usable: np.ndarray) -> str:
    """Say which numbers of a file are none to compute with."""
    bad = np.argwhere(~usable)
    row, column = (int(number) for number in bad[0][-2:])
    first = image[tuple(bad[0])]
    kind = f'values such as {first:g}' if np.isfinite(first) else 'NaN or infinite values'
    return (
        f'{path} holds {len(bad)} {kind}, the first at row {row}, column {column}; mask them with '
        'a nodata value, or remove the folder'
    )


def require_content(name: str, image: np.ndarray, remedy: str) -> None:
    """Refuse an image that holds nothing: one number in all pixels of all bands.

    One band alone may well be flat, so there the number must be 0 or the least or largest of an
    integer type, as missing images are filled.

    Args:
        name: File or date that it was read from, for the message.
        image: Stored numbers, (C, H, W).
        remedy: What to do, for the message.

    Raises:
        InvalidValuesError: If it is so.
    """
    first = image[0, 0, 0]
    # A row tells of nearly all images, in no time beside reading them.
    if not ((image[0, 0] == first).all() and (image == first).all()):
        return
    if len(image) > 1 or first in _fills(image.dtype):
        raise InvalidValuesError(f'{name} is empty: every pixel of every band is {first}; {remedy}')


def require_no_fill(
    name: str, image: np.ndarray, bands: Sequence[str], share: float = _FILLED
) -> None:
    """Refuse an image with a band of which much is a number for missing ones.

    Args:
        name: File or date that it was read from.
        image: Stored numbers, (C, H, W).
        bands: Names of the bands.
        share: Largest share of the pixels of a band, at least a hundredth.

    Raises:
        InvalidValuesError: If there is one.
    """
    for fill in _missing(image.dtype):
        filled = (image == fill).mean((1, 2))
        if filled.max() > max(share, _FILLED):
            number = int(filled.argmax())
            raise InvalidValuesError(
                f'{name} has {fill} in {filled[number]:.1%} of band {bands[number]}, as missing '
                'numbers are filled; write that number into the files as nodata, remove the date, '
                "or set on_invalid='drop'"
            )


def _missing(dtype: np.dtype) -> list[int]:
    """Numbers for missing ones, other than 0, which is a number as well."""
    if dtype.kind == 'f' or dtype.itemsize == 1:
        # In 8 bits, 255 is a bright pixel.
        return [_FILL] if dtype.kind == 'f' else []
    limits = np.iinfo(dtype)
    return [int(limits.max)] if not limits.min else [int(limits.min), int(limits.max), _FILL]


def _fills(dtype: np.dtype) -> tuple[int, ...]:
    """Numbers that missing images are filled with."""
    return (0,) if dtype.kind == 'f' else (0, np.iinfo(dtype).min, np.iinfo(dtype).max)


def _checked_classes(path: Path, mask: np.ndarray, values: Collection[int]) -> np.ndarray:
    """Mask of allowed numbers, uint8."""
    known = np.zeros(256, bool)
    known[list(values)] = True
    # Numbers that 8 bits cannot hold, and fractions, are wrong whatever is allowed.
    small = mask if mask.dtype == np.uint8 else np.clip(np.nan_to_num(mask), 0, 255).astype('uint8')
    wrong = ~known[small]
    if small is not mask:
        wrong |= small != mask
    if wrong.any():
        found = np.unique(mask[wrong])
        listed = ', '.join(f'{number:g}' for number in found[:5]) + ', ...' * (len(found) > 5)
        allowed = sorted(values)
        raise BandFileError(
            f'{path} holds {listed} in {np.count_nonzero(wrong)} pixels, where classes are '
            f'{", ".join(map(str, allowed))}; fetch it again, or correct the mask'
        )
    return small
