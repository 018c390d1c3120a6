# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Plain GeoTIFFs of one band, decoded without GDAL, which spends a millisecond on opening each.

What is not plain is left to GDAL, and so is what is damaged: its message is the one users see. Of
most of these, too, the header is read here, to tell where the pixels lie.
"""

import struct
import warnings
import zlib
from io import BytesIO
from math import hypot
from typing import NamedTuple

import numpy as np
from PIL import Image

# Numbers of https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf and of GDAL.
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _SAMPLES, _ROWS, _COUNTS, _PLANAR = 273, 277, 278, 279, 284
_PREDICTOR, _KIND = 317, 339
_KNOWN = {
    _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS, _SAMPLES, _ROWS, _COUNTS,
    _PLANAR, _PREDICTOR, _KIND,
}  # fmt: skip

# Description, resolution and metadata, which say nothing of pixels.
_METADATA = 42112
_PASSED_OVER = {270, 271, 272, 282, 283, 296, 305, 306, 315, _METADATA}

# Georeference, https://docs.ogc.org/is/19-008r4/19-008r4.html
_PIXEL_SCALE, _TIE_POINT, _MATRIX, _KEYS, _KEY_NUMBERS, _KEY_TEXTS = (
    33550, 33922, 34264, 34735, 34736, 34737
)  # fmt: skip
_PLACED = {_PIXEL_SCALE, _TIE_POINT, _MATRIX, _KEYS, _KEY_NUMBERS, _KEY_TEXTS}

_NONE, _LZW, _DEFLATE, _OLD_DEFLATE = 1, 5, 8, 32946

# Forms of the numbers of a tag: BYTE, SHORT, LONG, DOUBLE; and the bytes of one, also of ASCII.
_FORMS = {1: 'B', 3: 'H', 4: 'I', 12: 'd'}
_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 12: 8}

_FEW = 1 << 20


class _Plain(NamedTuple):
    """Where the pixels of a file are."""

    shape: tuple[int, int]
    dtype: np.dtype
    compression: int
    predictor: int
    rows: int
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    directory: bytes


class PixelGrid(NamedTuple):
    """Where the header of a GeoTIFF says that its pixels lie."""

    #: Height and width, in pixels.
    shape: tuple[int, int]

    #: From column and row to coordinates, row by row (a, b, c, d, e, f).
    transform: tuple[float, ...]

    #: Coordinate system in the form of the file, which may be written in several.
    system: bytes

    @property
    def corners(self) -> list[tuple[float, float]]:
        """Coordinates of the first corner and the next ones around the image."""
        a, b, c, d, e, f = self.transform
        height, width = self.shape
        pixels = ((0, 0), (width, 0), (width, height), (0, height))
        return [(a * x + b * y + c, d * x + e * y + f) for x, y in pixels]

    def part(self, rows: slice, columns: slice) -> 'PixelGrid':
        """Where some rows and columns lie, each with start and stop."""
        a, b, c, d, e, f = self.transform
        x, y = columns.start, rows.start
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        corner = (a, b, a * x + b * y + c, d, e, d * x + e * y + f)
        return self._replace(shape=shape, transform=corner)

    @property
    def pixel(self) -> float:
        """Longer side of a pixel, in units of the coordinates."""
        a, b, _, d, e, _ = self.transform
        return max(hypot(a, d), hypot(b, e))


def decode_plain(content: bytes, max_side: int) -> tuple[np.ndarray | None, PixelGrid | None]:
    """Stored numbers of a plain GeoTIFF, and where they lie.

    Args:
        content: The file.
        max_side: Largest height and width.

    Returns:
        Array of shape (height, width), uint8 or uint16, or None if the file is anything but one
        band of unsigned integers without a nodata value, in strips, as they are or compressed by
        LZW or Deflate; also if it is damaged. And where the pixels lie, also of files that are
        otherwise not plain; or None if the header does not say so in one of the usual ways.
    """
    grid = None
    try:
        plain, grid = _header(content)
        if plain is None or max(plain.shape) > max_side or not _is_whole(plain, len(content)):
            return None, grid
        if plain.compression == _LZW:
            return _by_pillow(content, plain), grid
        return _by_strips(content, plain), grid
    # What is damaged fails in many ways, and GDAL says how.
    except (ValueError, KeyError, OSError, SyntaxError, struct.error, zlib.error):
        return None, grid


def _header(content: bytes) -> tuple[_Plain | None, PixelGrid | None]:
    """Parse the first image file directory: None where it is not that of a plain file."""
    if content[:4] != b'II*\0':
        return None, None
    (start,) = struct.unpack_from('<I', content, 4)
    (number,) = struct.unpack_from('<H', content, start)
    entries = content[start + 2 : start + 2 + 12 * number]
    (following,) = struct.unpack_from('<I', content, start + 2 + 12 * number)
    # A second image may be the mask of the first.
    is_plain = not following
    tags: dict[int, tuple[int, ...]] = {}
    placed: dict[int, bytes] = {}
    directory = b''
    for position, (tag, kind, count, value) in enumerate(struct.iter_unpack('<HHI4s', entries)):
        if tag in tags or tag in placed:
            return None, None
        if tag in _KNOWN:
            tags[tag] = _numbers(content, kind, count, value)
            directory += entries[12 * position : 12 * position + 12]
        elif tag in _PLACED:
            placed[tag] = _bytes(content, kind, count, value)
        elif tag not in _PASSED_OVER or (tag == _METADATA and _is_scaled(content, count, value)):
            is_plain = False
    return _plain(tags, directory) if is_plain else None, _grid(tags, placed)


def _grid(tags: dict[int, tuple[int, ...]], placed: dict[int, bytes]) -> PixelGrid | None:
    """Where the pixels lie, if a scale and one point or a matrix say so."""
    if _KEYS not in placed:
        return None
    if _MATRIX in placed:
        a, b, _, c, d, e, _, f, *_ = struct.unpack('<16d', placed[_MATRIX])
    elif len(placed.get(_TIE_POINT, b'')) == 48 and len(placed.get(_PIXEL_SCALE, b'')) == 24:
        a, e, _ = struct.unpack('<3d', placed[_PIXEL_SCALE])
        column, row, _, x, y, _ = struct.unpack('<6d', placed[_TIE_POINT])
        b = d = 0.0
        e = -e
        c, f = x - a * column, y - e * row
    else:
        return None
    system = b''.join(placed.get(tag, b'') for tag in (_KEYS, _KEY_NUMBERS, _KEY_TEXTS))
    return PixelGrid((tags[_HEIGHT][0], tags[_WIDTH][0]), (a, b, c, d, e, f), system)


def _plain(tags: dict[int, tuple[int, ...]], directory: bytes) -> _Plain | None:
    """Where the pixels of a plain file are, None if it is another."""
    bits, kinds = tags.get(_BITS, (1,)), tags.get(_KIND, (1,))
    (rows,) = tags.get(_ROWS, (0xFFFFFFFF,))
    (compression,), (predictor,) = tags.get(_COMPRESSION, (1,)), tags.get(_PREDICTOR, (1,))
    if (
        tags.get(_SAMPLES, (1,)) != (1,)
        # Of one band, both ways to lay bands out are one.
        or tags.get(_PLANAR, (1,)) not in ((1,), (2,))
        or tags.get(_PHOTOMETRIC) != (1,)
        or bits not in ((8,), (16,))
        or kinds != (1,)
        or compression not in (_NONE, _LZW, _DEFLATE, _OLD_DEFLATE)
        or predictor not in (1, 2)
        or rows < 1
    ):
        return None
    (height,), (width,) = tags[_HEIGHT], tags[_WIDTH]
    dtype = np.dtype(f'<u{bits[0] // 8}')
    rows = min(rows, height)
    strips = tags[_OFFSETS], tags[_COUNTS]
    return _Plain((height, width), dtype, compression, predictor, rows, *strips, directory)


def _numbers(content: bytes, kind: int, count: int, value: bytes) -> tuple[int, ...]:
    """Numbers of a tag."""
    form = _FORMS.get(kind)
    if form is None or not 1 <= count <= _FEW:
        raise ValueError('no number')
    form = f'<{count}{form}'
    if struct.calcsize(form) <= 4:
        return struct.unpack_from(form, value)
    return struct.unpack_from(form, content, int.from_bytes(value, 'little'))


def _bytes(content: bytes, kind: int, count: int, value: bytes) -> bytes:
    """Numbers or text of a tag as they are stored."""
    length = count * _WIDTHS[kind]
    if length <= 4:
        return value[:length]
    start = int.from_bytes(value, 'little')
    return content[start : start + length]


def _is_scaled(content: bytes, count: int, value: bytes) -> bool:
    """Whether the metadata of GDAL may give the numbers a scale or an offset."""
    start = int.from_bytes(value, 'little')
    text = content[start : start + count]
    return b'role="scale"' in text or b'role="offset"' in text


def _is_whole(plain: _Plain, size: int) -> bool:
    """Whether the file holds all strips."""
    strips = -(-plain.shape[0] // plain.rows) if min(plain.shape) else 0
    return (
        strips > 0
        and len(plain.offsets) == len(plain.counts) == strips
        # GDAL takes a strip at offset 0 as empty.
        and min(plain.offsets) > 0
        and min(plain.counts) > 0
        and all(o + c <= size for o, c in zip(plain.offsets, plain.counts, strict=True))
    )


def _by_strips(content: bytes, plain: _Plain) -> np.ndarray | None:
    """Pixels of a file that is not compressed, or by Deflate."""
    height, width = plain.shape
    image = np.empty(plain.shape, plain.dtype)
    pixels = memoryview(image).cast('B')
    line = width * plain.dtype.itemsize
    for strip, (offset, count) in enumerate(zip(plain.offsets, plain.counts, strict=True)):
        part: bytes | memoryview = memoryview(content)[offset : offset + count]
        first = strip * plain.rows * line
        length = min(plain.rows * line, height * line - first)
        if plain.compression != _NONE:
            # Not one byte more than that tells that there are more.
            inflater = zlib.decompressobj()
            part = inflater.decompress(part, length + 1)
            if not inflater.eof:
                return None
        if len(part) != length:
            return None
        pixels[first : first + length] = part
    if plain.predictor == 2 and plain.compression != _NONE:
        np.cumsum(image, 1, image.dtype, image)
    return image


def _by_pillow(content: bytes, plain: _Plain) -> np.ndarray | None:
    """Pixels of a file that libtiff decodes."""
    # Pillow spends most of its time on tags, so it is shown those alone that pixels depend on.
    start = struct.pack('<4sI', b'II*\0', len(content))
    number = struct.pack('<H', len(plain.directory) // 12)
    content = b''.join([start, content[8:], number, plain.directory, bytes(4)])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        try:
            with Image.open(BytesIO(content), formats=['TIFF']) as file:
                image = np.array(file)
        except Warning:
            return None
    return image if (image.shape, image.dtype) == (plain.shape, plain.dtype) else None
