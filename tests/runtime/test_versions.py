# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of versions of packages."""

from importlib import metadata

import pytest

from torchgeo_saco.runtime.versions import require_version


@pytest.fixture
def needed(monkeypatch):
    """What this package needs, as its metadata say it."""
    lines = ['torchgeo<0.11,>=0.10', 'torch>=2.6', 'torchgeo-bench<0.5,>=0.4; extra == "bench"']
    monkeypatch.setattr(metadata, 'requires', lambda name: lines)


@pytest.mark.parametrize('found', ['0.10', '0.10.1', '0.10.2.dev0+gabc'])
def test_versions_within_the_bound(found, needed, monkeypatch):
    monkeypatch.setattr(metadata, 'version', lambda name: found)
    require_version('torchgeo')


@pytest.mark.parametrize('found', ['0.9.1', '0.11.0', '1.0'])
def test_versions_outside_of_the_bound(found, needed, monkeypatch):
    monkeypatch.setattr(metadata, 'version', lambda name: found)
    with pytest.raises(ImportError) as error:
        require_version('torchgeo')
    assert str(error.value) == (
        f'torchgeo {found} is installed, and torchgeo_saco needs torchgeo<0.11,>=0.10; run: '
        "pip install 'torchgeo<0.11,>=0.10'"
    )


def test_this_installation():
    require_version('torchgeo')


def test_what_is_not_installed_is_left_to_its_import(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, 'requires', absent)
    require_version('torchgeo')
