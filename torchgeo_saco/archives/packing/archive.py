# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Packing of a whole archive: what is there already, what is missing, and the tables."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import replace
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import shapely
from rich.console import Console
from torchgeo.datasets.utils import Path as AnyPath

from ...io.files import sync, write_file
from ...io.lock import scene_progress
from ...runtime.checks import check_range
from ..geotiff import GeoTIFFReader
from ..opening import OpenArchive, open_archive, read_options
from ..readers import DateRule
from ..store import StoreDescription, is_store, write_tables
from ..store.description import PACKING
from ..store.files import is_url
from ..store.shards import shard_length
from .folder import lock_output, require_description
from .shards import ShardJob, ShardPacker

_SHARD_BYTES = 200_000_000

# Rows of the tables on disk, at most: names of scenes, footprints.
_TABLE_BYTES = 1000


class PackReport(NamedTuple):
    """What a run did."""

    #: Scenes of the store.
    scenes: int

    #: Scenes that were packed before.
    present: int

    #: Bytes of the array.
    size: int

    #: Scenes and locations skipped, with the reason.
    skipped: tuple[str, ...]


def pack_archive(
    root: AnyPath,
    output: AnyPath,
    bands: Sequence[str] | None = None,
    sensor: str | None = None,
    previews: bool = False,
    size: int | None = None,
    resampling: str = 'bilinear',
    max_nodata: float = 0.0,
    on_missing: Literal['error', 'drop'] = 'error',
    shard_bytes: int = _SHARD_BYTES,
    workers: int = 1,
    progress: bool = True,
    layout: str | None = None,
    on_invalid: Literal['error', 'drop'] | None = None,
) -> PackReport:
    """Pack a seasonal archive into one Zarr store.

    A run that was ended at any instant is continued by the same call, to the same store byte for
    byte. It can be opened only once it is complete.

    Args:
        root: Folder of the locations, see :class:`~torchgeo_saco.datasets.SeasonalArchive`.
        output: Folder of the store, made if need be.
        bands: Bands to pack, in any spelling, or None for all that are there.
        sensor: Sensor, a key of :data:`torchgeo_saco.bands.SENSORS`, or None for that of the
            layout, else ``sentinel2_l1c``.
        previews: Pack 3-band previews in place of band files.
        size: Side in pixels of a centred window, or None for the whole image.
        resampling: How coarser bands are brought to the finest grid.
        max_nodata: Largest share of nodata in a band.
        on_missing: Refuse scenes that lack a band and locations without a scene, or leave them out.
        shard_bytes: Size of a file of scenes, at most; one scene at least.
        workers: Processes that read and write.
        progress: Whether to report on standard error.
        layout: Layout of the folder, a key of :data:`~torchgeo_saco.archives.layouts.LAYOUTS`, or
            None to tell it by looking.
        on_invalid: Read every image before packing, and refuse together or leave out dates that
            hold NaN or too much nodata, or are empty; or None to refuse the first that is met.

    Returns:
        What was packed, was there, and was skipped.

    Raises:
        FileNotFoundError: If the archive is missing.
        ValueError: If an argument is out of range, the archive cannot be read, or *output* is a
            URL, lies within the archive, or holds anything else, or a store of other arguments.
        OSError: If the disk is too small, or cannot be written to.
    """
    check_range('shard_bytes', shard_bytes, 'int [1, inf)')
    check_range('workers', workers, 'int [1, inf)')
    if is_store(root):
        raise ValueError(f'{root} is a store already; give the folder of its locations')
    _require_location(output, root)
    options = read_options(previews, size, resampling, max_nodata)
    any_dates = DateRule(1, 'date', 'any', 'calendar')
    if layout == 'rasters':
        raise ValueError(
            f'{root} is read as cells of rasters, which are not packed; train on it as it lies'
        )
    archive = open_archive(
        root, bands, options, any_dates, on_missing, sensor, layout, on_invalid=on_invalid
    )
    tree = archive.source
    if not isinstance(tree, GeoTIFFReader):
        raise ValueError(f'{root} is no folder of locations')
    description = _description(archive, tree, archive.sensor, shard_bytes)
    run = _Packing(
        ShardPacker(tree.without_locations(), Path(output).absolute(), description), archive
    )
    console = Console(stderr=True, quiet=not progress, highlight=False)
    if tree.multilabel and archive.classes:
        console.print(f'labels of {root} are several per location, and are not packed')
    run.all_shards(workers, console)
    return PackReport(description.shape[0], run.present, run.array_bytes, tuple(archive.skipped))


