# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of what is noted of machine and versions."""

import os
import shutil
import subprocess

import pytest
import torch

from torchgeo_saco import __version__
from torchgeo_saco.evaluation.environment import _commit, environment


@pytest.fixture(autouse=True)
def forgotten():
    environment.cache_clear()
    yield
    environment.cache_clear()


def test_versions_and_class_of_machine():
    found = environment()
    assert found['torchgeo_saco'] == __version__
    assert f'{os.cpu_count()} CPU cores' in found['machine']
    # No path of this machine.
    assert not any(os.sep in text for text in found.values())


def test_the_graphics_card_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda: 'Card 3000')
    assert environment()['machine'].endswith(', Card 3000')


def test_a_checkout_has_a_commit_and_a_folder_has_none(tmp_path):
    assert _commit(tmp_path) is None
    git = shutil.which('git')
    if git is None:
        pytest.skip('no git')
    (tmp_path / 'file').write_text('x')
    for words in (
        ['init', '-q'],
        ['add', '.'],
        ['-c', 'user.name=n', '-c', 'user.email=e', 'commit', '-q', '-m', 'm'],
    ):
        subprocess.run([git, '-C', str(tmp_path), *words], check=True)  # noqa: S603
    commit = _commit(tmp_path)
    assert len(commit) >= 7
    (tmp_path / 'file').write_text('y')
    assert _commit(tmp_path) == f'{commit}-dirty'


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setattr(shutil, 'which', lambda name: None)
    assert 'commit' not in environment()
