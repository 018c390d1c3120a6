# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of archives known by name."""

import hashlib
import zipfile
from functools import partial
from pathlib import Path

import pytest
import yaml
from torchgeo.datasets import SeasonalContrastS2

from torchgeo_saco.archives import registry as archives_module
from torchgeo_saco.archives.registry import ARCHIVES, archive_folder, obtain_archive
from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.synthesis import benchmarks as synthesis_module
from torchgeo_saco.synthesis.benchmarks.sen12ms import SEN12MSTree

from ..data.archives import write_archive

CONFIGS = Path(__file__).parents[2] / 'configs'


def test_folder_of_the_locations(tmp_path):
    assert archive_folder('folder', tmp_path) == str(tmp_path)
    assert archive_folder('sample', tmp_path) == str(tmp_path / 'seasonal')
    assert archive_folder('sample', tmp_path / 'seasonal') == str(tmp_path / 'seasonal')
    assert archive_folder('seco_1m', 'data') == 'data/seasonal_contrast_1m'


def test_unknown_archive():
    with pytest.raises(ValueError, match="unknown archive 'moon'; choose one of folder, sample"):
        archive_folder('moon', 'data')


@pytest.mark.parametrize('archive', ['folder', 'caco'])
def test_archive_that_cannot_be_obtained(tmp_path, archive):
    with pytest.raises(ValueError, match=f"archive '{archive}' cannot be downloaded; set download"):
        obtain_archive(archive, tmp_path)


def test_seco_is_downloaded_verified_and_unpacked(tmp_path, monkeypatch):
    source = tmp_path / 'source'
    write_archive(source / 'seasonal_contrast_100k', locations=2, bands=['B4'], size=6)
    packed = source / 'seco_100k.zip'
    with zipfile.ZipFile(packed, 'w') as file:
        for path in (source / 'seasonal_contrast_100k').rglob('*.tif'):
            file.write(path, path.relative_to(source))
    monkeypatch.setitem(SeasonalContrastS2.metadata['100k'], 'url', packed.as_uri())
    digest = hashlib.md5(packed.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setitem(SeasonalContrastS2.metadata['100k'], 'md5', digest)
    root = tmp_path / 'data' / 'seco'
    obtain_archive('seco_100k', root)
    folder = archive_folder('seco_100k', root)
    assert len(list((root / 'seasonal_contrast_100k').iterdir())) == 2
    assert folder == str(root / 'seasonal_contrast_100k')


def test_sample_is_generated(tmp_path, monkeypatch):
    calls = []
    known = ARCHIVES['sample']._replace(obtain=calls.append)
    monkeypatch.setitem(archives_module.ARCHIVES, 'sample', known)
    obtain_archive('sample', tmp_path)
    assert calls == [tmp_path]


@pytest.mark.slow
def test_sample_of_sen12ms_is_generated(tmp_path, monkeypatch):
    root = tmp_path / 'sen12ms'
    monkeypatch.setitem(
        synthesis_module._TREES, 'sen12ms', partial(SEN12MSTree, size=20, patches_per_season=3)
    )
    obtain_archive('sen12ms_sample', root)
    values = yaml.safe_load((CONFIGS / 'data/sen12ms_sample.yaml').read_text())['data']
    arguments = values['init_args'] | {'root': root, 'batch_size': 4, 'dates': 1}
    for sensor, channels in (('sentinel1', 2), ('sentinel2_l1c', 13)):
        data = SeasonalDataModule(**arguments | {'sensor': sensor})
        data.prepare_data()
        data.setup('fit')
        assert (data.folder, data.sensor, data.locations) == (str(root), sensor, 12)
        assert len(data.classes) > 1
        assert data.train_dataset[0]['image'].shape == (1, channels, 20, 20)
