# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of stores at a URL."""

import io
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from torch.utils.data import DataLoader

from torchgeo_saco.archives.packing import pack_archive, verify_store
from torchgeo_saco.archives.store import StoreError, files
from torchgeo_saco.archives.store.files import RemoteFiles, store_files
from torchgeo_saco.archives.store.shards import checksum
from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.datasets import SeasonalArchive
from torchgeo_saco.io.raster import BandFileError


@pytest.fixture(scope='module')
def store(archive, tmp_path_factory):
    output = tmp_path_factory.mktemp('packed') / 'archive.zarr'
    pack_archive(archive, output, shard_bytes=80_000, progress=False)
    return output


@pytest.mark.slow
def test_store_at_a_url_gives_the_same(bucket, store):
    url = bucket(store, 'some/archive.zarr')
    there, here = (SeasonalArchive(root, dates=3) for root in (url, store))
    assert (there.worker_context, here.worker_context) == ('spawn', None)
    for item in range(len(here)):
        for name, value in here[item].items():
            assert torch.equal(there[item][name], value)
    assert there.locations[3].scenes == here.locations[3].scenes
    assert there.footprint(there.locations[3]) == here.footprint(here.locations[3])
    assert verify_store(url) == 24
    data = SeasonalDataModule(root=url, batch_size=2, bands=['B8', 'B4'])
    data.setup('fit')
    assert next(iter(data.train_dataloader()))['image'].shape == (2, 2, 2, 36, 36)


@pytest.mark.slow
def test_workers_are_spawned(bucket, store):
    url = bucket(store, 'archive.zarr')
    data = SeasonalArchive(url, dates=2)
    loader = DataLoader(
        data, 24, num_workers=1, multiprocessing_context=data.worker_context, timeout=60
    )
    assert torch.equal(next(iter(loader))['image'][3], data[3]['image'])


@pytest.mark.slow
def test_forked_worker_is_told_what_to_do(bucket, store, monkeypatch):
    data = SeasonalArchive(bucket(store, 'archive.zarr'), dates=2)
    # What the child of a fork sees: the runtime began in another process.
    monkeypatch.setitem(files._started, 'process', os.getpid() + 1)
    with pytest.raises(RuntimeError, match=r"forked .* multiprocessing_context='spawn'"):
        data[0]


def test_damage_at_a_url(bucket, store, tmp_path):
    shards = sorted(store.glob('images/c/*/0/0/0'))
    whole = shards[0].read_bytes()
    url = bucket(store, 'archive.zarr')
    (tmp_path / 'images/c/0/0/0').mkdir(parents=True)
    (tmp_path / 'images/c/0/0/0/0').write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    bucket(tmp_path, 'archive.zarr')
    with pytest.raises(BandFileError, match=rf'{url} is damaged at 000000/20180410T.*: the check'):
        SeasonalArchive(url)[0]
    (tmp_path / 'images/c/0/0/0/0').write_bytes(whole[:-30])
    bucket(tmp_path, 'archive.zarr')
    with pytest.raises(StoreError, match=r'images/c/0/0/0/0 cannot be read \(it is too short'):
        SeasonalArchive(url)[0]


def test_url_without_a_store(bucket):
    for url in ('s3://archives/none', 's3://nobody/none'):
        with pytest.raises(FileNotFoundError, match=f'{url} holds no store; pack one by'):
            SeasonalArchive(url)
    with pytest.raises(ValueError, match=r'foo://x is no URL of an object store \(.*foo'):
        SeasonalArchive('foo://x')


def test_file_of_ranges(bucket, store):
    remote = RemoteFiles(bucket(store, 'archive.zarr'))
    content = (store / 'locations.parquet').read_bytes()
    with remote.open('locations.parquet') as file:
        assert file.read(5) == content[:5]
        assert file.seek(-7, 2) == len(content) - 7
        assert file.read() == content[-7:]
        assert file.read(3) == b''
        file.seek(3)
        file.seek(2, 1)
        assert file.read(4) == content[5:9]
    with pytest.raises(FileNotFoundError):
        remote.size('none')


def test_missing_package_is_named(monkeypatch):
    for name in ('obstore', 'google_crc32c'):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r'archive\.zarr needs the package obstore; install it'):
        store_files('s3://bucket/archive.zarr')
    with pytest.raises(ImportError, match=r'a store needs the package google_crc32c; install it'):
        checksum(b'')


def test_an_object_that_ends_before_its_part_is_told():
    buffers = [memoryview(bytearray(2)), memoryview(bytearray(3))]
    files._scatter_bytes('shard', memoryview(b'abcde'), buffers, 5)
    assert [bytes(buffer) for buffer in buffers] == [b'ab', b'cde']
    with pytest.raises(OSError, match='shard ends before its part'):
        files._scatter_bytes('shard', memoryview(b'abcd'), buffers, 5)


@pytest.fixture
def web(monkeypatch):
    """Function that serves a folder by plain HTTP, or refuses to, and returns its URL."""
    pytest.importorskip('obstore', reason='the extra "store" is not installed')
    monkeypatch.delenv('AWS_ENDPOINT_URL', raising=False)
    servers = []

    def serve(root, status=None):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            disable_nagle_algorithm = True

            def log_message(self, *args):
                pass

            def do_GET(self):
                path = root / self.path.lstrip('/')
                content = path.read_bytes() if path.is_file() else b''
                code = status or (200 if path.is_file() else 404)
                self.send_response(code if code != 200 or 'Range' not in self.headers else 206)
                length = len(content)
                if 'Range' in self.headers:
                    first, _, last = self.headers['Range'].removeprefix('bytes=').partition('-')
                    self.send_header('Content-Range', f'bytes {first}-{last}/{length}')
                    content = content[int(first) : int(last) + 1]
                self.send_header('Content-Length', str(len(content)))
                self.send_header('Last-Modified', 'Sun, 01 Jan 2023 00:00:00 GMT')
                self.end_headers()
                if self.command == 'GET':
                    self.wfile.write(content)

            do_HEAD = do_GET

        servers.append(ThreadingHTTPServer(('127.0.0.1', 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return f'http://127.0.0.1:{servers[-1].server_port}'

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_store_of_a_web_server_gives_the_same(web, store):
    there, here = (SeasonalArchive(root, dates=2) for root in (web(store), store))
    for name, value in here[3].items():
        assert torch.equal(there[3][name], value)
    assert there.locations[3].scenes == here.locations[3].scenes


def test_object_as_a_buffered_file(web, store):
    with io.BufferedReader(RemoteFiles(web(store)).open('locations.parquet'), 16) as file:
        assert file.readable() and file.seekable()
        content = (store / 'locations.parquet').read_bytes()
        assert file.read(40) == content[:40]
        assert file.seek(-9, io.SEEK_END) == len(content) - 9
        assert file.peek()[:4] == content[-9:-5]


def test_a_store_that_may_not_be_read_says_where_to_look(web, store):
    url = web(store, 403)
    with pytest.raises(
        OSError, match=rf'{url}/zarr\.json cannot be read .*; look at the URL, .*AWS_ACCESS_KEY_ID'
    ):
        SeasonalArchive(url)
