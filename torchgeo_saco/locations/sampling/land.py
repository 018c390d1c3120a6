# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Land polygons: of a file, or a coarse outline of our own."""

import os
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS, Transformer

_BUILT_IN = Path(__file__).with_name('land.geojson')


def read_land(path: str | os.PathLike[str]) -> gpd.GeoDataFrame:
    """Polygons of land.

    Args:
        path: File of any format that GeoPandas reads, in any reference system.

    Returns:
        The polygons, in the reference system of the file, for a polygon around a pole has no
        outline in longitude and latitude. Those that cross themselves are mended, with a warning.

    Raises:
        ValueError: If the file cannot be read, has no reference system, holds no polygon or
            anything else than polygons.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f'there is no file of land {path}; give a file of polygons')
    try:
        land = gpd.read_parquet(path) if path.suffix == '.parquet' else gpd.read_file(path)
    except (DataSourceError, DataLayerError, ValueError, OSError) as error:
        raise ValueError(f'{path} holds no polygons that can be read: {error}') from error
    if not isinstance(land, gpd.GeoDataFrame) or land.empty:
        raise ValueError(f'{path} holds no polygon; give a file of polygons of land')
    if land.crs is None:
        raise ValueError(f'{path} has no reference system; set it, such as EPSG:4326')
    for row, kind in enumerate(land.geom_type):
        if kind not in ('Polygon', 'MultiPolygon'):
            # A row without geometry has NaN for a kind.
            found = kind if isinstance(kind, str) else 'empty'
            raise ValueError(f'{path}: row {row} is {found}, not a polygon; give polygons of land')
    return _repair(land, path)


def built_in_land() -> gpd.GeoDataFrame:
    """Continents and large islands in coarse outline, for tests and a first run.

    We drew it by hand; coasts are right to a degree or so, small islands and most lakes are
    missing. For a real sample take :func:`read_land`.

    Returns:
        As :func:`read_land`, in EPSG:4326.
    """
    return read_land(_BUILT_IN)


class LandIndex:
    """Tells fast which points are on land."""

    def __init__(self, land: gpd.GeoDataFrame) -> None:
        """Index polygons.

        Args:
            land: Polygons with a reference system.

        Raises:
            ValueError: If there is no polygon or no reference system.
        """
        if land.crs is None or not len(land):
            raise ValueError('land must be polygons with a reference system, as read_land gives')
        self._polygons = land.geometry.explode().to_numpy()
        shapely.prepare(self._polygons)
        self._tree = shapely.STRtree(self._polygons)
        crs = CRS(land.crs)
        # Points go to the polygons: around a pole, polygons do not survive the other way.
        self._transformer = Transformer.from_crs('EPSG:4326', crs, always_xy=True)
        west, _, east, _ = land.total_bounds
        turns = [-360.0] if crs.is_geographic and west < -180 else []
        # Some files count longitude from 0 to 360.
        turns += [360.0] if crs.is_geographic and east > 180 else []
        self._turns = [0.0, *turns]

    def contains(self, longitude: np.ndarray, latitude: np.ndarray) -> np.ndarray:
        """Whether points are on land or its edge.

        Args:
            longitude: Degrees east, (N).
            latitude: Degrees north, (N).

        Returns:
            One bool a point, (N).
        """
        x, y = self._transformer.transform(longitude, latitude)
        dry = np.zeros(len(x), bool)
        for turn in self._turns:
            # What a projection cannot show is infinite there, and no polygon reaches it.
            shown = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
            points, polygons = self._tree.query(shapely.points(x[shown] + turn, y[shown]))
            points = shown[points]
            hits = shapely.intersects_xy(self._polygons[polygons], x[points] + turn, y[points])
            dry[points[hits]] = True
        return dry


def _repair(land: gpd.GeoDataFrame, path: Path) -> gpd.GeoDataFrame:
    """Land without polygons that cross themselves."""
    crossing = np.flatnonzero(~land.is_valid)
    if len(crossing):
        warnings.warn(
            f'{path}: {len(crossing)} of {len(land)} polygons cross themselves, the first is row '
            f'{crossing[0]}; they are mended',
            stacklevel=3,
        )
        land = land.set_geometry(land.make_valid(method='structure', keep_collapsed=False))
    return land
