# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Shards of a Zarr array, as its sharding codec lays them out, and their checksums.

https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html
"""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...runtime.extras import import_extra

#: Bytes of the checksum behind every chunk and behind the index.
CHECKSUM = 4

#: Offset and length of a chunk that is not there.
MISSING = 2**64 - 1


def checksum(content: Any) -> bytes:
    """CRC-32C of some bytes, as it is stored.

    Args:
        content: Anything with a buffer.

    Raises:
        ImportError: If the package that computes it is missing.
    """
    library = import_extra('google_crc32c', 'store', 'checking a store')
    # It takes arrays without a copy, but no view of memory.
    return int(library.value(np.frombuffer(content, np.uint8))).to_bytes(CHECKSUM, 'little')


def index_length(chunks: int) -> int:
    """Bytes of the index of a shard, its checksum included."""
    return 16 * chunks + CHECKSUM


def decode_index(content: bytes | memoryview, chunks: int) -> np.ndarray:
    """Where the chunks of a shard are.

    Args:
        content: The end of the shard.
        chunks: Chunks that a shard can hold.

    Returns:
        Offset and length of every chunk, (chunks, 2), uint64; :data:`MISSING` where there is none.

    Raises:
        ValueError: If it is damaged.
    """
    if len(content) != index_length(chunks) or checksum(content[:-CHECKSUM]) != bytes(
        content[-CHECKSUM:]
    ):
        raise ValueError('the checksum of its index is wrong')
    return np.frombuffer(content[:-CHECKSUM], '<u8').reshape(chunks, 2)


def write_shard(path: str, scenes: Iterable[np.ndarray], chunks: int) -> list[int]:
    """Write a shard, one scene after the other, to the disk for good.

    Args:
        path: File to write. It is not whole until this returns.
        scenes: Images, of one size and type.
        chunks: Chunks that a shard can hold, at least the number of scenes.

    Returns:
        Checksum of each scene.

    Raises:
        OSError: If it cannot be written.
    """
    index = np.full((chunks, 2), MISSING, '<u8')
    position, checksums = 0, []
    with open(path, 'wb') as file:
        for number, scene in enumerate(scenes):
            stored = np.ascontiguousarray(scene, scene.dtype.newbyteorder('<'))
            pixels = memoryview(stored).cast('B')
            file.write(pixels)
            found = checksum(pixels)
            file.write(found)
            checksums.append(int.from_bytes(found, 'little'))
            index[number] = position, len(pixels) + CHECKSUM
            position += len(pixels) + CHECKSUM
        file.write(index.tobytes())
        file.write(checksum(index.tobytes()))
        file.flush()
        os.fsync(file.fileno())
    return checksums


def shard_length(scenes: int, scene_bytes: int, chunks: int) -> int:
    """Bytes of a shard that holds some scenes."""
    return scenes * (scene_bytes + CHECKSUM) + index_length(chunks)
