# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Folders that tests of one process share."""

import atexit
import shutil
import tempfile
from pathlib import Path


def process_folder() -> Path:
    """Make a folder that is removed at the end of the process."""
    folder = tempfile.mkdtemp(prefix='torchgeo_saco_tests')
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
