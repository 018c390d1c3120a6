# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Files that appear at once and whole."""

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rasterio.errors import RasterioError

from .errors import sentence

# What the system says of a disk or a quota that is full, and of a file beyond a limit.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
_IN_THE_WAY = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR)


class WriteError(OSError):
    """A file that cannot be written; the message names it, why, and the remedy."""


@contextmanager
def writing(path: Path, partial: Path | None = None, needed: int = 0) -> Iterator[None]:
    """What the system refuses within the block becomes one sentence.

    Args:
        path: File that is being written, to name it.
        partial: File that is written until it is whole, or None for the same.
        needed: Bytes of the whole file, as far as known.

    Raises:
        WriteError: If the disk is full, the folder cannot be written to, or is none.
    """
    try:
        yield
    # Libraries say what GDAL and C++ refuse by a RuntimeError.
    except (OSError, RasterioError, RuntimeError) as error:
        if sentence(error) is not None:
            # It says already which file, and why.
            raise
        failed = WriteError(f'{path} cannot be written{_reason(error, path, partial, needed)}')
        failed.errno = getattr(error, 'errno', None)
        raise failed from error


def not_whole(path: str | os.PathLike[str]) -> WriteError:
    """Make the error of a file that was not written whole, which closing it does not tell."""
    return WriteError(
        f'{path} cannot be written whole; the disk may be full: make room, and write it again'
    )


def require_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder to write to, or refuse.

    Args:
        path: The folder.

    Returns:
        The folder.

    Raises:
        WriteError: If it cannot be made or written to.
    """
    folder = Path(path)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if not _may_be_written(folder):
            raise WriteError(
                f'{folder} may not be written to; change its permissions, or name another folder'
            )
    return folder


@contextmanager
def atomic_file(path: str | os.PathLike[str], needed: int = 0) -> Iterator[Path]:
    """Write a hidden file beside another, which it replaces at the end of the block.

    A block that fails, and a process that is killed, leave the other file as it was.

    Args:
        path: File to write; its folder is made.
        needed: Bytes of the whole file, as far as known, to say so where there is no room.

    Yields:
        The file to write to, of the same ending.

    Raises:
        WriteError: If the disk is full, the folder cannot be written to, or is none.
    """
    path = Path(path)
    partial = path.with_name(f'.{path.stem}.partial-{os.getpid()}{path.suffix}')
    try:
        with writing(path, partial, needed):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            sync(partial)
            os.replace(partial, path)
            sync(path.parent)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_file(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file that appears at once and whole.

    Args:
        path: The file, which is replaced.
        content: What it holds.
    """
    with atomic_file(path, len(content)) as partial:
        partial.write_bytes(content)


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Hash a file.

    Args:
        path: The file.

    Returns:
        Its SHA-256, in hexadecimal digits.
    """
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


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


def _reason(error: Exception, path: Path, partial: Path | None, needed: int) -> str:
    """Why a file cannot be written, and what to do, as the end of a sentence."""
    code, text = getattr(error, 'errno', None), str(error)
    where = Path(getattr(error, 'filename', None) or path.parent)
    if code in _FULL or any(os.strerror(number) in text for number in _FULL):
        return f', for the disk is full or a limit is reached: {_room(path, partial, needed)}'
    if code in _DENIED or (path.parent.is_dir() and not _may_be_written(path.parent)):
        return (
            f', for {where} may not be written to; change its permissions, or name another folder'
        )
    if code in _IN_THE_WAY:
        return f', for a file or folder is in the way of {where}; name another'
    cause = ' '.join(str(error.__cause__ or error).split())
    return f' ({cause}); the disk may be full: make room, or name another'


def _may_be_written(folder: Path) -> bool:
    """Whether files may be made in a folder."""
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=effective)


def _room(path: Path, partial: Path | None, needed: int) -> str:
    """What a file needs, and what there is."""
    with suppress(OSError):
        written = (partial or path).stat().st_size
        need = (
            f'{needed:,} bytes are needed' if needed else f'more than {written:,} bytes are needed'
        )
        free = shutil.disk_usage(path.parent).free
        return f'{need}, {free:,} are free; make room, or name another disk'
    return 'make room, or name another disk'
