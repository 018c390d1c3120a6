# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Views of one image for contrastive learning."""

from typing import Any

import kornia.augmentation as K
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchgeo.transforms import RandomGrayscale

# Of MoCo v2's radius, in pixels; the kernel holds three deviations.
_BLUR_SIGMA = (0.1, 2.0)
_BLUR_KERNEL = (13, 13)


class ContrastiveViews(nn.Module):
    """Original, cropped and augmented views of a multispectral image.

    All bands of an image share one geometric transform and one gain, so band ratios and the
    match between bands survive. Geometry acts at the resolution of the image; then every view
    is brought to *size*. Defaults are those of SACo+; ``crop=0.2, rotation=0, zoom=1, gain=0.4,
    shift=0.1, jitter=0.8, grayscale=0.2, blur=0.5`` stand for those of MoCo v2, SeCo and CACo, whose hue and
    saturation exist for three bands only.

    Shape:
        - Input: reflectance, :math:`(B, C, H, W)`
        - Output: :math:`(B, C, size, size)`

    References:
        SACo+, 2025, https://doi.org/10.1016/j.isprsjprs.2025.02.024: rotation, crop, flip and colour jitter, each with probability 0.5.
        The original code crops bands at their stored sizes, so that 10, 20 and 60 m bands no
        longer show the same ground, and jitters every band on its own.
        SeCo, 2021, https://arxiv.org/abs/2103.16607, section 3.2: a random crop of every view,
        and artificial augmentation of some.
    """

    def __init__(
        self,
        size: int = 64,
        rotation: float = 180.0,
        zoom: float = 2.0,
        gain: float = 0.1,
        shift: float = 0.01,
        p: float = 0.5,
        crop: float = 1.0,
        jitter: float = 0.5,
        grayscale: float = 0.0,
        blur: float = 0.0,
    ) -> None:
        """Initialize a new ContrastiveViews instance.

        Args:
            size: Side of a view, in pixels.
            rotation: Largest rotation, in degrees, to either side. Corners are reflected.
            zoom: Largest enlargement of a centred window. 2 leaves a quarter of the ground.
            gain: Largest relative change of all reflectances, as by illumination.
            shift: Largest change of all reflectances, as by haze.
            p: Probability of rotation, of enlargement, and of each flip.
            crop: Smallest share of the ground in a cropped view; 1 leaves all of it.
            jitter: Probability of gain, and of shift.
            grayscale: Probability that all bands become their mean.
            blur: Probability of a Gaussian blur, of 0.1 to 2 pixels.

        Raises:
            ValueError: If an argument is out of range.
        """
        super().__init__()
        if size < 1:
            raise ValueError(f'size of a view must be at least 1 px, got {size}')
        if zoom < 1:
            raise ValueError(f'zoom must be at least 1, got {zoom}')
        if not 0 < crop <= 1:
            raise ValueError(f'crop is a share of the ground above 0 and up to 1, got {crop}')
        chances = {'p': p, 'jitter': jitter, 'grayscale': grayscale, 'blur': blur}
        for name, chance in chances.items():
            if not 0 <= chance <= 1:
                raise ValueError(f'{name} is a probability, got {chance}')
        if not 0 <= gain < 1 or shift < 0:
            raise ValueError(f'gain must be in [0, 1) and shift at least 0, got {gain} and {shift}')
        self.size = size
        self.grayscale = grayscale
        # A window enlarged by s can move by half of 1 - 1/s of the side; 1/4 suits s = 2.
        reach = (1 - 1 / zoom) / 2
        steps: list[Any] = [
            K.RandomAffine(rotation, padding_mode='reflection', p=p),
            K.RandomAffine(
                0.0, translate=(reach, reach), scale=(1.0, zoom), padding_mode='reflection', p=p
            ),
            K.RandomHorizontalFlip(p=p),
            K.RandomVerticalFlip(p=p),
            # Kornia's contrast multiplies and its brightness adds.
            K.RandomContrast((1 - gain, 1 + gain), clip_output=False, p=jitter),
            K.RandomBrightness((1 - shift, 1 + shift), clip_output=False, p=jitter),
        ]
        if blur > 0:
            steps.append(K.RandomGaussianBlur(_BLUR_KERNEL, _BLUR_SIGMA, p=blur))
        self.augment = K.AugmentationSequential(*steps, data_keys=['input'])
        self.crop = (
            K.RandomResizedCrop((size, size), (crop, 1.0), cropping_mode='resample')
            if crop < 1
            else None
        )

    def original(self, image: Tensor) -> Tensor:
        """The whole image at the size of a view."""
        if image.shape[-2:] == (self.size, self.size):
            return image
        with torch.autocast(image.device.type, enabled=False):
            return F.interpolate(image, (self.size, self.size), mode='bilinear', antialias=True)

    def cropped(self, image: Tensor) -> Tensor:
        """A random crop, or the whole image if *crop* is 1; nothing else is changed."""
        if self.crop is None:
            return self.original(image)
        with torch.autocast(image.device.type, enabled=False):
            return self.crop(image)

    def augmented(self, image: Tensor) -> Tensor:
        """A random view; draws come from PyTorch's global generator."""
        # Coordinates in bfloat16 would bend the image.
        with torch.autocast(image.device.type, enabled=False):
            image = self.augment(image)
            if self.grayscale > 0:
                weights = torch.ones(image.shape[-3], device=image.device)
                image = RandomGrayscale(weights, p=self.grayscale)(image)
            return self.cropped(image)

    def forward(self, image: Tensor) -> Tensor:
        """See :meth:`augmented`."""
        return self.augmented(image)