def _require_location(output: AnyPath, root: AnyPath) -> None:
    """Refuse an output that cannot hold a store, or would become a part of the archive."""
    if is_url(output):
        raise ValueError(f'{output} is a URL; pack into a folder, and copy that there')
    if Path(root).resolve() in Path(output).resolve().parents:
        raise ValueError(
            f'{output} lies within {root}, where it would count as a location; name another output'
        )


class _Packing:
    """One run, from the listing to the complete store."""

    def __init__(self, packer: ShardPacker, archive: OpenArchive) -> None:
        """Initialize a new _Packing instance.

        Args:
            packer: Packs single shards.
            archive: What is packed.
        """
        self.packer = packer
        self.archive = archive
        self.output = packer.output
        self.description = packer.description
        #: Scenes that were packed before.
        self.present = 0

    @property
    def array_bytes(self) -> int:
        """Bytes of all shards."""
        return sum(map(self._length, self._jobs()))

    def all_shards(self, workers: int, console: Console) -> None:
        """Pack what is missing, and complete the store."""
        if require_description(self.output, self.description):
            self.present = self.description.shape[0]
            if (self.output / PACKING).exists():
                # A run was ended at its very last step.
                with lock_output(self.output, self.description):
                    shutil.rmtree(self.output / PACKING)
            console.print(f'{self.output} is complete already')
            return
        with lock_output(self.output, self.description):
            # Only shards that were there before count as such.
            missing = [job.number for job in self._jobs() if not self.packer.is_packed(job)]
            wanted = set(missing)
            self._require_space(wanted, console)
            jobs = (job for job in self._jobs() if job.number in wanted)
            with scene_progress(console) as bar:
                task = bar.add_task(
                    'scenes', total=self.description.shape[0], completed=self.present
                )
                for scenes in _pack_shards(self.packer, jobs, workers):
                    bar.advance(task, scenes)
            self._complete()

    def _require_space(self, missing: set[int], console: Console) -> None:
        """Refuse to begin what cannot be ended for want of space, and say what is needed."""
        lengths = {job.number: (len(job), self._length(job)) for job in self._jobs()}
        self.present = sum(n for number, (n, _) in lengths.items() if number not in missing)
        array = sum(length for number, (_, length) in lengths.items() if number in missing)
        needed = array + _TABLE_BYTES * (len(self.archive.locations) + self.description.shape[0])
        free = shutil.disk_usage(self.output).free
        if needed > free:
            raise OSError(
                f'{self.output} needs {_gigabytes(needed)} more, and its disk has '
                f'{_gigabytes(free)} free; make room, or name another output'
            )
        console.print(
            f'{self.description.shape[0]} scenes in {self.description.shards} shards, '
            f'{self.present} of them packed before; {_gigabytes(needed)} to write, '
            f'{_gigabytes(free)} free'
        )

    def _length(self, job: ShardJob) -> int:
        """Bytes of a shard."""
        _, *image = self.description.shape
        scene_bytes = int(np.prod(image)) * np.dtype(self.description.dtype).itemsize
        return shard_length(len(job), scene_bytes, self.description.shard)

    def _jobs(self) -> Iterator[ShardJob]:
        """List the scenes of each shard, location by location."""
        number, scenes, room = 0, [], self.description.shard
        for location in self.archive.locations:
            start, count = 0, len(location.scenes)
            while start < count:
                stop = min(count, start + room)
                scenes.append((location, range(start, stop)))
                room -= stop - start
                start = stop
                if not room:
                    yield ShardJob(number, tuple(scenes))
                    number, scenes, room = number + 1, [], self.description.shard
        if scenes:
            yield ShardJob(number, tuple(scenes))

    def _complete(self) -> None:
        """Write tables and metadata; what makes it a store comes last."""
        names, counts, scenes, days, labels = _columns(self.archive, self.packer.tree)
        ground: dict[str, dict[str, Any]] = {}
        checksums: list[int] = []
        for number in range(self.description.shards):
            record = json.loads(self.packer.record_path(number).read_bytes())
            ground |= {location['location']: location for location in record['locations']}
            checksums += record['checksums']
        known: list[dict[str, Any]] = [ground.get(name, {}) for name in names]
        columns = {
            'geometry': pa.array(
                [_wkb(location.get('geometry')) for location in known], pa.binary()
            ),
            'crs': pa.array([location.get('crs') for location in known], pa.string()),
            'transform': pa.array(
                [location.get('transform') for location in known], pa.list_(pa.float64(), 6)
            ),
        }
        digests = write_tables(self.output, names, counts, days, checksums, scenes, labels, columns)
        description = replace(self.description, tables=digests)
        for name, content in reversed(description.metadata().items()):
            write_file(self.output / name, content)
        shutil.rmtree(self.output / PACKING)
        sync(self.output)


