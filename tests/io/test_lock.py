# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the lock of long commands."""

import subprocess
import sys

import pytest
from filelock import FileLock
from rich.console import Console

from torchgeo_saco.io.lock import exclusive, scene_progress

HOLDER = """
import sys, time
from pathlib import Path
from torchgeo_saco.io.lock import exclusive
with exclusive(Path(sys.argv[1]), 'taken'):
    print('held', flush=True)
    time.sleep(60)
"""


def test_another_run_is_refused_until_the_first_ends(tmp_path):
    lock = tmp_path / 'archive' / '.lock'
    with (
        exclusive(lock, 'unused'),
        pytest.raises(ValueError, match='another run writes here'),
        exclusive(lock, 'another run writes here'),
    ):
        pytest.fail('two runs hold the lock')
    with FileLock(lock, timeout=0):
        pass


def test_a_killed_run_leaves_no_lock(tmp_path):
    lock = tmp_path / '.lock'
    run = subprocess.Popen(  # noqa: S603
        [sys.executable, '-c', HOLDER, str(lock)], stdout=subprocess.PIPE
    )
    assert run.stdout.readline() == b'held\n'
    with pytest.raises(ValueError, match='taken'), exclusive(lock, 'taken'):
        pass
    run.kill()
    run.communicate()
    with exclusive(lock, 'taken'):
        pass


def test_a_bar_is_shown_on_a_terminal_alone(capsys):
    for terminal in (False, True):
        with scene_progress(Console(force_terminal=terminal)) as progress:
            progress.update(progress.add_task('scenes', total=3), advance=2)
        assert ('2/3' in capsys.readouterr().out) == terminal
