# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Key encoder and key queue of momentum contrast: all state in buffers."""

import copy

import torch
from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import Tensor, nn

from ..losses import l2_normalize
from ..runtime.distributed import all_gather


def key_copy[Module: nn.Module](query: Module) -> Module:
    """Exact copy of a query network, to be moved by :func:`follow` and never by gradients."""
    key = copy.deepcopy(query)
    deactivate_requires_grad(key)
    return key


def follow(query: nn.Module, key: nn.Module, momentum: float) -> None:
    """Move the parameters of a key network towards its query network.

    BatchNorm statistics are the key network's own, as in MoCo.

    Args:
        query: Network trained by gradients.
        key: Its copy.
        momentum: Share of the key network that stays, from 0 to 1.

    References:
        He et al., 2020, https://arxiv.org/abs/1911.05722, equation 2.
    """
    update_momentum(query, key, momentum)


class KeyQueue(nn.Module):
    """First-in, first-out memory of keys and the places they show.

    Every key is kept until *size* newer ones have come, whatever the batch. Slots not yet
    filled, and keys of the query's own place, are no negatives. Place and order are buffers,
    so a resumed run goes on with the same memory. Processes that train together put the keys of
    all in, in the order of the joined batch, so each holds the same queue.
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
            ValueError: If *size* is not positive.
        """
        super().__init__()
        if size < 1:
            raise ValueError(f'the queue must hold at least 1 key, got queue_size={size}')
        self.size = size
        self.register_buffer('keys', torch.zeros(size, dim))
        # -1 marks a slot not yet filled.
        self.register_buffer('locations', torch.full((size,), -1))
        self.register_buffer('pointer', torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def enqueue(self, keys: Tensor, locations: Tensor) -> None:
        """Put keys of all processes at the end of the queue; the oldest leave.

        Every process must call this equally often, with equally many keys.

        Args:
            keys: Features, (N, D). They are stored at length one.
            locations: Number of the place of each key, (N), not negative.
        """
        self.extend(all_gather(keys), all_gather(locations))

    @torch.no_grad()
    def extend(self, keys: Tensor, locations: Tensor) -> None:
        """As :meth:`enqueue`, of keys that were all_gather from all processes before.

        Args:
            keys: Features of the joined batch, (N, D).
            locations: Number of the place of each key, (N), not negative.
        """
        keys, locations = l2_normalize(keys)[-self.size :], locations[-self.size :]
        slots = (self.pointer + torch.arange(len(keys), device=keys.device)) % self.size
        self.keys[slots] = keys.to(self.keys.dtype)
        self.locations[slots] = locations
        self.pointer.copy_((self.pointer + len(keys)) % self.size)

    def negatives(self, locations: Tensor) -> tuple[Tensor, Tensor]:
        """Keys to push queries from.

        Args:
            locations: Number of the place of each query, (B).

        Returns:
            Copy of the keys, (K, D), and where they do not count, (B, K): unfilled slots and
            the query's own place.
        """
        excluded = (self.locations < 0) | (self.locations == locations[:, None])
        # A copy, for the loss keeps it for backward while newer keys are put in.
        return self.keys.clone(), excluded
