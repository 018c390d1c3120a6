# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""``torchgeo-saco embed``."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rich.console import Console

from ..archives.rasters import CellOptions, ProductError, SceneReader, open_scene
from ..archives.store import is_store
from ..datasets import SeasonalArchive
from ..io.lock import exclusive
from ..runtime.checks import check_range
from ..transforms import Reflectance
from .archive import embed_archive, fit_to_archive
from .encoding import DEFAULT_TILE, NamedWeights, Precision, TileEncoder
from .map import embed_scene, fit_to_scene
from .provenance import Provenance
from .sources import pixel_side, require_unit
from .table import EmbeddingRows, TableParts
from .tiles import TileGrid

_LISTED = 20

# Images that shrink more than that are rather scenes than patches.
_SHRUNK = 8

_MAPS, _TABLES = ('.tif', '.tiff'), ('.parquet',)


class _Options(NamedTuple):
    """Arguments of the command that archives and scenes share."""

    root: str
    output: Path
    weights: NamedWeights
    tile: int | None
    dtype: str
    groups: bool
    max_nodata: float
    batch_size: int
    num_workers: int
    device: str
    precision: Precision
    sensor: str | None
    unit: float | None
    offset: float | None
    bands: list[str] | None
    console: Console | None


def embed(
    weights: str,
    root: str,
    output: str,
    tile: int | None = None,
    stride: int | None = None,
    dtype: Literal['float16', 'float32', 'int8'] | None = None,
    groups: bool = False,
    max_nodata: float = 0.0,
    sensor: str | None = None,
    unit: float | None = None,
    offset: float | None = None,
    bands: list[str] | None = None,
    batch_size: int = 64,
    num_workers: int = 0,
    device: str = 'auto',
    precision: Precision = '32',
    progress: bool = True,
    layout: str | None = None,
    size: int | None = None,
    cells: CellOptions | None = None,
    on_invalid: Literal['error', 'drop'] | None = None,
) -> None:
    r"""Write the embeddings of an archive as a table, or of a whole scene as a map.

    A table (GeoParquet) has a row for every date of every location, with its name, footprint and
    embedding. A map (cloud-optimized GeoTIFF) has a cell for every stride of pixels of a scene,
    embedded from the tile around it. Both say which weights, bands and units they come from. A run
    that was interrupted goes on when the same command is given again.

    For example:

      torchgeo-saco embed --weights logs/saco/version_0/checkpoints/last.ckpt \
          --root data/sample/seasonal --output embeddings.parquet

      torchgeo-saco embed --weights ResNet18_Weights.SENTINEL2_ALL_MOCO \
          --root scene.tif --output map.tif --tile 64 --stride 32

    Args:
        weights: Checkpoint, name of a TorchGeo weight, or random.
        root: Archive in any layout, or packed; or scene: a SAFE folder, a GeoTIFF of several
            bands, a folder of one file a band, or of several Landsat scenes in a folder the name
            of one, as in folder/LC08_L2SP_198030_20210603_20210611_02_T1.
        output: File to write: .parquet for an archive, .tif for a scene.
        tile: Side in pixels of what the encoder sees: of the tiles of a scene, or that images of an
            archive are resized to. By default that of training; for other weights 224, or images of
            an archive as they are.
        stride: Pixels from one cell of a map to the next, by default half a tile.
        dtype: Type of the numbers, by default float16 in a table and float32 in a map.
        groups: Whether a table has a column for every group.
        max_nodata: Largest share of pixels without data, in a tile or in a band of an archive;
            cells of a map above it have no data.
        sensor: Sensor, if names of bands do not tell.
        unit: Digital number of reflectance 1; by file and type as default.
        offset: Added to stored numbers before that.
        bands: Bands to read, or names of the bands of a file in their order.
        batch_size: Images or tiles embedded at a time.
        num_workers: Processes that read an archive.
        device: cpu, cuda, or auto.
        precision: 32, or bf16 for a backbone in bfloat16, faster where the device has it.
        progress: Whether to show a progress bar.
        layout: Layout of an archive, such as ``rasters``, as of
            :class:`~torchgeo_saco.datasets.SeasonalArchive`; None to tell it.
        size: Side in pixels of a centred window of the images of an archive, or of the cells that
            rasters are cut into.
        cells: How rasters are found and cut into cells.
        on_invalid: Read every image before, and refuse together or leave out dates without usable
            values, as of :class:`~torchgeo_saco.datasets.SeasonalArchive`.

    Raises:
        ValueError: If an argument is out of range, or the weights do not fit the images.
        OSError: If a file cannot be read or written.
    """
    path = Path(output).expanduser().absolute()
    _require_arguments(path, tile, stride, batch_size, max_nodata)
    is_map = path.suffix.lower() in _MAPS
    options = _Options(
        root,
        path,
        NamedWeights.parse(weights),
        tile,
        dtype or ('float32' if is_map else 'float16'),
        groups,
        max_nodata,
        batch_size,
        num_workers,
        device,
        precision,
        sensor,
        unit,
        offset,
        bands,
        Console(stderr=True) if progress else None,
    )
    say = Console(soft_wrap=True, highlight=False).print
    form = {'layout': layout, 'size': size, 'cells': cells, 'on_invalid': on_invalid}
    lock = path.with_name(f'.{path.name}.lock')
    with exclusive(lock, f'another run writes {path}; wait for it, or name another output'):
        try:
            if is_map:
                lines = _embed_scene(options, stride, form, say)
            else:
                lines = _embed_archive(options, stride, form, say)
        finally:
            lock.unlink()
    for line in lines:
        say(line)


