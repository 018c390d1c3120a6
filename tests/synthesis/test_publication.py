# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import json
import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import pytest

from torchgeo_saco.synthesis import publication
from torchgeo_saco.synthesis.publication import Tree, publish


def write(root: Path, number: int) -> int:
    (root / f'{number}.txt').write_text(str(number))
    return number**2


def finish(root: Path, squares: list[int]) -> None:
    (root / 'squares.txt').write_text(str(squares))


TREE = Tree('sample tree', 'tree.json', {'seed': 5, 'sides': (2, 3)}, 4, 'leaves', write, finish)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    return publish(TREE, tmp_path / 'published' / 'tree', 1, False)


def contents(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob('*') if p.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize('workers', [1, 2])
def test_tree_holds_items_lists_and_marker(tmp_path: Path, workers: int):
    root = publish(TREE, str(tmp_path / 'tree'), workers, False)
    assert root == tmp_path / 'tree'
    expected = {f'{number}.txt': str(number) for number in range(4)}
    assert contents(root) == expected | {
        'squares.txt': '[0, 1, 4, 9]',
        'tree.json': json.dumps({'seed': 5, 'sides': [2, 3]}, indent=2) + '\n',
    }
    assert [entry.name for entry in tmp_path.iterdir()] == ['tree']


def test_complete_tree_is_left_alone(published: Path):
    before = {path: path.stat().st_mtime_ns for path in published.rglob('*')}
    assert publish(replace(TREE, write=None), published, None, True) == published
    assert {path: path.stat().st_mtime_ns for path in published.rglob('*')} == before


def test_other_parameters_are_an_error_that_names_both(published: Path):
    message = r'holds a sample tree of seed 5, but seed 7 is asked for; name another folder'
    with pytest.raises(ValueError, match=message):
        publish(replace(TREE, parameters={'seed': 7, 'sides': (2, 3)}), published, 1, False)


@pytest.mark.parametrize('kind', ['file', 'folder', 'other marker'])
def test_foreign_root_is_refused_and_kept(tmp_path: Path, kind: str):
    root = tmp_path / 'mine'
    names = {'file': '', 'folder': 'thesis.txt', 'other marker': 'archive.json'}
    precious = root / names[kind]
    precious.parent.mkdir(exist_ok=True)
    precious.write_text('mine')
    with pytest.raises(FileExistsError, match='not a sample tree; name another folder'):
        publish(TREE, root, 1, False)
    assert precious.read_text() == 'mine'


def test_workers_out_of_range_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match='workers must be at least 1 or None, got 0'):
        publish(TREE, tmp_path / 'tree', 0, False)
    assert not any(tmp_path.iterdir())


class Stop(Exception):
    pass


@pytest.mark.parametrize('step', ['write', 'finish'])
def test_interrupted_run_leaves_nothing(tmp_path: Path, step: str):
    def stop(*_: object) -> None:
        raise Stop

    with pytest.raises(Stop):
        publish(replace(TREE, **{step: stop}), tmp_path / 'tree', 1, False)
    assert not any(tmp_path.iterdir())


def test_leftovers_of_dead_runs_only_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with subprocess.Popen([sys.executable, '-c', '']) as ended:
        pass
    host = socket.gethostname()
    pids = [ended.pid, os.getpid(), os.getppid(), 1]
    for name in (*(f'{host}-{pid}' for pid in pids), 'elsewhere-1', f'{host}-note'):
        (tmp_path / f'tree.partial-{name}').mkdir()
    kill = os.kill

    def answer(pid: int, number: int) -> None:
        if pid == 1:
            raise PermissionError
        kill(pid, number)

    monkeypatch.setattr(os, 'kill', answer)
    publish(TREE, tmp_path / 'tree', 1, False)
    kept = [f'{host}-{os.getppid()}', f'{host}-1', 'elsewhere-1', f'{host}-note']
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(['tree', *(f'tree.partial-{name}' for name in kept)])


@pytest.mark.parametrize('when', ['before', 'during'])
def test_loser_of_a_race_discards_its_own(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
):
    root = tmp_path / 'race' / 'tree'
    rename = Path.rename

    def winner_before(*arguments: object) -> None:
        finish(*arguments)
        shutil.copytree(published, root)

    def winner_during(self: Path, target: Path) -> Path:
        shutil.copytree(published, root)
        return rename(self, target)

    tree = TREE
    if when == 'before':
        tree = replace(TREE, finish=winner_before)
    else:
        root.mkdir(parents=True)
        monkeypatch.setattr(Path, 'rename', winner_during)
    assert publish(tree, root, 1, False) == root
    assert contents(root) == contents(published)
    assert [entry.name for entry in root.parent.iterdir()] == ['tree']


def test_failed_rename_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError('disk full')

    monkeypatch.setattr(Path, 'rename', full)
    with pytest.raises(OSError, match='disk full'):
        publish(TREE, tmp_path / 'tree', 1, False)
    assert not any(tmp_path.iterdir())


def test_dead_worker_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Dead:
        def __init__(self, *_: object, **__: object) -> None:
            raise BrokenProcessPool

    monkeypatch.setattr(publication, 'ProcessPoolExecutor', Dead)
    with pytest.raises(RuntimeError, match=r"sample tree died.*__name__ == '__main__': or with"):
        publish(TREE, tmp_path / 'tree', 2, False)


@pytest.mark.parametrize('progress', [True, False])
def test_report_is_one_line_at_each_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], progress: bool
):
    publish(TREE, tmp_path / 'tree', 1, progress)
    captured = capsys.readouterr()
    assert captured.out == ''
    assert ('Generating the synthetic sample tree, 4 leaves' in captured.err) == progress
    assert ('Sample tree complete after' in captured.err) == progress
    assert bool(captured.err) == progress
