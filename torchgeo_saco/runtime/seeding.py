# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Random numbers as a function of named seeds, never of what was drawn before."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def run_seed() -> int:
    """Seed of this run, as Lightning's ``seed_everything`` left it, or 0."""
    return int(os.environ.get('PL_GLOBAL_SEED') or 0)


def mixed_seed(*parts: int) -> int:
    """One seed from several non-negative numbers, such as run, epoch and index."""
    # Their count goes first, for SeedSequence drops zeros at the end.
    return int(np.random.SeedSequence((len(parts), *parts)).generate_state(1, np.uint64)[0] >> 1)


@contextmanager
def torch_seeded(*parts: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed PyTorch within the block, and leave its generators as they were.

    Args:
        parts: As for :func:`mixed_seed`.
        device: Device whose generator is seeded too.

    Yields:
        Nothing.
    """
    devices = [device] if device is not None and device.type == 'cuda' else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(mixed_seed(*parts))
        yield
