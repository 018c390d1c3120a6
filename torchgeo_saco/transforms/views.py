# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Views of one image for contrastive learning."""

import kornia.augmentation as K
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ContrastiveViews(nn.Module):
    """Original and augmented views of a multispectral image.

    All bands of an image share one geometric transform and one gain, so band ratios and the
    match between bands survive. Geometry acts at the resolution of the image; then every view
    is brought to *size* by the same smoothed resampling.

    Shape:
        - Input: reflectance, :math:`(B, C, H, W)`
        - Output: :math:`(B, C, size, size)`

    References:
        SACo+, 2025, https://doi.org/10.1016/j.isprsjprs.2025.02.024: rotation, crop, flip and colour jitter, each with probability 0.5.
        The original code crops bands at their stored sizes, so that 10, 20 and 60 m bands no
        longer show the same ground, and jitters every band on its own.
    """

    def __init__(
        self,
        size: int = 64,
        rotation: float = 180.0,
        zoom: float = 2.0,
        gain: float = 0.1,
        shift: float = 0.01,
        p: float = 0.5,
    ) -> None:
        """Initialize a new ContrastiveViews instance.

        Args:
            size: Side of a view, in pixels.
            rotation: Largest rotation, in degrees, to either side. Corners are reflected.
            zoom: Largest enlargement of a crop. 2 leaves a quarter of the ground.
            gain: Largest relative change of all reflectances, as by illumination.
            shift: Largest change of all reflectances, as by haze.
            p: Probability of each of them.

        Raises:
            ValueError: If an argument is out of range.
        """
        super().__init__()
        if size < 1:
            raise ValueError(f'size of a view must be at least 1 px, got {size}')
        if zoom < 1:
            raise ValueError(f'zoom must be at least 1, got {zoom}')
        if not 0 <= p <= 1:
            raise ValueError(f'p is a probability, got {p}')
        if not 0 <= gain < 1 or shift < 0:
            raise ValueError(f'gain must be in [0, 1) and shift at least 0, got {gain} and {shift}')
        self.size = size
        # A window enlarged by s can move by half of 1 - 1/s of the side; 1/4 suits s = 2.
        reach = (1 - 1 / zoom) / 2
        self.augment = K.AugmentationSequential(
            K.RandomAffine(rotation, padding_mode='reflection', p=p),
            K.RandomAffine(
                0.0, translate=(reach, reach), scale=(1.0, zoom), padding_mode='reflection', p=p
            ),
            K.RandomHorizontalFlip(p=p),
            K.RandomVerticalFlip(p=p),
            # Kornia's contrast multiplies and its brightness adds.
            K.RandomContrast((1 - gain, 1 + gain), clip_output=False, p=p),
            K.RandomBrightness((1 - shift, 1 + shift), clip_output=False, p=p),
            data_keys=['input'],
        )

    def original(self, image: Tensor) -> Tensor:
        """The image at the size of a view."""
        if image.shape[-2:] == (self.size, self.size):
            return image
        with torch.autocast(image.device.type, enabled=False):
            return F.interpolate(image, (self.size, self.size), mode='bilinear', antialias=True)

    def augmented(self, image: Tensor) -> Tensor:
        """A random view; draws come from PyTorch's global generator."""
        # Coordinates in bfloat16 would bend the image.
        with torch.autocast(image.device.type, enabled=False):
            return self.original(self.augment(image))

    def forward(self, image: Tensor) -> Tensor:
        """See :meth:`augmented`."""
        return self.augmented(image)