def _require_arguments(
    path: Path, tile: int | None, stride: int | None, batch_size: int, max_nodata: float
) -> None:
    """Refuse what could not work in the end."""
    check_range('tile', tile, 'int [1, inf) or None')
    check_range('stride', stride, 'int [1, inf) or None')
    check_range('batch_size', batch_size, 'int [1, inf)')
    check_range('max_nodata', max_nodata, '[0, 1]')
    if path.suffix.lower() not in _MAPS + _TABLES:
        raise ValueError(f'{path} must end in .parquet for an archive, or in .tif for a scene')
    if path.exists():
        raise FileExistsError(f'{path} exists; name another file or remove it')
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise ValueError(f'{path} cannot be written; make the folder {path.parent} first')


def _embed_scene(
    options: _Options, stride: int | None, form: dict[str, Any], say: Any
) -> list[str]:
    """Write the map of a scene; what to say of it."""
    for name, value in form.items():
        if value is not None:
            raise ValueError(f'a scene takes no {name}, which is of archives; leave it out')
    if options.groups:
        raise ValueError('a map holds the embedding alone; leave out groups')
    if options.dtype == 'float16':
        raise ValueError('a map is of float32 or int8; set dtype to one of them')
    if is_store(options.root):
        raise ValueError(_archive_to_map(options))
    try:
        everything = open_scene(
            options.root, options.bands, options.sensor, options.unit, options.offset
        )
    except ProductError as error:
        if _is_archive(options):
            raise ValueError(_archive_to_map(options)) from error
        raise
    with everything as scene:
        return _embed_open_scene(options, stride, scene, say)


