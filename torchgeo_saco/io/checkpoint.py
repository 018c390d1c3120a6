# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Reading of checkpoints: the only place that unpacks one."""

import os
import pickle
import zipfile
from typing import Any

import torch
from torch import Tensor
from torchgeo.datasets.utils import Path


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names it and the remedy."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Content of a checkpoint: tensors, numbers and text, never code.

    Args:
        path: File written by Lightning or :func:`torch.save`.

    Returns:
        The content.

    Raises:
        CheckpointError: If the file is missing, damaged, holds code, or is no dictionary.
    """
    if not os.path.isfile(path):
        raise CheckpointError(f'{path} is not a file; give the path of a checkpoint')
    try:
        content = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:
        # PyTorch's reader of pickles raises anything on damaged files.
        if isinstance(error, pickle.UnpicklingError) and zipfile.is_zipfile(path):
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
    return content


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
