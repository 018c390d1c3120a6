# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""MoCo v2: momentum contrast."""

from typing import Any

from torch import Tensor

from .contrastive import Contrast, ContrastiveTask


class MoCo(ContrastiveTask):
    r"""MoCo v2: momentum contrast, of two views of an image or of two dates of a location.

    .. math::

        L = -\log \frac{\exp(q \cdot k / \tau)}
            {\exp(q \cdot k / \tau) + \sum_j \exp(q \cdot n_j / \tau)}

    with :math:`q` an augmented view, :math:`k` another one by a key encoder that follows slowly,
    and :math:`n_j` the keys of earlier images, except those of the same location. On groups and
    textures, with ``temporal=True``, it is SA+MoCo v2.

    If you use this task in your research, please cite:

    * MoCo v2: https://arxiv.org/abs/2003.04297
    * SA+MoCo v2: https://doi.org/10.1016/j.isprsjprs.2025.02.024
    """

    def __init__(self, temporal: bool = False, **kwargs: Any) -> None:
        """Initialize a new MoCo instance.

        Args:
            temporal: Whether the key is another date of the location (MoCo v2 with temporal
                positives), or another view of the same image.
            **kwargs: See :class:`ContrastiveTask`.

        Raises:
            ValueError: If an argument is out of range, or no group can be formed.
        """
        super().__init__(**kwargs)

    @property
    def dates(self) -> int:
        """Two if the key is another date."""
        return 2 if self.hparams['temporal'] else 1

    def contrast(self, image: Tensor, location: Tensor) -> Contrast:
        """Contrast of one key.

        Args:
            image: Reflectance, (B, T, C, H, W). The first date counts, and the second one if
                ``temporal``.
            location: Number of the location of each image, (B).

        Returns:
            Loss, and the features it compares.
        """
        query = self.query(self.views.augmented(image[:, 0]))
        key = self.key(self.views.augmented(image[:, self.dates - 1]))
        queue = self.queue()
        loss = self.info_nce(query[0], key[0], *queue.negatives(location))
        queue.enqueue(key[0], location)
        return Contrast({'nce': loss}, query, key)
