# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of ``torchgeo-saco pack``."""

import pytest

from torchgeo_saco.cli import main
from torchgeo_saco.datasets import SeasonalArchive

from ...data.archives import DATES, write_archive


@pytest.fixture
def tree(tmp_path):
    return write_archive(tmp_path / 'tree', locations=3, bands=['B4', 'B3'], size=6)


def run(*arguments):
    main(['pack', *map(str, arguments)])


def failed(capsys, *arguments) -> str:
    with pytest.raises(SystemExit) as exit_:
        run(*arguments)
    assert exit_.value.code == 2
    return capsys.readouterr().err


def test_packs_verifies_and_goes_on(tree, tmp_path, capsys):
    store = tmp_path / 'store.zarr'
    run(
        '--root',
        tree,
        '--output',
        store,
        '--bands',
        '[B3]',
        '--shard_bytes',
        '200',
        '--verify',
        'true',
    )
    printed = capsys.readouterr()
    assert '12 scenes, 0 of them packed before' in printed.out
    assert f'12 scenes of {store} are sound' in printed.out
    assert '12 scenes in 3 shards' in printed.err
    assert 'free' in printed.err
    assert SeasonalArchive(store).bands == ('B03',)
    run(
        '--root',
        tree,
        '--output',
        store,
        '--bands',
        '[B3]',
        '--shard_bytes',
        '200',
        '--progress',
        'false',
    )
    printed = capsys.readouterr()
    assert '12 scenes, 12 of them packed before' in printed.out
    assert printed.err == ''


def test_damage_is_said(tree, tmp_path, capsys):
    store = tmp_path / 'store.zarr'
    run('--root', tree, '--output', store, '--progress', 'false')
    path = store / 'images/c/0/0/0/0'
    path.write_bytes(b'x' + path.read_bytes()[1:])
    error = failed(capsys, '--output', store, '--verify', 'true', '--progress', 'false')
    assert f'torchgeo-saco pack: error: {store} is damaged at 000000/{DATES[0]}' in error


def test_what_is_left_out_is_said(tree, tmp_path, capsys):
    scene = next((tree / '000001').glob('*'))
    (scene / 'B4.tif').unlink()
    store = tmp_path / 'store.zarr'
    assert f'000001/{scene.name} lacks B04' in failed(capsys, '--root', tree, '--output', store)
    run('--root', tree, '--output', store, '--on_missing', 'drop', '--progress', 'false')
    assert f'skipped: 000001/{scene.name} lacks B04' in capsys.readouterr().out


def test_neither_to_pack_nor_to_verify(tmp_path, capsys):
    assert 'give --root of an archive' in failed(capsys, '--output', tmp_path / 'store')
    error = failed(capsys, '--output', tmp_path / 'store', '--verify', 'true')
    assert 'store holds no store; pack one by torchgeo-saco pack' in error


def test_only_the_first_of_many_reasons_are_listed(tree, tmp_path, capsys):
    for number in range(23):
        (tree / f'empty{number:02d}').mkdir()
    store = tmp_path / 'store.zarr'
    run('--root', tree, '--output', store, '--on_missing', 'drop', '--progress', 'false')
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('skipped: ')]
    assert lines[0] == 'skipped: empty00 has 0 of 1 dates'
    assert lines[20:] == ['skipped: 3 more']
