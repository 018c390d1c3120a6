# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Key encoder and key queue of momentum contrast."""

import copy

import torch
from lightly.models.utils import deactivate_requires_grad
from torch import Tensor, nn

from ..losses import l2_normalize
from ..runtime.checks import check_range
from ..runtime.distributed import all_gather


def key_copy[Module: nn.Module](query: Module) -> Module:
    """Copy a query network exactly, without gradients.

    lightly's ``update_momentum`` moves it towards the query network.
    """
    key = copy.deepcopy(query)
    deactivate_requires_grad(key)
    return key


class KeyQueue(nn.Module):
    """First-in, first-out queue of keys and their locations.

    Every key stays until *size* newer ones have been added, whatever the batch size. Empty slots
    and keys of the query's own location are no negatives. All state is in buffers, so that a
    resumed run continues with the same keys. Every rank adds the keys of all ranks, in the order
    of the global batch, so that all queues are identical.
    """

    keys: Tensor
    locations: Tensor
    pointer: Tensor

    def __init__(self, size: int, dim: int) -> None:
        """Initialize a new KeyQueue instance.

        Args:
            size: Number of keys kept.
            dim: Length of a key.

        Raises:
            ValueError: If *size* or *dim* is not positive.
        """
        super().__init__()
        self.size = check_range('queue_size', size, 'int [1, inf)')
        check_range('dim', dim, 'int [1, inf)')
        self.register_buffer('keys', torch.zeros(size, dim))
        # -1 marks an empty slot.
        self.register_buffer('locations', torch.full((size,), -1))
        self.register_buffer('pointer', torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, keys: Tensor, locations: Tensor) -> None:
        """Add the keys of all ranks, and drop the oldest ones.

        Every rank must call this equally often, with equally many keys.

        Args:
            keys: Features, (N, D). They are stored with unit length.
            locations: Number of the location of each key, (N), not negative.
        """
        self.extend(all_gather(keys), all_gather(locations))

    @torch.no_grad()
    def extend(self, keys: Tensor, locations: Tensor) -> None:
        """As :meth:`enqueue`, of keys that were gathered from all ranks before.

        Args:
            keys: Features of the global batch, (N, D).
            locations: Number of the location of each key, (N), not negative.

        Raises:
            ValueError: If a key is NaN or infinite, on a CPU.
        """
        # A GPU would have to be waited for, and a graph would break; there the loss tells.
        looks = keys.device.type == 'cpu' and not torch.compiler.is_compiling()
        if looks and not keys.isfinite().all():
            raise ValueError(
                'keys hold NaN or infinity, and would stay in the queue; the encoder has diverged: '
                'lower lr, and go on from a checkpoint before'
            )
        keys, locations = l2_normalize(keys)[-self.size :], locations[-self.size :]
        slots = (self.pointer + torch.arange(len(keys), device=keys.device)) % self.size
        self.keys[slots] = keys.to(self.keys.dtype)
        self.locations[slots] = locations
        self.pointer.copy_((self.pointer + len(keys)) % self.size)

    def negatives(self, locations: Tensor) -> tuple[Tensor, Tensor]:
        """Return the negatives of queries.

        Args:
            locations: Number of the location of each query, (B).

        Returns:
            Copy of the keys, (K, D), and a mask of those to exclude, (B, K): empty slots and the
            query's own location.
        """
        excluded = (self.locations < 0) | (self.locations == locations[:, None])
        # A copy, since newer keys are added before the backward pass.
        return self.keys.clone(), excluded
