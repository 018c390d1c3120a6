# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Memory of a CPU that one training step frees and the next one takes again."""

import ctypes
import os
import platform

# Names of <malloc.h>, and its value for never.
_TRIM_THRESHOLD, _MMAP_MAX, _NEVER = -1, -4, -1

# What users set where they want an allocator to behave otherwise.
_CHOICES = ('MALLOC_MMAP_MAX_', 'MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_', 'LD_PRELOAD')


def keep_freed_memory() -> bool:
    """Have the C library keep memory that is freed.

    That of Linux, glibc, gives large blocks back to the system at once, and the system clears every
    page of them anew when the next step asks for as much: a good part of a training step. From now
    on this process holds the most that it has needed. Where the environment says something of the
    allocator, or the library is another, nothing is changed.

    Returns:
        Whether it does so.

    References:
        mallopt(3), https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    chosen = any(name in os.environ for name in _CHOICES)
    if chosen or 'malloc' in os.environ.get('GLIBC_TUNABLES', ''):
        return False
    if platform.libc_ver()[0] != 'glibc':
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _NEVER))
