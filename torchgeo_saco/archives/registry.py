# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Archives known by name, and how each is obtained."""

import os
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torchgeo.datasets import SeasonalContrastS2
from torchgeo.datasets.utils import Path

from ..io.downloads import Source, obtain
from ..synthesis import generate_sample_archive, generate_sample_benchmark
from .layout import LAYOUT
from .store import is_store


class KnownArchive(NamedTuple):
    """Where an archive keeps its locations, and how it is obtained."""

    #: Folder of the locations below the root.
    folder: str

    #: Puts the archive below the root unless it is there.
    obtain: Callable[[Path], object] | None

    #: Where users get it where nothing obtains it.
    origin: str


def _seco(version: str) -> KnownArchive:
    """SeCo, downloaded and verified."""

    def obtain_seco(root: Path) -> None:
        part = SeasonalContrastS2.metadata[version]
        obtain(root, [Source(part['url'], part['filename'], part['md5'])], [part['directory']])

    return KnownArchive(
        f'seasonal_contrast_{version}', obtain_seco, 'https://zenodo.org/records/4728033'
    )


#: Archives by the name used in configuration files.
ARCHIVES = {
    'folder': KnownArchive('', None, f'lay your own images out as {LAYOUT}'),
    'sample': KnownArchive('seasonal', generate_sample_archive, 'it is generated'),
    'sen12ms_sample': KnownArchive(
        '', partial(generate_sample_benchmark, 'sen12ms'), 'it is generated'
    ),
    'seco_100k': _seco('100k'),
    'seco_1m': _seco('1m'),
    'caco': KnownArchive('', None, 'https://zenodo.org/records/10913216 (first part of four)'),
}


def archive_folder(archive: str, root: Path) -> str:
    """Folder of the locations of an archive.

    Args:
        archive: A key of :data:`ARCHIVES`.
        root: Folder that holds the archive, or the folder of its locations itself; or a store.

    Returns:
        The folder of the locations, which may not exist yet, or the store.

    Raises:
        ValueError: If no archive has that name.
    """
    if archive not in ARCHIVES:
        raise ValueError(f'unknown archive {archive!r}; choose one of {", ".join(ARCHIVES)}')
    if is_store(root):
        return os.fspath(root)
    below = os.path.join(root, ARCHIVES[archive].folder)
    named = os.path.basename(os.path.normpath(root)) == ARCHIVES[archive].folder
    return os.fspath(root) if named and not os.path.isdir(below) else os.path.normpath(below)


def obtain_archive(archive: str, root: Path) -> None:
    """Generate or download an archive, unless it is there.

    Args:
        archive: A key of :data:`ARCHIVES`.
        root: Folder to hold the archive.

    Raises:
        ValueError: If no archive has that name, or it cannot be obtained automatically.
    """
    archive_folder(archive, root)
    make = ARCHIVES[archive].obtain
    if make is None:
        raise ValueError(
            f'archive {archive!r} cannot be downloaded; set download to false and root to its '
            f'folder ({ARCHIVES[archive].origin})'
        )
    make(root)
