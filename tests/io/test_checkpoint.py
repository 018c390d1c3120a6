# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of reading checkpoints."""

import tracemalloc

import pytest
import torch
from torch import nn

from torchgeo_saco.io.checkpoint import CheckpointError, part, read_checkpoint, write_checkpoint


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        import os

        return os.system, (f'touch {self.marker}',)


def test_tensors_numbers_and_text_come_back(tmp_path):
    content = {'state_dict': {'model.a': torch.arange(3)}, 'hyper_parameters': {'lr': 0.1}}
    torch.save(content, tmp_path / 'a.ckpt')
    read = read_checkpoint(tmp_path / 'a.ckpt')
    assert read['hyper_parameters'] == content['hyper_parameters']
    assert torch.equal(read['state_dict']['model.a'], torch.arange(3))


def test_a_checkpoint_is_in_memory_once_while_it_is_written(tmp_path):
    weights = torch.zeros(2**20)
    # Tensors are allocated elsewhere.
    tracemalloc.start()
    write_checkpoint({'state_dict': {'a': weights}}, tmp_path / 'a.ckpt')
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A buffer grows by an eighth at a time.
    assert 4 * weights.numel() < most < 1.3 * 4 * weights.numel()


def test_code_is_not_run(tmp_path):
    torch.save({'state_dict': Payload(tmp_path / 'ran')}, tmp_path / 'bad.ckpt')
    with pytest.raises(
        CheckpointError, match=r'bad\.ckpt holds more than tensors.*state_dict alone'
    ):
        read_checkpoint(tmp_path / 'bad.ckpt')
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('share', [0, 0.2, 0.9])
def test_truncated_file(tmp_path, share):
    torch.save({'state_dict': nn.Linear(9, 9).state_dict()}, tmp_path / 'whole.ckpt')
    whole = (tmp_path / 'whole.ckpt').read_bytes()
    (tmp_path / 'cut.ckpt').write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r'cut\.ckpt'):
        read_checkpoint(tmp_path / 'cut.ckpt')


@pytest.mark.parametrize('content', [b'<html>not found</html>', b'GIF89a'])
def test_file_of_another_kind(tmp_path, content):
    (tmp_path / 'page.ckpt').write_bytes(content)
    with pytest.raises(CheckpointError, match=r'page\.ckpt'):
        read_checkpoint(tmp_path / 'page.ckpt')


def test_no_dictionary(tmp_path):
    torch.save(torch.zeros(3), tmp_path / 'tensor.pt')
    with pytest.raises(CheckpointError, match=r'tensor\.pt holds a Tensor, no dictionary'):
        read_checkpoint(tmp_path / 'tensor.pt')


@pytest.mark.parametrize('name', ['absent.ckpt', '.'])
def test_no_file(tmp_path, name):
    with pytest.raises(CheckpointError, match=r'is not a file; give the path'):
        read_checkpoint(tmp_path / name)


def test_part_of_a_state():
    state = {'model.a': 1, 'model.b.a': 2, 'submodel.a': 3}
    assert part(state, 'model.') == {'a': 1, 'b.a': 2}
