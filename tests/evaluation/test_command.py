# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of what the command calls, keeps and reports."""

import csv
import io
import logging
from statistics import mean, stdev

import pytest
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from lightning_utilities.core import rank_zero
from rich.console import Console

from torchgeo_saco.evaluation import RunError, Settings, SettingsError, command, evaluate

from ..data.fakes import FakeDataModule, FakeTask, benchmark
from .test_results import result


@pytest.fixture
def calls(monkeypatch):
    """Runs that were run, each with a made-up score."""
    names = []

    def execute_run(run):
        names.append((run.encoder, run.benchmark, run.seed))
        score = 0.5 + 0.1 * run.seed + 0.03 * len(run.encoder)
        return result(metrics={'test_OverallAccuracy': score}, confusion=None, panels=[])

    monkeypatch.setattr(command, 'execute_run', execute_run)
    return names


@pytest.fixture
def settings(tmp_path):
    """Two encoders, two benchmarks and two seeds."""

    def make(encoders=None, **parts):
        encoders = encoders or {'random': {}, 'other': {'lr': 0.1}}
        given = {'seeds': [0, 1], 'benchmarks': {'A': benchmark(), 'B': benchmark('mask')}}
        return Settings(str(tmp_path / 'out'), encoders=encoders, **{**given, **parts})

    return make


def quiet():
    return Console(file=io.StringIO(), width=200)


def test_a_second_run_computes_nothing(calls, settings, tmp_path):
    evaluate(settings(), quiet())
    assert len(calls) == len(set(calls)) == 8
    before = {path: path.read_bytes() for path in tmp_path.rglob('*.json')}
    evaluate(settings(), quiet())
    assert len(calls) == 8
    assert {path: path.read_bytes() for path in tmp_path.rglob('*.json')} == before


def test_one_encoder_more_costs_one_run_a_benchmark_and_seed(calls, settings):
    evaluate(settings(), quiet())
    calls.clear()
    three = {'random': {}, 'other': {'lr': 0.1}, 'new': {'lr': 0.3}}
    report = evaluate(settings(three), quiet())
    assert calls == [('new', 'A', 0), ('new', 'A', 1), ('new', 'B', 0), ('new', 'B', 1)]
    assert len(report.results) == 12


def test_a_checkpoint_of_other_content_is_evaluated_again(calls, settings, tmp_path):
    checkpoint = tmp_path / 'last.ckpt'
    checkpoint.write_bytes(b'first')
    encoders = {'random': {}, 'mine': {'weights': str(checkpoint)}}
    evaluate(settings(encoders), quiet())
    calls.clear()
    checkpoint.write_bytes(b'second')
    evaluate(settings(encoders), quiet())
    assert {name for name, _, _ in calls} == {'mine'}
    assert len(calls) == 4
    checkpoint.write_bytes(b'first')
    evaluate(settings(encoders), quiet())
    assert len(calls) == 4


def test_encoders_of_equal_arguments_share_runs(calls, settings):
    report = evaluate(settings({'a': {}, 'b': {}}), quiet())
    assert len(calls) == 4
    assert len(report.results) == 8


def test_one_value_of_one_benchmark_concerns_its_runs_alone(calls, settings):
    evaluate(settings(), quiet())
    calls.clear()
    longer = benchmark(trainer={'max_epochs': 9, 'accelerator': 'cpu'})
    evaluate(settings(benchmarks={'A': longer, 'B': benchmark('mask')}), quiet())
    assert {name for _, name, _ in calls} == {'A'}


def test_an_interrupted_run_goes_on(calls, settings, monkeypatch, tmp_path):
    works, left = command.execute_run, [3]

    def execute_run(run):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return works(run)

    monkeypatch.setattr(command, 'execute_run', execute_run)
    with pytest.raises(KeyboardInterrupt):
        evaluate(settings(), quiet())
    assert not (tmp_path / 'out/results.csv').exists()
    left[0] = 100
    evaluate(settings(), quiet())
    assert len(calls) == len(set(calls)) == 8


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_the_others_stay(settings, tmp_path):
    encoders = {'good': {}, 'bad': {'failing_seed': 1}}
    only = {'A': benchmark()}
    with pytest.raises(RunError, match=(
        'encoder bad on benchmark A with seed 1 failed: the weights have caught fire; finished'
    )) as caught:  # fmt: skip
        evaluate(settings(encoders, benchmarks=only), quiet())
    assert isinstance(caught.value.__cause__, ValueError)
    assert len(list((tmp_path / 'out/runs').iterdir())) == 3
    made = len(FakeTask.made)
    evaluate(settings({'good': {}}, benchmarks=only), quiet())
    assert len(FakeTask.made) == made


