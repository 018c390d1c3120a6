# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""``torchgeo-saco fetch``."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from .archive import fetch_archive
from .catalogue import FetchError, Modifier
from .pixels import UNITS
from .records import SKIPPED

_DESCRIPTION = """\
Fetch the clearest Sentinel-2 scene of every sampled point and window from a STAC API, as an
archive that SeasonalArchive and the configurations of pre-training read: one folder a location, one
folder a scene, one GeoTIFF a band, each band on its own grid of 10, 20 or 60 m around the point.
A scene appears at once and whole, and none is fetched twice: an interrupted command is continued
by giving it again. Windows without a clear scene are listed in skipped.csv.
"""

_EPILOG = """\
An example, with points written by `torchgeo-saco sample`:

  torchgeo-saco fetch --points points.geojson --root my/archive \\
      --catalogue https://earth-search.aws.element84.com/v1

The Planetary Computer signs its addresses: give --catalogue
https://planetarycomputer.microsoft.com/api/stac/v1 --sign planetary_computer, and install its
package by `pip install planetary-computer`.
"""


def main(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: Arguments after ``fetch``.
    """
    given = vars(_parser().parse_args(args))
    try:
        given['modifier'] = _signer(given.pop('sign'))
        report = fetch_archive(**given)
    except (FetchError, ImportError, OSError, ValueError) as error:
        sys.stderr.write(f'torchgeo-saco fetch: error: {error}\n')
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write('interrupted; the same command goes on with what is missing\n')
        sys.exit(130)
    console = Console()
    console.print(
        f'{report.fetched} scenes fetched, {report.present} were there, '
        f'{len(report.skipped)} windows skipped; the archive is in {given["root"]}',
        highlight=False,
        soft_wrap=True,
    )
    if report.skipped:
        console.print(f'What was skipped is in {SKIPPED} there', highlight=False)


def _parser() -> argparse.ArgumentParser:
    """Parser of the command."""
    parser = argparse.ArgumentParser(
        prog='torchgeo-saco fetch',
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add('--points', required=True, metavar='FILE', help='points and windows, one row a window')
    add('--root', required=True, metavar='FOLDER', help='folder of the archive')
    add('--catalogue', required=True, metavar='URL', help='landing page of a STAC API')
    add('--collection', default='sentinel-2-l2a', metavar='ID', help='default: %(default)s')
    add('--bands', type=_names, metavar='B02,B03,...', help='default: all 12 of level 2A')
    add('--size_m', type=int, default=2640, metavar='METRES',
        help='side of the square, a multiple of 60; default: %(default)s')  # fmt: skip
    add('--max_cloud', type=float, default=10.0, metavar='PERCENT',
        help='cloud of the whole scene must be below; default: %(default)s')  # fmt: skip
    add('--max_nodata', type=float, default=0.0, metavar='SHARE',
        help='largest share of a band without data; default: %(default)s')  # fmt: skip
    add('--on_missing', choices=('error', 'drop'), default='error',
        help='end with an error if windows have no clear scene, or leave them out; '
        'default: %(default)s')  # fmt: skip
    add('--dtype', choices=tuple(UNITS), default='uint16',
        help='reflectance times 10000, or times 255 as in SeCo; default: %(default)s')  # fmt: skip
    add('--workers', type=int, default=4, metavar='N',
        help='locations fetched at the same time; default: %(default)s')  # fmt: skip
    add('--tries', type=int, default=4, metavar='N',
        help='how often a request is tried; default: %(default)s')  # fmt: skip
    add('--pause', type=float, default=2.0, metavar='SECONDS',
        help='pause before the second try, then twice as long each time; '
        'default: %(default)s')  # fmt: skip
    add('--sign', choices=('planetary_computer',), help='sign addresses by this package')
    add('--quiet', dest='progress', action='store_false', help='no progress on standard error')
    return parser


def _names(text: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in text.split(',')]


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
