# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Batches whose images are read into one tensor, where a DataLoader would copy them together."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info
from torchgeo.datasets.utils import Sample


class Batch(list[Sample]):
    """Samples whose images are parts of one tensor."""

    def __init__(self, samples: Iterable[Sample], image: Tensor) -> None:
        """Initialize a new Batch instance.

        Args:
            samples: The samples.
            image: Their images, one after the other, (B, ...).
        """
        super().__init__(samples)
        self.image = image

    @property
    def is_whole(self) -> bool:
        """Whether the samples are still the parts of the tensor, in its order."""
        return len(self) == len(self.image) and all(
            sample['image'].data_ptr() == part.data_ptr()
            for sample, part in zip(self, self.image, strict=True)
        )


def empty_images(shape: Sequence[int], dtype: np.dtype) -> Tensor:
    """Room for the images of a batch, in memory that a worker shares with its DataLoader.

    Args:
        shape: Shape of all images together.
        dtype: Type of their numbers.
    """
    kind = torch.from_numpy(np.empty(0, dtype)).dtype
    if get_worker_info() is None:
        return torch.empty(*shape, dtype=kind)
    # As PyTorch's own collate does it; what is not shared is copied on its way.
    storage = torch.UntypedStorage._new_shared(math.prod(shape) * dtype.itemsize)
    values = torch.empty(0, dtype=kind).set_(storage)
    return values[: math.prod(shape)].view(*shape)


def collate(samples: Sequence[Sample]) -> Sample:
    """Batch of samples; images that lie in one tensor already stay there.

    Args:
        samples: Samples with equal keys and shapes.

    Returns:
        The sample of the batch, as by :func:`torch.utils.data.default_collate`.
    """
    if not isinstance(samples, Batch) or not samples.is_whole:
        return default_collate(list(samples))
    rest = [{name: part for name, part in sample.items() if name != 'image'} for sample in samples]
    return {'image': samples.image, **default_collate(rest)}
