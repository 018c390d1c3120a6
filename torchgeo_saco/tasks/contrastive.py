# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""What all contrastive tasks share: groups, key encoder, queue, views, records."""

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from einops import rearrange
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torchgeo.datasets.utils import Sample
from torchgeo.tasks import BaseTask

from ..losses import AlignmentLoss, InfoNCE
from ..metrics import alignment, effective_rank, feature_std, uniformity
from ..models import GroupImages, create_backbone, group_features
from ..momentum import KeyQueue, follow, key_copy
from ..randomness import run_seed, torch_seeded
from ..transforms import ContrastiveViews

# Below this a batch of embeddings is one point, for all that training can use.
_COLLAPSED = 0.01


class Contrast(NamedTuple):
    """What one step of a method yields."""

    #: Parts of the loss by name; their sum is minimised.
    losses: dict[str, Tensor]

    #: Projections of every group by the online encoder, (B, G, D).
    query: Tensor

    #: Positives by the key encoder, (B, D).
    key: Tensor


class ContrastiveTask(BaseTask):
    """Base class of the tasks that pre-train an encoder of band groups by contrast.

    A method derives from it, lists its arguments, and says in :meth:`contrast` what it draws
    together. The online backbone is ``self.model``, so stock TorchGeo tasks load the checkpoint
    by ``weights:``.
    """

    monitor = 'train_loss'

    #: Channels of the images, or None until the datamodule names them.
    bands: tuple[str, ...] | None = None

    def configure_models(self) -> None:
        """Initialize backbone, projector, their key copies, queue and views."""
        self.model = create_backbone(self.hparams['model'], self.weights)
        hidden, dim = self.hparams['hidden_dims'], self.hparams['output_dim']
        self.projector = _projector(
            int(self.model.num_features), hidden, dim, self.hparams['projector_norm']
        )
        self.model_momentum = key_copy(self.model)
        self.projector_momentum = key_copy(self.projector)
        self.queue = KeyQueue(self.hparams['queue_size'], dim)
        self.views = ContrastiveViews(
            self.hparams['size'],
            self.hparams['rotation'],
            self.hparams['zoom'],
            self.hparams['gain'],
            self.hparams['shift'],
        )
        self.images: GroupImages | None = None
        self._warned = False
        self._followed = -1
        if self.hparams['bands'] is not None:
            self.configure_bands(self.hparams['bands'], self.hparams['sensor'])

    def configure_losses(self) -> None:
        """Initialize the loss criterion."""
        self.nce = InfoNCE(self.hparams['temperature'])
        self.align = AlignmentLoss()
        if not 0 <= self.hparams['momentum'] <= 1:
            raise ValueError(f'momentum is a share from 0 to 1, got {self.hparams["momentum"]}')

    def configure_optimizers(self) -> Optimizer:
        """Initialize the optimizer.

        Returns:
            Adam over the online encoder.
        """
        trained = [weight for weight in self.parameters() if weight.requires_grad]
        return Adam(trained, self.hparams['lr'], weight_decay=self.hparams['weight_decay'])

    def configure_bands(self, bands: Sequence[str], sensor: str | None = None) -> None:
        """Form the groups from the channels of the images.

        Args:
            bands: Names of the channels.
            sensor: Sensor of the bands, or None for the one of the task.

        Raises:
            ValueError: If no group can be formed, or other groups than were trained.
        """
        sensor = sensor or self.hparams['sensor'] or 'sentinel2_l1c'
        images = GroupImages(
            bands,
            self.hparams['groups'],
            sensor,
            self.hparams['texture'],
            self.hparams['texture_points'],
            self.hparams['texture_radius'],
        )
        if self.images is not None:
            trained, here = self.images.spectral.groups, images.spectral.groups
            if trained != here or images.names != self.images.names:
                differ = [
                    f'{name} ({" ".join(of)})' for name, of in trained if (name, of) not in here
                ]
                raise ValueError(
                    f'the bands {", ".join(bands)} cannot form the groups that the encoder was '
                    f'trained on: {", ".join(differ)}; read the bands {", ".join(self.bands or ())}'
                )
            images.load_state_dict(self.images.state_dict())
        self.images = images.to(self.device).train(self.training)
        self.bands = tuple(bands)
        self.hparams['bands'] = list(bands)
        self.hparams['sensor'] = sensor

    def setup(self, stage: str) -> None:
        """Take the bands from the datamodule, and refuse what cannot work.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            ValueError: If bands are unknown or wrong, or the queue is larger than the data set.
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
        items = getattr(datamodule, 'train_items', 0)
        if stage == 'fit' and items and self.hparams['queue_size'] > items:
            raise ValueError(
                f'queue_size={self.hparams["queue_size"]} is larger than the data set of {items} '
                f'training items; set model.init_args.queue_size to at most {items}'
            )

    @abstractmethod
    def contrast(self, image: Tensor, location: Tensor) -> Contrast:
        """Compare views of the images, and put their keys in the queue.

        Args:
            image: Reflectance, (B, T, C, H, W).
            location: Number of the place of each image, (B).

        Returns:
            Losses, and the features they compare.
        """

    def forward(self, image: Tensor) -> Tensor:
        """Embedding of an image: mean over groups of the features of the backbone.

        Args:
            image: Reflectance, (B, C, H, W).

        Returns:
            Embedding, (B, D).
        """
        return self.group_embeddings(image).mean(1)

    def group_embeddings(self, image: Tensor) -> Tensor:
        """Features of the backbone for every group.

        Args:
            image: Reflectance, (B, C, H, W).

        Returns:
            Features, (B, G, D).
        """
        return group_features(self.model, self.group_images(self.views.original(image)))

    def group_images(self, view: Tensor) -> Tensor:
        """Standardised three-channel images of the groups of a view, (B, G, 3, H, W)."""
        if self.images is None:
            raise ValueError('the groups are unknown; set bands of the task to the channel names')
        return self.images(view)

    def query(self, view: Tensor) -> Tensor:
        """Projection of every group by the online encoder, (B, G, D)."""
        features = group_features(self.model, self.group_images(view))
        return _per_group(self.projector, features)

    @torch.no_grad()
    def key(self, view: Tensor) -> Tensor:
        """Cluster of the groups by the key encoder, (B, D)."""
        features = group_features(self.model_momentum, self.group_images(view))
        return _per_group(self.projector_momentum, features).mean(1)

    def training_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Compute the training loss and additional metrics.

        Args:
            batch: ``image`` (B, T, C, H, W) or (B, C, H, W) as reflectance; ``location`` (B),
                without which every image counts as a place of its own.
            batch_idx: Index of this batch.
            dataloader_idx: Index of the current dataloader.

        Returns:
            The loss tensor.

        Raises:
            ValueError: If the batch has other channels than named, or the loss is not finite.
        """
        image, location = self._series(batch), self._locations(batch)
        # Before the net sees them, for BatchNorm would keep NaN for ever.
        self._require_finite('an image', image, location)
        # Once a step of the optimizer, however many batches it takes.
        if self._followed != self.global_step:
            follow(self.model, self.model_momentum, self.hparams['momentum'])
            follow(self.projector, self.projector_momentum, self.hparams['momentum'])
            self._followed = self.global_step
        with torch_seeded(run_seed(), self._batches, self.global_rank, device=self.device):
            losses, query, key = self.contrast(image, location)
        loss = torch.stack(list(losses.values())).sum()
        self._require_finite('the loss', loss, location)
        parts = {f'train_{name}': part.detach() for name, part in losses.items()}
        self.log_dict(parts, batch_size=len(image))
        self.log('train_loss', loss.detach(), prog_bar=True, batch_size=len(image))
        # Set on the trainer by Lightning's logger, which its types do not know.
        every = getattr(self.trainer, 'log_every_n_steps', 1)
        if self.global_step % every == 0 and len(image) > 1:
            self.record(query.detach().mean(1), key)
        return loss

    def validation_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log how close dates of a place lie, and how evenly places spread.

        Args:
            batch: As for :meth:`training_step`.
            batch_idx: Index of this batch.
            dataloader_idx: Index of the current dataloader.
        """
        image = self._series(batch)
        first, last = (self.query(self.views.original(image[:, t])).mean(1) for t in (0, -1))
        self.log('val_alignment', alignment(first, last), batch_size=len(image))
        if len(image) > 1:
            self.log('val_uniformity', uniformity(first), batch_size=len(image))

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

    def record(self, query: Tensor, key: Tensor) -> None:
        """Log measures of the embedding; warn of collapse once.

        Args:
            query: Clusters by the online encoder, (B, D).
            key: Their positives, (B, D).
        """
        measures = {
            'feature_std': feature_std(query),
            'alignment': alignment(query, key),
            'uniformity': uniformity(query),
            'effective_rank': effective_rank(query),
        }
        self.log_dict(measures, batch_size=len(query))
        if measures['feature_std'] < _COLLAPSED and not self._warned:
            self._warned = True
            rank_zero_warn(
                f'features have collapsed: feature_std is {measures["feature_std"]:.4f}, where 1 '
                'is an even spread; lower lr, raise temperature, or enlarge batch and queue'
            )

    def _require_finite(self, name: str, values: Tensor, location: Tensor) -> None:
        """Stop before NaN or infinity reaches a weight."""
        if not torch.isfinite(values).all():
            raise ValueError(
                f'{name} is NaN or infinite at step {self.global_step}, on the places number '
                f'{sorted(set(location.tolist()))}, counted from 0 in the order of their folders; '
                'look at their files, or lower lr'
            )

    def _series(self, batch: Sample) -> Tensor:
        """Images with a time axis, and the channels the groups are made from."""
        image = batch['image']
        if image.ndim == 4:
            image = image[:, None]
        bands = self.bands or ()
        if image.ndim != 5 or image.shape[2] != len(bands):
            raise ValueError(
                f'image must be (B, T, {len(bands)}, H, W) or (B, {len(bands)}, H, W) with the '
                f'bands {", ".join(bands)}, got {tuple(batch["image"].shape)}'
            )
        return image

    def _locations(self, batch: Sample) -> Tensor:
        """Number of the place of each image."""
        if 'location' in batch:
            return batch['location']
        count = len(batch['image'])
        return torch.arange(count, device=self.device) + self._batches * count

    @property
    def _batches(self) -> int:
        """Training batches so far, also over a resume."""
        return self.trainer.fit_loop.total_batch_idx if self._trainer else 0

    def _report_groups(self, images: GroupImages) -> None:
        """Say which groups the encoder sees, and which are left out."""
        rank_zero_info(f'groups: {", ".join(images.names)}')
        for group in images.spectral.omitted:
            rank_zero_info(f'left out: group {group.name}, for {group.reason}')


def _projector(width: int, hidden: Sequence[int], dim: int, norm: bool) -> nn.Sequential:
    """Linear layers with ReLU between them, each followed by BatchNorm if asked for."""
    layers: list[nn.Module] = []
    for first, second in pairwise([width, *hidden]):
        layers += [nn.Linear(first, second, bias=not norm)]
        layers += [nn.BatchNorm1d(second)] if norm else []
        layers += [nn.ReLU(inplace=True)]
    layers += [nn.Linear([width, *hidden][-1], dim, bias=not norm)]
    layers += [nn.BatchNorm1d(dim, affine=False)] if norm else []
    return nn.Sequential(*layers)


def _per_group(projector: nn.Module, features: Tensor) -> Tensor:
    """Projections of (B, G, D) features, for BatchNorm takes no group axis."""
    projections = projector(features.flatten(0, 1))
    return projections.unflatten(0, features.shape[:2])
