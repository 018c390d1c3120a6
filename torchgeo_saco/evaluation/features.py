# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Features of a task, and statistics of one that was not trained."""

from collections.abc import Iterator
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor
from torch.optim.swa_utils import update_bn
from torchgeo.datasets.utils import Sample

from ..models import fit_input_statistics
from ..runtime.modes import evaluation_mode
from ..tasks import ContrastiveTask


def batches(task: Any, datamodule: Any, split: str) -> Iterator[Sample]:
    """Batches of a split in its order, on the device of the task.

    Args:
        task: The task.
        datamodule: Datamodule with ``ordered_dataloader``, set up.
        split: 'train', 'val' or 'test'.

    Yields:
        Batches, as the task gets them.
    """
    for batch in datamodule.ordered_dataloader(split):
        batch = datamodule.transfer_batch_to_device(batch, task.device, 0)
        yield datamodule.on_after_batch_transfer(batch, 0)


def embeddings(task: Any, datamodule: Any, split: str) -> tuple[Tensor, Tensor]:
    """Features and labels of a split.

    Args:
        task: Task with ``embed``, which gives a feature an image.
        datamodule: As for :func:`batches`.
        split: 'train', 'val' or 'test'.

    Returns:
        Features, (N, D) float32, and labels, (N) or (N, L), on the CPU.
    """
    features, labels = [], []
    for batch in batches(task, datamodule, split):
        features.append(task.embed(batch).float().cpu())
        labels.append(batch['label'].cpu())
    return torch.cat(features), torch.cat(labels)


@torch.no_grad()
def fit_untrained_statistics(task: ContrastiveTask, datamodule: Any) -> None:
    """Take the statistics of BatchNorm from the training images; no weight changes.

    Those of a net that made no step are of no image, which would make it look worse than it is.
    Initial weights keep the statistics that they bring.

    Args:
        task: The task, on its device.
        datamodule: As for :func:`batches`.

    Raises:
        ValueError: If the groups of the task are unknown.
    """
    encoder = task.encoder
    rank_zero_info('no step was made: statistics of BatchNorm are taken from the training images')
    with evaluation_mode(task):
        fit_input_statistics(encoder, lambda: _images(task, datamodule), backbone=not task.weights)
        features = (encoder.forward_groups(images) for images in _images(task, datamodule))
        update_bn(features, task.projector)


def _images(task: ContrastiveTask, datamodule: Any) -> Iterator[Tensor]:
    """Training images at the size of a view, (B, C, H, W)."""
    before = None
    for batch in batches(task, datamodule, 'train'):
        images = task.views.original(batch['image'].flatten(0, -4))
        if before is not None and len(images) == 1:
            # A single one that is left over has no variance.
            images = torch.cat([before, images])
        elif before is not None:
            yield before
        before = images
    if before is not None:
        yield before
