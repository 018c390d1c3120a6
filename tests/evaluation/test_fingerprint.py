# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the hashes that runs are kept under."""

import shutil
from pathlib import Path

import pytest

import torchgeo_saco
from torchgeo_saco.evaluation.fingerprint import Checksums, fingerprint, source_fingerprint

SOURCE = '''"""Areas."""


def area(side):
    """Area of a square."""
    # The side in metres.
    return side * side
'''


@pytest.fixture
def package(tmp_path):
    """Writes a package of one module, or of other files."""

    def write(name='package', **modules):
        folder = tmp_path / name
        folder.mkdir()
        for path, text in (modules or {'area': SOURCE}).items():
            file = folder / f'{path.replace("__", "/")}.py'
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        return folder

    return write


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ('# The side in metres.', '# In metres.'),
        ('"""Area of a square."""', '"""Area."""'),
        ('"""Areas."""\n\n\n', ''),
        ('side * side', '(side  *  side)'),
    ],
)
def test_prose_and_layout_do_not_count(old, new, package):
    assert old in SOURCE
    edited = package('edited', area=SOURCE.replace(old, new))
    assert fingerprint(edited) == fingerprint(package())


@pytest.mark.parametrize(
    ('old', 'new'), [('side * side', 'side * 4'), ('def area', 'def size'), ('(side)', '(side=1)')]
)
def test_code_counts(old, new, package):
    edited = package('edited', area=SOURCE.replace(old, new))
    assert fingerprint(edited) != fingerprint(package())


def test_a_text_that_is_a_value_counts(package):
    first, second = (package(name, names=f'BANDS = {name!r}\n') for name in ('B04', 'B03'))
    assert fingerprint(first) != fingerprint(second)


def test_names_of_modules_count(package):
    first, second = package('a', area=SOURCE), package('b', shapes__area=SOURCE)
    assert fingerprint(first) != fingerprint(second)


def test_what_no_run_runs_does_not_count(package):
    more = package(
        'more', area=SOURCE, cli='x = 1\n', locations__command='y = 2\n', plots='RED = 1\n'
    )
    assert fingerprint(more) == fingerprint(package())


@pytest.mark.slow
def test_this_package_wherever_it_lies(tmp_path):
    installed = Path(torchgeo_saco.__file__).parent
    copy = tmp_path / 'elsewhere'
    shutil.copytree(installed, copy, ignore=shutil.ignore_patterns('__pycache__'))
    assert fingerprint(copy) == source_fingerprint()
    with open(copy / 'losses' / 'contrastive.py', 'a') as file:
        file.write('\nX = 1\n')
    assert fingerprint(copy) != source_fingerprint()


def test_lists_of_arguments_are_kept(tmp_path):
    (tmp_path / 'a.pt').write_bytes(b'a')
    value = {'groups': ['urban', 3], 'teachers': [str(tmp_path / 'a.pt')]}
    replaced = Checksums().in_place(value)
    assert replaced['groups'] == ['urban', 3]
    assert replaced['teachers'][0].startswith('sha256:ca978112ca1bbdca')