def test_command_ends_with_one_line_where_a_run_fails(settings, capsys, monkeypatch):
    monkeypatch.setattr(
        command, 'read_settings', lambda args: settings({'bad': {'failing_seed': 0}})
    )
    with pytest.raises(SystemExit) as stop:
        command.main([])
    assert stop.value.code == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if 'error' in line]
    assert lines[-1].startswith('torchgeo-saco evaluate: error: encoder bad on benchmark A with')


def test_table_and_csv_are_those_of_the_runs(calls, settings, tmp_path):
    evaluate(settings(seeds=[0, 1, 2]), quiet())
    lines = list(csv.DictReader((tmp_path / 'out/results.csv').read_text().splitlines()))
    values = [0.5 + 0.1 * seed + 0.03 * len('random') for seed in range(3)]
    found = [float(line['value']) for line in lines
             if (line['encoder'], line['benchmark']) == ('random', 'B')]  # fmt: skip
    assert found == values
    entry = f'{100 * mean(values):.1f} ± {100 * stdev(values):.1f}'
    assert entry == '78.0 ± 10.0'
    assert f'| random | {entry} | 2 | 3 |' in (tmp_path / 'out/results.md').read_text()


def test_data_are_prepared_once_a_benchmark_before_the_first_run(calls, settings, monkeypatch):
    prepared = []
    monkeypatch.setattr(FakeDataModule, 'prepare_data', lambda self: prepared.append(len(calls)))
    evaluate(settings(), quiet())
    assert prepared == [0, 0]
    evaluate(settings(), quiet())
    assert prepared == [0, 0]


def test_encoders_with_data_of_their_own_have_them_prepared(calls, settings, monkeypatch):
    prepared = []
    monkeypatch.setattr(FakeDataModule, 'prepare_data', lambda self: prepared.append(self.root))
    encoders = {'a': {}, 'b': {'data': {'init_args': {'root': 'other'}}}, 'c': {'lr': 2.0}}
    evaluate(settings(encoders, benchmarks={'A': benchmark()}), quiet())
    assert sorted(prepared) == ['data', 'other']


def test_a_column_that_no_score_fills_stops_after_the_first_run(calls, settings, tmp_path):
    typo = {'A': benchmark(metrics=['test_OverallAcuracy'])}
    tokens = "benchmark A has no score 'test_OverallAcuracy'; did you mean 'test_OverallAccuracy'"
    for _ in range(2):
        with pytest.raises(SettingsError, match=tokens):
            evaluate(settings(benchmarks=typo), quiet())
        assert len(calls) == 1
    evaluate(settings(benchmarks={'A': benchmark(metrics=['test_OverallAccuracy'])}), quiet())
    assert len(calls) == 4


def test_a_log_gets_a_line_a_run(calls, settings):
    console = quiet()
    evaluate(settings(), console)
    text = console.file.getvalue()
    assert 'A · random · seed 0: 2 s' in text
    assert '8/8' in text
    evaluate(settings({'random': {}, 'x': {'lr': 9}}), console)
    assert '4 runs are there already, 4 are not' in console.file.getvalue()


def test_a_terminal_gets_a_bar(calls, settings):
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    evaluate(settings(), console)
    text = console.file.getvalue()
    assert 'B · other · seed 1' in text
    assert ': 2 s' not in text


@pytest.mark.slow
def test_messages_of_tasks_are_shown_once_and_those_of_lightning_not(settings, capsys):
    console = quiet()
    evaluate(settings(benchmarks={'A': benchmark()}), console)
    text = console.file.getvalue()
    assert text.count('one group is skipped') == 1
    assert 'GPU available' not in text + capsys.readouterr().err


def test_warnings_and_later_messages_are_as_ever(caplog):
    with caplog.at_level(logging.INFO, 'lightning.pytorch'), command._messages(quiet()):
        rank_zero.log.warning('mind')
        rank_zero_info('hidden')
    assert 'mind' in caplog.text
    assert 'hidden' not in caplog.text
    with caplog.at_level(logging.INFO):
        rank_zero_info('seen')
    assert 'seen' in caplog.text
    with pytest.warns(UserWarning, match='mind you'):
        rank_zero_warn('mind you')
