# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from torchgeo_saco.synthesis import generate_sample_archive
from torchgeo_saco.tasks import SACo

from .data.pretraining import fit, small

FOLDER = Path(__file__).parents[1] / 'benchmarks'


def module(name, monkeypatch):
    """A file of the benchmarks as a module."""
    monkeypatch.syspath_prepend(str(FOLDER))
    specification = importlib.util.spec_from_file_location(name, FOLDER / f'{name}.py')
    loaded = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(loaded)
    return loaded


@pytest.mark.slow
@pytest.mark.parametrize(
    'name', ['texture', 'step', 'loader', 'scaling', 'embed', 'export', 'import']
)
def test_every_benchmark_runs_quickly_and_writes_what_it_was_measured_with(name, tmp_path):
    output = tmp_path / 'result.json'
    command = [sys.executable, '-W', 'ignore', FOLDER / f'{name}.py', '--quick', '--output', output]
    environment = os.environ | {'OMP_NUM_THREADS': '1'}
    answer = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert answer.returncode == 0, answer.stderr
    assert 'wanted' in answer.stdout
    document = json.loads(output.read_text())
    assert {'machine', 'torch', 'commit', 'threads'} <= set(document)
    assert document['command'] == f'python benchmarks/{name}.py --quick'
    assert document['rows']
    assert document['targets']
    for target in document['targets']:
        assert math.isfinite(target['measured'])


@pytest.mark.slow
def test_time_to_accuracy_measures_training_alone(tmp_path):
    output, root = tmp_path / 'result.json', tmp_path / 'sample'
    names = ['original step', 'SACo+', 'SA+MoCo v2, histograms']
    generate_sample_archive(root, locations=30, dates_per_year=2, size=48, progress=False)
    command = [
        *(sys.executable, '-W', 'ignore', FOLDER / 'time_to_accuracy.py', '--quick'),
        *('--output', output, '--root', root, '--only', *names),
    ]
    environment = os.environ | {'OMP_NUM_THREADS': '1'}
    answer = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, env=environment, timeout=600, check=False
    )
    assert answer.returncode == 0, answer.stderr
    document = json.loads(output.read_text())
    assert [*document['curves']] == names
    for row, curve in zip(document['rows'], document['curves'].values(), strict=True):
        spent, reached = zip(*curve, strict=True)
        assert spent[0] == 0
        assert list(spent) == sorted(spent)
        assert all(0 <= accuracy <= 1 for accuracy in reached)
        assert row['steps'] >= 1
    assert [target['wanted'] for target in document['targets']] == [5.0, 5.0]


def test_time_to_an_accuracy_is_between_the_points(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    seconds_to = module('time_to_accuracy', monkeypatch).seconds_to
    curve = [(0.0, 0.2), (10.0, 0.4), (20.0, 0.3), (30.0, 0.6)]
    assert seconds_to(curve, 0.3) == pytest.approx(5)
    assert seconds_to(curve, 0.1) == 0
    assert seconds_to(curve, 0.45) == pytest.approx(25)
    assert seconds_to(curve, 0.7) == math.inf


def test_what_a_target_asks_for_can_be_missed(monkeypatch):
    reporting = module('reporting', monkeypatch)
    assert reporting.Target('speed', 'peer', 60.0, 60.0).met
    assert not reporting.Target('speed', 'peer', 59.9, 60.0).met
    assert reporting.Target('memory', 'peer', 6.0, 6.0, more=False).met
    assert not reporting.Target('memory', 'peer', 6.1, 6.0, more=False).met


def test_a_ratio_is_of_medians_and_its_spread_of_extremes(monkeypatch):
    reporting = module('reporting', monkeypatch)
    assert reporting.ratios([10.0, 8.0, 30.0], [1.0, 2.0, 5.0]) == (5.0, (1.6, 30.0))


def test_the_table_says_what_missed_its_aim_and_names_the_machine_once(monkeypatch):
    table = module('table', monkeypatch)
    target = {
        'name': 'compiled',
        'peer': 'scikit-image',
        'measured': 50.0,
        'wanted': 60.0,
        'more': True,
        'unit': 'x',
        'spread': [49.0, 51.0],
        'met': False,
    }
    document = {
        'machine': 'x86_64, 2 CPU cores',
        'torch': '2.9',
        'commit': 'abc',
        'command': 'python benchmarks/texture.py',
        'targets': [target, target | {'measured': 70.0, 'met': True, 'spread': None}],
    }
    lines = table.table([document]).splitlines()
    assert lines[2] == (
        '| texture.py | compiled | scikit-image | **50 x, missed** | 49 to 51 | ≥ 60 x | 1 |'
    )
    assert lines[3] == '| texture.py | compiled | scikit-image | 70 x |  | ≥ 60 x | 1 |'
    assert lines[-1] == '1: x86_64, 2 CPU cores; torch 2.9, commit abc.'


def test_the_table_in_the_readme_is_that_of_the_results(monkeypatch):
    table = module('table', monkeypatch)
    text = table.TABLE.read_text()
    held = text.split(table.BEGIN)[1].split(table.END)[0].strip()
    assert held == table.table(table.documents())


@pytest.mark.slow
def test_distances_of_embeddings_are_measured_and_drawn(tmp_path):
    root, figure = tmp_path / 'sample', tmp_path / 'distances.png'
    generate_sample_archive(root, locations=10, dates_per_year=2, size=48, progress=False)
    task = small(SACo, bands=None, texture=False)
    _, weights = fit(task, root / 'seasonal', tmp_path / 'run', val_fraction=0.3)
    command = [
        *(sys.executable, '-W', 'ignore', FOLDER / 'same_place.py', '--root', root / 'seasonal'),
        *('--weights', weights, '--figure', figure, '--val-fraction', '0.3'),
    ]
    answer = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, timeout=300, check=False
    )
    assert answer.returncode == 0, answer.stderr
    rows = [line for line in answer.stdout.splitlines() if 'held out' in line and '0.' in line]
    assert [row.split()[1] for row in rows] == ['random', 'trained']
    assert figure.stat().st_size > 10_000
