# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Cache of the features that a frozen encoder computes of a data set."""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, default_collate
from torchgeo.datasets.utils import Sample

# What a head needs beside the features.
_TARGETS = ('label', 'mask', 'length')


class Features(Dataset[Sample]):
    """Features and targets of every image of a split, in memory."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        """Initialize a new Features instance.

        Args:
            samples: ``features_0``, ``features_1``, ... and the target of every image.
        """
        self.samples = samples

    def __getitem__(self, index: int) -> Sample:
        """Return an index within the dataset.

        Args:
            index: index to return

        Returns:
            features and target at that index
        """
        return self.samples[index]

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.samples)


@torch.no_grad()
def extract_features(
    encode: Callable[[Sample], Sequence[Tensor]],
    batches: Iterable[Sample],
    count: int,
    max_bytes: float,
) -> Features | None:
    """Compute the features of all images.

    Args:
        encode: Features of a batch, each (B, ...).
        batches: The images, on the device of the encoder.
        count: Number of images.
        max_bytes: Largest size of all features.

    Returns:
        Features in half precision on the CPU, or None if they are larger than that.
    """
    samples: list[Sample] = []
    for batch in batches:
        # Half precision is finer than what BatchNorm leaves of the features.
        features = [feature.half().cpu() for feature in encode(batch)]
        if not samples and sum(feature[0].nbytes for feature in features) * count > max_bytes:
            return None
        targets = {key: batch[key].cpu() for key in _TARGETS if key in batch}
        for i in range(len(features[0])):
            # Of a padded series, only its own dates.
            dates = int(targets['length'][i]) if 'length' in targets else None
            sample = {f'features_{n}': part[i, :dates].clone() for n, part in enumerate(features)}
            samples.append(sample | {key: value[i].clone() for key, value in targets.items()})
    return Features(samples)


def cached_features(batch: Sample) -> list[Tensor]:
    """Return the features in a batch of :class:`Features`; none in one of images."""
    number = sum(key.startswith('features_') for key in batch)
    return [batch[f'features_{i}'].float() for i in range(number)]


def collate_features(samples: Sequence[Sample]) -> Sample:
    """Collate features; series of dates are padded to the longest.

    Args:
        samples: Samples of :class:`Features`.

    Returns:
        The batch.
    """
    batch: Sample = {}
    for key in samples[0]:
        values = [sample[key] for sample in samples]
        same = all(value.shape == values[0].shape for value in values)
        batch[key] = default_collate(values) if same else pad_sequence(values, batch_first=True)
    return batch
