# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Communication between the ranks of a distributed run.

The *global batch* is what one process would hold that had the batches of all: items in turn, the
first of every process, then the second of every process, and so on. It is the order in which
:mod:`torchgeo_saco.samplers.order`, and samplers of PyTorch and Lightning, deal items out.
"""

import torch
from lightly.models.utils import batch_shuffle, batch_unshuffle
from lightly.utils.dist import gather
from lightning.pytorch import Trainer
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

_PLAIN_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def world_size() -> int:
    """Return the number of ranks, 1 without a process group."""
    return distributed.get_world_size() if _is_distributed() else 1


def process_rank() -> int:
    """Return the rank of this process, counted from 0."""
    return distributed.get_rank() if _is_distributed() else 0


def all_gather(values: Tensor, dim: int = 0) -> Tensor:
    """Gather the values of all ranks, in the order of the global batch.

    Every process must bring the same shape, which is not checked, as that would make the device
    wait. Gradients flow back to the process that a value came from, summed over all losses that
    used it; averaged over processes, as DistributedDataParallel does, they are those of the mean
    loss of the global batch.

    Args:
        values: Values of this process, with one row an image along *dim*.
        dim: The axis of the images.

    Returns:
        Values of all, with as many times more rows along *dim*. One process gets its own back.
    """
    if world_size() == 1:
        return values
    return torch.stack(gather(values.contiguous()), dim + 1).flatten(dim, dim + 1)


def local_mask(count: int, device: torch.device | None = None) -> Tensor:
    """Mask the images of the global batch that are those of this rank.

    Args:
        count: Images of this process.
        device: Device of the mask.

    Returns:
        One row an image here, one column an image of the global batch, (B, J).
    """
    columns = torch.arange(count * world_size(), device=device)
    rows = torch.arange(count, device=device) * world_size() + process_rank()
    return rows[:, None] == columns


def shuffle_ranks(values: Tensor) -> tuple[Tensor, Tensor | None]:
    """Shuffle rows over ranks, so that each computes on rows of all.

    Args:
        values: Rows of this process, (B, ...); as many on every one.

    Returns:
        As many rows of all processes, drawn by the first one for all, and what
        :func:`unshuffle_ranks` needs to put them back. One process gets its own rows as they are.
    """
    if world_size() == 1:
        return values, None
    mixed, locations = batch_shuffle(values.contiguous(), distributed=True)
    return mixed, locations


def unshuffle_ranks(values: Tensor, locations: Tensor | None) -> Tensor:
    """Restore the rank and order that rows had before :func:`shuffle_ranks`.

    Args:
        values: One row for each that :func:`shuffle_ranks` gave, (B, ...).
        locations: What it gave beside them.

    Returns:
        The rows, (B, ...).
    """
    if locations is None:
        return values
    restored: Tensor = batch_unshuffle(values.contiguous(), locations, distributed=True)
    return restored


def exclude_buffers_from_ddp(model: nn.Module, kinds: tuple[type[nn.Module], ...]) -> None:
    """Exclude the buffers of modules from the broadcast of DistributedDataParallel.

    It would do so before every step. That is right for BatchNorm, but modules that exchange what
    they take in hold the same everywhere, and may be large.

    Args:
        model: What DistributedDataParallel is going to wrap.
        kinds: Classes of the modules whose buffers it leaves alone.
    """
    names = [
        f'{path}.{name}' if path else name
        for path, module in model.named_modules()
        if isinstance(module, kinds)
        for name, _ in module.named_buffers()
    ]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, names)


def require_whole_layers(model: nn.Module, trainer: Trainer) -> None:
    """Refuse SyncBatchNorm in place of layers that do more than BatchNorm.

    Args:
        model: What is going to be trained.
        trainer: The trainer; without ``sync_batchnorm`` nothing is looked at.

    Raises:
        ValueError: If a layer is more than BatchNorm, such as one with an activation of timm.
    """
    if getattr(trainer.strategy, '_layer_sync', None) is None:
        return
    for path, layer in model.named_modules():
        # PyTorch puts a plain SyncBatchNorm in place of every subclass.
        if isinstance(layer, _BatchNorm) and type(layer) not in _PLAIN_NORMS:
            raise ValueError(
                f'sync_batchnorm would turn {path} into BatchNorm alone, and it is a '
                f'{type(layer).__name__}, which does more; choose a model without such layers, '
                'such as resnet18, or shuffle_bn of the task in place of trainer.sync_batchnorm'
            )


def _is_distributed() -> bool:
    """Whether this process belongs to a group."""
    return distributed.is_available() and distributed.is_initialized()
