# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Dual-SimCLR: two modalities of a location are each other's positives."""

import torch
from lightly.loss import NTXentLoss
from torch import Tensor

from ..runtime.distributed import world_size
from .contrastive import Contrast
from .dual import DualTask


class DualSimCLR(DualTask):
    r"""Dual-SimCLR: Sentinel-1 and Sentinel-2 images of a location are each other's positives.

    Projections of both modalities are compared by the normalised temperature-scaled cross-entropy
    of SimCLR; all other images of the batch, of either modality, are negatives. Nothing but a crop
    is drawn at random. On groups of bands and their textures (*input_bands* null), which the paper
    does not have, the mean over the groups is compared, and the groups are drawn to it as in SACo+.

    If you use this task in your research, please cite:

    * Dual-SimCLR: https://doi.org/10.5194/isprs-annals-V-3-2022-705-2022
    """

    def contrast(self, image: Tensor, location: Tensor) -> Contrast:
        """Contrast the two modalities.

        Args:
            image: Images of both sensors, (B, T, C, H, W). The first date counts.
            location: Number of the location of each image, (B).

        Returns:
            Losses, and the features they compare.
        """
        first, second = self.project(self.views.augmented(image[:, 0]))
        # Memory of lightly's loss is of MoCo, and stays empty.
        nt_xent = NTXentLoss(self.hparams['temperature'], gather_distributed=world_size() > 1)
        with torch.autocast(image.device.type, enabled=False):
            loss = nt_xent(first[0].mean(1), second[0].mean(1))
        losses = self.losses('nt_xent', loss, 2 * len(image) * world_size() - 1, second[0])
        return Contrast(losses, first, second.mean(2))
