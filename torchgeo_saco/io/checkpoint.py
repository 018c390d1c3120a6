# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Reading and writing of checkpoints: the only place that packs or unpacks one."""

import hashlib
import io
import os
import pickle
import shutil
import zipfile
from typing import Any, BinaryIO

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.fabric.utilities.cloud_io import get_filesystem
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.io.wrapper import _WrappingCheckpointIO
from torch import Tensor
from torchgeo.datasets.utils import Path

from .files import atomic_file, remove_partials
from .restricted_pickle import read_inert

# The end of a file that was written here, a comment of its ZIP archive: this and a SHA-256 of all
# that precedes the SHA-256.
_MARK = b'torchgeo_saco sha256 '
_TAIL = len(_MARK) + 64

# Says in the content that there is such an end, so that a damaged one is not taken for none.
_FLAG = 'checksum'

# What a trainer writes, as far as every command needs it.
_TRAINER_KEYS = ('state_dict', 'pytorch-lightning_version')


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names it and the remedy."""


def read_checkpoint(path: Path, inert: bool = False) -> dict[str, Any]:
    """Content of a checkpoint: tensors, numbers and text, never code.

    The checksum of a checkpoint that :func:`write_checkpoint` wrote is verified.

    Args:
        path: File written by Lightning or :func:`torch.save`.
        inert: Whether objects of classes, which are never made, are inert in place of refused,
            see :func:`~torchgeo_saco.io.restricted_pickle.read_inert`.

    Returns:
        The content.

    Raises:
        CheckpointError: If the file is missing, damaged, holds code, would need more memory than
            its size, or is no dictionary.
    """
    if not os.path.isfile(path):
        raise CheckpointError(f'{path} is not a file; give the path of a checkpoint')
    try:
        with open(path, 'rb') as file:
            summed = _verified(path, file)
            _require_stored(path, file)
            file.seek(0)
            content = _load(file, inert)
    except CheckpointError:
        raise
    except PermissionError as error:
        raise CheckpointError(
            f'{path} may not be read by this user; change its permissions'
        ) from error
    except Exception as error:
        # PyTorch's reader of pickles raises anything on damaged files.
        if isinstance(error, pickle.UnpicklingError) and zipfile.is_zipfile(path) and not inert:
            raise CheckpointError(
                f'{path} holds more than tensors, numbers and text, and is not loaded, for that '
                'could run code; save its state_dict alone'
            ) from error
        raise CheckpointError(
            f'{path} cannot be read as a checkpoint ({type(error).__name__}); it may be truncated '
            'or of another format: write it again'
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f'{path} holds a {type(content).__name__}, no dictionary of tensors')
    if content.get(_FLAG) and not summed:
        raise _damaged(path)
    return content


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint with a checksum, which appears at once and whole.

    It is written beside the file that it replaces, never by way of a temporary folder.
    :func:`torch.load` reads it as any other.

    Args:
        content: What it holds: tensors, numbers and text.
        path: The file, which is replaced.

    Raises:
        CheckpointError: If it could not be read again.
        WriteError: If the disk is full, or the folder is not writable. The file is then as it was.
    """
    buffer = io.BytesIO()
    torch.save({**content, _FLAG: 'sha256'}, buffer)
    buffer.seek(0)
    foreign = torch.serialization.get_unsafe_globals_in_checkpoint(buffer)
    if foreign:
        raise CheckpointError(
            f'{path} is not written, for it would hold {", ".join(sorted(foreign))}, which cannot '
            'be read without running code; give tasks and callbacks plain numbers, text and tensors'
        )
    # The length of the comment, 0 so far, is the last that an archive says before it.
    buffer.seek(-2, os.SEEK_END)
    buffer.write(_TAIL.to_bytes(2, 'little') + _MARK)
    buffer.write(hashlib.file_digest(buffer, 'sha256').hexdigest().encode())
    size = buffer.tell()
    buffer.seek(0)
    # By parts, so that the content is in memory once; no view of the buffer, which an error would
    # keep: Python 3.12.1 crashes on collecting it.
    with atomic_file(path, size) as partial, partial.open('wb') as file:
        shutil.copyfileobj(buffer, file)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints of a trainer that are whole or absent, and are read without running code.

    What killed processes left half written in the folder of a checkpoint is removed when the
    first one of a process is read or written there.
    """

    def __init__(self) -> None:
        """Initialize a new AtomicCheckpointIO instance."""
        super().__init__()
        self._tidied: set[str] = set()

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; see :func:`write_checkpoint`.

        Args:
            checkpoint: State of the training.
            path: The file; one on a remote file system is written as Lightning does.
            storage_options: Must be None.

        Raises:
            CheckpointError: If it cannot be written.
        """
        if storage_options is not None or _is_remote(path):
            super().save_checkpoint(checkpoint, str(path), storage_options)
            return
        self._tidy(path)
        write_checkpoint(checkpoint, path)

    def load_checkpoint(
        self, path: Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint to the CPU; see :func:`read_checkpoint`.

        Args:
            path: The file.
            map_location: Has no effect.
            weights_only: Has no effect: code is never run.

        Returns:
            State of the training.

        Raises:
            CheckpointError: If it is no usable checkpoint of a trainer.
        """
        if _is_remote(path):
            raise CheckpointError(f'{path} is not on this machine; copy it here, and give the copy')
        content = read_checkpoint(path)
        missing = [name for name in _TRAINER_KEYS if name not in content]
        if missing:
            raise CheckpointError(
                f'{path} has no {missing[0]}, so it is no checkpoint of a training; give it to the '
                'task as weights'
            )
        self._tidy(path)
        return content

    def _tidy(self, path: Path) -> None:
        """Remove what killed processes left in the folder of a file, once."""
        folder = os.path.dirname(os.path.abspath(path))
        if folder not in self._tidied:
            self._tidied.add(folder)
            remove_partials(folder, os.path.splitext(path)[1])


def install_checkpoint_io(trainer: Trainer) -> None:
    """Have a trainer read and write checkpoints by :class:`AtomicCheckpointIO`.

    A plugin that the user has chosen stays; one that wraps another, such as AsyncCheckpointIO,
    wraps ours.

    Args:
        trainer: The trainer.
    """
    strategy = trainer.strategy
    plugin = strategy._checkpoint_io
    if plugin is None or type(plugin) is TorchCheckpointIO:
        strategy.checkpoint_io = AtomicCheckpointIO()
    elif isinstance(plugin, _WrappingCheckpointIO):
        # Has an effect only where it wraps nothing yet.
        plugin.checkpoint_io = AtomicCheckpointIO()


def _load(file: BinaryIO, inert: bool) -> Any:
    """Load tensors, numbers and text; objects of classes are refused, or are inert."""
    try:
        return torch.load(file, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError:
        if not inert or not zipfile.is_zipfile(file):
            raise
        return read_inert(file.name)


def part(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors below a prefix, without it.

    Args:
        state: Tensors by name.
        prefix: Beginning of their names, such as ``model.``.

    Returns:
        The tensors.
    """
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in state.items()
        if name.startswith(prefix)
    }


