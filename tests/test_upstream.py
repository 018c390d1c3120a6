# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Defects of libraries, each shown by a script of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / 'docs'
SCRIPTS = sorted((DOCS / 'upstream').glob('*.py'))


@pytest.mark.slow
@pytest.mark.parametrize('script', SCRIPTS, ids=lambda script: script.stem)
def test_script_shows_the_defect(script):
    answer = subprocess.run(  # noqa: S603
        [sys.executable, '-W', 'ignore', script],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert not answer.returncode, answer.stderr
    verdict = answer.stdout.splitlines()[-1]
    if verdict != 'shown':
        assert verdict == 'not shown'
        pytest.skip(f'{script.stem} no longer shows: what goes around it may be removed')


def test_every_script_has_its_report():
    text = (DOCS / 'upstream.md').read_text()
    assert SCRIPTS
    assert [script.name for script in SCRIPTS if f'upstream/{script.name}' not in text] == []
