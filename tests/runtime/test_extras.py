# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of packages that an extra installs."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from torchgeo_saco.runtime.extras import import_extra

ROOT = Path(__file__).parents[2]


def test_the_module_is_given():
    assert import_extra('json.decoder', 'none', 'nothing') is sys.modules['json.decoder']


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, 'folium', None)
    with pytest.raises(ImportError) as error:
        import_extra('folium', 'map', 'a page')
    assert str(error.value) == (
        "a page needs the package folium; install it by: pip install 'torchgeo_saco[map]'"
    )


def test_every_extra_that_is_named_exists():
    known = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['optional-dependencies']
    source = ''.join(path.read_text() for path in (ROOT / 'torchgeo_saco').rglob('*.py'))
    named = re.findall(r"import_extra\(\s*[^,()]+,\s*'([^']*)'", source)
    # Every call but the definition.
    assert len(named) == source.count('import_extra(') - 1
    assert set(named) == {'export', 'hub', 'map', 'search', 'stac', 'store'} <= known.keys()
