# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""A packed store without images: metadata and tables, to measure how archives grow."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from torchgeo.datasets.utils import Path as AnyPath

from torchgeo_saco.archives.store import StoreDescription, write_tables
from torchgeo_saco.archives.store.shards import shard_length

_BANDS = ('B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B09', 'B11', 'B12')


def write_index(
    folder: AnyPath,
    locations: int,
    dates: int = 5,
    bands: tuple[str, ...] = _BANDS,
    size: int = 264,
    dtype: str = 'uint8',
    classes: int = 0,
) -> Path:
    """Write a store without images, of locations with dates a season apart.

    It opens, counts, splits and draws as a whole one; reading an image of it is an error.

    Args:
        folder: Folder to write, made if need be.
        locations: Number of locations.
        dates: Dates of each.
        bands: Bands of the images.
        size: Side of the images in pixels.
        dtype: Type of their numbers.
        classes: Classes of labels that the locations take in turn, or 0 for no labels.

    Returns:
        The folder.
    """
    folder = Path(folder)
    scenes = locations * dates
    shape = (scenes, len(bands), size, size)
    named = tuple(f'class{number}' for number in range(classes))
    description = StoreDescription('sentinel2_l1c', bands, dtype, shape, min(scenes, 256), named)
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    digits = max(6, len(str(locations)))
    starts = np.datetime64('2018-01-15') + np.arange(locations) % 90
    days = (starts[:, None] + 91 * np.arange(dates)).ravel()
    digests = write_tables(
        os.fspath(folder),
        pc.utf8_lpad(pa.array(np.arange(locations)).cast(pa.string()), digits, '0'),
        np.full(locations, dates),
        days,
        np.zeros(scenes, np.uint32),
        labels=pa.array(named).take(pa.array(np.arange(locations) % classes)) if classes else None,
    )
    for name, content in replace(description, tables=digests).metadata().items():
        (folder / name).write_bytes(content)
    # As long as it were if it held images; it takes no room.
    shard = folder / description.shard_name(0)
    shard.parent.mkdir(parents=True, exist_ok=True)
    with open(shard, 'wb') as file:
        scene_bytes = math.prod(shape[1:]) * np.dtype(dtype).itemsize
        file.truncate(shard_length(description.shard, scene_bytes, description.shard))
    return folder
