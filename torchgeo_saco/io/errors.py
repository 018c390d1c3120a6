# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""The one sentence of an error of this package, below whatever libraries wrap around it."""

import linecache
import re
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

_PACKAGE = str(Path(__file__).parents[1])

# What PyTorch makes of an error of another process: a text that ends in the traceback there.
_ELSEWHERE = re.compile(r'Traceback \(most recent call last\):\n', re.MULTILINE)
_LAST_FRAME = re.compile(r'^ *File "([^"]+)", line (\d+)', re.MULTILINE)


def sentence(error: BaseException) -> str | None:
    """The sentence of the error of this package that an error is, or was caused by.

    Libraries wrap errors: jsonargparse those of the classes it makes, PyTorch those of workers and
    of the other processes.

    Args:
        error: The error.

    Returns:
        Its sentence in one line; or None where this package raised none, as of a bug, whose
        traceback is needed.
    """
    for each in _chain(error):
        text = _elsewhere(str(each)) if _ELSEWHERE.search(str(each)) else None
        if text is None and is_raised_in(each, _PACKAGE):
            text = str(each)
        if text:
            return ' '.join(text.split())
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it was raised from or during, outermost first."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        context = None if following.__suppress_context__ else following.__context__
        following = following.__cause__ or context


def is_raised_in(error: BaseException, folder: str) -> bool:
    """Whether a statement of a package raised an error, and no expression within it failed.

    Args:
        error: The error.
        folder: Folder of the package.
    """
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    return bool(frames) and _raises(frames[-1].filename, frames[-1].lineno or 0, folder)


def _raises(file: str, line: int, folder: str = _PACKAGE) -> bool:
    """Whether a line of a file is a raise statement of a package."""
    text = linecache.getline(file, line).strip()
    return Path(file).is_relative_to(folder) and (not text or text.startswith('raise'))


def _elsewhere(text: str) -> str | None:
    """The sentence of an error of another process, if this package raised it."""
    frames = _LAST_FRAME.findall(text)
    if not frames or not _raises(frames[-1][0], int(frames[-1][1])):
        return None
    # Of the last line, without the type of the error.
    return re.sub(r'^[\w.]+: ', '', text.rstrip().rpartition('\n')[2])


def show_last() -> None:
    """Let TorchGeo's command line end in the sentence of an error of this package.

    Python shows what wraps around an error below it; of errors of this package, and only in a
    process of that command line, the sentence is said once more at the end.
    """
    if 'torchgeo.main' not in sys.modules or sys.excepthook is not sys.__excepthook__:
        return

    def hook(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
        sys.__excepthook__(kind, error, frames)
        text = sentence(error)
        if text is not None and str(error) != text:
            sys.stderr.write(f'error: {text}\n')

    sys.excepthook = hook
