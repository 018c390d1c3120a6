# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Images of a batch in the axes of our tasks, from our datamodules and those of TorchGeo."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchgeo.datasets.utils import Sample

# Two dates of a location, where a dataset of TorchGeo does not stack them.
_TWO_DATES = ('image1', 'image2')


def batch_image(batch: Sample) -> Tensor:
    """Image of a batch; two dates under keys of their own are stacked.

    Args:
        batch: ``image``, or ``image1`` and ``image2``, each (B, C, H, W).

    Returns:
        The image; two dates are (B, 2, C, H, W).

    Raises:
        ValueError: If there is no image.
    """
    if 'image' in batch:
        return batch['image']
    if all(name in batch for name in _TWO_DATES):
        return torch.stack([batch[name] for name in _TWO_DATES], 1)
    raise ValueError(
        f'the batch has no image, but {", ".join(batch) or "nothing"}; give the images under the '
        'key image'
    )


def require_floats(image: Tensor) -> None:
    """Refuse stored integers.

    Args:
        image: Image, any shape.

    Raises:
        ValueError: If it holds no floats.
    """
    if not image.is_floating_point():
        raise ValueError(
            f'image holds {str(image.dtype).removeprefix("torch.")}, and the encoder takes '
            'reflectance in floats; divide by the number stored for reflectance 1, as '
            'torchgeo_saco.transforms.Reflectance does'
        )


def unfold_dates(image: Tensor, bands: Sequence[str]) -> Tensor:
    """Images with a time axis, from one date or from dates that are stacked as channels.

    TorchGeo's SeasonalContrastS2 and SSL4EO give dates one after the other as channels.

    Args:
        image: Reflectance, (B, C, H, W), (B, T C, H, W), (B, T, C, H, W), or of several years
            (B, Y, T, C, H, W).
        bands: Names of the channels of one date.

    Returns:
        The image, (B, T, C, H, W) or (B, Y, T, C, H, W).

    Raises:
        ValueError: If the channels are not those of whole dates, or it holds no floats.
    """
    channels = image.shape[-3] if image.ndim >= 3 else 0
    names = ', '.join(bands)
    if image.ndim == 4 and bands and channels and channels % len(bands) == 0:
        require_floats(image)
        return image.unflatten(1, (-1, len(bands)))
    if image.ndim in (5, 6) and channels == len(bands):
        require_floats(image)
        return image
    if image.ndim == 4:
        raise ValueError(
            f'image has {channels} channels, which are no whole dates of the {len(bands)} bands '
            f'{names}; set bands of the task to the channels of one date, in their order'
        )
    raise ValueError(
        f'image must be (B, T, {len(bands)}, H, W) or (B, {len(bands)}, H, W) with the bands '
        f'{names}, got {tuple(image.shape)}'
    )
