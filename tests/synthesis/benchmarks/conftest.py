# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from torchgeo_saco.synthesis.benchmarks.bigearthnet import BigEarthNetTree
from torchgeo_saco.synthesis.benchmarks.dfc2020 import DFC2020Tree
from torchgeo_saco.synthesis.benchmarks.dynamicearthnet import DynamicEarthNetTree
from torchgeo_saco.synthesis.benchmarks.eurosat import EuroSATTree
from torchgeo_saco.synthesis.benchmarks.gid import GIDTree
from torchgeo_saco.synthesis.benchmarks.oscd import OSCDTree
from torchgeo_saco.synthesis.benchmarks.pastis import PASTISTree
from torchgeo_saco.synthesis.benchmarks.sen12ms import SEN12MSTree
from torchgeo_saco.synthesis.benchmarks.tree import BenchmarkTree
from torchgeo_saco.synthesis.publication import publish

#: Trees small enough for tests, seeded.
SMALL: dict[str, BenchmarkTree] = {
    tree.name: tree
    for tree in (
        EuroSATTree(1, images_per_class=5),
        OSCDTree(1, train=2, test=1, sides=(100, 130)),
        PASTISTree(1, patches_per_fold=1, dates=(3, 5)),
        GIDTree(1, tiles=(1, 1, 1), shape=(110, 150)),
        BigEarthNetTree(1, patches=10),
        DynamicEarthNetTree(1, areas=(1, 1, 1), months=('2018-03', '2018-09', '2019-03'), size=80),
        SEN12MSTree(1, 20, patches_per_season=3),
        DFC2020Tree(1, 20, patches=(12, 8)),
    )
}


def digests(root: Path) -> dict[str, str]:
    """Digest of each file under a folder, by its path there."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.rglob('*')
        if path.is_file()
    }


@pytest.fixture(scope='session')
def small_tree(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a small tree by its name; not to be changed."""
    folder = tmp_path_factory.mktemp('benchmarks')

    def root(name: str) -> Path:
        return publish(SMALL[name].tree(), folder / name, 1, False)

    return root
