# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Reading of files of :func:`torch.save` that hold objects of classes, none of which is made."""

import io
import math
import os
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from typing import Any, Self

import torch
from torch import Tensor

# What a pickle stores in place of a type of storage, and the type of its numbers.
_STORAGES = {
    'DoubleStorage': torch.float64,
    'FloatStorage': torch.float32,
    'HalfStorage': torch.float16,
    'BFloat16Storage': torch.bfloat16,
    'LongStorage': torch.int64,
    'IntStorage': torch.int32,
    'ShortStorage': torch.int16,
    'CharStorage': torch.int8,
    'ByteStorage': torch.uint8,
    'BoolStorage': torch.bool,
}

# Opcodes that name a slot of the memo; the unpickler makes room for all slots before it.
_SLOTS = {'BINPUT', 'LONG_BINPUT', 'PUT'}


class InertObject:
    """Stands where a file holds an object of a class; it keeps nothing but the name."""

    #: Module and name of what the file asks for.
    source = ''

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take whatever the class takes."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make an object, whatever the arguments."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Drop a state."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Drop an item."""

    def append(self, value: Any) -> None:
        """Drop an item."""

    def extend(self, values: Any) -> None:
        """Drop items."""

    def add(self, value: Any) -> None:
        """Drop an item."""


def read_inert(path: str | os.PathLike[str]) -> Any:
    """Content of a file of :func:`torch.save`, where objects of classes are inert.

    Tensors, numbers, text and containers come back; an object of any other class becomes an
    :class:`InertObject`. Nothing that the file names is imported or called. What is made is no
    larger than the file.

    Args:
        path: File written by :func:`torch.save` of PyTorch 1.6 or newer.

    Returns:
        The content.

    Raises:
        pickle.UnpicklingError: If the file is damaged, or packs more than it holds.
        zipfile.BadZipFile: If it is no archive.
        OSError: If it cannot be read.
    """
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith('/data.pkl')]
        if len(names) != 1:
            raise pickle.UnpicklingError(f'{path} holds {len(names)} pickles, where there is one')
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise pickle.UnpicklingError(f'{path} is compressed, as no file of torch.save is')
        folder = names[0].removesuffix('data.pkl')
        order = f'{folder}byteorder'
        if order in archive.namelist() and archive.read(order) != b'little':
            raise pickle.UnpicklingError(f'{path} was written on a big-endian machine')
        content = archive.read(names[0])
        _require_whole(content)
        return _InertUnpickler(content, archive, folder, os.path.getsize(path)).load()


def _require_whole(content: bytes) -> None:
    """Refuse a pickle that is damaged or asks for more room than it can fill."""
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name in _SLOTS and int(argument or 0) > len(content):
                raise pickle.UnpicklingError(f'slot {argument} in a pickle of {len(content)} bytes')
    except (ValueError, IndexError) as error:
        raise pickle.UnpicklingError(f'damaged pickle: {error}') from error


class _InertUnpickler(pickle.Unpickler):
    """Unpickler that finds no class but those of containers, and no function but its own."""

    def __init__(self, content: bytes, archive: zipfile.ZipFile, folder: str, most: int) -> None:
        """Take the pickle, the archive that holds its storages, and its size."""
        super().__init__(io.BytesIO(content), encoding='utf-8', errors='surrogateescape')
        self._archive = archive
        self._folder = folder
        # Entries of an archive may share bytes, and become more than there are.
        self._left = most
        self._storages: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a global; nothing is imported."""
        if (module, name) == ('collections', 'OrderedDict'):
            return OrderedDict
        if module == 'torch._utils' and name == '_rebuild_tensor_v2':
            return self._tensor
        if module == 'torch._utils' and name == '_rebuild_parameter':
            return self._parameter
        kind = {'source': f'{module}.{name}'}
        if module == 'torch' and name in _STORAGES:
            kind['dtype'] = _STORAGES[name]  # type: ignore[assignment]
        return type('InertObject', (InertObject,), kind)

    def persistent_load(self, pid: Any) -> Tensor:
        """Return the numbers of a storage, flat."""
        _, kind, key, _, count = pid
        dtype = getattr(kind, 'dtype', None)
        if not isinstance(dtype, torch.dtype) or not isinstance(key, str):
            raise pickle.UnpicklingError(f'storage of {getattr(kind, "source", kind)}')
        if key not in self._storages:
            content = self._archive.read(f'{self._folder}data/{key}')
            self._left -= len(content)
            if len(content) != count * dtype.itemsize or self._left < 0:
                raise pickle.UnpicklingError(f'storage {key} has {len(content)} bytes')
            numbers = torch.frombuffer(bytearray(content), dtype=dtype) if count else None
            self._storages[key] = torch.empty(0, dtype=dtype) if numbers is None else numbers
        return self._storages[key]

    # Methods, for unlike functions the file cannot change them.

    def _tensor(self, storage: Tensor, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
        """Return a tensor on a storage; no larger than it."""
        if not isinstance(storage, Tensor) or math.prod(size) > storage.numel():
            raise pickle.UnpicklingError('a tensor is larger than its storage')
        return storage.as_strided(tuple(size), tuple(stride), offset)

    def _parameter(self, tensor: Tensor, *_: Any) -> Tensor:
        """Return the tensor of a parameter."""
        return tensor
