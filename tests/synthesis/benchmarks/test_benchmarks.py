# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest

from torchgeo_saco.synthesis import BENCHMARKS, benchmarks, generate_sample_benchmark
from torchgeo_saco.synthesis.benchmarks.tree import VERSION, canvas_size, split_sizes
from torchgeo_saco.synthesis.publication import publish

from .conftest import SMALL, digests


def test_there_is_a_tree_for_each_benchmark():
    assert BENCHMARKS == (
        'eurosat', 'oscd', 'pastis', 'gid', 'bigearthnet', 'dynamicearthnet', 'sen12ms', 'dfc2020',
    )  # fmt: skip
    assert tuple(SMALL) == BENCHMARKS


@pytest.mark.slow
@pytest.mark.parametrize('name', BENCHMARKS)
def test_one_item_depends_on_seed_and_number_only(
    small_tree: Callable[[str], Path], tmp_path: Path, name: str
):
    tree, whole = SMALL[name], digests(small_tree(name))
    same, other = tmp_path / 'same', tmp_path / 'other'
    tree.write(same, 2)
    replace(tree, seed=7).write(other, 2)
    alone = digests(same)
    assert alone
    assert alone.items() <= whole.items()
    # Names of locations and dates may depend on the seed; pixels must.
    assert not set(alone.values()) & {
        digest for path, digest in digests(other).items() if path.endswith(('.tif', '.npy'))
    }


@pytest.mark.parametrize('name', BENCHMARKS)
def test_marker_and_description_say_what_it_is(small_tree: Callable[[str], Path], name: str):
    root = small_tree(name)
    marker = json.loads((root / 'sample.json').read_text())
    parameters = json.loads(json.dumps(asdict(SMALL[name])))
    assert marker == {'name': name, 'version': VERSION, **parameters}
    text = (root / 'README.md').read_text()
    assert '**SYNTHETIC**' in text
    assert SMALL[name].title in text
    assert f'version {VERSION},\nseed 1;' in text


@pytest.mark.slow
def test_files_do_not_depend_on_the_number_of_processes(
    small_tree: Callable[[str], Path], tmp_path: Path
):
    root = publish(SMALL['gid'].tree(), tmp_path / 'tree', 2, False)
    assert digests(root) == digests(small_tree('gid'))


def test_public_function_publishes_the_tree_of_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    small = partial(benchmarks.GIDTree, tiles=(1, 1, 1), shape=(110, 150))
    monkeypatch.setitem(benchmarks._TREES, 'gid', small)
    root = generate_sample_benchmark('gid', tmp_path / 'gid', 3, workers=1, progress=False)
    assert root == tmp_path / 'gid'
    assert json.loads((root / 'sample.json').read_text())['seed'] == 3
    # Complete already: nothing is generated, and no argument of it is needed again.
    monkeypatch.setattr(benchmarks.GIDTree, 'write', None)
    assert generate_sample_benchmark('gid', str(root), 3) == root
    with pytest.raises(ValueError, match='seed 3, but seed 4 is asked for'):
        generate_sample_benchmark('gid', root, 4)
    with pytest.raises(ValueError, match=r'holds a sample benchmark of name gid.*but name oscd'):
        generate_sample_benchmark('oscd', root, 3)


@pytest.mark.parametrize('name', BENCHMARKS)
def test_trees_are_full_by_default(name: str):
    counts = {
        'eurosat': 500, 'oscd': 24, 'pastis': 30, 'gid': 15, 'bigearthnet': 200,
        'dynamicearthnet': 14, 'sen12ms': 240, 'dfc2020': 500,
    }  # fmt: skip
    assert benchmarks._TREES[name]().count == counts[name]


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('landsat',), "unknown benchmark 'landsat'; choose one of eurosat, oscd, pastis, gid"),
        (('gid', -1), 'seed must not be negative, got -1'),
        (('gid', 0, 0), 'workers must be at least 1 or None, got 0'),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, arguments: tuple, message: str):
    name, *rest = arguments
    with pytest.raises(ValueError, match=message):
        generate_sample_benchmark(name, tmp_path / 'tree', *rest)
    assert not any(tmp_path.iterdir())


def test_foreign_folder_is_refused(tmp_path: Path):
    (tmp_path / 'archive.json').write_text('{}')
    with pytest.raises(FileExistsError, match='not a sample benchmark; name another folder'):
        generate_sample_benchmark('gid', tmp_path)


def test_canvas_holds_whole_60_m_pixels():
    assert [canvas_size(pixels) for pixels in (60, 61, 64, 128)] == [60, 66, 66, 132]


def test_splits_take_three_fifths_and_twice_one_fifth():
    assert split_sizes(50) == (30, 40)
    assert split_sizes(5) == (3, 4)
