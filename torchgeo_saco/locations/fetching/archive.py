# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""An archive of scenes, fetched point by point, window by window."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from geopandas import GeoDataFrame
from rich.console import Console
from torchgeo.datasets.utils import Path as AnyPath

from ...bands import SENTINEL2_L2A, band_names
from ...io.lock import exclusive, scene_progress
from ...runtime.checks import check_choice, check_range
from .catalogue import Catalogue, FetchError, Modifier, Patience, require_stac
from .grid import square_around
from .items import ItemError, band_files, rank_scenes
from .pixels import UNITS, read_square
from .points import DateWindow, TargetLocation, read_locations
from .records import SKIPPED, SkippedScene, record_parameters, summarize, write_skipped
from .scenes import Kept, kept_scenes, scene_name, write_scene

# A server that fails for so many windows one after another is down.
_HOPELESS = 5


class MissingScenesError(ValueError):
    """Windows without a clear scene; all others were fetched."""


class FetchReport(NamedTuple):
    """What a run did."""

    #: Scenes fetched.
    fetched: int

    #: Scenes that were there already.
    present: int

    #: Windows without a scene, by location and time.
    skipped: tuple[SkippedScene, ...]


class _Settings(NamedTuple):
    """Settings that all locations share."""

    root: Path
    bands: tuple[str, ...]
    size_m: int
    max_cloud: float
    max_nodata: float
    dtype: str

    def shared(self, collection: str) -> dict[str, Any]:
        """Return the parameters that all scenes of an archive share."""
        return {
            'collection': collection,
            'bands': list(self.bands),
            'size_m': self.size_m,
            'dtype': self.dtype,
        }


def fetch_archive(
    points: AnyPath | GeoDataFrame,
    root: AnyPath,
    catalogue: str,
    collection: str = 'sentinel-2-l2a',
    bands: Sequence[str] | None = None,
    size_m: int = 2640,
    max_cloud: float = 10.0,
    on_missing: Literal['error', 'drop'] = 'error',
    dtype: Literal['uint16', 'uint8'] = 'uint16',
    max_nodata: float = 0.0,
    workers: int = 4,
    tries: int = 4,
    pause: float = 2.0,
    progress: bool = True,
    modifier: Modifier | None = None,
) -> FetchReport:
    """Fetch the clearest scene of every point and window into an archive.

    The archive has the layout that :class:`torchgeo_saco.datasets.SeasonalArchive` reads. A scene
    that is there is not fetched again, so an interrupted run is continued by the same call.

    Args:
        points: Table or file with one row a window, see :func:`read_locations`.
        root: Folder of the archive, made if need be.
        catalogue: Address of the landing page of a STAC API.
        collection: Collection of Sentinel-2 level 2A.
        bands: Bands to fetch, in any spelling, or None for all 12 of level 2A.
        size_m: Side of the square in metres, a multiple of 60.
        max_cloud: Share of cloud of the whole scene, in percent, below which it may be taken.
        on_missing: Whether windows without a clear scene are an error once all others are fetched,
            or are skipped. They are listed in ``skipped.csv`` at the root either way.
        dtype: uint16 for reflectance times 10000, or uint8 for reflectance times 255 as in SeCo.
            0 stands for no data; what is darker than 1 is stored as 1.
        max_nodata: Largest share of a band that may have no data for a scene to be taken.
        workers: Locations that are fetched at the same time.
        tries: How often a request is tried.
        pause: Seconds before the second try; each further pause is twice as long.
        progress: Whether to report on standard error.
        modifier: Applied to what the catalogue sends, such as
            ``planetary_computer.sign_inplace``.

    Returns:
        What was fetched, was there, and was skipped.

    Raises:
        ImportError: If the optional packages are missing.
        ValueError: If an argument, the points or the catalogue cannot be used, or if *root* holds
            anything else.
        MissingScenesError: If windows have no clear scene, unless *on_missing* is ``drop``.
        FetchError: If the server fails again and again. What was fetched stays.
    """
    settings = _Settings(
        Path(root).expanduser().absolute(),
        _checked_bands(bands),
        size_m,
        check_range('max_cloud', max_cloud, '[0, 100]'),
        check_range('max_nodata', max_nodata, '[0, 1]'),
        check_choice('dtype', dtype, UNITS),
    )
    check_choice('on_missing', on_missing, ('error', 'drop'))
    check_range('workers', workers, 'int [1, inf)')
    patience = Patience(tries, pause)
    require_stac()
    locations = read_locations(points)
    square_around(0, 0, size_m)
    with exclusive(
        settings.root / '.fetching.lock',
        f'another run fetches into {settings.root} now; wait for it, or name another root',
    ):
        record_parameters(settings.root, settings.shared(collection))
        kept = {
            location.name: kept_scenes(settings.root, location, settings.bands)
            for location in locations
        }
        present = sum(map(len, kept.values()))
        run = _Run(settings, patience, kept, sum(len(location.windows) for location in locations))
        todo = [
            location for location in locations if len(kept[location.name]) < len(location.windows)
        ]
        if todo:
            source = Catalogue(catalogue, collection, patience, modifier)
            run.all_locations(source, todo, workers, progress)
        else:
            write_skipped(settings.root, ())
    report = FetchReport(run.fetched, present, tuple(sorted(run.skipped)))
    if report.skipped and on_missing == 'error':
        raise MissingScenesError(
            f'{len(report.skipped)} windows have no clear scene: {summarize(report.skipped)}. All '
            f'are in {settings.root / SKIPPED}, and all others are fetched; raise max_cloud, widen '
            "the windows, or set on_missing='drop' to leave these out"
        )
    return report


