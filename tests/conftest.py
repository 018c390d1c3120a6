# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Fixtures shared by all tests."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import pytest
import torch
from matplotlib import pyplot

from .data.archives import write_archive, write_labels

matplotlib.use('Agg')
torch.set_num_threads(1)

#: Real satellite data lie beside the repository on some machines; tests of them skip elsewhere.
REAL_DATA = Path(
    os.environ.get('TORCHGEO_SACO_DATA', Path(__file__).parents[2] / 'shared' / 'data')
)


@pytest.fixture(scope='session')
def archive(tmp_path_factory) -> Path:
    """Archive of 6 locations x 4 dates in two years, 12 bands, uint8. Not to be changed."""
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


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    """No figure outlives its test."""
    yield
    pyplot.close('all')


@pytest.fixture
def bucket(monkeypatch):
    """Function that puts a folder into a bucket of an S3-compatible server, and returns its URL."""
    obstore = pytest.importorskip('obstore', reason='the extra "store" is not installed')
    server = pytest.importorskip('moto.server', reason='moto is not installed')
    logging.getLogger('werkzeug').setLevel('ERROR')
    served = server.ThreadedMotoServer('127.0.0.1', 0, verbose=False)
    served.start()
    host, port = served.get_host_and_port()
    for name, value in {
        'AWS_ACCESS_KEY_ID': 'key',
        'AWS_SECRET_ACCESS_KEY': 'secret',
        'AWS_REGION': 'us-east-1',
        'AWS_ENDPOINT_URL': f'http://{host}:{port}',
    }.items():
        monkeypatch.setenv(name, value)
    import boto3

    boto3.client('s3', 'us-east-1').create_bucket(Bucket='archives')
    objects = obstore.store.from_url('s3://archives', client_options={'allow_http': True})

    def put(root, name):
        for path in root.rglob('*'):
            if path.is_file():
                obstore.put(objects, f'{name}/{path.relative_to(root)}', path.read_bytes())
        return f's3://archives/{name}'

    yield put
    served.stop()
