# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Downloads that are verified, and archives that are extracted safely, at once and whole."""

import bz2
import gzip
import hashlib
import io
import lzma
import os
import re
import shutil
import stat
import tarfile
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple, cast

from filelock import FileLock
from rich.console import Console
from rich.progress import Progress

# Bytes that are copied at a time.
_BLOCK = 1 << 20

# SeCo's archive of a million patches has 13 million entries, and satellite images compress 2 to 5
# times.
_MAX_ENTRIES = 20_000_000
_MAX_RATIO = 200

# Small archives may hold long runs of zeros.
_ALWAYS = 64 << 20

# Bytes of what tar archives put before an entry, such as a long name.
_MAX_HEADER = 1 << 20

_SECONDS = 60

_DRIVE = re.compile('[A-Za-z]:')


class DownloadError(ValueError):
    """A file that cannot be fetched or extracted; the message names it and the remedy."""


class Source(NamedTuple):
    """A file to download."""

    #: Where it is.
    url: str

    #: What it is called here.
    name: str

    #: MD5 or SHA-256 in hexadecimal, or None not to verify it.
    digest: str | None = None


def obtain(root: str | os.PathLike[str], sources: Sequence[Source], present: Sequence[str]) -> None:
    """Download and extract an archive, unless what it holds is there.

    One process works, and others that want the same wait for it. What was there under a name that
    the archive brings is kept under a name that ends in ``.bad``.

    Args:
        root: Folder to hold the archive and what it holds.
        sources: Its file, or the parts of which it is cut, in order.
        present: Paths below the root that are there once it was extracted.

    Raises:
        DownloadError: If it cannot be fetched, is damaged, or is not safe to extract.
    """
    root = Path(root)
    with _locked(root, sources[0].name):
        if not all(os.path.exists(root / path) for path in present):
            extract_archive([_download(source, root) for source in sources], root)
            absent = [path for path in present if not os.path.exists(root / path)]
            if absent:
                raise DownloadError(
                    f'{root / sources[0].name} does not hold {absent[0]}; remove it, and download '
                    'again'
                )


def download(source: Source, root: str | os.PathLike[str]) -> Path:
    """Download a file, unless it is there.

    One process works, and others that want the same wait for it. A file whose digest is wrong is
    kept under a name that ends in ``.bad``.

    Args:
        source: The file.
        root: Folder to hold it, made if need be.

    Returns:
        The file.

    Raises:
        DownloadError: If it cannot be fetched or written, or its digest is wrong.
    """
    with _locked(Path(root), source.name):
        return _download(source, Path(root))


def _download(source: Source, root: Path) -> Path:
    """See :func:`download`, of a process that works alone."""
    path = root / source.name
    for left in root.glob(f'.{path.name}.partial-*'):
        left.unlink()
    if path.is_file():
        if source.digest is None or _digest(path, source.digest) == source.digest:
            return path
        _set_aside(path)
    partial = path.with_name(f'.{path.name}.partial-{os.getpid()}')
    try:
        _fetch(source.url, partial, path)
        found = None if source.digest is None else _digest(partial, source.digest)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    if found != source.digest:
        bad = _set_aside(path)
        raise DownloadError(
            f'{path} was downloaded from {source.url} and is damaged: its digest is {found}, not '
            f'{source.digest} (kept as {bad.name}); download again, or fetch it by hand'
        )
    return path


def _fetch(url: str, partial: Path, path: Path) -> None:
    """Copy a file from its URL, all of it."""
    if not url.startswith(('https://', 'http://', 'file://')):
        raise DownloadError(f'{url} is no address that {path} can be downloaded from; correct it')
    length = None
    try:
        request = urllib.request.Request(url, headers={'User-Agent': 'torchgeo_saco'})  # noqa: S310
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
            text = response.headers.get('Content-Length')
            length = int(text) if text else None
            _require_space(path, length or 0)
            with partial.open('wb') as file, _progress(path.name, length) as advance:
                while block := response.read(_BLOCK):
                    file.write(block)
                    advance(len(block))
                file.flush()
                os.fsync(file.fileno())
                written = file.tell()
    except (OSError, ValueError, HTTPException) as error:
        if isinstance(error, DownloadError):
            raise
        needed = '' if length is None else f', {length} bytes'
        raise DownloadError(
            f'{path} cannot be downloaded from {url}{needed} ({_reason(error)}); look at the '
            'network and at the disk, or fetch it by hand'
        ) from error
    if length is not None and written != length:
        raise DownloadError(
            f'{path} cannot be downloaded from {url}: {written} of {length} bytes came; try again'
        )


