# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Fixtures shared by all tests."""

import os
from pathlib import Path

import matplotlib
import pytest
import torch

from .archives import write_archive, write_labels

matplotlib.use('Agg')
torch.set_num_threads(1)

#: Real satellite data lie beside the repository on some machines; tests of them skip elsewhere.
REAL_DATA = Path(
    os.environ.get('TORCHGEO_SACO_DATA', Path(__file__).parents[2] / 'shared' / 'data')
)


@pytest.fixture(scope='session')
def archive(tmp_path_factory) -> Path:
    """Archive of 6 places x 4 dates in two years, 12 bands, uint8. Not to be changed."""
    root = write_archive(tmp_path_factory.mktemp('archive'))
    write_labels(root, ['field', 'town', 'field', 'town', 'field', 'town'])
    return root


@pytest.fixture
def real_data() -> Path:
    """Folder of real satellite data."""
    if not REAL_DATA.is_dir():
        pytest.skip(f'no real data in {REAL_DATA}')
    return REAL_DATA


@pytest.fixture(autouse=True)
def seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One seed for all draws; a run of Lightning may set another, which must not outlive it."""
    monkeypatch.setenv('PL_GLOBAL_SEED', '0')
    torch.manual_seed(0)
