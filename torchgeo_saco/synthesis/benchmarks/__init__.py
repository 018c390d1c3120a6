# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Synthetic trees in the layout of the downstream benchmarks."""

import os
from pathlib import Path

from ..publication import publish
from .bigearthnet import BigEarthNetTree
from .dfc2020 import DFC2020Tree
from .dynamicearthnet import DynamicEarthNetTree
from .eurosat import EuroSATTree
from .gid import GIDTree
from .oscd import OSCDTree
from .pastis import PASTISTree
from .sen12ms import SEN12MSTree
from .tree import BenchmarkTree

__all__ = ('BENCHMARKS', 'generate_sample_benchmark')

_TREES: dict[str, type[BenchmarkTree]] = {
    tree.name: tree
    for tree in (
        EuroSATTree,
        OSCDTree,
        PASTISTree,
        GIDTree,
        BigEarthNetTree,
        DynamicEarthNetTree,
        SEN12MSTree,
        DFC2020Tree,
    )
}

#: Names of the trees.
BENCHMARKS = tuple(_TREES)


def generate_sample_benchmark(
    name: str,
    root: str | os.PathLike[str],
    seed: int = 0,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Generate a synthetic tree in the exact layout of a benchmark.

    TorchGeo's own dataset classes read it. Does nothing where the same tree is already complete.
    The tree appears under *root* at once and whole: it is written beside it first. The pixels
    depend on the seed, not on the number of processes. Scripts that call this with several
    workers need the usual ``if __name__ == '__main__':``.

    Args:
        name: One of :data:`BENCHMARKS`.
        root: Folder to make.
        seed: Seed of all randomness, not negative.
        workers: Processes; None for one per processor.
        progress: Whether to report on standard error.

    Returns:
        The folder.

    Raises:
        ValueError: If an argument is out of its range, or *root* holds another sample benchmark,
            or one of another seed or version.
        FileExistsError: If *root* holds anything else.
        RuntimeError: If a worker process dies.
    """
    if name not in _TREES:
        raise ValueError(f'unknown benchmark {name!r}; choose one of {", ".join(BENCHMARKS)}')
    if seed < 0:
        raise ValueError(f'seed must not be negative, got {seed}')
    return publish(_TREES[name](seed).tree(), root, workers, progress)
