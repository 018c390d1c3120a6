# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""A generated tree of files appears in its place at once and whole, or not at all."""

import json
import multiprocessing
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

from ..runtime.checks import check_range


@dataclass(frozen=True)
class Tree[Record]:
    """Tree of items to write; workers write them in any order."""

    #: What it is called in messages, such as ``sample archive``.
    noun: str

    #: Name of the file that holds the parameters; it is written last.
    marker: str

    #: What the files depend on.
    parameters: Mapping[str, Any]

    #: Items to write.
    count: int

    #: What an item is called, in the plural.
    unit: str

    #: Writes one item, by number, under a folder; must pickle.
    write: Callable[[Path, int], Record]

    #: Writes what needs all items, from what *write* returned for each.
    finish: Callable[[Path, list[Record]], None]


def publish(
    tree: Tree[Any], root: str | os.PathLike[str], workers: int | None, progress: bool
) -> Path:
    """Generate a tree, unless it is complete already.

    It is written beside *root* first. Leftovers of runs that died are removed.

    Args:
        tree: What to write.
        root: Folder to make.
        workers: Processes; None for one per processor.
        progress: Whether to report on standard error.

    Returns:
        The folder.

    Raises:
        ValueError: If *workers* is out of range, or *root* holds a tree of other parameters.
        FileExistsError: If *root* holds anything else.
        RuntimeError: If a worker process dies.
    """
    root = Path(root).expanduser().absolute()
    check_range('workers', workers, 'int [1, inf) or None')
    if _is_complete(root, tree):
        return root
    report = Console(stderr=True, quiet=not progress)
    report.print(f'Generating the synthetic {tree.noun}, {tree.count} {tree.unit}, in {root}')
    start = monotonic()
    _remove_leftovers(root)
    with _workplace(root) as partial_root:
        records = _write_items(partial_root, tree, workers or os.cpu_count() or 1, report)
        tree.finish(partial_root, records)
        text = json.dumps(dict(tree.parameters), indent=2) + '\n'
        (partial_root / tree.marker).write_text(text, encoding='utf-8')
        _rename(partial_root, root, tree)
    report.print(f'{tree.noun.capitalize()} complete after {monotonic() - start:.0f} s: {root}')
    return root


def _is_complete(root: Path, tree: Tree[Any]) -> bool:
    """Whether *root* holds the wanted tree; an error if it holds anything else."""
    marker = root / tree.marker
    if not os.path.lexists(root) or (root.is_dir() and not any(root.iterdir())):
        return False
    if not marker.is_file():
        raise FileExistsError(
            f'{root} exists and is not a {tree.noun}; name another folder or remove it'
        )
    found = json.loads(marker.read_text(encoding='utf-8'))
    wanted = json.loads(json.dumps(dict(tree.parameters)))
    other = {name: value for name, value in wanted.items() if found.get(name) != value}
    if other:
        there = ', '.join(f'{name} {found.get(name)}' for name in other)
        asked = ', '.join(f'{name} {value}' for name, value in other.items())
        raise ValueError(
            f'{root} holds a {tree.noun} of {there}, but {asked} is asked for; '
            'name another folder or remove it'
        )
    return True


def _write_items[Record](
    root: Path, tree: Tree[Record], workers: int, report: Console
) -> list[Record]:
    """Write all items."""
    write = partial(tree.write, root)
    numbers = range(tree.count)
    workers = min(workers, tree.count)
    with Progress(
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=report,
        disable=not report.is_terminal,
        transient=True,
    ) as bar:
        if workers == 1:
            return list(bar.track(map(write, numbers), len(numbers), description=tree.unit))
        # A fresh process inherits neither threads nor CUDA state of the caller.
        context = multiprocessing.get_context('spawn')
        try:
            with ProcessPoolExecutor(workers, mp_context=context) as pool:
                results = pool.map(write, numbers, chunksize=2)
                return list(bar.track(results, len(numbers), description=tree.unit))
        except BrokenProcessPool as error:
            raise RuntimeError(
                f'a process that generates the {tree.noun} died; in a script, call it under '
                "if __name__ == '__main__': or with workers=1"
            ) from error


@contextmanager
def _workplace(root: Path) -> Iterator[Path]:
    """A folder beside *root* for this process, removed at the end unless it was renamed."""
    folder = root.with_name(f'{root.name}.partial-{socket.gethostname()}-{os.getpid()}')
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _rename(partial_root: Path, root: Path, tree: Tree[Any]) -> None:
    """Give the finished tree its name, unless another process was faster."""
    if _is_complete(root, tree):
        return
    try:
        if root.exists():
            root.rmdir()
        partial_root.rename(root)
    except OSError:
        if not _is_complete(root, tree):
            raise


def _remove_leftovers(root: Path) -> None:
    """Remove what runs on this machine left that died before they were done."""
    prefix = f'{root.name}.partial-{socket.gethostname()}-'
    for folder in root.parent.glob(f'{prefix}*'):
        process = folder.name.removeprefix(prefix)
        if process.isdigit() and not _is_alive(int(process)):
            shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process: int) -> bool:
    """Whether another process of that number runs."""
    # On Windows, signal 0 is no question but a command.
    if process == os.getpid() or os.name == 'nt':
        return process != os.getpid()
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
