# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""What all tasks share whose encoder sees band groups: bands by name, embeddings, predictions."""

from collections.abc import Sequence

from einops import rearrange
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor
from torchgeo.datasets.utils import Sample
from torchgeo.tasks import BaseTask

from ..models import BandInputs, GroupInputs, encoder_inputs, group_features
from ..transforms import ContrastiveViews


class EmbeddingTask(BaseTask):
    """Base class of the tasks that train an encoder of groups without labels.

    It takes the channels of the images from the datamodule, by name, and embeds images. Arguments
    that it reads: ``groups``, ``sensor``, ``texture``, ``texture_points``, ``texture_radius``,
    ``inputs`` and ``bands``.
    """

    #: Channels of the images, or None until the datamodule names them.
    bands: tuple[str, ...] | None = None

    #: Brings images to the size that the backbone sees.
    views: ContrastiveViews

    def configure_models(self) -> None:
        """Leave what the backbone is shown open, until the bands are known."""
        # No class attribute, which would hide the module that takes its place.
        self.images: GroupInputs | BandInputs | None = None

    def configure_bands(self, bands: Sequence[str], sensor: str | None = None) -> None:
        """ReadOptions the groups from the channels of the images.

        Args:
            bands: Names of the channels.
            sensor: Sensor of the bands, or None for the one of the task.

        Raises:
            ValueError: If no group can be formed, or other groups than were trained.
        """
        sensor = sensor or self.hparams['sensor'] or 'sentinel2_l1c'
        images = encoder_inputs(bands, sensor, self.hparams)
        if self.images is not None:
            self._require_same(self.images, images, bands)
            images.load_state_dict(self.images.state_dict())
        self.images = images.to(self.device).train(self.training)
        self.bands = tuple(bands)
        self.hparams['bands'] = list(bands)
        self.hparams['sensor'] = sensor

    def _require_same(
        self,
        trained: GroupInputs | BandInputs,
        images: GroupInputs | BandInputs,
        bands: Sequence[str],
    ) -> None:
        """Refuse images of other groups than the encoder was trained on."""
        if trained.channels != images.channels:
            differ = [
                f'{name} ({" ".join(of)})'
                for name, of in trained.channels.items()
                if images.channels.get(name) != of
            ]
            raise ValueError(
                f'the bands {", ".join(bands)} cannot form the groups that the encoder was '
                f'trained on: {", ".join(differ)}; read the bands {", ".join(self.bands or ())}'
            )

    def setup(self, stage: str) -> None:
        """Take the bands from the datamodule.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            ValueError: If bands are unknown, or others than the encoder was trained on.
        """
        datamodule = getattr(self.trainer, 'datamodule', None)
        bands = getattr(datamodule, 'bands', None)
        sensor = getattr(datamodule, 'sensor', None)
        if None not in (sensor, self.hparams['sensor']) and sensor != self.hparams['sensor']:
            raise ValueError(
                f'the task is set to sensor {self.hparams["sensor"]}, the data to {sensor}; set '
                'model.init_args.sensor and data.init_args.sensor to the same'
            )
        if bands is not None and tuple(bands) != self.bands:
            self.configure_bands(bands, sensor)
        if self.images is None:
            raise ValueError('the datamodule does not name its bands; set bands of the task')
        self._report_groups(self.images)

    def forward(self, image: Tensor) -> Tensor:
        """Embedding of an image: mean over groups of the features of the backbone.

        Args:
            image: Reflectance, (B, C, H, W).

        Returns:
            Embedding, (B, D).
        """
        return self.group_embeddings(image).mean(1)

    def embed(self, batch: Sample) -> Tensor:
        """Embeddings of all images of a batch, one after the other.

        Args:
            batch: As for :meth:`training_step`.

        Returns:
            Embeddings, (B T, D).
        """
        return self(self._series(batch).flatten(0, 1))

    def group_embeddings(self, image: Tensor) -> Tensor:
        """Features of the backbone for every group.

        Args:
            image: Reflectance, (B, C, H, W).

        Returns:
            Features, (B, G, D).
        """
        return group_features(self.model, self.group_images(self.views.original(image)))

    def group_images(self, view: Tensor) -> Tensor:
        """Standardised images of the groups of a view, (B, G, 3, H, W)."""
        if self.images is None:
            raise ValueError('the groups are unknown; set bands of the task to the channel names')
        return self.images(view)

    def predict_step(
        self, batch: Sample, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Embeddings of every date.

        Args:
            batch: As for :meth:`training_step`.
            batch_idx: Index of this batch.
            dataloader_idx: Index of the current dataloader.

        Returns:
            ``embedding`` (B, T, D), the cluster; ``groups`` (B, T, G, D); and ``location``,
            ``date`` and ``label`` where the batch has them.
        """
        image = self._series(batch)
        groups = self.group_embeddings(image.flatten(0, 1))
        groups = rearrange(groups, '(b t) g d -> b t g d', b=len(image))
        embeddings = {'embedding': groups.mean(2), 'groups': groups}
        for key in ('location', 'date', 'label'):
            if key in batch:
                embeddings[key] = batch[key]
        return embeddings

    def _series(self, batch: Sample) -> Tensor:
        """Images with one time axis, whatever the years."""
        return self._images(batch).flatten(1, -4)

    def _images(self, batch: Sample) -> Tensor:
        """Images with a time axis, and the channels the encoder is made for."""
        image = batch['image']
        if image.ndim == 4:
            image = image[:, None]
        bands = self.bands or ()
        if image.ndim not in (5, 6) or image.shape[-3] != len(bands):
            raise ValueError(
                f'image must be (B, T, {len(bands)}, H, W) or (B, {len(bands)}, H, W) with the '
                f'bands {", ".join(bands)}, got {tuple(batch["image"].shape)}'
            )
        return image

    def _report_groups(self, images: GroupInputs | BandInputs) -> None:
        """Say what the encoder sees, and which groups are left out."""
        if isinstance(images, BandInputs):
            rank_zero_info(f'one image of the bands {", ".join(self.hparams["inputs"])}')
            return
        rank_zero_info(f'groups: {", ".join(images.names)}')
        for group in images.spectral.skipped:
            rank_zero_info(f'left out: group {group.name}, for {group.reason}')