def _embed_open_scene(
    options: _Options, stride: int | None, scene: SceneReader, say: Any
) -> list[str]:
    """Write the map of an open scene; what to say of it."""
    scene.select(options.weights.needed_bands(scene.bands, scene.sensor))
    require_unit(scene)
    tile = options.tile or options.weights.arguments.get('size') or DEFAULT_TILE
    if tile > min(scene.shape):
        raise ValueError(
            f'{scene.path} is {scene.shape[1]} x {scene.shape[0]} px, smaller than a tile of '
            f'{tile} px; set tile to at most {min(scene.shape)}'
        )
    grid = TileGrid(scene.shape, tile, stride or max(1, tile // 2))
    if grid.stride > tile:
        raise ValueError(
            f'stride={grid.stride} is more than tile={tile}, which leaves ground between tiles '
            'out; set it to at most the tile'
        )
    loaded = options.weights.load(scene.bands, scene.sensor)
    encoder = TileEncoder(loaded, options.weights, options.device, options.precision)
    fitted = list(encoder.unfitted)
    fit_to_scene(encoder, scene, grid)
    side = scene.metres_per_pixel
    provenance = _provenance(options, encoder, scene.path, fitted, scene.unit, scene.offset)
    provenance = replace(
        provenance,
        tile=tile,
        stride=grid.stride,
        metres_per_pixel=side,
        metres_per_cell=None if side is None else side * grid.stride,
        date=None if scene.date is None else scene.date.isoformat(),
        files=scene.stat(),
    )
    say(_scene_text(scene, grid, encoder))
    for group in loaded.skipped:
        say(f'skipped: group {group.name}, since {group.reason}')
    report = embed_scene(
        encoder, scene, grid, options.output, provenance, options.batch_size, options.console
    )
    rows, columns = report.cells
    lines = [
        f'{options.output}: {columns} x {rows} cells of {encoder.dimensions} numbers, '
        + options.dtype
    ]
    if report.resumed:
        lines.append(f'{report.resumed} cells were embedded by a run before')
    if report.empty:
        lines.append(
            f'{report.empty} cells have no data, for more than {options.max_nodata:.0%} of their '
            'tiles are missing; raise max_nodata to embed them'
        )
    return lines


def _embed_archive(
    options: _Options, stride: int | None, form: dict[str, Any], say: Any
) -> list[str]:
    """Write the table of an archive; what to say of it."""
    if stride is not None:
        raise ValueError('images of an archive are embedded whole; leave out stride')
    arguments = options.weights.arguments
    try:
        archive = _open_archive(options, options.bands, form)
    except (ValueError, OSError) as error:
        if is_store(options.root) or not _is_scene(options):
            raise
        raise ValueError(
            f'{options.root} is a scene, whose embeddings are a map; let output end in .tif'
        ) from error
    bands = options.weights.needed_bands(archive.bands, archive.sensor_name)
    if bands != list(archive.bands):
        archive = _open_archive(options, bands, form)
    reflectance = archive.reflectance(Reflectance(options.unit, options.offset or 0.0))
    size = options.tile or arguments.get('size')
    loaded = options.weights.load(archive.bands, archive.sensor_name)
    encoder = TileEncoder(loaded, options.weights, options.device, options.precision)
    fitted = list(encoder.unfitted)
    fit_to_archive(encoder, archive, reflectance, size)
    provenance = _provenance(
        options, encoder, options.root, fitted, reflectance.unit, reflectance.offset
    )
    pixel = pixel_side(archive)
    seen = size or min(archive.shape)
    side = None if pixel is None else pixel * archive.shape[0] / seen
    provenance = replace(
        provenance, tile=seen, metres_per_pixel=side, files=[[len(archive), len(archive.locations)]]
    )
    rows = EmbeddingRows(
        provenance.dimensions, options.dtype, encoder.groups if options.groups else ()
    )
    height, width = archive.shape
    text = f'{options.root}: {len(archive)} dates of {len(archive.locations)} locations'
    if size is not None and (height, width) != (size, size):
        text += f'; images of {width} x {height} px are resized to {size} x {size} px, as ' + (
            'in training' if options.tile is None else '--tile asks'
        )
    say(text + ('' if side is None else f', {side:.3g} m a pixel'))
    if height > _SHRUNK * seen:
        say('a large image as one vector says little; the map of a scene embeds it tile by tile')
    say(f'groups: {", ".join(encoder.groups)}')
    for group in loaded.skipped:
        say(f'skipped: group {group.name}, since {group.reason}')
    parts = TableParts(options.output, provenance)
    resumed = embed_archive(
        encoder, archive, reflectance, parts, rows, size, options.batch_size, options.num_workers,
        options.console,
    )  # fmt: skip
    count = parts.join()
    lines = [f'{options.output}: {count} embeddings of {provenance.dimensions} numbers']
    if resumed:
        lines.append(f'{resumed} rows were embedded by a run before')
    lines += [f'skipped: {reason}' for reason in archive.skipped[:_LISTED]]
    if len(archive.skipped) > _LISTED:
        lines.append(f'skipped: {len(archive.skipped) - _LISTED} more')
    return lines


def _open_archive(
    options: _Options, bands: Sequence[str] | None, form: dict[str, Any]
) -> SeasonalArchive:
    """Open the archive, an item a date."""
    return SeasonalArchive(
        options.root,
        bands,
        dates=1,
        item='date',
        other_dates='any',
        sensor=options.sensor,
        max_nodata=options.max_nodata,
        on_missing='drop',
        cache=False,
        transforms=None,
        **form,
    )


def _provenance(
    options: _Options,
    encoder: TileEncoder,
    source: str,
    fitted: list[str],
    unit: float | None,
    offset: float,
) -> Provenance:
    """What archives and scenes say alike."""
    return Provenance(
        weights=options.weights.text,
        weights_hash=encoder.hash,
        model=encoder.config.model,
        bands=list(encoder.config.bands),
        sensor=encoder.config.sensor,
        groups=encoder.groups,
        source=os.path.abspath(source) if os.path.exists(source) else source,
        dimensions=encoder.dimensions,
        unit=unit,
        offset=offset,
        dtype=options.dtype,
        precision=options.precision,
        max_nodata=options.max_nodata,
        fitted=fitted,
    )


def _scene_text(scene: SceneReader, grid: TileGrid, encoder: TileEncoder) -> str:
    """Say what is embedded, and on which ground."""
    side = scene.metres_per_pixel
    ground = 'not georeferenced'
    if side is not None:
        ground = (
            f'{side:.4g} m a pixel, {side * grid.stride:.4g} m a cell from tiles of '
            f'{side * grid.tile:.4g} m'
        )
    return (
        f'{scene.path}: {scene.shape[1]} x {scene.shape[0]} px of {", ".join(scene.bands)} of '
        f'{scene.sensor}; '
        f'{ground} (tile {grid.tile} px, stride {grid.stride} px)\n'
        f'groups: {", ".join(encoder.groups)}'
    )


def _is_scene(options: _Options) -> bool:
    """Whether a path holds a scene."""
    try:
        with open_scene(options.root, sensor=options.sensor):
            return True
    except (ValueError, OSError):
        return os.path.isfile(options.root)


def _is_archive(options: _Options) -> bool:
    """Whether a path holds an archive."""
    try:
        SeasonalArchive(options.root, sensor=options.sensor, on_missing='drop')
    except (ValueError, OSError):
        return False
    return True


def _archive_to_map(options: _Options) -> str:
    """Say that the embeddings of an archive are a table."""
    return f'{options.root} is an archive, whose embeddings are a table; let output end in .parquet'
