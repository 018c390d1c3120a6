# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import os
import platform
import subprocess
import sys

import pytest

from torchgeo_saco.runtime import memory as allocation

PROGRAM = """
import resource, sys
from torchgeo_saco.runtime.memory import keep_freed_memory
if sys.argv[1] == 'keep':
    print(keep_freed_memory())
for _ in range(3):
    bytearray(b'x') * 2**26
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    bytearray(b'x') * 2**26
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*arguments, **environment):
    """Lines that the program prints; the last one is how many pages the system had to clear."""
    clean = {name: value for name, value in os.environ.items() if name not in allocation._CHOICES}
    answer = subprocess.run(  # noqa: S603
        [sys.executable, '-c', PROGRAM, *arguments],
        capture_output=True, text=True, check=True, env=clean | environment,
    )  # fmt: skip
    return answer.stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='the C library is not glibc')
def test_pages_are_cleared_once():
    (without,) = faults('leave')
    kept, with_it = faults('keep')
    assert kept == 'True'
    # Pages may be large ones, of which there are few.
    assert int(without) >= 5
    assert int(with_it) < int(without) / 5


@pytest.mark.parametrize(
    'choice', [{'MALLOC_TRIM_THRESHOLD_': '1'}, {'GLIBC_TUNABLES': 'glibc.malloc.mmap_max=1'}]
)
def test_what_users_chose_stands(choice):
    kept, _ = faults('keep', **choice)
    assert kept == 'False'


def test_other_libraries_are_left_alone(monkeypatch):
    for name in (*allocation._CHOICES, 'GLIBC_TUNABLES'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(platform, 'libc_ver', lambda: ('', ''))
    assert not allocation.keep_freed_memory()
