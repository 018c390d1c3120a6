# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of files that hold objects of classes."""

import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from torchgeo_saco.io.checkpoint import CheckpointError, read_checkpoint
from torchgeo_saco.io.restricted_pickle import InertObject, read_inert


class Record:
    """A class of the authors of a file."""

    def __init__(self):
        self.path = '/data'


class Items(list):
    """Another, which is filled item by item."""


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        import os

        return os.system, (f'touch {self.marker}',)


def write_pickle(path, opcodes, storages=(), compression=zipfile.ZIP_STORED):
    """Archive as of torch.save around a pickle."""
    with zipfile.ZipFile(path, 'w', compression) as archive:
        archive.writestr('archive/data.pkl', opcodes)
        archive.writestr('archive/version', '3\n')
        for key, content in storages:
            archive.writestr(f'archive/data/{key}', content)
    return path


def test_all_else_comes_back_as_it_was(tmp_path):
    tensor = torch.arange(12.0).view(3, 4)
    content = {
        'state_dict': OrderedDict(
            a=tensor, view=tensor.t()[1:], half=torch.ones(2, dtype=torch.bfloat16),
            empty=torch.empty(0), parameter=nn.Parameter(torch.rand(3)), count=torch.tensor(7),
        ),
        'hyper_parameters': {'lr': 0.1, 'names': ['a', ('b', None)], 'size': 2**70, 'deep': True},
        'record': Record(),
        'items': Items([Record(), 2]),
        'number': np.float64(3),
    }  # fmt: skip
    torch.save(content, tmp_path / 'a.ckpt')
    with pytest.raises(CheckpointError, match='holds more than tensors'):
        read_checkpoint(tmp_path / 'a.ckpt')
    found = read_checkpoint(tmp_path / 'a.ckpt', inert=True)
    assert found['hyper_parameters'] == content['hyper_parameters']
    for name, value in content['state_dict'].items():
        assert torch.equal(found['state_dict'][name], value), name
        assert found['state_dict'][name].dtype == value.dtype
    assert isinstance(found['record'], InertObject) and not vars(found['record'])
    assert found['record'].source == f'{__name__}.Record'
    assert isinstance(found['items'], InertObject) and isinstance(found['number'], InertObject)


def test_no_code_is_run(tmp_path):
    content = {'state_dict': {'a': torch.ones(2)}, 'more': [Payload(tmp_path / 'ran')]}
    torch.save(content, tmp_path / 'bad.ckpt')
    found = read_checkpoint(tmp_path / 'bad.ckpt', inert=True)
    assert torch.equal(found['state_dict']['a'], torch.ones(2))
    assert found['more'][0].source == 'posix.system'
    assert not (tmp_path / 'ran').exists()


def test_what_the_reader_itself_uses_cannot_be_changed(tmp_path):
    # BUILD with a state of slots sets attributes of whatever lies on the stack.
    for name in (b'ctorch._utils\n_rebuild_tensor_v2\n', b'ccollections\nOrderedDict\n'):
        opcodes = b'\x80\x02' + name + b'N}X\x08\x00\x00\x00__code__K\x01s\x86b.'
        with pytest.raises((AttributeError, TypeError)):
            read_inert(write_pickle(tmp_path / 'a.pt', opcodes))
    assert OrderedDict(a=1) == {'a': 1}


def storage(key, count, kind=b'FloatStorage'):
    """Opcodes of a storage."""
    return (b'(X\x07\x00\x00\x00storagectorch\n' + kind + b'\nX\x01\x00\x00\x00' + key
            + b'X\x03\x00\x00\x00cpu' + b'J' + count.to_bytes(4, 'little') + b'tQ')  # fmt: skip


def tensor(size, stride, count=2):
    """Opcodes of a tensor on a storage of two numbers."""
    size, stride = (b'J' + value.to_bytes(4, 'little') + b'\x85' for value in (size, stride))
    call = b'\x80\x02ctorch._utils\n_rebuild_tensor_v2\n('
    hooks = b'\x89ccollections\nOrderedDict\n)R'
    return call + storage(b'0', count) + b'K\x00' + size + stride + hooks + b'tR.'


def test_hand_made_pickle_of_a_tensor(tmp_path):
    numbers = np.array([1, 2], '<f4').tobytes()
    path = write_pickle(tmp_path / 'a.pt', tensor(2, 1), [('0', numbers)])
    assert torch.equal(read_inert(path), torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize(
    ('opcodes', 'content', 'message'),
    [
        (tensor(1_000_000_000, 0), b'\0' * 8, 'larger than its storage'),
        (tensor(2, 2), b'\0' * 8, 'out of bounds'),
        (tensor(2, 1), b'\0' * 7, 'has 7 bytes'),
        (tensor(2, 1, 1_000_000), b'\0' * 8, 'has 8 bytes'),
        (b'\x80\x02Nr\xff\xff\xff\x7f.', b'', 'slot 2147483647'),
        (b'\x80\x02}', b'', 'damaged pickle'),
        (b'not a pickle', b'', 'damaged pickle'),
    ],
)
def test_what_is_made_is_no_larger_than_the_file(tmp_path, opcodes, content, message):
    path = write_pickle(tmp_path / 'a.pt', opcodes, [('0', content)])
    with pytest.raises((pickle.UnpicklingError, RuntimeError), match=message):
        read_inert(path)


def test_compressed_and_doubled_archives(tmp_path):
    path = write_pickle(tmp_path / 'a.pt', b'\x80\x02}.', compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(pickle.UnpicklingError, match='compressed'):
        read_inert(path)
    with zipfile.ZipFile(tmp_path / 'b.pt', 'w') as archive:
        archive.writestr('a/data.pkl', b'\x80\x02}.')
        archive.writestr('b/data.pkl', b'\x80\x02}.')
    with pytest.raises(pickle.UnpicklingError, match='2 pickles'):
        read_inert(tmp_path / 'b.pt')


@pytest.mark.parametrize('share', [0.1, 0.5, 0.95])
def test_truncated(tmp_path, share):
    torch.save({'a': torch.rand(99), 'b': Record()}, tmp_path / 'whole.ckpt')
    whole = (tmp_path / 'whole.ckpt').read_bytes()
    (tmp_path / 'cut.ckpt').write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r'cut\.ckpt cannot be read as a checkpoint'):
        read_checkpoint(tmp_path / 'cut.ckpt', inert=True)
