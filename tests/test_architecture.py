# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the layout of the package: order of imports, loose modules, names of classes."""

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import torchgeo_saco

PACKAGE = Path(torchgeo_saco.__file__).parent

#: Rooms in the order of their imports; those of one line may import one another without a circle.
ORDER = (
    {'bands'},
    {'io', 'runtime'},
    {'transforms'},
    {'losses'},
    {'metrics'},
    {'plots'},
    {'models', 'samplers', 'synthesis'},
    {'archives'},
    {'datasets'},
    {'datamodules'},
    {'tasks'},
    {'embeddings'},
    {'callbacks', 'change', 'evaluation', 'locations'},
    {'cli'},
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}

#: Rooms of data, which never import models or tasks.
DATA = {'samplers', 'synthesis', 'archives', 'datasets', 'datamodules'}

MODULES = sorted(PACKAGE.rglob('*.py'))
NAMES = {'.'.join(path.relative_to(PACKAGE).with_suffix('').parts) for path in MODULES}


@cache
def imported(path: Path) -> set[str]:
    """Modules of the package that a module imports, such as ``io.raster``."""
    package = path.relative_to(PACKAGE).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*package[: len(package) - node.level + 1]]
            base += node.module.split('.') if node.module else []
            names = ['.'.join([*base, alias.name]) for alias in node.names]
            found |= {name if name in NAMES else '.'.join(base) for name in names}
        elif isinstance(node, ast.ImportFrom) and (node.module or '').startswith('torchgeo_saco.'):
            found.add(node.module.removeprefix('torchgeo_saco.'))
    return found - {''}


@pytest.mark.parametrize('path', MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_one_way(path):
    if path == PACKAGE / '__init__.py':
        return
    room = path.relative_to(PACKAGE).parts[0].removesuffix('.py')
    for module in imported(path):
        other = module.split('.')[0]
        assert other in LEVEL, f'{other} is in no line of ORDER'
        assert LEVEL[other] <= LEVEL[room], f'{room} must not import {module}'
        assert not (room in DATA and other in ('models', 'tasks')), f'data imports {module}'


def test_rooms_are_in_no_circle():
    edges = {(r, m.split('.')[0]) for p in MODULES if p.parent != PACKAGE
             for r in [p.relative_to(PACKAGE).parts[0]] for m in imported(p)}  # fmt: skip
    edges = {(one, other) for one, other in edges if one != other}
    while edges:
        leaves = {other for _, other in edges} - {one for one, _ in edges}
        assert leaves, f'circle among {sorted({one for one, _ in edges})}'
        edges = {(one, other) for one, other in edges if other not in leaves}


def test_few_modules_are_loose():
    loose = [path.stem for path in PACKAGE.glob('*.py') if path.stem != '__init__']
    assert len(loose) <= 6, loose


def test_a_class_name_is_used_once():
    names = Counter(
        node.name
        for path in MODULES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef)
    )
    assert not [name for name, count in names.items() if count > 1]
