# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Lock and progress bar of commands that write archives for hours."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn


@contextmanager
def exclusive(lock: Path, refusal: str) -> Iterator[None]:
    """Within the block, no other run holds the same lock. The system frees that of a killed one.

    Args:
        lock: File of the lock; its folder is made.
        refusal: What to say if another run holds it.

    Raises:
        ValueError: If another run does.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(lock, timeout=0).acquire()
    except Timeout as error:
        raise ValueError(refusal) from error
    with held:
        yield


def scene_progress(console: Console) -> Progress:
    """Progress over scenes, where somebody looks.

    Args:
        console: Where it is shown, if that is a terminal.
    """
    return Progress(
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
