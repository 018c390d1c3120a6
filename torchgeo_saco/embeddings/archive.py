# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Embeddings of every date of every location of an archive."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from pyproj import CRS
from rich.console import Console
from rich.progress import track
from shapely.geometry.base import BaseGeometry
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from ..datasets import SeasonalArchive
from ..samplers.collate import collate
from ..transforms import Backscatter, Reflectance
from .encoding import TileEncoder
from .table import EmbeddingRows, TableParts

# Images that statistics are taken of where the weights bring none.
_FITTED_ON = 256

# Rows of a part; a run that is interrupted loses at most as many.
_PART = 1024


def embed_archive(
    encoder: TileEncoder,
    archive: SeasonalArchive,
    reflectance: Reflectance | Backscatter,
    parts: TableParts,
    rows: EmbeddingRows,
    size: int | None = None,
    batch_size: int = 64,
    num_workers: int = 0,
    console: Console | None = None,
) -> int:
    """Embed every date of every location, and write the parts of a table.

    Args:
        encoder: The encoder.
        archive: The archive, an item a date.
        reflectance: Reflectance from stored numbers.
        parts: Where the parts go; those that are there are kept.
        rows: Form of the rows.
        size: Side in pixels that images are resized to, as in training, or None to leave them.
        batch_size: Images embedded at a time.
        num_workers: Processes that read.
        console: Where to show progress, or None for nowhere.

    Returns:
        Number of rows that were there from a run before.

    Raises:
        ValueError: If an embedding is not finite.
        BandFileError: If a file cannot be read.
        OSError: If a part cannot be written.
    """
    parts.begin()
    footprints = LocationFootprints(archive)
    starts = range(0, len(archive), _PART)
    names = [f'{start:012d}' for start in starts]
    missing = [
        (name, start) for name, start in zip(names, starts, strict=True) if not parts.has(name)
    ]
    resumed = sum(parts.rows(name) for name in names if parts.has(name))
    items = [range(start, min(start + _PART, len(archive))) for _, start in missing]
    batches = _batches(archive, items, batch_size, num_workers)
    for (name, _), indices in track(
        list(zip(missing, items, strict=True)),
        'parts',
        console=console,
        disable=console is None,
        transient=True,
    ):
        found: list[np.ndarray] = []
        samples: list[tuple[int, int]] = []
        while len(samples) < len(indices):
            batch = next(batches)
            image = reflectance(batch['image'][:, 0].to(encoder.device))
            found.append(encoder(resized(image, size)).cpu().numpy())
            days = batch['date'][:, 0].tolist()
            samples += zip(batch['location'].tolist(), days, strict=True)
        groups = np.concatenate(found)
        embeddings = encoder.fused(torch.from_numpy(groups).to(encoder.device)).cpu().numpy()
        kept = groups if rows.groups else None
        locations = [footprints.of(number) for number, _ in samples]
        parts.write(
            name,
            rows.table(
                list(indices),
                [ground[0] for ground in locations],
                [as_text(day) for _, day in samples],
                embeddings,
                kept,
                [ground[1] for ground in locations],
                [ground[2] for ground in locations],
            ),
        )
    return resumed


def fit_to_archive(
    encoder: TileEncoder,
    archive: SeasonalArchive,
    reflectance: Reflectance | Backscatter,
    size: int | None,
) -> None:
    """Take the statistics that the weights do not bring from images spread over an archive.

    Args:
        encoder: The encoder; nothing is done where its weights bring all.
        archive: The archive.
        reflectance: Reflectance from stored numbers.
        size: See :func:`embed_archive`.
    """
    chosen = np.unique(np.linspace(0, len(archive) - 1, _FITTED_ON).astype(int)).tolist()

    def images() -> Iterator[Tensor]:
        for start in range(0, len(chosen), 32):
            batch = [archive[item]['image'][0] for item in chosen[start : start + 32]]
            yield resized(reflectance(torch.stack(batch)), size)

    encoder.fit(images)


def resized(image: Tensor, size: int | None) -> Tensor:
    """Images as the training shows them whole: resized without aliasing, (B, C, size, size).

    Args:
        image: (B, C, H, W).
        size: Side in pixels, or None to leave them.
    """
    if size is None or image.shape[-2:] == (size, size):
        return image
    return F.interpolate(image, (size, size), mode='bilinear', antialias=True)


def as_text(day: int) -> str | None:
    """Write a day yyyymmdd as yyyy-mm-dd, None where it is 0, unknown."""
    return f'{day // 10000:04d}-{day // 100 % 100:02d}-{day % 100:02d}' if day else None


class LocationFootprints:
    """Name, coordinate system and footprint of locations, by the number that samples give."""

    def __init__(self, archive: SeasonalArchive) -> None:
        """Remember where each location is.

        Args:
            archive: The archive, or a part of it.
        """
        self.archive = archive
        numbers = archive.locations.numbers
        self._positions = np.full(int(numbers.max(initial=-1)) + 1, -1)
        self._positions[numbers] = np.arange(len(numbers))
        # Dates of a location follow one another.
        self.of = lru_cache(maxsize=1024)(self._find)

    def _find(self, number: int) -> tuple[str, str | None, BaseGeometry | None]:
        """Name, system as text, and footprint."""
        location = self.archive.locations[int(self._positions[number])]
        crs = self.archive.source.crs(location)
        text = None if crs is None else crs_text(crs)
        return location.name, text, self.archive.footprint(location)


def crs_text(crs: str) -> str:
    """Write a coordinate system as ``EPSG:32631`` where it has such a name, else as WKT."""
    known = CRS.from_wkt(crs).to_authority()
    return crs if known is None else ':'.join(known)


def _batches(
    archive: SeasonalArchive, items: Sequence[range], batch_size: int, num_workers: int
) -> Iterator[Any]:
    """Batches of items, none across two parts."""
    order = [
        list(part[start : start + batch_size])
        for part in items
        for start in range(0, len(part), batch_size)
    ]
    return iter(
        DataLoader(
            archive,
            batch_sampler=order,
            num_workers=num_workers,
            collate_fn=collate,
            multiprocessing_context=archive.worker_context if num_workers else None,
        )
    )
