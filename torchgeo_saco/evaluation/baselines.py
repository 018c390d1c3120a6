# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Features of images that no encoder computes, as floors that a pre-training has to beat."""

from abc import abstractmethod

import torch
from torch import Tensor
from torchgeo.datasets.utils import Sample
from torchgeo.tasks import BaseTask

from ..transforms import lbp_histogram

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


class ImageFeatures(BaseTask):
    """Base class of features that nothing has to be trained for.

    ``torchgeo-saco evaluate`` takes them as encoders by their class path.
    """

    def configure_models(self) -> None:
        """Initialize nothing."""

    @abstractmethod
    def forward(self, image: Tensor) -> Tensor:
        """Compute the features of images, (B, C, H, W) to (B, D)."""

    def embed(self, batch: Sample) -> Tensor:
        """Compute the features of all dates of a batch, one after the other.

        Args:
            batch: ``image`` (B, T, C, H, W) or (B, C, H, W), as reflectance.

        Returns:
            Features, (B T, D).
        """
        features: Tensor = self(batch['image'].flatten(0, -4))
        return features


class ImageStatistics(ImageFeatures):
    """Mean, standard deviation, minimum, quartiles and maximum of every band, (B, 7 C).

    References:
        Corley et al., 2024, https://arxiv.org/abs/2305.13456, section 3: statistics of images as a
        floor for pre-trained encoders.
    """

    def forward(self, image: Tensor) -> Tensor:
        """Compute the statistics."""
        pixels = image.flatten(2)
        shares = torch.tensor(_QUANTILES, dtype=pixels.dtype, device=pixels.device)
        quantiles = pixels.quantile(shares, dim=-1).movedim(0, -1).flatten(1)
        return torch.cat([pixels.mean(-1), pixels.std(-1), quantiles], dim=1)


class LBPHistograms(ImageFeatures):
    """Histograms of the local binary patterns of every band, (B, 18 C).

    References:
        SACo+, 2025, https://doi.org/10.1016/j.isprsjprs.2025.02.024
    """

    def __init__(self, points: int = 16, radius: float = 2.0) -> None:
        """Initialize a new LBPHistograms instance.

        Args:
            points: Neighbours on the circle of the pattern.
            radius: Its radius, in pixels.
        """
        super().__init__()

    def forward(self, image: Tensor) -> Tensor:
        """Compute the histograms."""
        histograms = lbp_histogram(image, self.hparams['points'], self.hparams['radius'])
        return histograms.flatten(1)


class ColorAndTexture(ImageFeatures):
    """:class:`ImageStatistics` beside :class:`LBPHistograms`, (B, 25 C), each of length one."""

    def configure_models(self) -> None:
        """Initialize both."""
        self.parts = torch.nn.ModuleList([ImageStatistics(), LBPHistograms()])

    def forward(self, image: Tensor) -> Tensor:
        """Compute both."""
        parts = [torch.nn.functional.normalize(part(image)) for part in self.parts]
        return torch.cat(parts, dim=1)
