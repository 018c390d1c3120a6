# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Features of a task, and exact statistics of its BatchNorm layers."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor
from torch.optim.swa_utils import update_bn
from torchgeo.datasets.utils import Sample
from torchgeo.tasks import BYOL
from torchvision.transforms.v2.functional import resize

from ..models import fit_input_statistics
from ..runtime.modes import evaluation_mode
from ..tasks import ContrastiveTask

# Statistics of BatchNorm are of so many images.
_MOST_IMAGES = 4096


class SplitFeatures(NamedTuple):
    """Features of a split, on the CPU."""

    #: Feature of each image, (N, D) float32.
    features: Tensor

    #: Class of each, (N), or its labels, (N, L); empty where the data have no classes.
    labels: Tensor

    #: Number of the location of each, (N), or None where the images do not tell.
    locations: Tensor | None


def batches(
    device: torch.device, datamodule: Any, split: str, shuffled: bool = False
) -> Iterator[Sample]:
    """Batches of a split, on a device.

    Args:
        device: The device.
        datamodule: Datamodule with ``ordered_dataloader``, set up.
        split: 'train', 'val' or 'test'.
        shuffled: Whether in random order, always the same, in place of that of the data.

    Yields:
        Batches, as a task gets them.
    """
    # Series are judged without labels, too.
    options = {} if getattr(datamodule, 'classes', True) else {'labelled': False}
    options |= {'shuffled': True} if shuffled else {}
    for batch in datamodule.ordered_dataloader(split, **options):
        batch = datamodule.transfer_batch_to_device(batch, device, 0)
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
    for batch in batches(task.device, datamodule, split):
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
    # The task itself gives what the predictor makes of it.
    net = task.model.backbone.model if isinstance(task, BYOL) else task
    given = net(_resized(task, batch['image']))
    last: Tensor = given[-1] if isinstance(given, tuple) else given
    return last


def _resized(task: Any, image: Tensor) -> Tensor:
    """Images at the size that a task of TorchGeo was trained at."""
    size = task.hparams.get('size')
    if size is None or image.shape[-2:] == (size, size):
        return image
    resized: Tensor = resize(image, [size, size], antialias=True)
    return resized


@torch.no_grad()
def fit_exact_statistics(task: Any, datamodule: Any, trained: bool) -> None:
    """Take the statistics of BatchNorm from training images; no weight changes.

    Those of a net that made no step are of no image, and those of training are running means of
    augmented views, under weights that still moved; both would make it look worse than it is.
    Without a step, initial weights keep the statistics that they bring. Of at most 4,096 images, in
    random order, since a batch of one class spreads less than the images do.

    Args:
        task: The task, ours or one of TorchGeo that pre-trains, on its device.
        datamodule: As for :func:`batches`.
        trained: Whether the task made a step.

    Raises:
        ValueError: If the groups of the task are unknown.
    """
    if not isinstance(task, ContrastiveTask):
        net = task.model.backbone.model if isinstance(task, BYOL) else task
        if trained or not task.weights:
            with evaluation_mode(task):
                update_bn(_images(task, datamodule), net)
        return
    rank_zero_info('statistics of BatchNorm are taken from the training images')
    weights = [task.weights, getattr(task, 'second_weights', None)]
    with evaluation_mode(task):
        for number, (encoder, projector, _) in enumerate(task.branches(_one(task, datamodule))):
            seen = partial(_seen, task, datamodule, number)
            fit_input_statistics(encoder, seen, trained or not weights[number])
            update_bn((encoder.forward_groups(images) for images in seen()), projector)


def _one(task: ContrastiveTask, datamodule: Any) -> Tensor:
    """Some training images of a task, whose groups must be known."""
    if task.bands is None:
        raise ValueError('the groups are unknown; set bands of the task to the channel names')
    return next(_images(task, datamodule))


def _seen(task: ContrastiveTask, datamodule: Any, number: int) -> Iterator[Tensor]:
    """Training images as far as one of the encoders of a task sees them."""
    for images in _images(task, datamodule):
        yield task.branches(images)[number][2]


def _images(task: Any, datamodule: Any) -> Iterator[Tensor]:
    """Training images at the size of a view, (B, C, H, W)."""
    before, count = None, 0
    for batch in batches(task.device, datamodule, 'train', shuffled=True):
        if count >= _MOST_IMAGES:
            break
        if isinstance(task, ContrastiveTask):
            images = task.views.original(task.images(batch).flatten(0, -4))
        else:
            images = _resized(task, batch['image'].flatten(0, -4))
        count += len(images)
        if before is not None and len(images) == 1:
            # A single one that is left over has no variance.
            images = torch.cat([before, images])
        elif before is not None:
            yield before
        before = images
    if before is not None:
        yield before
