# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""``torchgeo-saco fetch``."""

import importlib
from typing import Any, Literal

from rich.console import Console

from .archive import fetch_archive
from .catalogue import Modifier
from .records import SKIPPED


def fetch(
    points: str, root: str, sign: Literal['planetary_computer'] | None = None, **kwargs: Any
) -> None:
    r"""Fetch the clearest Sentinel-2 scene of every sampled point and window from a STAC API.

    The archive is one that SeasonalArchive and the configurations of pre-training read: one folder
    a location, one folder a scene, one GeoTIFF a band, each band on its own grid of 10, 20 or 60 m
    around the point. A scene appears at once and whole, and none is fetched twice: an interrupted
    command is continued by giving it again. Windows without a clear scene are listed in
    skipped.csv.

    For example, with points written by torchgeo-saco sample:

      torchgeo-saco fetch --points points.geojson --root my/archive \
          --catalogue https://earth-search.aws.element84.com/v1

    The Planetary Computer signs its addresses: give --catalogue
    https://planetarycomputer.microsoft.com/api/stac/v1 --sign planetary_computer, and install its
    package by `pip install planetary-computer`.

    Args:
        points: File of points and windows, one row a window.
        root: Folder of the archive.
        sign: Package that signs addresses.
        **kwargs: Further arguments of :func:`fetch_archive`.

    Raises:
        ImportError: If a package is missing.
        ValueError: If an argument, the points or the catalogue cannot be used.
        FetchError: If the server fails again and again, or windows have no clear scene.
    """
    report = fetch_archive(points, root, modifier=_signer(sign), **kwargs)
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f'{report.fetched} scenes fetched, {report.present} were there, '
        f'{len(report.skipped)} windows skipped; the archive is in {root}'
    )
    if report.skipped:
        console.print(f'What was skipped is in {SKIPPED} there')


def _signer(name: str | None) -> Modifier | None:
    """Return the function that signs the addresses of a catalogue."""
    if name is None:
        return None
    try:
        module: Any = importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f'--sign {name} needs a package of that name; install it by: pip install '
            f'{name.replace("_", "-")}'
        ) from error
    return module.sign_inplace
