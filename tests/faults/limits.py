# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Full disks and folders that may not be written to, for a while."""

import ctypes
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

_HEADER = (ctypes.c_uint32 * 2)(0x20080522, 0)


@contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Within the block, no file can grow beyond some bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Within the block, permissions of files hold for root, too."""
    library = ctypes.CDLL(None, use_errno=True)
    held = (ctypes.c_uint32 * 6)()
    if library.capget(_HEADER, held):
        raise OSError(ctypes.get_errno(), 'capget')
    # Effective ones of CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER.
    fewer = (ctypes.c_uint32 * 6)(*held)
    fewer[0] &= ~0b1110
    if library.capset(_HEADER, fewer):
        raise OSError(ctypes.get_errno(), 'capset')
    try:
        yield
    finally:
        library.capset(_HEADER, held)
