# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Re-reading of a whole store."""

import numpy as np
from rich.console import Console
from rich.progress import track
from torchgeo.datasets.utils import Path as AnyPath

from ..store import LOCATIONS, SCENES, StoredImages, read_listing
from ..store.description import read_description
from ..store.files import store_files
from ..store.tables import read_table


def verify_store(root: AnyPath, console: Console | None = None) -> int:
    """Read every scene of a store and all its tables, and compare them with their checksums.

    Args:
        root: Folder or URL of the store.
        console: Where to show progress, or None for nowhere.

    Returns:
        Number of scenes read.

    Raises:
        FileNotFoundError: If there is no store.
        StoreError: If anything is damaged; the message names the location and the scene.
    """
    files = store_files(root)
    description = read_description(files)
    listing = read_listing(files, description.shape[0], description.tables)
    for name in (LOCATIONS, SCENES):
        read_table(files, name, description.tables)
    images = StoredImages(files, description, listing)
    image = np.empty(description.shape[1:], images.dtype)

    def named(row: int) -> str:
        location = int(np.searchsorted(listing.first, row, 'right')) - 1
        return f'{listing.names[location].as_py()}/{listing.scene_names(row, row + 1)[0]}'

    rows = range(description.shape[0])
    for row in track(rows, 'scenes', console=console, disable=console is None, transient=True):
        images.fill([row], [image], named)
    return len(rows)
