# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""``torchgeo-saco pack``."""

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console

from .archive import pack_archive
from .verification import verify_store

_DESCRIPTION = """\
Pack an archive, laid out as <location>/<date>/<band>.tif, into one Zarr store: all bands on the
grid of the finest, stored integers kept, a checksum for every scene, some hundred scenes a file.
Training reads it many times faster than GeoTIFFs, from a file system or an object store. An
interrupted command is continued by giving it again; files that were changed since under the same
names are not noticed: remove the store, and pack anew.
"""

_EPILOG = """\
For example:

  torchgeo-saco pack --root my/archive --output my/archive.zarr --workers 8
  torchgeo-saco fit --config configs/saco.yaml --data.init_args.archive folder \\
      --data.init_args.root my/archive.zarr

Copy the folder to a bucket as it is, and give its URL, such as s3://bucket/archive.zarr, as root.
"""

_LISTED = 20


def main(args: Sequence[str]) -> None:
    """Run the command.

    Args:
        args: Arguments after ``pack``.
    """
    given = vars(_parser().parse_args(args))
    verify, store = given.pop('verify'), given['output']
    console = Console(soft_wrap=True, highlight=False)
    try:
        if given['root'] is not None:
            report = pack_archive(**given)
            console.print(
                f'{report.scenes} scenes, {report.present} of them packed before, '
                f'{report.size / 1e9:.3g} GB; the store is {store}'
            )
            for reason in report.skipped[:_LISTED]:
                console.print(f'skipped: {reason}')
            if len(report.skipped) > _LISTED:
                console.print(f'skipped: {len(report.skipped) - _LISTED} more')
        elif not verify:
            raise ValueError('give --root of an archive to pack, or --verify to read a store')
        if verify:
            shown = Console(stderr=True) if given['progress'] else None
            console.print(f'{verify_store(store, shown)} scenes of {store} are sound')
    except (ImportError, OSError, ValueError) as error:
        sys.stderr.write(f'torchgeo-saco pack: error: {error}\n')
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write('interrupted; the same command goes on with what is missing\n')
        sys.exit(130)


def _parser() -> argparse.ArgumentParser:
    """Parser of the command."""
    parser = argparse.ArgumentParser(
        prog='torchgeo-saco pack',
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add('--root', metavar='FOLDER', help='archive to pack; without it, --verify reads a store')
    add('--output', required=True, metavar='STORE', help='folder of the store, ending in .zarr')
    add('--bands', type=_names, metavar='B02,B03,...', help='default: all that are there')
    add('--sensor', default='sentinel2_l1c', help='default: %(default)s')
    add('--previews', action='store_true', help='pack 3-band previews, not band files')
    add('--size', type=int, metavar='PIXELS', help='side of a centred window; default: the whole')
    add('--resampling', default='bilinear',
        help='how coarser bands are brought to the finest grid; default: %(default)s')  # fmt: skip
    add('--max_nodata', type=float, default=0.0, metavar='SHARE',
        help='largest share of a band without data; default: %(default)s')  # fmt: skip
    add('--on_missing', choices=('error', 'drop'), default='error',
        help='refuse scenes that lack a band, or leave them out; default: %(default)s')  # fmt: skip
    add('--shard_bytes', type=int, default=200_000_000, metavar='BYTES',
        help='size of a file of scenes; default: %(default)s')  # fmt: skip
    add('--workers', type=int, default=1, metavar='N', help='processes; default: %(default)s')
    add('--verify', action='store_true', help='read all scenes again, against their checksums')
    add('--quiet', dest='progress', action='store_false', help='no progress on standard error')
    return parser


def _names(text: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in text.split(',')]
