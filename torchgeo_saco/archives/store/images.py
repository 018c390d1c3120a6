# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Scenes of a store, read by their number into memory that is given."""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np

from .description import StoreDescription, StoreError
from .files import LocalFiles, Range, RemoteFiles
from .shards import CHECKSUM, MISSING, checksum, decode_index, index_length, shard_length
from .tables import StoredListing

# Indices of shards that are kept; one of 300 scenes takes 5 kB.
_KEPT = 4096


class StoredImages:
    """The array of all scenes, each checked against its checksum whenever it is read.

    The checksum is compared with that beside the pixels and with that of the table of scenes, so
    that sound pixels of another scene are refused as well.
    """

    def __init__(
        self, files: LocalFiles | RemoteFiles, description: StoreDescription, listing: StoredListing
    ) -> None:
        """Initialize a new StoredImages instance.

        Args:
            files: Files of the store.
            description: What the store says of itself.
            listing: Its table of scenes.
        """
        self.files = files
        self.description = description
        # Not its checksums, which would travel to processes beside it.
        self._listing = listing
        self.dtype = np.dtype(description.dtype)
        self._scene_bytes = math.prod(description.shape[1:]) * self.dtype.itemsize
        self._indices: OrderedDict[int, np.ndarray] = OrderedDict()

    def fill(
        self, rows: Sequence[int], images: Sequence[np.ndarray], named: Callable[[int], str] = str
    ) -> None:
        """Read scenes.

        Args:
            rows: Their numbers in the store.
            images: Where each goes: contiguous arrays of shape (bands, height, width).
            named: Words for a scene by its number, for messages.

        Raises:
            StoreError: If a scene is missing or damaged, or its shard cannot be read.
        """
        self._learn_indices(rows)
        stored = [bytearray(CHECKSUM) for _ in rows]
        ranges = [
            self._range(row, image, check, named)
            for row, image, check in zip(rows, images, stored, strict=True)
        ]
        try:
            self.files.fill(ranges)
        except OSError as error:
            scenes = ', '.join(map(named, rows))
            raise StoreError(
                f'{self.files.root} cannot be read at {scenes} ({error}); copy {ranges[0].name} '
                'anew, or pack the archive again'
            ) from error
        for row, part, check in zip(rows, ranges, stored, strict=True):
            found = checksum(part.buffers[0])
            if found != check:
                raise StoreError(
                    f'{self.files.root} is damaged at {named(row)}: the checksum in {part.name} is '
                    'wrong; copy that file anew, or pack the archive again'
                )
            if int.from_bytes(found, 'little') != self._listing.checksums[row]:
                raise StoreError(
                    f'{self.files.root}/{part.name} holds another scene in place of {named(row)}; '
                    'copy that file anew, or pack the archive again'
                )

    def require_shard(self, row: int) -> None:
        """Refuse a shard that cannot hold its scenes, before memory is taken for them.

        Args:
            row: Number of a scene.

        Raises:
            StoreError: If the shard of the scene is missing, or too short.
        """
        scenes, chunks = self.description.shape[0], self.description.shard
        number = row // chunks
        name = self.description.shard_name(number)
        held = min(chunks, scenes - number * chunks)
        try:
            reason = 'it is too short for its scenes'
            short = self.files.size(name) < shard_length(held, self._scene_bytes, chunks)
        except OSError as error:
            reason, short = str(error), True
        if short:
            raise StoreError(
                f'{self.files.root}/{name} cannot be read ({reason}); copy it anew, or pack the '
                'archive again'
            )

    def _range(
        self, row: int, image: np.ndarray, check: bytearray, named: Callable[[int], str]
    ) -> Range:
        """Where a scene lies, and where it goes."""
        shard, number = divmod(row, self.description.shard)
        name = self.description.shard_name(shard)
        try:
            start, length = self._index(shard)[number].tolist()
        except (OSError, ValueError) as error:
            raise StoreError(
                f'{self.files.root}/{name} cannot be read at {named(row)} ({error}); copy it anew, '
                'or pack the archive again'
            ) from error
        if MISSING in (start, length) or length != self._scene_bytes + CHECKSUM:
            raise StoreError(
                f'{self.files.root}/{name} does not hold {named(row)}; pack the archive again'
            )
        return Range(name, start, [memoryview(image).cast('B'), memoryview(check)])

    def _learn_indices(self, rows: Sequence[int]) -> None:
        """Read the indices of shards that are not known yet, together."""
        shards = {row // self.description.shard for row in rows}
        new = sorted(shards - self._indices.keys())[:_KEPT]
        if len(new) > 1:
            for shard, index in zip(new, self.files.each(self._found_index, new), strict=True):
                # One that cannot be read is asked for again by its scene, which then is named.
                if index is not None:
                    self._keep(shard, index)

    def _index(self, shard: int) -> np.ndarray:
        """Where the scenes of a shard are."""
        if shard not in self._indices:
            self._keep(shard, self._read_index(shard))
        self._indices.move_to_end(shard)
        return self._indices[shard]

    def _keep(self, shard: int, index: np.ndarray) -> None:
        """Remember the index of a shard, and forget the one that was not used for longest."""
        self._indices[shard] = index
        if len(self._indices) > _KEPT:
            self._indices.popitem(last=False)

    def _found_index(self, shard: int) -> np.ndarray | None:
        """Index of a shard, None if it cannot be read."""
        try:
            return self._read_index(shard)
        except (OSError, ValueError):
            return None

    def _read_index(self, shard: int) -> np.ndarray:
        """Index of a shard, from its end."""
        name = self.description.shard_name(shard)
        length = index_length(self.description.shard)
        content = bytearray(length)
        start = self.files.size(name) - length
        if start < 0:
            raise ValueError('it is shorter than its index')
        self.files.fill([Range(name, start, [memoryview(content)])])
        return decode_index(memoryview(content), self.description.shard)
