# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Environment of a measurement: versions, class of machine, commit."""

import os
import platform
import shutil
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from .. import __version__

_PACKAGES = ('torch', 'torchgeo', 'lightning', 'kornia', 'timm', 'scikit-learn')


@cache
def environment() -> dict[str, str]:
    """Versions, class of the machine, and the commit where the package is a checkout.

    Returns:
        Texts by name. Nothing in them tells one machine of a class from another.
    """
    machine = f'{platform.machine()}, {os.cpu_count()} CPU cores'
    if torch.cuda.is_available():
        machine += f', {torch.cuda.get_device_name()}'
    found = {'machine': machine, 'torchgeo_saco': __version__, 'python': platform.python_version()}
    found |= {package: version(package) for package in _PACKAGES}
    commit = _commit(Path(__file__).parents[2])
    return found if commit is None else found | {'commit': commit}


def _commit(folder: Path) -> str | None:
    """Commit of a checkout, or None; a package inside another project's folder has none.

    Results of benchmarks do not make it dirty, since several are written one after the other.
    """
    git = shutil.which('git')
    if git is None or not (folder / '.git').exists():
        return None

    def answer(*words: str) -> str:
        run = subprocess.run(  # noqa: S603
            [git, '-C', str(folder), *words], capture_output=True, text=True, check=False
        )
        return run.stdout.strip()

    commit = answer('describe', '--always')
    changes = answer('status', '--porcelain', '-uno', '--', '.', ':!benchmarks/results')
    return f'{commit}-dirty' if commit and changes else commit or None
