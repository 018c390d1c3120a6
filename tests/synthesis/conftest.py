# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

from pathlib import Path

import pytest

from torchgeo_saco.synthesis import generate_sample_archive

# Seed 24 makes winter crops that change, a pasture and a river.
SMALL = {'locations': 3, 'dates_per_year': 2, 'size': 48, 'seed': 24}


@pytest.fixture(scope='session')
def small_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('synthesis') / 'archive'
    return generate_sample_archive(root, **SMALL, workers=1, progress=False)
