# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""An object store on this machine."""

import logging

import pytest


@pytest.fixture
def bucket(monkeypatch):
    """URL of an empty bucket of an S3-compatible server, and a function that puts a folder there."""
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
