# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Files that appear at once and whole."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a hidden file beside another, which it replaces at the end of the block.

    A block that fails, and a process that is killed, leave the other file as it was.

    Args:
        path: File to write; its folder is made.

    Yields:
        The file to write to, of the same ending.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'.{path.stem}.partial-{os.getpid()}{path.suffix}')
    try:
        yield partial
        sync(partial)
        os.replace(partial, path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def write_file(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write a file that appears at once and whole.

    Args:
        path: The file, which is replaced.
        content: What it holds.
    """
    with atomic_file(path) as partial:
        partial.write_bytes(content)


def sync(path: Path) -> None:
    """Put a file, or the names in a folder, on the disk for good.

    Args:
        path: File or folder.
    """
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def remove_partials(folder: str | os.PathLike[str], suffix: str) -> None:
    """Remove what :func:`atomic_file` was writing to a folder when its process was killed.

    Args:
        folder: The folder; one that cannot be listed or written to is left as it is.
        suffix: Ending of the files. None of them may be written by this process at present.
    """
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        found = re.fullmatch(rf'\..*\.partial-(\d+){re.escape(suffix)}', name)
        # A number may have been given anew, to this process.
        if found and (int(found[1]) == os.getpid() or not _is_running(int(found[1]))):
            with suppress(OSError):
                os.unlink(os.path.join(folder, name))


def _is_running(process: int) -> bool:
    """Whether there is a process of that number on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OverflowError, PermissionError):
        return True
    return True