def _is_remote(path: Path) -> bool:
    """Whether a path is on another file system than those of this machine."""
    return '://' in str(path) and 'file' not in get_filesystem(str(path)).protocol


def _verified(path: Path, file: Any) -> bool:
    """Whether a file ends in a checksum; it is refused if that is of other content."""
    size = os.fstat(file.fileno()).st_size
    if size < _TAIL:
        return False
    file.seek(size - _TAIL)
    mark, expected = file.read(len(_MARK)), file.read()
    if mark != _MARK:
        return False
    total, left = hashlib.sha256(), size - 64
    file.seek(0)
    while left:
        block = file.read(min(left, 1 << 20))
        total.update(block)
        left -= len(block)
    if total.hexdigest().encode() != expected:
        raise _damaged(path)
    return True


def _damaged(path: Path) -> CheckpointError:
    """Make the error about a checksum that is of other content."""
    return CheckpointError(
        f'{path} is damaged, for its checksum is of other content; copy it again, or resume from '
        'another checkpoint'
    )


def _require_stored(path: Path, file: Any) -> None:
    """Refuse an archive whose members would become larger than the file."""
    if not zipfile.is_zipfile(file):
        return
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    size = os.fstat(file.fileno()).st_size
    packed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
    if packed or sum(member.file_size for member in members) > size:
        raise CheckpointError(
            f'{path} of {size} bytes says that it holds more, and is not unpacked; write it again '
            'by torch.save'
        )
