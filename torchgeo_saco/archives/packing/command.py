# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""``torchgeo-saco pack``."""

from typing import Any

from rich.console import Console

from .archive import pack_archive
from .verification import verify_store

_LISTED = 20


def pack(output: str, root: str | None = None, verify: bool = False, **kwargs: Any) -> None:
    r"""Pack an archive into one Zarr store.

    All bands are on the grid of the finest, stored integers are kept, and every scene has a
    checksum; a file holds some hundred scenes. Training reads it many times faster than GeoTIFFs,
    from a file system or an object store. An interrupted command is continued by giving it again;
    files that were changed since under the same names are not noticed: remove the store, and pack
    anew.

    For example:

      torchgeo-saco pack --root my/archive --output my/archive.zarr --workers 8
      torchgeo-saco fit --config trainer.yaml --config pretrain/saco.yaml \
          --config data/folder.yaml --data.init_args.root my/archive.zarr

    Copy the folder to a bucket as it is, and give its URL, such as s3://bucket/archive.zarr, as
    root.

    Args:
        output: Folder of the store, ending in .zarr.
        root: Archive to pack; without it, *verify* reads a store.
        verify: Read all scenes again, against their checksums.
        **kwargs: Further arguments of :func:`pack_archive`.

    Raises:
        FileNotFoundError: If the archive is missing.
        ValueError: If an argument is out of range, or the archive or the store cannot be read.
        OSError: If the disk is too small, or cannot be written to.
    """
    console = Console(soft_wrap=True, highlight=False)
    if root is not None:
        report = pack_archive(root, output, **kwargs)
        console.print(
            f'{report.scenes} scenes, {report.present} of them packed before, '
            f'{report.size / 1e9:.3g} GB; the store is {output}'
        )
        for reason in report.skipped[:_LISTED]:
            console.print(f'skipped: {reason}')
        if len(report.skipped) > _LISTED:
            console.print(f'skipped: {len(report.skipped) - _LISTED} more')
    elif not verify:
        raise ValueError('give --root of an archive to pack, or --verify true to read a store')
    if verify:
        shown = Console(stderr=True, quiet=not kwargs.get('progress', True))
        console.print(f'{verify_store(output, shown)} scenes of {output} are sound')
