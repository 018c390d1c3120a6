# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Fixtures of the tests of fetching."""

import pytest

from ...data.stac_server import Server


@pytest.fixture
def catalogue():
    """An empty catalogue on this machine."""
    pytest.importorskip('pystac_client', reason='the extra "stac" is not installed')
    pytest.importorskip('odc.stac', reason='the extra "stac" is not installed')
    with Server() as served:
        yield served
