# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""One shard of a store, packed in a process of its own."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import shapely

from ...io.files import sync, write_file, writing
from ..geotiff import GeoTIFFReader
from ..layout import Location
from ..store.description import PACKING, StoreDescription
from ..store.shards import shard_length, write_shard


class ShardJob(NamedTuple):
    """Scenes of one shard."""

    #: Number of the shard.
    number: int

    #: Locations, and which of their scenes.
    scenes: tuple[tuple[Location, range], ...]

    def __len__(self) -> int:
        """Number of scenes."""
        return sum(len(scenes) for _, scenes in self.scenes)


class ShardPacker:
    """Writes shards of a store from a tree; small enough to travel to another process."""

    def __init__(self, tree: GeoTIFFReader, output: Path, description: StoreDescription) -> None:
        """Initialize a new ShardPacker instance.

        Args:
            tree: Reads the scenes.
            output: Folder of the store.
            description: What the store is to say of itself.
        """
        self.tree = tree
        self.output = output
        self.description = description

    def path(self, number: int) -> Path:
        """Where a shard stands when it is whole."""
        return self.output / self.description.shard_name(number)

    def record_path(self, number: int) -> Path:
        """Where the checksums of a shard's scenes stand until the end.

        And the georeferences of the locations that begin in it.
        """
        return self.output / PACKING / f'{number}.json'

    def is_packed(self, job: ShardJob) -> bool:
        """Whether a shard is there, whole."""
        path, chunks = self.path(job.number), self.description.shard
        scene_bytes = int(np.prod(self.description.shape[1:])) * self.tree.dtype.itemsize
        return (
            path.is_file()
            and path.stat().st_size == shard_length(len(job), scene_bytes, chunks)
            and self.record_path(job.number).is_file()
        )

    def pack(self, job: ShardJob) -> int:
        """Write a shard; it appears under its name at once and whole.

        Args:
            job: What it holds.

        Returns:
            Scenes written.

        Raises:
            BandFileError: If a file cannot be read.
            OSError: If the shard cannot be written.
        """
        partial = self.output / PACKING / f'{job.number}.partial'
        chunks = self.description.shard
        with writing(partial):
            checksums = write_shard(os.fspath(partial), self._images(job.scenes), chunks)
        ground = [self._ground(location) for location, scenes in job.scenes if scenes.start == 0]
        record = {'locations': ground, 'checksums': checksums}
        write_file(self.record_path(job.number), json.dumps(record).encode())
        path = self.path(job.number)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(partial, path)
        sync(path.parent)
        return len(job)

    def _images(self, scenes: Sequence[tuple[Location, range]]) -> Iterator[np.ndarray]:
        """Images one by one."""
        image = np.empty((1, *self.description.shape[1:]), self.tree.dtype)
        for location, positions in scenes:
            for position in positions:
                self.tree.fill(location, [position], image)
                yield image[0]

    def _ground(self, location: Location) -> dict[str, Any]:
        """Where a location lies, of its first scene."""
        footprint, found = self.tree.footprint(location), self.tree.georeference(location)
        return {
            'location': location.name,
            'geometry': None if footprint is None else shapely.to_wkb(footprint, hex=True),
            'crs': None if found is None else found.crs,
            'transform': None if found is None else found.transform,
        }
