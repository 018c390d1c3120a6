# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datamodules of TorchGeo on tiny trees, and arguments of its tasks."""

from pathlib import Path
from typing import Any

from torchgeo.datamodules import SeasonalContrastS2DataModule, SSL4EOS12DataModule
from torchgeo.datasets import SSL4EOS12, SeasonalContrastS2

from .archives import DATES, write_archive
from .layouts import SSL4EO_BANDS, write_ssl4eo

SECO_BANDS = ['B2', 'B3', 'B4', 'B8']

#: Number of the locations in a tree, in place of the published number.
LOCATIONS = 4


def seco(root: Path, monkeypatch: Any, seasons: int, bands=SECO_BANDS) -> Any:
    """TorchGeo's SeasonalContrastS2 of a few locations."""
    write_archive(root / 'seasonal_contrast_100k', LOCATIONS, DATES, SECO_BANDS, 16)
    monkeypatch.setattr(SeasonalContrastS2, '__len__', lambda self: LOCATIONS)
    return SeasonalContrastS2DataModule(
        batch_size=LOCATIONS, root=root, seasons=seasons, bands=list(bands)
    )


def ssl4eo(root: Path, monkeypatch: Any, split: str, seasons: int) -> Any:
    """TorchGeo's SSL4EO-S12 of a few locations."""
    write_ssl4eo(root, (split,), LOCATIONS)
    for number in range(LOCATIONS):
        (root / split / f'{200 + number:07d}').rename(root / split / f'{number:07d}')
        # Its datasets take every entry for a scene.
    monkeypatch.setattr(SSL4EOS12, '__len__', lambda self: LOCATIONS)
    return SSL4EOS12DataModule(batch_size=LOCATIONS, root=root, split=split, seasons=seasons)


def ssl4eo_bands(split: str) -> list[str]:
    """Bands of a product, in the order of TorchGeo."""
    bands = SSL4EO_BANDS[split]
    return list(bands) if split == 's1' else list(SSL4EOS12.metadata[split]['bands'])