class _Run:
    """State that the workers share."""

    def __init__(
        self, settings: _Settings, patience: Patience, kept: Mapping[str, list[Kept]], total: int
    ) -> None:
        """Nothing is fetched yet."""
        self.settings = settings
        self.patience = patience
        self.kept = kept
        self.total = total
        self.fetched = 0
        self.skipped: list[SkippedScene] = []
        self.failed: list[SkippedScene] = []
        self._in_succession = 0
        self._lock = threading.Lock()

    def all_locations(
        self, source: Catalogue, locations: Sequence[TargetLocation], workers: int, progress: bool
    ) -> None:
        """Fetch what is missing; an error tells of windows for which the server failed."""
        console = Console(stderr=True, quiet=not progress)
        present = sum(map(len, self.kept.values()))
        console.print(f'{present} of {self.total} scenes are there already', highlight=False)
        with scene_progress(console) as bar, ThreadPoolExecutor(workers) as pool:
            task = bar.add_task('scenes', total=self.total, completed=present)
            advance = partial(bar.advance, task)
            try:
                futures = [
                    pool.submit(self._location, source, location, advance) for location in locations
                ]
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                # What waits is not begun, what pauses ends; scenes under way are finished.
                self.patience.stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            finally:
                write_skipped(self.settings.root, self.skipped)
        if self.failed:
            hopeless = ', and the rest was not tried' if self.patience.stop.is_set() else ''
            raise FetchError(
                f'{len(self.failed)} windows could not be fetched{hopeless}: '
                f'{summarize(sorted(self.failed))}. {self.fetched} scenes were fetched and stay; '
                'the same command goes on with what is missing'
            )

    def _location(
        self, source: Catalogue, location: TargetLocation, advance: Callable[[], None]
    ) -> None:
        """Fetch what a location lacks, window after window: which scenes are taken matters."""
        kept = list(self.kept[location.name])
        there = {scene.window for scene in kept}
        for window in location.windows:
            if window in there:
                continue
            if self.patience.stop.is_set():
                return
            try:
                kept.append(self._window(source, location, window, kept))
            except ItemError as error:
                self._note(self.skipped, SkippedScene(location.name, window, str(error)))
            except FetchError as error:
                self._note(self.failed, SkippedScene(location.name, window, str(error)))
            else:
                self._note(None, None)
            advance()

    def _window(
        self, source: Catalogue, location: TargetLocation, window: DateWindow, kept: Sequence[Kept]
    ) -> Kept:
        """Fetch the scene of one window."""
        square = square_around(location.longitude, location.latitude, self.settings.size_m)
        items = source.search(location, window, self.settings.max_cloud)
        scenes, reasons = rank_scenes(items, window, square, self.settings.max_cloud)
        skipped_scenes: list[str] = []
        for scene in scenes:
            twin = [other for other in kept if scene.time.date() == other.day]
            if twin:
                raise ItemError(
                    f'its clearest scene {scene_name(scene)} is of the same day as {twin[0].name} '
                    f'of the window {twin[0].window}'
                )
            try:
                files = band_files(scene.item, self.settings.bands)
                bands = read_square(
                    files, square, self.settings.dtype, self.settings.max_nodata, self.patience
                )
            except ItemError as error:
                skipped_scenes.append(f'{scene.id} {error}')
                continue
            return write_scene(
                self.settings.root, location, window, scene, bands, files, square, skipped_scenes
            )
        raise ItemError(_why_none(reasons + skipped_scenes))

    def _note(self, notes: list[SkippedScene] | None, note: SkippedScene | None) -> None:
        """Remember how a window ended."""
        with self._lock:
            if notes is not None and note is not None:
                notes.append(note)
            self.fetched += notes is None
            self._in_succession = self._in_succession + 1 if notes is self.failed else 0
            if self._in_succession >= _HOPELESS:
                self.patience.stop.set()


def _why_none(reasons: Sequence[str]) -> str:
    """Why a window has no scene, from why each item was not taken."""
    if not reasons:
        return 'the catalogue has no scene below max_cloud'
    return f'no scene can be taken: {summarize(reasons, ", ")}'


def _checked_bands(bands: Sequence[str] | None) -> tuple[str, ...]:
    """Bands in the order of the sensor."""
    known = tuple(SENTINEL2_L2A.bands)
    return (
        known if bands is None else tuple(sorted(band_names(bands, SENTINEL2_L2A), key=known.index))
    )
