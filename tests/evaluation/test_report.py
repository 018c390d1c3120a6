# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of tables and figures."""

import csv
import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib import pyplot as plt
from rich.console import Console

from torchgeo_saco.evaluation import Report, Settings, paired_interval, plan_runs

from ..data.fakes import benchmark
from .test_results import result

ENCODERS = {'random': {}, 'SACo+': {'lr': 0.1}}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close('all')


def report(tmp_path, values, metrics=('test_OverallAccuracy',), archive='official', **parts):
    """Report of two encoders on two benchmarks; values are those of the first benchmark."""
    first, second = benchmark(metrics=list(metrics)), benchmark('mask')
    first['data']['init_args']['archive'] = archive
    settings = Settings(
        str(tmp_path), range(len(values['random'])), ENCODERS, {'First': first, 'Second': second}
    )
    pairs = []
    for run in plan_runs(settings):
        value = values[run.encoder][run.seed] if run.benchmark == 'First' else 0.25
        pairs.append((run, result(metrics={'test_OverallAccuracy': value, 'test_loss': 2.0,
                                            'test_Accuracy_a': 0.1}, **parts)))  # fmt: skip
    return Report(settings, pairs)


VALUES = {'random': [0.5, 0.6, 0.7], 'SACo+': [0.9, 0.95, math.nan]}


def test_markdown_by_hand(tmp_path):
    text = report(tmp_path, VALUES, ['test_OverallAccuracy', 'test_loss']).markdown()
    assert text.splitlines() == [
        '# Evaluation',
        '',
        'Mean ± sample standard deviation over seeds, in per cent.',
        '',
        'Measured on m, 2 CPU cores, with torch 2.',
        '',
        '## All benchmarks',
        '',
        '| encoder | First<br>test OverallAccuracy | Second<br>test OverallAccuracy |',
        '| :-- | --: | --: |',
        # Of 0.5, 0.6, 0.7 the sample standard deviation is 0.1; of 0.9, 0.95 it is 0.0354.
        '| random | 60.0 ± 10.0 | 25.0 ± 0.0 |',
        '| SACo+ | 92.5 ± 3.5 | 25.0 ± 0.0 |',
        '',
        '## First',
        '',
        '| encoder | test OverallAccuracy | test loss | seconds | seeds |',
        '| :-- | --: | --: | --: | --: |',
        '| random | 60.0 ± 10.0 | 2 ± 0 | 2 | 3 |',
        '| SACo+ | 92.5 ± 3.5 | 2 ± 0 | 2 | 3 |',
        '',
        '## Second',
        '',
        '| encoder | test OverallAccuracy | seconds | seeds |',
        '| :-- | --: | --: | --: |',
        '| random | 25.0 ± 0.0 | 2 | 3 |',
        '| SACo+ | 25.0 ± 0.0 | 2 | 3 |',
    ]


def test_differences_to_the_reference_are_paired(tmp_path):
    name, places = 'test_OverallAccuracy', np.arange(40)
    random = np.random.default_rng(0)
    base = [(random.random(40) < 0.5).astype(float) for _ in range(3)]
    of_seed = {('random', seed): scores for seed, scores in enumerate(base)}
    of_seed |= {
        ('SACo+', seed): np.maximum(scores, places < 20) for seed, scores in enumerate(base)
    }
    plain = report(tmp_path, VALUES)
    plain.results = [
        (run, replace(each, image_scores={name: of_seed[run.encoder, run.seed]}, locations=places))
        for run, each in plain.results
    ]
    assert 'Paired' not in plain.markdown()
    plain.settings = replace(plain.settings, reference='random')
    lines = plain.markdown().splitlines()
    head = lines.index('| encoder | test OverallAccuracy - random |')
    difference, low, high = paired_interval(
        [of_seed['SACo+', seed] for seed in range(3)], base, places
    )
    assert difference > 0.1
    assert lines[head + 2] == (
        f'| SACo+ | +{100 * difference:.1f} [{100 * low:+.1f}, +{100 * high:.1f}]'
        f'{" †" if low <= 0 else ""} |'
    )
    figures = dict(plain.figures())
    (axis,) = figures['differences_First'].axes
    line, dot = axis.lines[:2]
    assert [*line.get_xdata(), *dot.get_xdata()] == [low, high, difference]
    assert [text.get_text() for text in axis.get_yticklabels()] == ['SACo+']
    assert axis.get_xlabel() == 'points ahead of random'
    # Of other images nothing is said, and of no difference that the interval holds 0.
    for changed, cell in ((places + 1, '-'), (places, '+0.0 [+0.0, +0.0] †')):
        plain.results = [
            (run, replace(each, image_scores={name: of_seed['random', run.seed]},
                          locations=changed if run.encoder == 'SACo+' else places))
            for run, each in plain.results
        ]  # fmt: skip
        assert plain.markdown().splitlines()[head + 2] == f'| SACo+ | {cell} |'
        plt.close('all')
        assert ('differences_First' in dict(plain.figures())) == (cell != '-')


