# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Features of a frozen encoder, taken once and kept for all epochs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor
from torchgeo.datasets.utils import Sample

from ..datamodules.benchmark import BenchmarkDataModule, Split
from ..datasets.features import Features

if TYPE_CHECKING:
    from .downstream import GroupTask

# What the head needs beside the features.
_KEPT = ('label', 'mask', 'length')


@torch.no_grad()
def extract_features(
    task: 'GroupTask', datamodule: BenchmarkDataModule, split: Split, gib: float
) -> Features | None:
    """Features of every image of a split.

    Args:
        task: The task with the encoder.
        datamodule: The data, set up.
        split: Which part of them.
        gib: Largest size in memory, in GiB.

    Returns:
        The features, or None if they are larger: then every epoch takes them anew.
    """
    dataset = getattr(datamodule, f'{split}_dataset')
    if isinstance(dataset, Features):
        return dataset
    samples: list[Sample] = []
    for batch in datamodule.ordered_dataloader(split):
        batch = task.trainer.strategy.batch_to_device(batch)
        # Half precision halves the memory; it is finer than what BatchNorm leaves of it.
        features = [feature.half().cpu() for feature in task.features(batch)]
        if not samples:
            size = sum(feature[0].nbytes for feature in features) * len(dataset) / 2**30
            if size > gib:
                rank_zero_info(
                    f'features of {split} would take {size:.1f} GiB, more than cache_gib={gib}; '
                    'they are taken anew every epoch'
                )
                return None
        kept = {key: batch[key].cpu() for key in _KEPT if key in batch}
        samples += _unbound(features, kept)
    return Features(samples, dataset, task)


def _unbound(features: Sequence[Tensor], kept: Sample) -> list[Sample]:
    """One sample an image; of a series only the dates there are."""
    samples = []
    for i in range(len(features[0])):
        dates = int(kept['length'][i]) if 'length' in kept else None
        sample = {f'features_{n}': feature[i, :dates].clone() for n, feature in enumerate(features)}
        samples.append({**sample, **{key: value[i].clone() for key, value in kept.items()}})
    return samples
