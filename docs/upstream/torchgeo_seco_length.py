# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""TorchGeo: SeasonalContrastS2 has 20,000 locations in any folder, and takes 0 dates."""

import tempfile
from pathlib import Path

from torchgeo.datasets import SeasonalContrastS2

with tempfile.TemporaryDirectory() as root:
    (Path(root) / 'seasonal_contrast_100k').mkdir()
    length = len(SeasonalContrastS2(root, seasons=0))
    try:
        SeasonalContrastS2(root, seasons=5)
        refused = False
    except AssertionError:
        refused = True
print(f'an empty folder: {length} locations, of 0 dates each')
print(f'five dates, which the documentation allows, are refused: {refused}')
print('shown' if length else 'not shown')
