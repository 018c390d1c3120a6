# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Base class of the transforms: a Kornia augmentation for images with any leading axes."""

from typing import Any

import torch
from kornia.augmentation import IntensityAugmentationBase2D
from torch import Tensor


class ImageTransform(IntensityAugmentationBase2D):
    r"""Kornia augmentation of the last three axes, applied to every image.

    Subclasses write ``apply_transform`` for :math:`(\ldots, C, H, W)`. Unlike Kornia's base class
    this one also takes time series, integers, and transforms that add an axis. Masks, boxes,
    keypoints and labels stay as they are, for no pixel moves; a subclass that moves pixels
    overrides what Kornia calls for each of them, and ``transform_matrix``.

    ===================================================== ========= ============ ===============
    Image in                                              (C, H, W) (B, C, H, W) (B, T, C, H, W)
    ===================================================== ========= ============ ===============
    the transform itself, ``nn.Sequential``               yes       yes          yes
    ``K.ImageSequential``, ``K.AugmentationSequential``   yes       yes          no
    ``K.VideoSequential``, alone or within
    ``K.AugmentationSequential``                          no        no           yes
    ===================================================== ========= ============ ===============

    The limits are Kornia's own: before it asks any transform, a container requires at most four
    axes, or five if one of its members is a ``K.VideoSequential``. In the latter case the
    transform may stand inside of that member or beside it. ``K.AugmentationSequential`` takes
    tensors, and with ``data_keys=None`` sample dictionaries, where it converts masks to the type
    of the image and back, and next to a time series requires masks with a time axis.
    """

    def __init__(self, keepdim: bool = True) -> None:
        """Initialize a new ImageTransform.

        Args:
            keepdim: Whether a :math:`(C, H, W)` image stays without a batch axis. Containers set
                it if they are given a ``keepdim`` of their own.
        """
        super().__init__(p=1.0, keepdim=keepdim)
        self._seen: tuple[int, torch.dtype, torch.device] | None = None

    def forward(self, input: Tensor, params: Any = None, **kwargs: Any) -> Tensor:
        """Transform every image.

        Args:
            input: Images.
            params: Parameters of Kornia, unused where there is no randomness.
            **kwargs: Options of Kornia's containers, unused.

        Returns:
            The transformed images, with the leading axes of *input*.

        Raises:
            ValueError: If *input* has fewer than three axes.
        """
        if input.ndim < 3:
            raise ValueError(f'image must be (..., C, H, W), got shape {tuple(input.shape)}')
        output: Tensor = self.apply_transform(input, {}, self.flags)
        batch = input.shape[0] if input.ndim > 3 else 1
        dtype = input.dtype if input.is_floating_point() else torch.get_default_dtype()
        self._seen = batch, dtype, input.device
        return output if input.ndim > 3 or self.keepdim else output.unsqueeze(0)

    @property
    def transform_matrix(self) -> Tensor | None:
        """Identity for each image of the last batch, since no pixel moves."""
        if self._seen is None:
            return None
        batch, dtype, device = self._seen
        return torch.eye(3, dtype=dtype, device=device).expand(batch, 3, 3)

    def transform_masks(self, input: Any, *args: Any, **kwargs: Any) -> Any:
        """Masks, unchanged, without the channel axis that Kornia adds."""
        return input
