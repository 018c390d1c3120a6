# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""What the benchmarks of speed share: timing, targets, tables, JSON."""

import argparse
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table

from torchgeo_saco.evaluation.environment import environment

RESULTS = Path(__file__).parent / 'results'


class Target(NamedTuple):
    """A number that was aimed at, and what was measured, in one run with its peer."""

    #: What was measured.
    name: str

    #: What it is compared with, and how.
    peer: str

    #: The number: median of the repeats, or the one there is.
    measured: float

    #: The number aimed at.
    wanted: float

    #: Whether more is better; else less is.
    more: bool = True

    #: Follows the number, such as x for a ratio.
    unit: str = 'x'

    #: Smallest and largest of the repeats.
    spread: tuple[float, float] | None = None

    @property
    def met(self) -> bool:
        """Whether the target holds."""
        return self.measured >= self.wanted if self.more else self.measured <= self.wanted


def parser(doc: str) -> argparse.ArgumentParser:
    """Arguments that all benchmarks take.

    Args:
        doc: Docstring of the benchmark; its first line is the description.
    """
    arguments = argparse.ArgumentParser(description=doc.splitlines()[0])
    arguments.add_argument(
        '--quick', action='store_true', help='small sizes, in seconds, to try the command'
    )
    arguments.add_argument(
        '--output',
        type=Path,
        help='JSON file to write; by default benchmarks/results/<name>.<device>.json, and none '
        'with --quick',
    )
    return arguments


def device() -> torch.device:
    """The GPU, if there is one that PyTorch can use, else the CPU."""
    return torch.device('cuda' if torch.cuda.is_available() else 'cpu')


def seconds(call: Callable[[], object], repeats: int = 5, warmup: int = 1) -> list[float]:
    """Wall-clock time of each of some calls, the work of a GPU included."""
    measured = []
    for repeat in range(warmup + repeats):
        synchronize()
        start = time.perf_counter()
        call()
        synchronize()
        if repeat >= warmup:
            measured.append(time.perf_counter() - start)
    return measured


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def ratios(peer: Sequence[float], ours: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """How many times shorter ours take.

    Args:
        peer: Times of the peer.
        ours: Our times.

    Returns:
        Ratio of the medians; and the smallest and largest ratio that any two of them give.
    """
    spread = min(peer) / max(ours), max(peer) / min(ours)
    return median(peer) / median(ours), spread


def report(
    name: str,
    arguments: argparse.Namespace,
    rows: Sequence[Mapping[str, Any]],
    targets: Sequence[Target] = (),
    **more: Any,
) -> None:
    """Print tables of what was measured, and write all of it as JSON.

    Args:
        name: Name of the benchmark.
        arguments: Those of :func:`parser`.
        rows: Measurements, all with the same keys; texts and numbers.
        targets: What was aimed at.
        more: Further entries of the file.
    """
    console = Console()
    if rows:
        table = Table(*rows[0], title=name)
        for row in rows:
            table.add_row(*(amount(value) for value in row.values()))
        console.print(table)
    if targets:
        table = Table('target', 'against', 'measured', 'spread', 'wanted', 'met')
        for target in targets:
            wanted = f'{">=" if target.more else "<="} {amount(target.wanted, target.unit)}'
            spread = '' if target.spread is None else ' - '.join(map(amount, target.spread))
            measured = amount(target.measured, target.unit)
            met = 'yes' if target.met else 'NO'
            table.add_row(target.name, target.peer, measured, spread, wanted, met)
        console.print(table)
    path = arguments.output
    if path is None and not arguments.quick:
        path = RESULTS / f'{name}.{device_name()}.json'
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        **environment(),
        'threads': torch.get_num_threads(),
        'command': f'python benchmarks/{name}.py{" --quick" if arguments.quick else ""}',
        'rows': list(rows),
        'targets': [target._asdict() | {'met': target.met} for target in targets],
        **more,
    }
    path.write_text(json.dumps(document, indent=2) + '\n')
    console.print(f'written to {os.path.relpath(path)}')


def device_name() -> str:
    """Class of the device, as part of a file name."""
    if not torch.cuda.is_available():
        return 'cpu'
    return re.sub(r'[^a-z0-9]+', '_', torch.cuda.get_device_name().lower()).strip('_')


def amount(value: Any, unit: str = '') -> str:
    """A number with three digits, or a text as it is, and its unit."""
    text = str(value)
    if isinstance(value, float):
        text = f'{value:.3g}' if abs(value) < 1000 else f'{value:.0f}'
    return f'{text} {unit}' if unit else text
