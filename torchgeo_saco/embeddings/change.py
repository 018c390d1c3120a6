# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Change between two embedding maps, or between two dates of a table."""

from collections.abc import Mapping
from typing import Any

import geopandas as gpd
import numpy as np
from geopandas import GeoDataFrame

from .grid import EmbeddingRaster, Raster
from .source import as_raster, unit_length
from .table import vectors

#: What must agree for vectors to compare. Unit and offset may change from one product to another.
_ALIKE = (
    'weights_hash',
    'model',
    'bands',
    'sensor',
    'groups',
    'tile',
    'stride',
    'metres_per_pixel',
)


def change_between_maps(first: EmbeddingRaster, second: EmbeddingRaster) -> Raster:
    """Cosine distance of the embeddings of every cell on two dates.

    Args:
        first: Map of one date.
        second: Map of another, on the same grid and by the same encoder.

    Returns:
        1 - cosine similarity, from 0 to 2, float32, NaN where either is missing.

    Raises:
        ValueError: If grids or encoders differ.
        BandFileError: If a map cannot be read.
    """
    _require_same_grid(first, second)
    _require_same_encoder(first, second)
    found = np.full(first.shape, np.nan, 'float32')
    for window in first.windows():
        row, column, height, width = window
        part = [
            unit_length(file.read(window).reshape(first.dimensions, -1).T)
            for file in (first, second)
        ]
        found[row : row + height, column : column + width] = _distance(*part).reshape(height, width)
    how = {'change': [first.path.name, second.path.name], 'distance': '1 - cosine similarity'}
    return as_raster(first, found.ravel(), np.nan, how, descriptions=['cosine distance'])


def change_between_dates(
    table: GeoDataFrame, first: str | None = None, second: str | None = None
) -> GeoDataFrame:
    """Cosine distance of the embeddings of every location on two dates.

    Args:
        table: Table of embeddings with dates.
        first: Beginning of the earlier dates, such as 2019, 2019-06 or 2019-06-12, or None for the
            earliest of each location. Of several dates the mean counts.
        second: The same of the later ones, or None for the latest.

    Returns:
        One row a location, by descending ``cosine_distance``, 1 - cosine similarity, with
        ``first_date``, ``second_date`` and the geometry. Locations without both are left out; their
        names are in ``attrs['skipped']``.

    Raises:
        ValueError: If no location has both.
    """
    table = table.reset_index(drop=True)
    dates = table['date'].astype('string')
    rows: list[dict[str, Any]] = []
    skipped = []
    values = unit_length(vectors(table))
    present = np.isfinite(values).all(1) & dates.notna().to_numpy()
    for location, group in table.groupby('location', sort=True):
        known = {int(row): dates[row] for row in group.index if present[row]}
        earlier, later = _chosen(known, first, min), _chosen(known, second, max)
        if not earlier or not later or set(earlier) == set(later):
            skipped.append(str(location))
            continue
        means = [values[chosen].mean(0, keepdims=True) for chosen in (earlier, later)]
        rows.append(
            {
                'location': location,
                'first_date': known[earlier[0]],
                'second_date': known[later[-1]],
                'cosine_distance': float(_distance(*map(unit_length, means))[0]),
                'geometry': group.geometry.iloc[0],
            }
        )
    if not rows:
        raise ValueError(
            f'no location has embeddings of {first or "an earlier"} and '
            f'{second or "a later date"}; embed images of two dates'
        )
    found = gpd.GeoDataFrame(rows, geometry='geometry', crs=table.crs)
    found = found.sort_values(
        ['cosine_distance', 'location'], ascending=[False, True], ignore_index=True
    )
    found.attrs['skipped'] = skipped
    return found


def _chosen(known: Mapping[int, str], start: str | None, extreme: Any) -> list[int]:
    """Rows of the dates that begin so, or of the first or last date; by date."""
    if known and start is None:
        start = extreme(known.values())
    return sorted(
        (row for row, date in known.items() if date.startswith(start or '')), key=known.__getitem__
    )


def _distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """1 - cosine of vectors of length one, (N), without loss of digits where they are alike."""
    return np.asarray(np.square(first - second).sum(1) / 2)


def _require_same_grid(first: EmbeddingRaster, second: EmbeddingRaster) -> None:
    """Refuse maps whose cells are not the same ground."""
    for name in ('crs', 'shape', 'dimensions'):
        one, other = getattr(first, name), getattr(second, name)
        if one != other:
            raise ValueError(
                f'{first.path} and {second.path} differ in {name} ({one} and {other}); embed both '
                'scenes on one grid by one encoder'
            )
    if not first.transform.almost_equals(second.transform, 1e-6):
        raise ValueError(
            f'{first.path} and {second.path} do not lie on one grid ({first.transform.to_gdal()} '
            f'and {second.transform.to_gdal()}); warp both scenes to one grid, and embed again'
        )


def _require_same_encoder(first: EmbeddingRaster, second: EmbeddingRaster) -> None:
    """Refuse maps whose vectors do not compare."""
    one, other = first.provenance, second.provenance
    for name in _ALIKE:
        if one.get(name) != other.get(name):
            raise ValueError(
                f'{first.path} and {second.path} were not embedded alike: {name} is '
                f'{one.get(name)} and {other.get(name)}; embed both by the same command'
            )
    fitted = one.get('fitted') or other.get('fitted')
    if fitted and one.get('source') != other.get('source'):
        raise ValueError(
            f'{first.path} and {second.path} are each scaled by statistics of their own scene, for '
            f'the weights bring none of {", ".join(fitted)}; embed both by weights that do'
        )
