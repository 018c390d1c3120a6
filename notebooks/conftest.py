# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""How notebooks run as tests."""

import os
from pathlib import Path

import pytest

# Kernels take it over. Several that run at once, each with a thread for every processor, would wait
# for one another.
os.environ.setdefault('OMP_NUM_THREADS', '1')


def pytest_collection_modifyitems(items):
    """Leave notebooks to runs of all tests."""
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here and item.path.suffix == '.ipynb':
            item.add_marker(pytest.mark.slow)
