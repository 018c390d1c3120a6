# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of ``torchgeo-saco evaluate``, as a user runs it."""

import re
import sys

import pytest

from torchgeo_saco import cli

from ..data.fakes import FakeTask, benchmark, write_config


@pytest.mark.slow
def test_from_configuration_to_tables_and_figures(tmp_path, capsys):
    benchmarks = {'Scenes': benchmark(metrics=['test_OverallAccuracy', 'knn5_OverallAccuracy']),
                  'Maps': benchmark('mask')}  # fmt: skip
    config = write_config(tmp_path, benchmarks=benchmarks)
    cli.main(['evaluate', f'--config={config}', '--benchmarks.Scenes.trainer.max_epochs=1'])
    text = capsys.readouterr().out
    assert 'Scenes' in text
    assert 'test OverallAccuracy' in text
    assert 'knn5 OverallAccuracy' in (tmp_path / 'report/results.md').read_text()
    assert '100.0 ± 0.0' in (tmp_path / 'report/results.md').read_text()
    assert f'All tables and figures are in {tmp_path / "report"}' in text.replace('\n', '')
    assert {path.name for path in (tmp_path / 'report').iterdir()} == {
        'runs', 'results.csv', 'results.md', 'run.json', 'panels_Scenes.png', 'panels_Maps.png',
        'confusion_Scenes_random.png', 'confusion_Scenes_other.png',
        'confusion_Maps_random.png', 'confusion_Maps_other.png',
    }  # fmt: skip
    made = len(FakeTask.made)
    cli.main(['evaluate', '--config', str(config), '--benchmarks.Scenes.trainer.max_epochs=1'])
    assert len(FakeTask.made) == made
    cli.main(['evaluate', '--config', str(config), '--benchmarks.Scenes.trainer.max_epochs=1',
              '--encoders.third.lr=0.3'])  # fmt: skip
    assert len(FakeTask.made) == made + 2 * 2


@pytest.mark.parametrize(
    ('typo', 'message'),
    [
        ('--sedes=[0]', "'sedes' is not accepted"),
        ('--encoders.random.lrr=1', "encoder random on benchmark Fake: .*'lrr' is not accepted"),
        ('--encoders.new.class_path=torchgeo_saco.tasks.SACoo', "did you mean 'SACo'"),
        ('--encoders.new.trainer.max_step=1', "encoder new .* did you mean 'max_steps'"),
        ('--encoders.new.data.init_args.sise=1', "encoder new .* did you mean 'size'"),
        ('--encoders.random.trainer.max_steps=1', "'weights'; .* of the task go under init_args"),
        ('--benchmarks.Fake.trainer.max_epoch=1', 'max_epoch'),
        ('--benchmarks.Fake.data.init_args.sise=1', 'sise'),
        ('--benchmarks.Fake.metric=[]', "unknown part 'metric'; .* did you mean 'metrics'"),
        ('--encoders.random.weights=lost.ckpt', 'checkpoint lost.ckpt cannot be read'),
        ('--config=lost.yaml', 'lost.yaml is neither a file nor a configuration'),
    ],
)
def test_typo_is_named_before_anything_runs(typo, message, tmp_path, capsys):
    config = write_config(tmp_path)
    with pytest.raises(SystemExit) as stop:
        cli.main(['evaluate', f'--config={config}', typo])
    assert stop.value.code == 2
    text = ' '.join(capsys.readouterr().err.split())
    assert text.startswith('torchgeo-saco evaluate: error: ')
    assert re.search(message, text)
    assert not (tmp_path / 'report').exists()


@pytest.mark.parametrize('word', ['--help', '-h'])
def test_help_is_readable(word, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(['evaluate', word])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert 'usage: torchgeo-saco evaluate --config FILE' in text
    assert 'encoders:' in text
    assert len(text.splitlines()) < 60
    assert max(map(len, text.splitlines())) <= 100


def test_help_of_all_commands_tells_of_this_one(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['torchgeo-saco', '--help'])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert 'fit ' in text
    assert re.search('evaluate +Evaluate encoders', text)


def test_the_command_line_is_read(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['torchgeo-saco', 'evaluate', '--help'])
    with pytest.raises(SystemExit):
        cli.main()
    assert 'usage: torchgeo-saco evaluate' in capsys.readouterr().out


def test_other_commands_get_no_more_help(capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['torchgeo-saco', 'fit', '--help'])
    with pytest.raises(SystemExit):
        cli.main()
    assert 'evaluate' not in capsys.readouterr().out
