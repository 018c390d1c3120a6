# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Files of a store by byte ranges: on a file system, or on an object store."""

import io
import os
import stat
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, NamedTuple, cast

from ...runtime.extras import import_extra

# Shards that stay open in a process.
_OPEN = 64

# Requests to an object store at a time, each of which waits for tens of milliseconds.
_REQUESTS = 32


class Range(NamedTuple):
    """Part of a file, and where it goes."""

    #: Name of the file below the root.
    name: str

    #: First byte.
    start: int

    #: What is filled, one after the other; their lengths say how much is read.
    buffers: Sequence[memoryview]


def is_url(root: str | os.PathLike[str]) -> bool:
    """Whether a root lies on an object store."""
    return '://' in os.fspath(root)


def store_files(root: str | os.PathLike[str]) -> 'LocalFiles | RemoteFiles':
    """Files below a root.

    Args:
        root: Folder, or URL such as ``s3://bucket/prefix``.

    Raises:
        ImportError: If a URL is given and the package that reads it is missing.
        ValueError: If the URL cannot be used.
    """
    return RemoteFiles(os.fspath(root)) if is_url(root) else LocalFiles(root)


class LocalFiles:
    """Files of a folder, read straight into memory that is given.

    Pages of the file are copied, not mapped, so the memory of a process stays what it allocates.
    May be used after a fork, for no position in a file is shared.
    """

    #: How worker processes may be started, None for any way.
    worker_context: str | None = None

    def __init__(self, root: str | os.PathLike[str]) -> None:
        """Initialize a new LocalFiles instance.

        Args:
            root: The folder.
        """
        self.root = os.fspath(root)
        self._open: OrderedDict[str, int] = OrderedDict()

    def read(self, name: str) -> bytes:
        """All of a file.

        Raises:
            OSError: If it cannot be read.
        """
        with self.open(name) as file:
            return file.read()

    def open(self, name: str) -> BinaryIO:
        """A file to be read from any location.

        Raises:
            OSError: If it cannot be opened.
        """
        return os.fdopen(self._opened(name), 'rb')

    def size(self, name: str) -> int:
        """Length of a file in bytes.

        Raises:
            OSError: If it is not there.
        """
        return os.fstat(self._descriptor(name)).st_size

    def fill(self, ranges: Sequence[Range]) -> None:
        """Read parts of files.

        Args:
            ranges: The parts, and where they go.

        Raises:
            OSError: If a file cannot be read, or ends before its part.
        """
        for name, start, buffers in ranges:
            wanted = sum(map(len, buffers))
            read = os.preadv(self._descriptor(name), buffers, start)
            while read < wanted:
                rest = _after(buffers, read)
                more = os.preadv(self._descriptor(name), rest, start + read)
                if not more:
                    raise OSError(f'{name} ends at byte {start + read}')
                read += more

    def each[Item, Result](
        self, call: Callable[[Item], Result], items: Sequence[Item]
    ) -> list[Result]:
        """Apply a reading call to several items."""
        return [call(item) for item in items]

    def _descriptor(self, name: str) -> int:
        """Number of an open file."""
        if name in self._open:
            self._open.move_to_end(name)
            return self._open[name]
        number = self._opened(name)
        self._open[name] = number
        if len(self._open) > _OPEN:
            os.close(self._open.popitem(last=False)[1])
        return number

    def _opened(self, name: str) -> int:
        """Number of a file that is opened now; others than regular ones are refused."""
        # A pipe would be waited for without end.
        flags = os.O_RDONLY | os.O_CLOEXEC | getattr(os, 'O_NONBLOCK', 0)
        number = os.open(os.path.join(self.root, name), flags)
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise OSError(f'{name} is no regular file')
        return number

    def __reduce__(self) -> tuple[Any, ...]:
        """Open files stay in their process."""
        return LocalFiles, (self.root,)

    def __del__(self) -> None:
        """Close what is open."""
        for number in getattr(self, '_open', {}).values():
            os.close(number)