def extract_archive(
    paths: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    max_entries: int = _MAX_ENTRIES,
    max_ratio: float = _MAX_RATIO,
) -> None:
    """Extract a zip or tar archive; what it holds appears at once and whole, or not at all.

    Only files and folders are extracted, below the folder; an archive that holds anything else is
    refused as a whole. Permissions, owners and times are not taken over.

    Args:
        paths: The archive; of a tar archive that was cut, its parts in order.
        folder: Where to extract, made if need be.
        max_entries: Entries, at most.
        max_ratio: Extracted over packed bytes, at most.

    Raises:
        DownloadError: If it is damaged, not safe to extract, or the disk is too small.
    """
    path, folder = Path(paths[0]), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    begun = f'.{path.name}.extracted-'
    for left in folder.glob(f'{begun}*'):
        shutil.rmtree(left, ignore_errors=True)
    partial = folder / f'{begun}{os.getpid()}'
    partial.mkdir()
    job = _Extraction(path, partial, max_entries, max_ratio, [Path(part) for part in paths])
    try:
        job.run()
        if hasattr(os, 'sync'):
            # Once for all files, of which there may be millions.
            os.sync()
        for entry in sorted(partial.iterdir()):
            target = folder / entry.name
            if os.path.lexists(target):
                _set_aside(target)
            os.replace(entry, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class _Extraction:
    """Extraction of one archive into an empty folder."""

    def __init__(
        self, path: Path, folder: Path, max_entries: int, max_ratio: float, parts: Sequence[Path]
    ) -> None:
        """Initialize a new _Extraction instance."""
        self.path = path
        self.folder = folder
        self.parts = parts
        self.max_entries = max_entries
        self.max_ratio = max_ratio
        self.entries = 0
        self.size = 0
        self._held = 0

    def run(self) -> None:
        """Extract all."""
        try:
            for part in self.parts:
                if not stat.S_ISREG(os.stat(part).st_mode):
                    raise self._refusal('is no regular file; fetch it again')
                self._held += os.path.getsize(part)
            if len(self.parts) == 1 and zipfile.is_zipfile(self.path):
                self._run_zip()
            else:
                self._run_tar()
        except DownloadError:
            raise
        # Both modules, and those that decompress, raise what they meet in a damaged file.
        except (
            tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError,
            EOFError, ValueError, NotImplementedError, RuntimeError, MemoryError, LookupError,
            OverflowError, TypeError, AttributeError,
        ) as error:  # fmt: skip
            raise self._damaged(error) from error
        except OSError as error:
            if error.errno is None:
                raise self._damaged(error) from error
            raise self._refusal(
                f'cannot be extracted to {self.folder.parent} ({_reason(error)}) after '
                f'{self.size} bytes; make room, or look at its permissions'
            ) from error

    def _damaged(self, error: Exception) -> DownloadError:
        """Error of an archive that cannot be read."""
        return self._refusal(
            f'cannot be read as a zip or tar archive ({_reason(error)}); it is damaged or of '
            'another format: fetch it again'
        )

    def _run_zip(self) -> None:
        """Extract a zip archive, which lists its entries."""
        with zipfile.ZipFile(self.path) as archive:
            entries = archive.infolist()
            for entry in entries:
                self._admit(entry.orig_filename, entry.file_size)
                kind = entry.external_attr >> 16
                if stat.S_IFMT(kind) not in (0, stat.S_IFREG, stat.S_IFDIR):
                    raise self._unsafe(entry.orig_filename, 'is no file or folder')
                if entry.flag_bits & 1:
                    raise self._unsafe(entry.orig_filename, 'is encrypted')
            _require_space(self.folder.parent / self.path.name, self.size)
            for entry in entries:
                if entry.is_dir():
                    self._write(entry.filename, None)
                else:
                    with archive.open(entry) as content:
                        self._write(entry.filename, content)

    def _run_tar(self) -> None:
        """Extract a tar archive, whose entries come one by one."""
        joined = cast(IO[bytes], io.BufferedReader(_Joined(self.parts)))
        with joined, _decompressed(joined) as stream:
            self._run_entries(stream)
            # Only at its end does a compressed file say whether it is whole.
            while stream.read(_BLOCK):
                pass
            if stream is joined and not self._is_ended():
                raise self._refusal('ends too early; fetch it again')

    def _run_entries(self, stream: IO[bytes]) -> None:
        """Extract the entries of a tar archive."""
        with tarfile.open(fileobj=stream, mode='r|', tarinfo=_TarEntry) as archive:
            for entry in archive:
                self._admit(entry.name, entry.size)
                if not (entry.isdir() or entry.isreg()) or entry.issparse():
                    raise self._unsafe(entry.name, 'is no file or folder')
                self._write(entry.name, None if entry.isdir() else archive.extractfile(entry))
                # Else the archive keeps all that it has passed.
                archive.members = []  # type: ignore[attr-defined]

    def _is_ended(self) -> bool:
        """Whether a tar archive ends in a block of zeros, as all do."""
        with self.parts[-1].open('rb') as file:
            file.seek(-min(tarfile.BLOCKSIZE, os.path.getsize(self.parts[-1])), os.SEEK_END)
            return not any(file.read())

    def _admit(self, name: str, size: int) -> None:
        """Refuse an entry that leads elsewhere, or one too many."""
        self.entries += 1
        self.size += size
        parts = name.replace('\\', '/').split('/')
        if '..' in parts or parts[0] == '' or _DRIVE.match(name) or '\0' in name:
            raise self._unsafe(name, 'leads out of the folder')
        if self.entries > self.max_entries:
            raise self._refusal(f'has more than {self.max_entries} entries; fetch it again')
        if self.size > max(_ALWAYS, self.max_ratio * self._held):
            raise self._refusal(
                f'extracts to more than {self.max_ratio:g} times its size of {self._held} bytes; '
                'fetch it again'
            )

    def _write(self, name: str, content: IO[bytes] | None) -> None:
        """Write one entry."""
        target = self.folder / name
        try:
            if content is None:
                target.mkdir(parents=True, exist_ok=True)
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open('xb') as file:
                shutil.copyfileobj(content, file, _BLOCK)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise self._unsafe(name, 'is there twice') from error

    def _unsafe(self, name: str, reason: str) -> DownloadError:
        """Error of an entry."""
        return self._refusal(f'holds {name!r}, which {reason}; do not use it, and fetch it again')

    def _refusal(self, clause: str) -> DownloadError:
        """Error of the archive."""
        return DownloadError(f'{self.path} {clause}')


class _TarEntry(tarfile.TarInfo):
    """Entry whose further headers, which are read into memory, are short."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:
        """Read what follows a header."""
        if self.size > _MAX_HEADER and self.type not in (*tarfile.REGULAR_TYPES, tarfile.DIRTYPE):
            raise tarfile.ReadError(f'a header of {self.size} bytes')
        return super()._proc_member(archive)  # type: ignore[misc]


def _decompressed(file: Any) -> IO[bytes]:
    """What a compressed file holds, or the file itself if it is not compressed."""
    start = file.peek(6)[:6]
    for magic, opener in ((b'\x1f\x8b', gzip.open), (b'BZh', bz2.open), (b'\xfd7zXZ', lzma.open)):
        if start.startswith(magic):
            return cast(IO[bytes], opener(file))
    return cast(IO[bytes], file)


class _Joined(io.RawIOBase):
    """Files that are read as one."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Initialize a new _Joined instance."""
        self._paths = list(paths)
        self._file: BinaryIO | None = None

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill memory from where the last reading ended."""
        while self._file or self._paths:
            if self._file is None:
                self._file = self._paths.pop(0).open('rb')
            content = self._file.read(len(buffer))
            if content:
                buffer[: len(content)] = content
                return len(content)
            self._file.close()
            self._file = None
        return 0

    def close(self) -> None:
        """Close what is open."""
        if self._file is not None:
            self._file.close()
        super().close()


@contextmanager
def _locked(root: Path, name: str) -> Iterator[None]:
    """Within the block, no other process works on the same archive. It is waited for."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        held = FileLock(root / f'.{name}.lock').acquire()
    except OSError as error:
        raise DownloadError(
            f'{root} cannot be written to ({_reason(error)}); correct root, or its permissions'
        ) from error
    with held:
        yield


@contextmanager
def _progress(name: str, length: int | None) -> Iterator[Any]:
    """Function that counts bytes on a bar, where somebody looks."""
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(name, total=length)
        yield lambda count: bar.advance(task, count)


def _require_space(path: Path, needed: int) -> None:
    """Refuse what the disk has no room for."""
    free = shutil.disk_usage(path.parent).free
    if needed > free:
        raise DownloadError(
            f'{path} needs {needed} bytes, and {path.parent} has {free} free; make room, or set '
            'another root'
        )


def _digest(path: Path, like: str) -> str:
    """MD5 or SHA-256 of a file, as another one is written."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'md5' if len(like) == 32 else 'sha256').hexdigest()


def _set_aside(path: Path) -> Path:
    """Keep a file or folder under another name, and return it."""
    number, bad = 1, path.with_name(f'{path.name}.bad')
    while os.path.lexists(bad):
        number += 1
        bad = path.with_name(f'{path.name}.bad{number}')
    os.replace(path, bad)
    return bad


def _reason(error: BaseException) -> str:
    """Message of an error on one line."""
    return ' '.join(str(error).split())[:200] or type(error).__name__
