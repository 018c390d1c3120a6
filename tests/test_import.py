# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import torchgeo.main
before = set(sys.modules)
import torchgeo_saco.cli, torchgeo_saco.callbacks, torchgeo_saco.datamodules, torchgeo_saco.tasks
print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))
"""


@pytest.mark.slow
def test_importing_the_command_line_loads_no_slow_library_that_torchgeo_does_not():
    answer = subprocess.run(  # noqa: S603
        [sys.executable, '-W', 'ignore', '-c', PROGRAM], capture_output=True, text=True, check=True
    )
    added = answer.stdout.split()
    assert 'torchgeo_saco' in added
    slow = {'sklearn', 'pytorch_lightning', 'odc', 'pystac_client', 'zarr', 'obstore', 'boto3'}
    assert not slow & set(added)


def test_help_imports_neither_torch_nor_lightning():
    program = (
        'import sys\nfrom torchgeo_saco.cli import usage\nassert "fit" in usage()\n'
        'print(*{name.split(".")[0] for name in sys.modules})'
    )
    answer = subprocess.run(  # noqa: S603
        [sys.executable, '-c', program], capture_output=True, text=True, check=True
    )
    assert not {'torch', 'lightning', 'torchgeo', 'matplotlib'} & set(answer.stdout.split())