class RemoteFiles:
    """Objects below a URL, read by ranges, several at the same time.

    Credentials and endpoints come from the environment, such as ``AWS_ACCESS_KEY_ID`` and
    ``AWS_ENDPOINT_URL``. The threads that read do not survive a fork, so worker processes are to be
    spawned.
    """

    #: How worker processes may be started.
    worker_context: str | None = 'spawn'

    def __init__(self, root: str) -> None:
        """Initialize a new RemoteFiles instance.

        Args:
            root: The URL.

        Raises:
            ImportError: If obstore is missing.
            ValueError: If the URL cannot be used.
        """
        obstore = import_extra('obstore', 'store', f'reading {root}')
        self.root = root
        self._obstore: Any = obstore
        self._errors = (obstore.exceptions.BaseError, OSError)
        self._pool: ThreadPoolExecutor | None = None
        options: Any = {}
        # An endpoint without encryption is one that the user has named.
        if (os.environ.get('AWS_ENDPOINT_URL') or '').startswith('http://'):
            options['client_options'] = {'allow_http': True}
        if root.startswith('http://'):
            options['client_options'] = {'allow_http': True}
        try:
            self._store = obstore.store.from_url(root, **options)
        except Exception as error:
            raise ValueError(
                f'{root} is no URL of an object store ({_first_line(error)})'
            ) from error
        # The runtime of obstore is one of the whole process, and a child that inherits it hangs.
        _started.setdefault('process', os.getpid())

    def read(self, name: str) -> bytes:
        """All of an object.

        Raises:
            OSError: If it cannot be read.
        """
        return bytes(self._call(name, self._obstore.get).bytes())

    def open(self, name: str) -> BinaryIO:
        """An object to be read from any location.

        Raises:
            OSError: If it cannot be read.
        """
        return cast(BinaryIO, _Ranges(self, name))

    def size(self, name: str) -> int:
        """Length of an object in bytes.

        Raises:
            OSError: If it is not there.
        """
        return int(self._call(name, self._obstore.head)['size'])

    def fill(self, ranges: Sequence[Range]) -> None:
        """See :meth:`LocalFiles.fill`; all ranges are requested at the same time."""
        by_name: dict[str, list[Range]] = {}
        for part in ranges:
            by_name.setdefault(part.name, []).append(part)
        self.each(self._fill_one, list(by_name.values()))

    def _fill_one(self, parts: Sequence[Range]) -> None:
        """Read parts of one object."""
        name = parts[0].name
        starts = [part.start for part in parts]
        lengths = [sum(map(len, part.buffers)) for part in parts]
        found = self._call(name, self._obstore.get_ranges, starts=starts, lengths=lengths)
        for part, content, length in zip(parts, found, lengths, strict=True):
            _scatter_bytes(name, memoryview(content).cast('B'), part.buffers, length)

    def each[Item, Result](
        self, call: Callable[[Item], Result], items: Sequence[Item]
    ) -> list[Result]:
        """Apply a reading call to several items concurrently."""
        if len(items) < 2:
            return [call(item) for item in items]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_REQUESTS, 'object-store')
        return list(self._pool.map(call, items))

    def _call(self, name: str, call: Any, **options: Any) -> Any:
        """Call obstore, and raise its errors as those of files.

        Raises:
            RuntimeError: If this process was forked from one that reads, for it would hang.
            OSError: If the object cannot be read.
        """
        if _started['process'] != os.getpid():
            raise RuntimeError(
                'this process was forked from one that reads an object store, which hangs; give '
                "the DataLoader multiprocessing_context='spawn'"
            )
        try:
            return call(self._store, name, **options)
        except FileNotFoundError:
            raise
        except self._errors as error:
            raise OSError(
                f'{self.root}/{name} cannot be read ({_first_line(error)}); look at the URL, and '
                'at the environment variables of its provider, such as AWS_ACCESS_KEY_ID, '
                'AWS_REGION, AWS_ENDPOINT_URL, or AWS_SKIP_SIGNATURE=true for public buckets'
            ) from error

    def __reduce__(self) -> tuple[Any, ...]:
        """Connections stay in their process."""
        return RemoteFiles, (self.root,)


class _Ranges(io.RawIOBase):
    """An object as a file, every reading of which is a request."""

    def __init__(self, files: RemoteFiles, name: str) -> None:
        """Initialize a new _Ranges instance."""
        self._files, self._name = files, name
        self._length, self._position = files.size(name), 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next reading begins."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go somewhere."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill memory from there."""
        wanted = memoryview(buffer).cast('B')
        wanted = wanted[: max(0, self._length - self._position)]
        if len(wanted):
            self._files.fill([Range(self._name, self._position, [wanted])])
            self._position += len(wanted)
        return len(wanted)


# Process in which the runtime of obstore began.
_started: dict[str, int] = {}


def _after(buffers: Sequence[memoryview], read: int) -> list[memoryview]:
    """Return the parts of the buffers that are still empty."""
    rest = []
    for buffer in buffers:
        if read < len(buffer):
            rest.append(buffer[read:])
        read = max(0, read - len(buffer))
    return rest


def _scatter_bytes(
    name: str, content: memoryview, buffers: Sequence[memoryview], length: int
) -> None:
    """Fill buffers from one."""
    if len(content) != length:
        raise OSError(f'{name} ends before its part')
    start = 0
    for buffer in buffers:
        buffer[:] = content[start : start + len(buffer)]
        start += len(buffer)


def _first_line(error: Exception) -> str:
    """Beginning of a message that goes on about the request."""
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