def test_table_of_a_terminal(tmp_path):
    console = Console(file=io.StringIO(), width=100)
    console.print(report(tmp_path, VALUES, archive='sample').table())
    text = console.file.getvalue()
    assert 'synthetic samples: First\n' in re.sub(' +\n', '\n', text)
    assert re.search('SACo\\+ .* 92.5 ± 3.5 .* 25.0 ± 0.0', text)


def test_one_seed_has_no_spread_and_what_is_missing_is_a_dash(tmp_path):
    text = report(tmp_path, {'random': [0.5], 'SACo+': [math.nan]}).markdown()
    assert '| random | 50.0 | 2 | 1 |' in text
    assert '| SACo+ | - | 2 | 1 |' in text


def test_one_benchmark_needs_no_overview(tmp_path):
    settings = Settings(str(tmp_path), [0], {'x': {}}, {'Only': benchmark()})
    text = Report(settings, [(run, result()) for run in plan_runs(settings)]).markdown()
    assert 'All benchmarks' not in text
    assert '## Only' in text


def test_one_benchmark_is_shown_whole_in_a_terminal(tmp_path):
    settings = Settings(str(tmp_path), [0, 1], {'x': {}}, {'Only': benchmark()})
    metrics = [{'test_OverallAccuracy': 0.5, 'knn5_OverallAccuracy': share} for share in (0.6, 0.8)]
    pairs = [
        (run, result(metrics=of, seconds=seconds))
        for run, of, seconds in zip(plan_runs(settings), metrics, (20.0, 31.0), strict=True)
    ]
    console = Console(file=io.StringIO(), width=100)
    console.print(Report(settings, pairs).table())
    assert re.search(r'x\W+50\.0 ± 0\.0\W+70\.0 ± 14\.1\W+26\W+2\b', console.file.getvalue())
    assert '| x | 50.0 ± 0.0 | 70.0 ± 14.1 | 26 | 2 |' in Report(settings, pairs).markdown()


def test_encoders_that_were_judged_on_other_images_are_told(tmp_path):
    made = report(tmp_path, VALUES)
    counted = [
        (run, replace(found, metrics={**found.metrics, 'images_train': 9.0, 'images_test':
                                       5.0 if run.encoder == 'random' else 4.0}))
        for run, found in made.results
    ]  # fmt: skip
    text = (
        'Not comparable, for the probes learned from and were judged on different numbers of '
        'images: 9 and 5 (random); 9 and 4 (SACo+).'
    )
    uneven = Report(made.settings, counted)
    assert uneven.markdown().count(text) == 2
    console = Console(file=io.StringIO(), width=300)
    console.print(uneven.table())
    assert f'First: {text}' in ' '.join(console.file.getvalue().split())
    assert 'Not comparable' not in made.markdown()


def test_synthetic_data_are_said_to_be_so(tmp_path):
    text = report(tmp_path, VALUES, archive='sample').markdown()
    assert '| encoder | First (synthetic sample)<br>' in text
    assert '## First (synthetic sample)' in text
    assert '## Second\n' in text
    assert 'their numbers say nothing of real data' in text


def test_columns_are_the_overall_scores_unless_named(tmp_path):
    made = report(tmp_path, VALUES)
    assert made.columns('Second') == ['test_OverallAccuracy']
    assert made.columns('First') == ['test_OverallAccuracy']
    of_loss = [(run, replace(found, metrics={'test_loss': 1.0})) for run, found in made.results]
    assert Report(made.settings, of_loss).columns('Second') == ['test_loss']


