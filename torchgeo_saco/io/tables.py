# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Files of tables with a geometry, that appear at once and whole."""

import os
from pathlib import Path

import geopandas as gpd

from .files import atomic_file

#: Endings of tables, and what writes them.
_DRIVERS = {'.geojson': 'GeoJSON', '.gpkg': 'GPKG', '.parquet': None}


def require_new(path: Path, endings: tuple[str, ...] = tuple(_DRIVERS)) -> None:
    """Refuse a file that cannot be written, or is there.

    Args:
        path: File to write.
        endings: Endings it may have.

    Raises:
        ValueError: If it has another ending.
        FileExistsError: If it exists.
    """
    if path.suffix.lower() not in endings:
        raise ValueError(f'{path} must end in {", ".join(endings[:-1])} or {endings[-1]}')
    if path.exists():
        raise FileExistsError(f'{path} exists; name another file or remove it')


def write_table(table: gpd.GeoDataFrame, path: str | os.PathLike[str]) -> Path:
    """Write a table; the file appears whole or not at all.

    Args:
        table: The table. Its index is not written.
        path: New file that ends in ``.geojson``, ``.gpkg`` or ``.parquet``.

    Returns:
        The file.

    Raises:
        ValueError: If it has another ending.
        FileExistsError: If it exists.
    """
    path = Path(path).expanduser().absolute()
    require_new(path)
    driver = _DRIVERS[path.suffix.lower()]
    with atomic_file(path) as partial:
        if driver is None:
            table.to_parquet(partial, index=False)
        else:
            table.to_file(partial, driver=driver, layer=path.stem, index=False)
    return path
