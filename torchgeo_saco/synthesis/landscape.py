# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Land cover of a location in each of two years."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .landcover import COVERS
from .patterns import Field, Labels, Mask


@dataclass
class Landscape:
    """Patches of ground on a canvas of 5 m cells.

    A patch is a set of cells that share one surface and grow alike, such as a field.
    """

    #: Cells along the canvas.
    side: int

    #: Patch of each cell, ``(side, side)``.
    patches: Labels = field(init=False)

    #: Brightness of each cell relative to its patch: crowns, shadows, furrows, roofs.
    relief: Field = field(init=False)

    #: Surface of each patch.
    surfaces: list[str] = field(default_factory=list)

    #: Land cover of each patch, as in the mask.
    covers: list[int] = field(default_factory=list)

    #: Days by which each patch is late.
    delays: list[float] = field(default_factory=list)

    #: Share (0-1) of the usual leaves that each patch has.
    vigour: list[float] = field(default_factory=list)

    #: Cells that another use has taken in the second year.
    changed: Mask = field(init=False)

    def __post_init__(self) -> None:
        """Start from bare, flat ground."""
        self.patches = np.zeros((self.side, self.side), np.intp)
        self.relief = np.ones((self.side, self.side))
        self.changed = np.zeros((self.side, self.side), bool)

    def paint(self, rng: Generator, mask: Mask, cover: str, surface: str) -> None:
        """Lay one new patch over some cells.

        Args:
            rng: Source of its delay and vigour.
            mask: Cells of the patch.
            cover: Land cover, a name in :data:`COVERS`.
            surface: Surface, a name in the calendars of phenology.
        """
        self._paint(rng, np.flatnonzero(mask), cover, surface)

    def paint_parcels(
        self, rng: Generator, mask: Mask, parcels: Labels, choices: list[tuple[str, str, float]]
    ) -> None:
        """Lay one new patch per parcel over some cells.

        Args:
            rng: Source of the choices.
            mask: Cells to cover.
            parcels: Parcel of each cell, numbered from 0.
            choices: Cover, surface and the share of parcels that take them.
        """
        shares = np.array([share for _, _, share in choices])
        count = int(parcels.max()) + 1
        # Systematic draw: the shares are met as closely as whole parcels allow.
        levels = (rng.permutation(count) + rng.random()) / count
        picks = np.searchsorted(np.cumsum(shares) / shares.sum(), levels % 1.0, side='right')
        inside = np.flatnonzero(mask)
        numbers = parcels.ravel()[inside]
        by_parcel = inside[np.argsort(numbers, kind='stable')]
        ends = np.cumsum(np.bincount(numbers, minlength=count))
        for cells, pick in zip(np.split(by_parcel, ends[:-1]), picks, strict=True):
            if cells.size:
                self._paint(rng, cells, choices[pick][0], choices[pick][1])

    def _paint(self, rng: Generator, cells: Labels, cover: str, surface: str) -> None:
        """Lay one new patch over cells given by their location in the flat canvas."""
        self.surfaces.append(surface)
        self.covers.append(COVERS[cover].value)
        self.delays.append(rng.normal(0, 6))
        self.vigour.append(rng.uniform(0.82, 1.0))
        np.put(self.patches, cells, len(self.surfaces) - 1)

    def paste(self, other: Landscape, mask: Mask, top: int = 0, left: int = 0) -> None:
        """Lay part of another landscape over some cells.

        Args:
            other: The landscape to take from.
            mask: Cells of it to take, a window from its upper left corner.
            top: Row of this canvas where the window starts.
            left: Column of this canvas where the window starts.
        """
        height, width = mask.shape
        window = np.s_[top : top + height, left : left + width]
        first = len(self.surfaces)
        self.surfaces += other.surfaces
        self.covers += other.covers
        self.delays += other.delays
        self.vigour += other.vigour
        self.patches[window][mask] = other.patches[:height, :width][mask] + first
        self.relief[window][mask] = other.relief[:height, :width][mask]

    def roughen(self, mask: Mask, texture: Field, strength: float) -> None:
        """Vary the brightness of some cells.

        Args:
            mask: Cells to vary.
            texture: Field of zero mean and unit variance.
            strength: Standard deviation of the relative brightness.
        """
        self.relief[mask] *= np.clip(1 + strength * texture[mask], 0.25, 2.0)

    def cover_of(self, *names: str) -> Mask:
        """Cells of these land covers."""
        values = [COVERS[name].value for name in names]
        return np.isin(np.asarray(self.covers)[self.patches], values)

    def cover_mask(self) -> NDArray[np.uint8]:
        """Most frequent land cover of each 10 m pixel, ``(side / 2, side / 2)``."""
        covers = np.asarray(self.covers, np.uint8)[self.patches]
        blocks = _blocks(covers)
        votes = np.stack([(blocks == cover.value).sum(0) for cover in COVERS.values()])
        values = np.array([cover.value for cover in COVERS.values()], np.uint8)
        return values[votes.argmax(0)]

    def change_mask(self) -> NDArray[np.uint8]:
        """1 for each 10 m pixel with any changed cell, else 0, ``(side / 2, side / 2)``."""
        return _blocks(self.changed).any(0).astype(np.uint8)

    def copy(self) -> Landscape:
        """An independent copy, to become the next year."""
        twin = Landscape(self.side)
        twin.patches, twin.relief = self.patches.copy(), self.relief.copy()
        twin.surfaces, twin.covers = self.surfaces.copy(), self.covers.copy()
        twin.delays, twin.vigour = self.delays.copy(), self.vigour.copy()
        return twin


def _blocks(canvas: NDArray[np.generic]) -> NDArray[np.generic]:
    """The four cells of each 10 m pixel, ``(4, side / 2, side / 2)``."""
    return np.stack([canvas[row::2, col::2] for row in (0, 1) for col in (0, 1)])
