# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""What all contrastive tasks share: groups, key encoder, queues, views, records."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import MultiStepLR
from torchgeo.datasets.utils import Sample
from torchvision.models._api import WeightsEnum

from ..losses import AlignmentLoss, InfoNCE
from ..metrics import alignment, effective_rank, feature_std, uniformity
from ..models import Projectors, create_backbone, group_features
from ..models.change import ChangeEstimate
from ..models.momentum import KeyQueue, follow, key_copy
from ..runtime.compile import compile_module
from ..runtime.distributed import (
    exclude_buffers_from_ddp,
    require_whole_layers,
    shuffled,
    unshuffled,
    world_size,
)
from ..runtime.memory import keep_freed_memory
from ..runtime.nonfinite import NonFiniteGuard
from ..runtime.precision import require_bfloat16
from ..runtime.seeding import run_seed, torch_seeded
from ..transforms import ContrastiveViews
from .embedding import EmbeddingTask

# Below this a batch of embeddings is one point, for all that training can use.
_COLLAPSED = 0.01


class Contrast(NamedTuple):
    """What one step of a method yields."""

    #: Parts of the loss by name; their sum is minimised.
    losses: dict[str, Tensor]

    #: Projections of every group in every sub-space by the online encoder, (S, B, G, D).
    query: Tensor

    #: Positive of every sub-space, (S, B, D).
    key: Tensor


