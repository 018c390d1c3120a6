# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: libraries, folders and machines that are not as expected."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from .fault import Fault

_ROOT = Path(__file__).parents[2]

#: What is used of the package in a process of its own: a refusal, and a result.
_USE = """
import sys
sys.path.insert(0, {root!r})
import torch
from torchgeo_saco.tasks import MoCo
from torchgeo_saco.transforms import ContrastiveViews, local_binary_pattern
for wrong in (dict(size=0), dict(zoom=float('nan')), dict(crop=2.0)):
    try:
        ContrastiveViews(**wrong)
    except ValueError as error:
        assert 'must be' in str(error)
    else:
        raise SystemExit('silent')
assert local_binary_pattern(torch.ones(1, 9, 9)).shape == (1, 9, 9)
print('fine')
"""

#: Whether import leaves the state of the process alone.
_STATE = """
import os, random, sys, warnings
import numpy, torch, torchgeo.datamodules, torchgeo.tasks, lightly
def state():
    return (random.getstate(), str(numpy.random.get_state()), torch.get_rng_state().tolist(),
            dict(os.environ), list(warnings.filters), os.getcwd(), sys.excepthook,
            torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype())
before = state()
sys.path.insert(0, {root!r})
import torchgeo_saco.tasks, torchgeo_saco.datamodules, torchgeo_saco.callbacks
for old, new in zip(before, state()):
    assert old == new, (old, new)
print('fine')
"""

#: Whether anything is asked of the network.
_NETWORK = """
import socket, sys
def refuse(*args, **kwargs):
    raise SystemExit('asks the network')
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""

_ABSENT = """
import sys
for name in ('skimage', 'tensorboard', 'pystac_client', 'odc', 'obstore', 'folium', 'faiss'):
    sys.modules[name] = None
"""


_OTHER_TORCHGEO = """
import sys
from importlib import metadata
sys.path.insert(0, {root!r})
version = metadata.version
metadata.version = lambda name: '0.11.0' if name == 'torchgeo' else version(name)
try:
    import torchgeo_saco.tasks
except ImportError as error:
    assert 'torchgeo 0.11.0 is installed' in str(error), error
    assert "pip install 'torchgeo" in str(error), error
    print('fine')
"""


def _child(
    program: str, flags: tuple[str, ...], variables: dict[str, str | None], folder: Path
) -> None:
    """Run a program in a process of its own, which must end in 'fine'."""
    environment = {k: v for k, v in (os.environ | variables).items() if v is not None}
    answer = subprocess.run(  # noqa: S603
        [sys.executable, *flags, '-c', program.replace('{root!r}', repr(str(_ROOT)))],
        check=False, capture_output=True, text=True, env=environment, cwd=folder, timeout=110,
    )  # fmt: skip
    assert answer.stdout.endswith('fine\n'), answer.stderr[-2000:]


def _without_home(folder: Path) -> None:
    closed = folder / 'home'
    closed.mkdir()
    closed.chmod(0o555)
    _child(_USE, (), {'HOME': str(closed)}, folder)


#: Flags of Python, and variables, under which the same is refused and the same comes out.
_RUNS: dict[str, tuple[str, tuple[str, ...], dict[str, str | None]]] = {
    'U6 python -O': (_USE, ('-O',), {}),
    'U6 python -I': (_USE, ('-I',), {}),
    'U8 without HOME': (_USE, (), {'HOME': None, 'XDG_CACHE_HOME': None}),
    'U8 LANG=C': (_USE, ('-X', 'utf8=0'), {'LANG': 'C', 'LC_ALL': 'C'}),
    'U8 HOME that does not exist': (_USE, (), {'HOME': '/dev/null/home'}),
    'U7 no network': (_NETWORK + _USE, (), {}),
    'U4 without the optional packages': (_ABSENT + _USE, (), {}),
    'U3 another version of TorchGeo': (_OTHER_TORCHGEO, (), {}),
    'P7 global state': (_STATE, (), {}),
}

FAULTS: list[Fault] = [
    *[
        Fault(name, partial(_child, program, flags, variables), error=None)
        for name, (program, flags, variables) in _RUNS.items()
    ],
    Fault('U8 HOME that may not be written to', _without_home, error=None),
]
