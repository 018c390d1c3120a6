# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""The datamodules of benchmarks, each with a tiny tree and the task that is trained on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from torchgeo_saco import datamodules, tasks
from torchgeo_saco.datamodules.benchmark import BenchmarkDataModule

from . import benchmark_trees, scenes


class Benchmark(NamedTuple):
    """One row of the contract tests."""

    #: Class of the datamodule.
    datamodule: type[BenchmarkDataModule]

    #: Writes a tree into a folder.
    write: Callable[[Path], Path]

    #: Arguments of the datamodule.
    arguments: dict[str, Any]

    #: Class of the task, and its arguments.
    task: type[tasks.DownstreamTask]
    task_arguments: dict[str, Any]


BENCHMARKS = {
    'EuroSAT': Benchmark(
        datamodules.EuroSATBandsDataModule, scenes.write_eurosat, {}, tasks.GroupClassification, {}
    ),
    'BigEarthNet': Benchmark(
        datamodules.BigEarthNetBandsDataModule,
        scenes.write_bigearthnet,
        {},
        tasks.GroupClassification,
        {'task': 'multilabel', 'loss': 'bce'},
    ),
    'DFC2020': Benchmark(
        datamodules.DFC2020DataModule,
        scenes.write_dfc2020,
        {'modalities': ['s2'], 'val_fraction': 0.2},
        tasks.GroupClassification,
        {},
    ),
    'OSCD': Benchmark(
        datamodules.OSCDTilesDataModule,
        benchmark_trees.write_oscd,
        {'size': 32},
        tasks.GroupChangeDetection,
        {},
    ),
    'PASTIS': Benchmark(
        datamodules.PASTISFoldsDataModule,
        benchmark_trees.write_pastis,
        {},
        tasks.GroupSegmentation,
        {'protocol': 'pastis', 'void_classes': [19]},
    ),
    'GID': Benchmark(
        datamodules.GIDWindowsDataModule,
        benchmark_trees.write_gid,
        {'size': 32},
        tasks.GroupSegmentation,
        {},
    ),
    'DynamicEarthNet': Benchmark(
        datamodules.DynamicEarthNetWindowsDataModule,
        benchmark_trees.write_den,
        {'size': 32},
        tasks.GroupSegmentation,
        {},
    ),
}