def test_machines_of_all_runs_are_named(tmp_path):
    made = report(tmp_path, VALUES)
    run, found = made.results[0]
    other = replace(found, environment={'machine': 'other', 'torch': '2', 'commit': 'abc'})
    text = Report(made.settings, [(run, other), *made.results[1:]]).markdown()
    assert 'Measured on other or m, 2 CPU cores, with torch 2, commit abc.' in text


def test_csv_has_a_line_a_score(tmp_path):
    made = report(tmp_path, VALUES)
    lines = list(csv.DictReader(made.csv().splitlines()))
    assert len(lines) == 2 * 2 * 3 * 3
    assert lines[0] == {
        'encoder': 'random', 'benchmark': 'First', 'seed': '0', 'metric': 'test_OverallAccuracy',
        'value': '0.5', 'seconds': '1.5', 'key': made.results[0][0].key,
    }  # fmt: skip
    values = [line['value'] for line in lines
              if (line['encoder'], line['benchmark'], line['metric'])
              == ('SACo+', 'First', 'test_OverallAccuracy')]  # fmt: skip
    assert values == ['0.9', '0.95', '']


@pytest.mark.slow
def test_files(tmp_path):
    paths = report(tmp_path, VALUES).write()
    assert {path.name for path in paths} == {path.name for path in tmp_path.iterdir()}
    assert {path.name for path in paths} == {
        'results.csv', 'results.md', 'run.json', 'panels_First.png', 'panels_Second.png',
        'confusion_First_random.png', 'confusion_First_SACo+.png',
        'confusion_Second_random.png', 'confusion_Second_SACo+.png',
    }  # fmt: skip
    record = json.loads((tmp_path / 'run.json').read_text())
    assert 'CPU cores' in record['machine']
    assert record['settings']['encoders'] == ENCODERS
    assert list(record['settings']['benchmarks']) == ['First', 'Second']
    assert not plt.get_fignums()


def test_confusion_matrices_are_summed_over_seeds(tmp_path):
    figures = dict(report(tmp_path, VALUES, archive='sample').figures())
    axis = figures['confusion_First_random'].axes[0]
    assert axis.get_title() == 'First (synthetic sample) · random · 3 seeds'
    # Counts of 1 2 / 3 4, three times.
    assert [label.get_text() for label in axis.get_yticklabels()] == ['a  (9)', 'b  (21)']


def test_panels_show_all_encoders(tmp_path):
    figures = dict(report(tmp_path, VALUES).figures())
    titles = [axis.get_title() for axis in figures['panels_Second'].axes[:4]]
    assert titles == ['image', 'target', 'random', 'SACo+']
    assert figures['panels_Second'].get_suptitle() == 'Second · seed 0'


def test_names_of_files_have_no_spaces(tmp_path):
    made = report(tmp_path, VALUES)
    named = [(replace(run, encoder='MoCo v2'), found) for run, found in made.results]
    settings = replace(made.settings, encoders={'MoCo v2': {}})
    assert 'confusion_First_MoCo_v2' in dict(Report(settings, named).figures())


def test_results_without_pictures_have_none(tmp_path):
    made = report(tmp_path, VALUES, confusion=None, panels=[])
    assert dict(made.figures()) == {}


def test_one_matrix_is_of_one_seed(tmp_path):
    made = report(tmp_path, {'random': [0.5], 'SACo+': [0.5]}, confusion=np.eye(2, dtype=int))
    figures = dict(made.figures())
    assert figures['confusion_Second_SACo+'].axes[0].get_title() == 'Second · SACo+ · 1 seed'


def test_curve_shows_the_mean_and_the_spread_of_seeds(tmp_path):
    pairs = report(tmp_path, VALUES)
    at = {'First': 10, 'Second': 100}
    settings = replace(pairs.settings, curve={'label': 'training images', 'at': at})
    name, figure = next(iter(Report(settings, pairs.results).figures()))
    assert name == 'curve'
    (axis,) = figure.axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in axis.lines}
    assert lines['random'] == [[10, pytest.approx(0.6)], [100, 0.25]]
    # A seed without the score does not count.
    assert lines['SACo+'] == [[10, pytest.approx(0.925)], [100, 0.25]]
    band = axis.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.max(), band.min()) == (0.7, 0.25)
    assert (axis.get_xlabel(), axis.get_ylabel()) == ('training images', 'test OverallAccuracy')
    assert axis.get_title() == '3 seeds'
