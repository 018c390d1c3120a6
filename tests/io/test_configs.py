# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of finding and reading configuration files."""

from pathlib import Path

import pytest

from torchgeo_saco.io.configs import config_folder, find_config, resolve_configs

SACO = str(config_folder() / 'pretrain' / 'saco.yaml')


@pytest.mark.parametrize('name', ['pretrain/saco.yaml', 'configs/pretrain/saco.yaml', SACO])
def test_a_name_or_a_path_is_found_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Path(find_config(name)).samefile(SACO)


def test_a_file_of_the_user_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('saco.yaml').write_text('trainer: {max_steps: 3}')
    assert find_config('saco.yaml') == 'saco.yaml'


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(FileNotFoundError, match='neither a file nor a configuration') as error:
        find_config('saca.yaml')
    assert 'saco.yaml, ' in str(error.value) and 'pretrain/moco.yaml' in str(error.value)


def test_names_on_a_command_line_become_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = ['fit', '--config', 'pretrain/saco.yaml', '--config=pretrain/saco.yaml', '-c',
            'pretrain/saco.yaml', '--model.groups=null', 'pretrain/saco.yaml']  # fmt: skip
    assert resolve_configs(line) == [
        'fit', '--config', SACO, f'--config={SACO}', '-c', SACO, '--model.groups=null',
        'pretrain/saco.yaml',
    ]  # fmt: skip
    assert resolve_configs(['fit', '--config']) == ['fit', '--config']


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('model: [', r'own.yaml is no YAML \(.*\); correct it'),
        ('- SACo', 'own.yaml holds a list where settings by name are expected; write name: value'),
    ],
)
def test_a_file_without_settings_is_refused_before_the_command_runs(content, message, tmp_path):
    path = tmp_path / 'own.yaml'
    path.write_text(content)
    for line in (['--config', str(path)], [f'--config={path}']):
        with pytest.raises(ValueError, match=message):
            resolve_configs(line)
