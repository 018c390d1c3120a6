# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of uploads of exported folders, to a hub on this machine."""

import sys

import pytest

from torchgeo_saco import cli
from torchgeo_saco.models.export.hub import push_folder

from ...data.hub_server import Hub
from ...data.weights import write_checkpoint


@pytest.fixture
def hub(monkeypatch):
    """A hub that is asked in place of the public one."""
    server = Hub()
    monkeypatch.setenv('HF_ENDPOINT', server.address)
    monkeypatch.setenv('HF_TOKEN', 'hf_secret')
    # The protocol of large files that needs no library of the hub.
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_DISABLE_XET', True)
    yield server
    server.close()


@pytest.fixture
def folder(tmp_path):
    """Folder of a small and a large file."""
    folder = tmp_path / 'encoder'
    folder.mkdir()
    (folder / 'README.md').write_text('---\nlibrary_name: timm\n---\n')
    (folder / 'encoder.onnx').write_bytes(bytes(range(256)) * 8)
    return folder


# huggingface_hub calls its HTTP client in a way that this deprecates.
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_all_files_arrive(hub, folder):
    assert push_folder(folder, 'me/encoder') == f'{hub.address}/me/encoder'
    assert hub.files == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert 'Bearer hf_secret' in hub.tokens


def test_refusal_says_what_to_do_with_the_folder(hub, folder):
    hub.refusal = 403
    with pytest.raises(ValueError, match=r'me/encoder \(HTTP status 403\).*hf upload me/encoder'):
        push_folder(folder, 'me/encoder')
    with pytest.raises(ValueError, match='HFValidationError'):
        push_folder(folder, 'me/en coder')


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
def test_an_exported_folder_is_pushed(hub, tmp_path, capsys):
    path, _ = write_checkpoint(tmp_path / 'last.ckpt', texture=False)
    output = tmp_path / 'out'
    cli.main(['export', '--weights', path, '--output', str(output), '--push', 'me/encoder'])
    assert capsys.readouterr().out.endswith(f'pushed to {hub.address}/me/encoder\n')
    assert hub.files == {path.name: path.read_bytes() for path in output.iterdir()}


def test_without_the_extra_nothing_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    output = tmp_path / 'out'
    with pytest.raises(SystemExit):
        cli.main(['export', '--weights', 'a.ckpt', '--output', str(output), '--push', 'me/a'])
    said = capsys.readouterr().err
    assert said.count('\n') == 1 and not output.exists()
    assert "pip install 'torchgeo_saco[hub]'" in said