class ContrastiveTask(EmbeddingTask):
    """Base class of the tasks that pre-train an encoder by contrast.

    A method derives from it, lists the arguments that it adds or whose defaults differ, and says
    in :meth:`contrast` what it draws together. The encoder sees groups of three bands and their
    textures, one backbone for all, or one image of any bands (*inputs*). Groups of an image are
    drawn to their mean in every method: with groups it is "semantically aware".

    The online backbone is ``self.model``, so stock TorchGeo tasks load the checkpoint by
    ``weights:``.
    """

    monitor = 'train_loss'

    #: Sub-spaces of the embedding.
    spaces: int = 1

    #: The sub-space in which dates of one place lie close.
    season_space: int = 0

    #: Years that a sample holds, an axis of its own if there are several.
    years: int = 1

    def __init__(
        self,
        model: str = 'resnet18',
        weights: WeightsEnum | str | bool | None = None,
        bands: Sequence[str] | None = None,
        groups: Sequence[str] | Mapping[str, Sequence[str]] | None = ('natural_color',),
        sensor: str | None = None,
        texture: bool | Sequence[str] = False,
        texture_points: int = 16,
        texture_radius: float = 2.0,
        inputs: Sequence[str] | None = None,
        hidden_dims: Sequence[int] | None = None,
        output_dim: int = 128,
        projector_norm: bool = False,
        temperature: float = 0.07,
        queue_size: int = 16384,
        momentum: float = 0.999,
        shuffle_bn: bool = False,
        alignment_weight: float = 1.0,
        size: int = 224,
        crop: float = 0.2,
        rotation: float = 0.0,
        zoom: float = 1.0,
        gain: float = 0.4,
        shift: float = 0.1,
        jitter: float = 0.8,
        grayscale: float = 0.2,
        blur: float = 0.5,
        optimizer: Literal['adam', 'sgd'] = 'sgd',
        lr: float = 0.03,
        sgd_momentum: float = 0.9,
        weight_decay: float = 1e-4,
        milestones: Sequence[float] = (0.6, 0.8),
        compile: bool = False,
        checkpoint_groups: bool = False,
    ) -> None:
        """Initialize a new ContrastiveTask instance.

        Defaults are those of MoCo v2, SeCo and CACo, unless said otherwise.

        Args:
            model: Name of the `timm
                <https://huggingface.co/docs/timm/reference/models>`__ model to use.
            weights: Initial weights of the backbone. Either a weight enum, the string
                representation of a weight enum, True for ImageNet weights (they are downloaded),
                False or None for random weights, or the path to a saved model state dict.
            bands: Names of the channels of the images, or None to take them from the datamodule.
            groups: Published groups by name, a mapping from names of your own to three bands
                each, or None for all published groups. What the bands cannot form is left out.
                ``[natural_color]`` without texture is plain RGB.
            sensor: Sensor of the bands, a key of :data:`torchgeo_saco.bands.SENSORS`, or None
                to take it from the datamodule, else Sentinel-2.
            texture: Whether the textures of the groups are groups too, or the names of the
                groups whose textures are.
            texture_points: Neighbours on the circle of the local binary pattern.
            texture_radius: Its radius, in pixels.
            inputs: Bands that the backbone takes at once as one image, in place of groups and
                textures, which then do not count; None for groups.
            hidden_dims: Widths of the hidden layers of each projector, or None for one as wide
                as the features of the backbone.
            output_dim: Length of the projections that are contrasted.
            projector_norm: Whether BatchNorm follows every layer of a projector, as in MoCo v3
                (ours: it keeps nets that start from random weights from collapsing).
            temperature: Temperature of the contrast.
            queue_size: Keys kept as negatives in each sub-space.
            momentum: Share of the key encoder that stays in each step.
            shuffle_bn: Whether processes that train together mix the images of their keys before
                the key encoder, as in MoCo, so that BatchNorm cannot tell a query's own key by
                the statistics of its batch. One process alone has nothing to mix.
            alignment_weight: Weight of the alignment of groups with their mean, if there is more
                than one.
            size: Side of a view, in pixels.
            crop: Smallest share of the ground in a view; 1 for all of it.
            rotation: Largest rotation of an augmented view, in degrees.
            zoom: Largest enlargement of an augmented view.
            gain: Largest relative change of reflectance in an augmented view.
            shift: Largest added change of reflectance in an augmented view.
            jitter: Probability of gain, and of shift.
            grayscale: Probability that all bands of an augmented view become their mean.
            blur: Probability that an augmented view is blurred.
            optimizer: Stochastic gradient descent, or Adam.
            lr: Learning rate.
            sgd_momentum: Momentum of stochastic gradient descent.
            weight_decay: Weight decay.
            milestones: Shares of the epochs after which the learning rate falls to a tenth; without
                ``max_epochs`` it never does.
            compile: Whether backbone and textures are compiled, which takes a minute once; without
                a compiler they run as they are.
            checkpoint_groups: Whether the encoder sees one group after the other, and anew in
                the backward pass: memory is that of one group, the step takes a third longer,
                and BatchNorm has the statistics of each group alone.

        Raises:
            ValueError: If an argument is out of range, or no group can be formed.
        """
        self.weights = weights
        super().__init__()

    @property
    def dates(self) -> int:
        """Dates of a place, and year, that a sample must hold."""
        return 1

    @property
    def keyed(self) -> bool:
        """Whether there are a key encoder and queues."""
        return True

    def configure_models(self) -> None:
        """Initialize backbone, projectors, their key copies, queues and views."""
        super().configure_models()
        arguments = self.hparams
        channels = 3 if arguments['inputs'] is None else len(arguments['inputs'])
        model = create_backbone(arguments['model'], self.weights, channels)
        # As its inputs are, lest weights be put in order at every call.
        self.model = model.to(memory_format=torch.channels_last)
        self.projector = Projectors(
            int(self.model.num_features),
            arguments['hidden_dims'],
            arguments['output_dim'],
            self.spaces,
            arguments['projector_norm'],
        )
        if self.keyed:
            if arguments['queue_size'] < self.years:
                raise ValueError(
                    f'the queue must hold at least 1 key of each year, got '
                    f'queue_size={arguments["queue_size"]}; set it to {self.years} or more'
                )
            self.model_momentum = key_copy(self.model)
            self.projector_momentum = key_copy(self.projector)
            # One a sub-space and year, which share the keys of the sub-space.
            size, dim = arguments['queue_size'] // self.years, arguments['output_dim']
            self.queues = nn.ModuleList(
                KeyQueue(size, dim) for _ in range(self.spaces * self.years)
            )
        options = ('size', 'rotation', 'zoom', 'gain', 'shift', 'crop', 'jitter', 'grayscale')
        self.views = ContrastiveViews(**{name: arguments[name] for name in (*options, 'blur')})
        self.watch = NonFiniteGuard()
        self._warned = False
        self._followed = -1
        if arguments['bands'] is not None:
            self.configure_bands(arguments['bands'], arguments['sensor'])

    def configure_losses(self) -> None:
        """Initialize the loss criterion."""
        self.nce = InfoNCE(self.hparams['temperature'])
        self.align = AlignmentLoss()
        if self.hparams['optimizer'] not in ('adam', 'sgd'):
            raise ValueError(f'optimizer must be adam or sgd, got {self.hparams["optimizer"]!r}')
        if not 0 <= self.hparams['momentum'] <= 1:
            raise ValueError(f'momentum is a share from 0 to 1, got {self.hparams["momentum"]}')
        wrong = [share for share in self.hparams['milestones'] if not 0 < share <= 1]
        if wrong:
            raise ValueError(f'milestones are shares of the epochs from 0 to 1, got {wrong[0]}')

    def configure_optimizers(self) -> Any:
        """Initialize the optimizer and learning rate scheduler.

        Returns:
            Optimizer of the online encoder, and its scheduler if the rate ever falls.
        """
        arguments = self.hparams
        trained = [weight for weight in self.parameters() if weight.requires_grad]
        optimizer: Optimizer
        if arguments['optimizer'] == 'adam':
            optimizer = Adam(trained, arguments['lr'], weight_decay=arguments['weight_decay'])
        else:
            optimizer = SGD(
                trained,
                arguments['lr'],
                arguments['sgd_momentum'],
                weight_decay=arguments['weight_decay'],
            )
        epochs = self.trainer.max_epochs if self._trainer else None
        if not arguments['milestones'] or epochs is None or epochs < 1:
            return optimizer
        steps = [round(share * epochs) for share in arguments['milestones']]
        return {'optimizer': optimizer, 'lr_scheduler': MultiStepLR(optimizer, steps)}

    def setup(self, stage: str) -> None:
        """Take the bands from the datamodule, and refuse what cannot work.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            ValueError: If bands are unknown or wrong, samples hold too few dates, or the queue is
                larger than the data set.
        """
        super().setup(stage)
        datamodule = getattr(self.trainer, 'datamodule', None)
        if stage == 'fit':
            self._require_series(datamodule)
            require_whole_layers(self, self.trainer)
            # Every process holds the same of its own accord.
            exclude_buffers_from_ddp(self, (KeyQueue, ChangeEstimate))
            self._require_items(getattr(datamodule, 'train_items', 0))
            self._prepare_device(self.trainer.strategy.root_device)

    def _prepare_device(self, device: torch.device) -> None:
        """Compile for a device, and say if it is slow at, or wrong in, what is asked of it."""
        if device.type == 'cpu':
            keep_freed_memory()
        if str(self.trainer.precision).startswith('bf16'):
            inputs, size = self.hparams['inputs'], self.hparams['size']
            require_bfloat16(device, self.model, 3 if inputs is None else len(inputs), size)
        if self.hparams['compile']:
            compile_module(self.model, device, 'the backbone')
            if self.keyed:
                compile_module(self.model_momentum, device, 'the backbone')

    def queue(self, space: int = 0, year: int = 0) -> KeyQueue:
        """Queue of a sub-space and year."""
        queue: KeyQueue = self.queues[self.years * space + year]  # type: ignore[assignment]
        return queue

    @abstractmethod
    def contrast(self, image: Tensor, location: Tensor) -> Contrast:
        """Compare views of the images, and put their keys in the queues.

        Args:
            image: Reflectance, (B, T, C, H, W), or (B, Y, T, C, H, W) of several :attr:`years`.
            location: Number of the place of each image, (B).

        Returns:
            Losses, and the features they compare.
        """

    def objective(self, image: Tensor, location: Tensor) -> Contrast:
        """Losses of the method, and the alignment of the groups if there are several.

        Args:
            image: As for :meth:`contrast`.
            location: Number of the place of each image, (B).

        Returns:
            All losses, and the features they compare.
        """
        contrast = self.contrast(image, location)
        if contrast.query.shape[2] == 1:
            return contrast
        aligned = self.hparams['alignment_weight'] * self.align(contrast.query.flatten(0, 1))
        return contrast._replace(losses=contrast.losses | {'group_alignment': aligned})

    def query(self, view: Tensor) -> Tensor:
        """Projections of every group by the online encoder, (S, B, G, D)."""
        return self.projector(self._features(self.model, view))

    @torch.no_grad()
    def key(self, view: Tensor) -> Tensor:
        """Clusters of the groups by the key encoder, (S, B, D)."""
        view, places = shuffled(view) if self.hparams['shuffle_bn'] else (view, None)
        features = self._features(self.model_momentum, view)
        keys = self.projector_momentum(features).mean(2)
        return unshuffled(keys.transpose(0, 1), places).transpose(0, 1)

    def _features(self, backbone: nn.Module, view: Tensor) -> Tensor:
        """Features of every group of a view, (B, G, C)."""
        return group_features(backbone, self.group_images(view), self.hparams['checkpoint_groups'])

    def training_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Compute the training loss and additional metrics.

        Args:
            batch: ``image`` (B, T, C, H, W), (B, C, H, W), or of years (B, Y, T, C, H, W), as
                reflectance; ``location`` (B), without which every image counts as a place of its
                own.
            batch_idx: Index of this batch.
            dataloader_idx: Index of the current dataloader.

        Returns:
            The loss tensor.

        Raises:
            ValueError: If the batch has other channels than named or too few dates, or the loss
                is not finite.
        """
        image, location = self._training_images(batch), self._locations(batch)
        # Before the net sees them, for BatchNorm would keep NaN for ever.
        image = self.watch.images(image, location, self.global_step)
        self._follow()
        with torch_seeded(run_seed(), self._batches, self.global_rank, device=self.device):
            losses, query, key = self.objective(image, location)
        loss = torch.stack(list(losses.values())).sum()
        self.watch.loss(loss, location, self.global_step)
        parts = {f'train_{name}': part.detach() for name, part in losses.items()}
        self.log_dict(parts, batch_size=len(image))
        # Set on the trainer by Lightning's logger, which its types do not know.
        every = getattr(self.trainer, 'log_every_n_steps', 1)
        if self.global_step % every == 0 and query.shape[1] > 1:
            self.record(query[self.season_space].detach().mean(1), key[self.season_space].detach())
        return loss

    def on_after_backward(self) -> None:
        """Stop at images or a loss that are not finite; log the loss, from the host.

        Raises:
            ValueError: If an image or the loss is not finite, on a GPU.
        """
        loss = self.watch.finish()
        if loss is not None:
            # The progress bar asks for it at every step, and a GPU would have to be waited for.
            self.log('train_loss', loss, prog_bar=True)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Stop before a gradient that is not finite reaches a weight, on a CPU.

        Args:
            optimizer: The optimizer that is about to step.

        Raises:
            ValueError: If a gradient is NaN or infinite.
        """
        self.watch.gradients(self.parameters())

    def validation_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log how close two dates of a place lie, and how evenly places spread.

        Of two years the older one counts. With one date in the samples there is no alignment.

        Args:
            batch: As for :meth:`training_step`.
            batch_idx: Index of this batch.
            dataloader_idx: Index of the current dataloader.
        """
        self._shared_eval(batch, 'val')

    def test_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """As :meth:`validation_step`, under ``test_alignment`` and ``test_uniformity``.

        Args:
            batch: As for :meth:`training_step`.
            batch_idx: Index of this batch.
            dataloader_idx: Index of the current dataloader.
        """
        self._shared_eval(batch, 'test')

    def _shared_eval(self, batch: Sample, stage: str) -> None:
        """Log alignment of the first and last date of a year, and uniformity."""
        image = self._images(batch)
        image = image[:, 0] if image.ndim == 6 else image
        first, last = (
            self.query(self.views.original(image[:, t]))[self.season_space].mean(1) for t in (0, -1)
        )
        aligned, count = alignment(first, last), len(image)
        # One date is perfectly aligned with itself.
        if image.shape[1] > 1:
            self._log_mean(f'{stage}_alignment', aligned, count)
        if count > 1:
            self._log_mean(f'{stage}_uniformity', uniformity(first), count)
        elif world_size() > 1:
            # Others may have two images, and wait for this process to tell its sum.
            self._log_mean(f'{stage}_uniformity', torch.zeros_like(aligned), 0)

    def _log_mean(self, name: str, value: Tensor, count: int) -> None:
        """Log the mean of an epoch over the images of all processes."""
        # A multiple of their number, for Lightning rounds the mean count of images down.
        self.log(name, value, batch_size=count * world_size(), sync_dist=True)

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

    def _follow(self) -> None:
        """Move the key encoder once a step of the optimizer, however many batches it takes."""
        if self.keyed and self._followed != self.global_step:
            follow(self.model, self.model_momentum, self.hparams['momentum'])
            follow(self.projector, self.projector_momentum, self.hparams['momentum'])
            self._followed = self.global_step

    def _training_images(self, batch: Sample) -> Tensor:
        """Images of a training sample, with as many years and dates as the method needs."""
        image = self._images(batch)
        if self.years == 1:
            image = image.flatten(1, -4)
        elif image.ndim != 6 or image.shape[1] != self.years:
            raise ValueError(
                f'{type(self).__name__} needs {self.years} years of a place as an axis, (B, '
                f'{self.years}, T, C, H, W), got {tuple(image.shape)}; set item=years of the '
                'datamodule'
            )
        self._require_dates(image.shape[-4])
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

    def _require_series(self, datamodule: Any) -> None:
        """Refuse data whose samples hold too few years or dates."""
        years = getattr(datamodule, 'years', self.years)
        if years < self.years:
            raise ValueError(
                f'{type(self).__name__} needs {self.years} years of a place as an axis; set '
                'data.init_args.item to years'
            )
        self._require_dates(getattr(datamodule, 'dates', self.dates) * years // self.years)

    def _require_dates(self, dates: int) -> None:
        """Refuse samples of fewer dates than the method compares."""
        if dates < self.dates:
            each = ' in each year' if self.years > 1 else ''
            raise ValueError(
                f'{type(self).__name__} compares {self.dates} dates of a place{each}, samples have '
                f'{dates}; set data.init_args.dates to {self.dates}'
            )

    def _require_items(self, items: int) -> None:
        """Refuse a queue that would hold every place several times."""
        size = self.hparams['queue_size'] // self.years
        if self.keyed and items and size > items:
            raise ValueError(
                f'queue_size={self.hparams["queue_size"]} is larger than the data set of {items} '
                f'training items; set model.init_args.queue_size to at most {items * self.years}'
            )
