# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""A bad input, and the check of what is said of it."""

import contextlib
import io
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rasterio.errors import NotGeoreferencedWarning

import torchgeo_saco

_PACKAGE = str(Path(torchgeo_saco.__file__).parent)


@dataclass(frozen=True)
class Fault:
    """A bad input.

    Args:
        id: Row of the catalogue, and the variant, such as 'B4 spelt Band4'.
        act: Makes the input in an empty folder, and uses it as a user would.
        names: What the refusal must name: file, band or value.
        remedy: Words of the refusal that say what to do.
        error: Type of the refusal, SystemExit for a command, or None where the input must be
            handled: then ``act`` itself asserts that the result is right.
    """

    id: str
    act: Callable[[Path], object]
    names: tuple[str, ...] = ()
    remedy: str = ''
    error: type[BaseException] | None = ValueError


class Unmet(AssertionError):
    """A fault that was not handled as its row says."""


def meet(fault: Fault, folder: Path) -> str:
    """Run a fault in a folder of its own, and check what is said of it.

    Args:
        fault: The fault.
        folder: An empty folder; the fault gets one below it, and must write nothing beside that.

    Returns:
        The refusal; empty if the fault is one to be handled.

    Raises:
        Unmet: If nothing was said, another type was raised, a library spoke, the sentence does
            not name what it should or is none, or something was written elsewhere.
    """
    root = folder / 'root'
    root.mkdir()
    said, message = io.StringIO(), ''
    try:
        with contextlib.redirect_stderr(said), warnings.catch_warnings():
            # Of what rows themselves write.
            warnings.simplefilter('ignore', NotGeoreferencedWarning)
            fault.act(root)
    except BaseException as error:
        if fault.error is None:
            raise
        message = _refusal(fault, error, said.getvalue())
    else:
        if fault.error is not None:
            raise Unmet(f'{fault.id}: silent')
    beside = sorted(path.name for path in folder.iterdir() if path != root)
    if beside:
        raise Unmet(f'{fault.id}: wrote {", ".join(beside)} outside of its folder')
    return message


def _refusal(fault: Fault, error: BaseException, said: str) -> str:
    """Return the sentence of a refusal, if it is one."""
    assert fault.error is not None
    kind = type(error).__name__
    if not isinstance(error, fault.error):
        raise Unmet(f'{fault.id}: {kind} in place of {fault.error.__name__}: {error}') from error
    if isinstance(error, SystemExit):
        if error.code in (0, None) or 'Traceback' in said:
            raise Unmet(f'{fault.id}: ended with {error.code}: {said}') from error
        message = said.rstrip().rpartition('\n')[2]
    else:
        message = str(error)
        where = traceback.extract_tb(error.__traceback__)[-1].filename
        if not where.startswith(_PACKAGE):
            raise Unmet(f'{fault.id}: a library said: {message} ({where})') from error
    if '\n' in message or not message.strip():
        raise Unmet(f'{fault.id}: no sentence: {message!r}') from error
    for words in (*fault.names, fault.remedy):
        if words not in message:
            raise Unmet(f'{fault.id}: {words!r} is not in: {message}') from error
    return message
