# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of downloads and of extraction; hostile archives are among the faults."""

import multiprocessing
import os
import resource
import signal
import tarfile
import zipfile
from collections import namedtuple
from functools import partial

import pytest

from torchgeo_saco.io import downloads
from torchgeo_saco.io.downloads import DownloadError, Source, download, extract_archive, obtain

from ..data.scenes import digest

CONTENT = {f'tree/{i % 3}/{i}.txt': str(i).encode() * (i + 1) for i in range(30)}


def write_zip(path):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
        file.writestr('tree/', b'')
        for name, content in CONTENT.items():
            file.writestr(name, content)
    return path


def write_tar(path, source, mode='w:gz'):
    with tarfile.open(path, mode) as file:
        file.add(source / 'tree', 'tree')
    return path


def assert_whole(root):
    found = {
        str(path.relative_to(root)): path.read_bytes()
        for path in (root / 'tree').rglob('*')
        if path.is_file()
    }
    assert found == CONTENT
    assert not [path for path in root.iterdir() if 'partial' in path.name or 'extr' in path.name]


@pytest.fixture
def origin(tmp_path):
    (tmp_path / 'origin').mkdir()
    return write_zip(tmp_path / 'origin' / 'data.zip')


def here(path, kind='sha256'):
    return Source(path.as_uri(), path.name, digest(path, kind))


@pytest.mark.parametrize('kind', ['md5', 'sha256'])
def test_an_archive_is_obtained_once(origin, tmp_path, kind):
    source, root = here(origin, kind), tmp_path / 'some' / 'root'
    obtain(root, [source], ['tree/0'])
    assert_whole(root)
    origin.unlink()
    obtain(root, [source], ['tree/0'])
    # What is there is extracted without a look at the network.
    (root / 'tree').rename(root / 'moved')
    obtain(root, [source], ['tree/0'])
    assert_whole(root)


@pytest.mark.parametrize('mode', ['w', 'w:gz', 'w:bz2', 'w:xz'])
@pytest.mark.parametrize('parts', [1, 3])
def test_tar_archives_whole_and_cut(origin, tmp_path, mode, parts):
    extract_archive([origin], tmp_path / 'source')
    whole = write_tar(tmp_path / 'whole', tmp_path / 'source', mode).read_bytes()
    length = -(-len(whole) // parts)
    names = [tmp_path / f'part{number}' for number in range(parts)]
    for number, path in enumerate(names):
        path.write_bytes(whole[number * length : (number + 1) * length])
    extract_archive(names, tmp_path / 'root')
    assert_whole(tmp_path / 'root')


def test_a_damaged_file_is_kept_and_fetched_again(origin, tmp_path):
    root, source = tmp_path / 'root', here(origin)
    for number in range(2):
        root.mkdir(exist_ok=True)
        (root / 'data.zip').write_bytes(b'no archive')
        obtain(root, [source], [f'tree/{number}'])
    assert_whole(root)
    bad = sorted(path.name for path in root.iterdir() if 'bad' in path.name)
    assert bad == ['data.zip.bad']
    with pytest.raises(DownloadError, match=r'data\.zip .* damaged: .* not 00.*data\.zip\.bad3'):
        download(source._replace(digest=64 * '0'), root / 'other' / '..')


def test_a_folder_that_was_extracted_in_part_is_kept_aside(origin, tmp_path):
    (tmp_path / 'root' / 'tree').mkdir(parents=True)
    (tmp_path / 'root' / 'tree' / 'mine.txt').write_text('precious')
    obtain(tmp_path / 'root', [here(origin)], ['tree/0'])
    assert_whole(tmp_path / 'root')
    assert (tmp_path / 'root' / 'tree.bad' / 'mine.txt').read_text() == 'precious'


def in_child(work, limit=None):
    """Run a function in a process, and return its exit status."""
    child = os.fork()
    if not child:
        code = 1
        try:
            if limit is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize('step', range(0, 34, 3))
def test_a_run_that_was_killed_leaves_nothing_that_looks_whole(origin, tmp_path, step):
    root, source = tmp_path / 'root', here(origin)
    steps = iter(range(step))

    def die(function, *args):
        if next(steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args)

    def work():
        write = downloads._Extraction._write
        downloads._Extraction._write = lambda *args: die(write, *args)
        os.replace = partial(die, os.replace)
        obtain(root, [source], ['tree/0'])

    ended = in_child(work) == -signal.SIGKILL
    assert ended == (step < 33)
    assert (root / 'tree').exists() == (not ended)
    obtain(root, [source], ['tree/0'])
    assert_whole(root)


def test_a_disk_that_fills(tmp_path):
    path = tmp_path / 'data.zip'
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('tree/large', os.urandom(50_000))

    def work():
        with pytest.raises(DownloadError, match=rf'{path} cannot be extracted to .*after 50000 by'):
            extract_archive([path], tmp_path / 'root')
        with pytest.raises(DownloadError, match=r'cannot be downloaded .*, 50\d\d\d bytes \('):
            download(here(path), tmp_path / 'root')

    assert in_child(work, 20_000) == 0
    assert [path.name for path in (tmp_path / 'root').iterdir()] == ['.data.zip.lock']


def test_a_disk_that_is_too_small(origin, tmp_path, monkeypatch):
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(downloads.shutil, 'disk_usage', lambda path: usage(9, 9, 100))
    with pytest.raises(
        DownloadError, match=r'data\.zip needs \d+ bytes, and .* has 100 free; make'
    ):
        obtain(tmp_path / 'root', [here(origin)], ['tree'])
    with pytest.raises(DownloadError, match=r'data\.zip needs 875 bytes, and .* has 100 free'):
        extract_archive([origin], tmp_path / 'root')


def test_too_many_entries(origin, tmp_path):
    with pytest.raises(DownloadError, match='has more than 30 entries'):
        extract_archive([origin], tmp_path / 'root', max_entries=30)
    extract_archive([origin], tmp_path / 'root', max_entries=31)


def work_at_once(root, source, start, results):
    start.wait()
    obtain(root, [source], ['tree/0'])
    results.put(sorted(p.read_bytes() for p in (root / 'tree').rglob('*.txt')))


@pytest.mark.slow
def test_processes_that_want_the_same(origin, tmp_path):
    context = multiprocessing.get_context('fork')
    for trial in range(20):
        start, results = context.Barrier(4), context.Queue()
        arguments = (tmp_path / f'root{trial}', here(origin), start, results)
        running = [context.Process(target=work_at_once, args=arguments) for _ in range(4)]
        for process in running:
            process.start()
        found = [results.get(timeout=60) for _ in running]
        for process in running:
            process.join()
        assert [process.exitcode for process in running] == [0] * 4
        assert found == [sorted(CONTENT.values())] * 4
        assert_whole(tmp_path / f'root{trial}')


def test_what_cannot_be_fetched(tmp_path):
    for url, message in (
        ((tmp_path / 'none').as_uri(), 'cannot be downloaded from file:.*; look at the network'),
        ('ftp://host/file', 'is no address'),
    ):
        with pytest.raises(DownloadError, match=message):
            download(Source(url, 'file'), tmp_path)
    (tmp_path / 'file').touch()
    with pytest.raises(DownloadError, match=r'below cannot be written to \(.*; correct root'):
        obtain(tmp_path / 'file' / 'below', [Source('', 'x')], ['y'])


def test_an_archive_of_something_else(origin, tmp_path):
    with pytest.raises(DownloadError, match=r'data\.zip does not hold other; remove it'):
        obtain(tmp_path / 'root', [here(origin)], ['other'])
