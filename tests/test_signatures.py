# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Contract of the arguments of all tasks and datamodules: documented once, typos refused."""

import inspect
import re
import sys

import pytest
from torchgeo.main import main as torchgeo

from torchgeo_saco import datamodules, tasks

BASES = (
    tasks.ContrastiveTask,
    tasks.DownstreamTask,
    tasks.DualTask,
    datamodules.BenchmarkDataModule,
)
CLASSES = [
    getattr(module, name)
    for module in (tasks, datamodules)
    for name in module.__all__
    if getattr(module, name) not in BASES
]


def shared_arguments(part: type) -> set[str]:
    """Arguments of a class and of its base."""
    names: set[str] = set()
    for owner in part.__mro__:
        if owner.__module__.startswith('torchgeo_saco') and '__init__' in vars(owner):
            names |= set(inspect.signature(owner.__init__).parameters)
    return names - {'self', 'kwargs'}


@pytest.mark.parametrize('part', CLASSES, ids=lambda part: part.__name__)
def test_help_lists_and_explains_every_argument(part, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['torchgeo'])
    group = 'data' if part.__module__.startswith(datamodules.__name__) else 'model'
    with pytest.raises(SystemExit):
        torchgeo(['fit', f'--{group}.help={part.__module__}.{part.__name__}'])
    text = capsys.readouterr().out
    for argument in shared_arguments(part):
        assert re.search(rf'--{group}\.{argument} [^(]*[A-Z][a-z]+[^(]* [^(]*', text), argument
    assert 'kwargs' not in text


@pytest.mark.parametrize('part', CLASSES, ids=lambda part: part.__name__)
def test_a_typo_is_refused_in_python(part):
    with pytest.raises(TypeError, match='batch_sise'):
        part(batch_sise=4)
