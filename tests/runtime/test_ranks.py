# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the watch over ranks, two of which share this process; tests/faults kills real ones."""

import itertools
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from torch import distributed

from torchgeo_saco.runtime import ranks
from torchgeo_saco.runtime.ranks import RankWatch

# A rank that is ended leaves its thread, in place of the process.
pytestmark = pytest.mark.filterwarnings(
    'ignore:(?s).*SystemExit:pytest.PytestUnhandledThreadExceptionWarning'
)


class Lost:
    """A store whose process has ended."""

    def check(self, *args):
        raise RuntimeError('Connection reset by peer')

    set = get = compare_set = check


@pytest.fixture
def ends(monkeypatch):
    """Exit codes of the ranks that were ended; a rank that is ended goes no further."""
    codes = []

    def end(code):
        codes.append(code)
        sys.exit(code)

    monkeypatch.setattr(ranks.os, '_exit', end)
    return codes


@pytest.fixture
def watch(monkeypatch, ends):
    """Function that begins the watch of a rank of two."""
    store, begun = distributed.HashStore(), []
    monkeypatch.setattr(distributed.distributed_c10d, '_get_default_store', lambda: store)
    monkeypatch.setattr(ranks, 'world_size', lambda: 2)
    monkeypatch.setattr(ranks, '_runs', itertools.repeat(0))
    monkeypatch.setattr(ranks, '_INTERVAL', 0.01)

    def begin(rank):
        monkeypatch.setattr(ranks, 'process_rank', lambda: rank)
        callback = RankWatch()
        callback.setup(None, None, 'fit')
        begun.append(callback._peers)
        return callback

    yield begin
    for peers in begun:
        peers._stop()


def wait_for(truth):
    """Wait until something holds."""
    end = time.monotonic() + 10
    while not truth():
        assert time.monotonic() < end
        time.sleep(0.005)


def fail(callback, error):
    """Tell a watch of an error, as Lightning does."""
    with pytest.raises(type(error)):
        try:
            raise error
        except type(error):
            callback.on_exception(None, None, error)
            raise


@pytest.mark.parametrize('order', [(0, 1), (1, 0)])
def test_ranks_that_are_done_end_quietly(watch, ends, capfd, order):
    callbacks = [watch(0), watch(1)]
    threads = []
    for rank in order:
        threads.append(threading.Thread(target=callbacks[rank].teardown, args=(None, None, 'fit')))
        threads[-1].start()
        # The first keeps the store, and waits for the other one.
        waits = (rank, order) == (0, (0, 1))
        threads[-1].join(0.1 if waits else 10)
        assert threads[-1].is_alive() == waits
    threads[0].join(10)
    assert not threads[0].is_alive()
    assert not ends
    assert capfd.readouterr() == ('', '')


def test_a_rank_that_never_says_that_it_is_done_is_not_waited_for_long(watch, ends, monkeypatch):
    monkeypatch.setattr(ranks, '_PATIENCE', 0.1)
    start = time.monotonic()
    watch(0).teardown(None, None, 'fit')
    assert 0.1 <= time.monotonic() - start < 2
    assert not ends


@pytest.mark.parametrize('failing', [0, 1])
def test_the_others_say_why_a_rank_has_failed(watch, ends, capfd, failing):
    callbacks = [watch(0), watch(1)]
    fail(callbacks[failing], ValueError('B04.tif\n is broken'))
    wait_for(lambda: ends)
    assert ends == [1]
    other = 1 - failing
    assert capfd.readouterr().err == (
        f'\nrank {other} of 2 ends, for rank {failing} failed: ValueError: B04.tif is broken\n'
    )


def test_a_rank_that_fails_before_the_watch_begins_says_so(watch, ends, capfd, monkeypatch):
    first = watch(0)
    monkeypatch.setattr(ranks, 'process_rank', lambda: 1)
    RankWatch().on_exception(None, None, ValueError('no such band'))
    wait_for(lambda: ends)
    assert 'for rank 1 failed: ValueError: no such band' in capfd.readouterr().err
    assert first._peers is not None


def test_an_error_of_communication_is_that_of_the_other_rank(watch, ends, capfd, monkeypatch):
    monkeypatch.setattr(ranks, '_INTERVAL', 60)
    callbacks = [watch(0), watch(1)]
    fail(callbacks[1], ValueError('B04.tif is broken'))
    with pytest.raises(SystemExit):
        callbacks[0].on_exception(None, None, RuntimeError('Connection closed by peer'))
    assert ends == [1]
    assert 'rank 0 of 2 ends, for rank 1 failed: ValueError' in capfd.readouterr().err


def test_an_error_of_runtime_without_another_is_its_own(watch, ends, capfd, monkeypatch):
    monkeypatch.setattr(ranks, '_PATIENCE', 0.05)
    callbacks = [watch(0), watch(1)]
    fail(callbacks[1], RuntimeError('out of memory'))
    wait_for(lambda: ends)
    assert 'rank 0 of 2 ends, for rank 1 failed: RuntimeError: out of memory' in (
        capfd.readouterr().err
    )
    callbacks[0]._peers._stop()


def test_the_first_reason_stands(watch, monkeypatch):
    monkeypatch.setattr(ranks, '_INTERVAL', 60)
    callbacks = [watch(0), watch(1)]
    peers = callbacks[0]._peers
    assert callbacks[1]._peers._say('one') == 'one'
    assert peers._say('two') == 'one'


def test_the_end_of_a_process_is_seen(watch, ends, capfd):
    first = watch(0)
    child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)
    with child:
        peers = first._peers
        peers.store.set(peers._name('process', 1), f'{socket.gethostname()} {child.pid}')
        wait_for(lambda: 1 in peers._ended)
        time.sleep(0.05)
        assert not ends
        child.kill()
    wait_for(lambda: ends)
    assert capfd.readouterr().err == '\nrank 0 of 2 ends, for rank 1 was killed\n'


def test_processes_of_other_machines_are_not_looked_for(watch, ends):
    peers = watch(0)._peers
    peers.store.set(peers._name('process', 1), f'another {2**22 - 1}')
    wait_for(lambda: 1 in peers._ended)
    assert peers._ended == {1: None}
    assert not ends


def test_a_process_that_is_not_there_cannot_be_watched():
    child = subprocess.Popen([sys.executable, '-c', ''])
    child.wait()
    assert ranks._ending(child.pid) is None
    assert ranks._ending(os.getpid())() is False


@pytest.mark.parametrize(('done', 'says'), [(True, False), (False, True)])
def test_a_store_that_is_gone_is_the_end_of_the_first_rank(watch, ends, capfd, done, says):
    callbacks = [watch(0), watch(1)]
    peers = callbacks[1]._peers
    if done:
        callbacks[0]._peers.store.set(peers._name('done', 0), '')
        wait_for(lambda: peers._first_done)
    peers.store = Lost()
    wait_for(peers._stopped.is_set if done else lambda: ends)
    killed = '\nrank 1 of 2 ends, for rank 0, or what started the ranks, was killed\n'
    assert capfd.readouterr().err == (killed if says else '')
    # Nobody is left to be told.
    peers.fail(ValueError('B04.tif is broken'))


def test_one_rank_is_not_watched():
    callback = RankWatch()
    callback.setup(None, None, 'fit')
    callback.on_exception(None, None, ValueError('B04.tif is broken'))
    callback.teardown(None, None, 'fit')
    assert callback._peers is None
