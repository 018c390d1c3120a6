# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Embedding maps: cloud-optimized GeoTIFFs with one band for each number of an embedding."""

import os
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio
import rasterio.shutil
import torch
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window
from rich.console import Console
from rich.progress import track

from ..archives.rasters import SceneReader
from ..io.files import atomic_file, not_whole, write_file, writing
from ..io.formats import PROVENANCE_TAG
from .encoding import TileEncoder, cut
from .provenance import Provenance
from .sources import scene_scale
from .tiles import Block, TileGrid

#: Marks cells without data in maps of int8.
NODATA = -128

# Side of the blocks, which hold all bands: of a map the least that GDAL knows.
_BLOCK, _COG_BLOCK = 64, 128

# Windows that statistics are taken of where the weights bring none.
_FITTED_ON = 64

_CACHE = 64 << 20


class MapReport(NamedTuple):
    """What an embedding map holds."""

    #: Rows and columns of the cells.
    cells: tuple[int, int]

    #: Cells without data.
    empty: int

    #: Cells that were there from a run before.
    resumed: int


def fit_to_scene(encoder: TileEncoder, scene: SceneReader, grid: TileGrid) -> None:
    """Take the statistics that the weights do not bring from tiles spread over a scene.

    Args:
        encoder: The encoder; nothing is done where its weights bring all.
        scene: The scene.
        grid: Its tiles.
    """
    reflectance = scene_scale(scene)
    rows, columns = grid.cells
    chosen = np.unique(np.linspace(0, rows * columns - 1, _FITTED_ON).astype(int))
    found = []
    for cell in chosen if encoder.unfitted else ():
        top, left = grid.start(cell // columns, 0), grid.start(cell % columns, 1)
        image, valid = scene.read((top, left, grid.tile, grid.tile))
        if valid.all():
            found.append(reflectance(torch.from_numpy(image)))
    if encoder.unfitted and not found:
        raise ValueError(
            f'{scene.path} has no tile without missing pixels to take the statistics of '
            f'{", ".join(encoder.unfitted)} from; give weights that bring them'
        )
    encoder.fit(lambda: (tile[None] for tile in found))


def embed_scene(
    encoder: TileEncoder,
    scene: SceneReader,
    grid: TileGrid,
    output: Path,
    provenance: Provenance,
    batch_size: int = 64,
    console: Console | None = None,
) -> MapReport:
    """Write the embedding map of a scene, block by block.

    Memory does not depend on the size of the scene. A run that was interrupted goes on from the
    file that it left beside the map, if it is of the same provenance.

    Args:
        encoder: The encoder.
        scene: The scene.
        grid: Cells of the map and tiles of the scene.
        output: File to write.
        provenance: What the map says of itself, and the type of its numbers.
        batch_size: Tiles embedded at a time.
        console: Where to show progress, or None for nowhere.

    Returns:
        What the map holds.

    Raises:
        OSError: If the map cannot be written, as where the disk is full; what was embedded is kept.
        BandFileError: If the scene cannot be read.
    """
    blocks = list(grid.blocks())
    cells = _Cells(output, provenance, blocks)
    done, rest = cells.done, blocks[cells.done :]
    with closing(_read_ahead(scene, rest)) as images:
        pairs = zip(rest, images, strict=True)
        for block, (image, valid) in track(
            pairs,
            'blocks',
            total=len(rest),
            console=console,
            disable=console is None,
            transient=True,
        ):
            cells.append(_embed_block(encoder, scene, block, image, valid, provenance, batch_size))
    empty = write_map(output, cells.read, grid, scene.crs, scene.transform, provenance)
    cells.remove()
    return MapReport(grid.cells, empty, sum(block.cells for block in blocks[:done]))


def write_map(
    output: Path,
    blocks: Callable[[], Iterator[tuple[Block, np.ndarray]]],
    grid: TileGrid,
    crs: CRS | None,
    transform: Affine,
    provenance: Provenance,
) -> int:
    """Write a map, which appears under its name at once and whole.

    Args:
        output: File to write.
        blocks: Makes an iterator over blocks and their embeddings, (cells, D) float32.
        grid: Cells of the map.
        crs: Coordinate system of the scene, or None.
        transform: From column and row of the scene to coordinates.
        provenance: What the map says of itself, and the type of its numbers.

    Returns:
        Number of cells without data.

    Raises:
        OSError: If it cannot be written, or was not written whole.
    """
    scales = np.ones(provenance.dimensions, np.float32)
    empty = 0
    if provenance.dtype == 'int8':
        largest = np.zeros_like(scales)
        for _, found in blocks():
            np.fmax(largest, np.fmax.reduce(np.abs(found), 0), out=largest)
        scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    plain = output.with_name(f'.{output.stem}.plain.tif')
    try:
        with atomic_file(output) as partial, rasterio.Env(GDAL_CACHEMAX=_CACHE), _quiet():
            with _new_raster(plain, grid, crs, transform, provenance, scales) as file:
                for block, found in blocks():
                    empty += int(np.isnan(found[:, 0]).sum())
                    file.write(_stored(found, block, scales, provenance), window=_window(block))
            rasterio.shutil.copy(
                plain,
                partial,
                driver='COG',
                compress='DEFLATE',
                predictor='YES',
                blocksize=_COG_BLOCK,
                # A mean of embeddings of other ground is no embedding of a tile.
                overview_resampling='NEAREST',
                bigtiff='IF_SAFER',
                num_threads='ALL_CPUS',
            )
            plain.unlink()
            with rasterio.open(partial) as file:
                for block, found in blocks():
                    written = file.read(window=_window(block))
                    wanted = _stored(found, block, scales, provenance)
                    if not np.array_equal(written, wanted, equal_nan=written.dtype.kind == 'f'):
                        raise not_whole(output)
    finally:
        plain.unlink(missing_ok=True)
    return empty


def _new_raster(
    path: Path,
    grid: TileGrid,
    crs: CRS | None,
    transform: Affine,
    provenance: Provenance,
    scales: np.ndarray,
) -> rasterio.io.DatasetWriter:
    """Make a raster of the cells, without values yet."""
    small = provenance.dtype == 'int8'
    file = rasterio.open(
        path,
        'w',
        driver='GTiff',
        height=grid.cells[0],
        width=grid.cells[1],
        count=provenance.dimensions,
        dtype=provenance.dtype,
        nodata=NODATA if small else np.nan,
        crs=crs,
        transform=transform @ Affine.scale(grid.stride) if crs is not None else None,
        tiled=True,
        blockxsize=_BLOCK,
        blockysize=_BLOCK,
        interleave='pixel',
        bigtiff='IF_SAFER',
    )
    file.descriptions = [f'embedding_{number:03d}' for number in range(provenance.dimensions)]
    file.update_tags(**{PROVENANCE_TAG: provenance.to_json()})
    if small:
        file.scales = scales.tolist()
    return file


def _stored(
    found: np.ndarray, block: Block, scales: np.ndarray, provenance: Provenance
) -> np.ndarray:
    """Numbers of a block as the map stores them, (D, rows, columns)."""
    if provenance.dtype == 'int8':
        numbers = np.rint(found / scales)
        found = np.where(np.isnan(numbers), NODATA, numbers.clip(-127, 127)).astype(np.int8)
    return found.T.reshape(-1, block.rows, block.columns)


def _window(block: Block) -> Window:
    """Cells of a block in the form of rasterio."""
    return Window(block.column, block.row, block.columns, block.rows)


@contextmanager
def _quiet() -> Iterator[None]:
    """Say nothing of rasters without a georeference, which are meant."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NotGeoreferencedWarning)
        yield


class _Cells:
    """Embeddings of the blocks that are done, in a file beside the map that is going to be."""

    def __init__(self, output: Path, provenance: Provenance, blocks: Sequence[Block]) -> None:
        """Look for what a run before has left.

        Args:
            output: The map.
            provenance: What it is going to say of itself; what was left of another one is removed.
            blocks: Its blocks, in order.
        """
        self.path = output.with_name(f'.{output.stem}.cells')
        self.text = output.with_name(f'.{output.stem}.cells.json')
        self.dimensions = provenance.dimensions
        self.blocks = blocks
        ends = np.cumsum([4 * self.dimensions * block.cells for block in blocks])
        # The type of the numbers matters for the map alone.
        wanted = replace(provenance, dtype='float32').to_json()
        known = self.path.exists() and self.text.exists() and self.text.read_text() == wanted
        #: Number of blocks that are done.
        self.done = int((ends <= self.path.stat().st_size).sum()) if known else 0
        if not known:
            self.remove()
            output.parent.mkdir(parents=True, exist_ok=True)
            write_file(self.text, wanted.encode())
        with open(self.path, 'ab') as file:
            # A block that was being written is embedded again.
            file.truncate(int(ends[self.done - 1]) if self.done else 0)

    def append(self, found: np.ndarray) -> None:
        """Keep the embeddings of the next block, (cells, D) float32."""
        with writing(self.path), open(self.path, 'ab') as file:
            file.write(found.tobytes())
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> Iterator[tuple[Block, np.ndarray]]:
        """All blocks with their embeddings, one after the other."""
        with open(self.path, 'rb') as file:
            for block in self.blocks:
                content = file.read(4 * self.dimensions * block.cells)
                yield block, np.frombuffer(content, np.float32).reshape(block.cells, -1)

    def remove(self) -> None:
        """Remove the file."""
        self.text.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


def _read_ahead(
    scene: SceneReader, blocks: Sequence[Block]
) -> Generator[tuple[np.ndarray, np.ndarray]]:
    """Windows of the blocks in order, the next one read while one is embedded."""
    with ThreadPoolExecutor(1) as pool:
        windows = iter(blocks)
        ahead = [pool.submit(scene.read, block.window) for block in islice(windows, 1)]
        while ahead:
            current = ahead.pop(0)
            ahead += [pool.submit(scene.read, block.window) for block in islice(windows, 1)]
            yield current.result()


def _embed_block(
    encoder: TileEncoder,
    scene: SceneReader,
    block: Block,
    image: np.ndarray,
    valid: np.ndarray,
    provenance: Provenance,
    batch_size: int,
) -> np.ndarray:
    """Embeddings of the cells of a block, (cells, D) float32, NaN where there is no data."""
    tile = provenance.tile or 0
    found = np.full((block.cells, provenance.dimensions), np.nan, np.float32)
    # Sums of all pixels above and to the left give the share of data in any tile.
    sums = np.pad(valid.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    least = (1 - provenance.max_nodata) * tile * tile
    tiles = block.tiles
    kept = [
        number
        for number, (row, column) in enumerate(tiles)
        if sums[row + tile, column + tile]
        - sums[row, column + tile]
        - sums[row + tile, column]
        + sums[row, column]
        >= max(least, 1)
    ]
    if not kept:
        return found
    numbers = torch.from_numpy(image)[None].to(encoder.device)
    reflectance = scene_scale(scene)(numbers)
    for start in range(0, len(kept), batch_size):
        chosen = kept[start : start + batch_size]
        images = cut(reflectance, [tiles[number] for number in chosen], tile)
        found[chosen] = encoder.fused(encoder(images)).cpu().numpy()
    return found
