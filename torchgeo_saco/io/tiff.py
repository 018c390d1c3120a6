# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Plain GeoTIFFs of one band, decoded without GDAL, which spends a millisecond on opening each.

What is not plain is left to GDAL, and so is what is damaged: its message is the one users see.
"""

import struct
import warnings
import zlib
from io import BytesIO
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

# Description, resolution, georeference and metadata, which say nothing of pixels.
_PASSED_OVER = {270, 271, 272, 282, 283, 296, 305, 306, 315, 33550, 33922, 34264}
_METADATA = 42112
_PASSED_OVER |= {34735, 34736, 34737, _METADATA}

_NONE, _LZW, _DEFLATE, _OLD_DEFLATE = 1, 5, 8, 32946

# Forms of the numbers of a tag: BYTE, ASCII, SHORT, LONG.
_FORMS = {1: 'B', 3: 'H', 4: 'I'}

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


def decode_plain(content: bytes, max_side: int) -> np.ndarray | None:
    """Stored numbers of a plain GeoTIFF.

    Args:
        content: The file.
        max_side: Largest height and width.

    Returns:
        Array of shape (height, width), uint8 or uint16; or None if the file is anything but one
        band of unsigned integers without a nodata value, in strips, as they are or compressed by
        LZW or Deflate; also if it is damaged.
    """
    try:
        plain = _header(content)
        if plain is None or max(plain.shape) > max_side or not _is_whole(plain, len(content)):
            return None
        if plain.compression == _LZW:
            return _by_pillow(content, plain)
        return _by_strips(content, plain)
    # What is damaged fails in many ways, and GDAL says how.
    except (ValueError, KeyError, OSError, SyntaxError, struct.error, zlib.error):
        return None


def _header(content: bytes) -> _Plain | None:
    """Parse the first image file directory; None if it is not that of a plain file."""
    if content[:4] != b'II*\0':
        return None
    (start,) = struct.unpack_from('<I', content, 4)
    (number,) = struct.unpack_from('<H', content, start)
    entries = content[start + 2 : start + 2 + 12 * number]
    (following,) = struct.unpack_from('<I', content, start + 2 + 12 * number)
    if following:
        # A second image may be the mask of the first.
        return None
    tags: dict[int, tuple[int, ...]] = {}
    directory = b''
    for position, (tag, kind, count, value) in enumerate(struct.iter_unpack('<HHI4s', entries)):
        if tag in tags:
            return None
        if tag in _KNOWN:
            tags[tag] = _numbers(content, kind, count, value)
            directory += entries[12 * position : 12 * position + 12]
        elif tag not in _PASSED_OVER or (tag == _METADATA and _is_scaled(content, count, value)):
            return None
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
