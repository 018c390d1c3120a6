# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Features of images in place of the images."""

from collections.abc import Sequence
from weakref import ref

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset, default_collate
from torchgeo.datasets.utils import Sample


class Features(Dataset[Sample]):
    """Features of every image of a split, in memory."""

    def __init__(self, samples: Sequence[Sample], images: Dataset[Sample], owner: object) -> None:
        """Initialize a new Features instance.

        Args:
            samples: ``features_0``, ``features_1``, ... and the target of every image.
            images: The images, for whoever needs them again.
            owner: The task whose encoder took the features.
        """
        self.samples = samples
        self.images = images
        self._owner = ref(owner)

    def belongs_to(self, task: object) -> bool:
        """Whether the encoder of that task took the features."""
        return self._owner() is task

    def __getitem__(self, index: int) -> Sample:
        """Features and target of an image.

        Args:
            index: index to return

        Returns:
            features and target
        """
        return self.samples[index]

    def __len__(self) -> int:
        """Number of images."""
        return len(self.samples)


def kept_features(batch: Sample) -> list[Tensor]:
    """Features in a batch of :class:`Features`; none in one of images."""
    number = sum(key.startswith('features_') for key in batch)
    return [batch[f'features_{i}'].float() for i in range(number)]


def collate_features(samples: Sequence[Sample]) -> Sample:
    """A batch of features; series of dates are padded to the longest.

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