_packer: list[ShardPacker] = []


def _start(packer: ShardPacker) -> None:
    """State that a worker process receives once."""
    _packer[:] = [packer]


def _work(job: ShardJob) -> int:
    """One shard, in a worker process."""
    return _packer[0].pack(job)


def _pack_shards(packer: ShardPacker, jobs: Iterator[ShardJob], workers: int) -> Iterator[int]:
    """Pack shards; yields the number of scenes of each that is done."""
    if workers == 1:
        yield from map(packer.pack, jobs)
        return
    # Processes that are forked would inherit the threads of this one.
    pool = ProcessPoolExecutor(workers, get_context('spawn'), _start, (packer,))
    try:
        running = {pool.submit(_work, job) for job in islice(jobs, 2 * workers)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(_work, job) for job in islice(jobs, len(done))}
            yield from (future.result() for future in done)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _description(
    archive: OpenArchive, tree: GeoTIFFReader, sensor: str, shard_bytes: int
) -> StoreDescription:
    """Make the description of the store."""
    scenes = int(archive.locations.counts.sum())
    scene_bytes = (
        len(archive.source.bands) * int(np.prod(archive.source.shape)) * tree.dtype.itemsize
    )
    return StoreDescription(
        sensor=sensor,
        bands=archive.source.bands,
        dtype=str(tree.dtype),
        shape=(scenes, len(archive.source.bands), *archive.source.shape),
        shard=max(1, min(scenes, shard_bytes // scene_bytes)),
        classes=() if tree.multilabel else tuple(archive.classes),
        size=tree.form.size,
        resampling=tree.form.resampling,
        max_nodata=tree.form.max_nodata,
        previews=tree.form.previews,
        listing=_digest(_columns(archive, tree)),
    )


def _columns(
    archive: OpenArchive, tree: GeoTIFFReader
) -> tuple[list[str], np.ndarray, list[str], np.ndarray, list[str | None] | None]:
    """Names of all locations, counts, names and days of scenes, labels."""
    names = archive.source.listed.to_pylist()
    kept = dict(zip(archive.locations.names.to_pylist(), archive.locations.counts, strict=True))
    # Locations without a scene stay listed, for the split is of all.
    counts = np.array([kept.get(name, 0) for name in names], np.int32)
    scenes = [scene.name for location in archive.locations for scene in location.scenes]
    days = archive.locations.listing.days.astype('datetime64[D]')
    classes, known = ([], {}) if tree.multilabel else tree.layout.labels(names)
    labels = [classes[known[name]] if name in known else None for name in names]
    return names, counts, scenes, days, labels if classes else None


def _digest(columns: Iterable[Any]) -> str:
    """SHA-256 of what is listed."""
    lists = [None if column is None else np.asarray(column).tolist() for column in columns]
    return hashlib.sha256(json.dumps(lists, default=str).encode()).hexdigest()


def _wkb(text: str | None) -> bytes | None:
    """Geometry as bytes."""
    return None if text is None else shapely.to_wkb(shapely.from_wkb(text))


def _gigabytes(number: int) -> str:
    """Bytes in words."""
    return f'{number / 1e9:.3g} GB' if number >= 1e7 else f'{number / 1e6:.3g} MB'
