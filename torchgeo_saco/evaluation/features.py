# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Features of a task, and exact statistics of its BatchNorm layers."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor
from torch.optim.swa_utils import update_bn
from torchgeo.datasets.utils import Sample
from torchvision.transforms.v2.functional import resize

from ..models import fit_input_statistics
from ..runtime.modes import evaluation_mode
from ..tasks import ContrastiveTask


class SplitFeatures(NamedTuple):
    """Features of a split, on the CPU."""

    #: Feature of each image, (N, D) float32.
    features: Tensor

    #: Class of each, (N), or its labels, (N, L); empty where the data have no classes.
    labels: Tensor

    #: Number of the location of each, (N), or None where the images do not tell.
    locations: Tensor | None


def batches(task: Any, datamodule: Any, split: str) -> Iterator[Sample]:
    """Batches of a split in its order, on the device of the task.

    Args:
        task: The task.
        datamodule: Datamodule with ``ordered_dataloader``, set up.
        split: 'train', 'val' or 'test'.

    Yields:
        Batches, as the task gets them.
    """
    # Series are judged without labels, too.
    unlabelled = {} if getattr(datamodule, 'classes', True) else {'labelled': False}
    for batch in datamodule.ordered_dataloader(split, **unlabelled):
        batch = datamodule.transfer_batch_to_device(batch, task.device, 0)
        yield datamodule.on_after_batch_transfer(batch, 0)


def embeddings(
    task: Any, datamodule: Any, split: str, embed: Callable[[Any, Sample], Tensor] | None = None
) -> SplitFeatures:
    """Features of a split.

    Args:
        task: Task with ``embed``, which gives a feature an image; or whose ``forward`` gives it,
            alone or last, as that of the tasks of TorchGeo that pre-train; if they have a *size*,
            images are resized to it.
        datamodule: As for :func:`batches`.
        split: 'train', 'val' or 'test'.
        embed: Gives the features of a batch by the task, or None for that above.

    Returns:
        The features.
    """
    features, labels, locations = [], [], []
    for batch in batches(task, datamodule, split):
        features.append((embed or _embed)(task, batch).float().cpu())
        labels.append(batch['label'].cpu() if 'label' in batch else torch.empty(0))
        if 'location' in batch:
            locations.append(batch['location'].cpu())
    where = torch.cat(locations) if locations else None
    return SplitFeatures(torch.cat(features), torch.cat(labels), where)


def _embed(task: Any, batch: Sample) -> Tensor:
    """Features of a batch, (B, D)."""
    if hasattr(task, 'embed'):
        features: Tensor = task.embed(batch)
        return features
    image, size = batch['image'], task.hparams.get('size')
    if size is not None and image.shape[-2:] != (size, size):
        # As it was trained.
        image = resize(image, [size, size], antialias=True)
    given = task(image)
    last: Tensor = given[-1] if isinstance(given, tuple) else given
    return last


@torch.no_grad()
def fit_exact_statistics(task: ContrastiveTask, datamodule: Any, trained: bool) -> None:
    """Take the statistics of BatchNorm from the training images; no weight changes.

    Those of a net that made no step are of no image, and those of training are running means of
    augmented views, under weights that still moved; both would make it look worse than it is.
    Without a step, initial weights keep the statistics that they bring.

    Args:
        task: The task, on its device.
        datamodule: As for :func:`batches`.
        trained: Whether the task made a step.

    Raises:
        ValueError: If the groups of the task are unknown.
    """
    encoder = task.encoder
    rank_zero_info('statistics of BatchNorm are taken from the training images')
    backbone = trained or not task.weights
    with evaluation_mode(task):
        fit_input_statistics(encoder, lambda: _images(task, datamodule), backbone)
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
