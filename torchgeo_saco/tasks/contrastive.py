# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Base class of the contrastive tasks."""

import math
from abc import abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from einops import rearrange
from lightly.models.utils import update_momentum
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer
from torchgeo.datasets.utils import Sample
from torchvision.models._api import WeightsEnum

from ..losses import AlignmentLoss, InfoNCE, chance_level
from ..losses.contrastive import TEMPERATURE_RANGE
from ..metrics import alignment, embedding_measures, uniformity
from ..models import BandInputs, Encoder, GroupInputs, Projectors, create_backbone, matching_inputs
from ..models.change import ChangeEstimate
from ..models.momentum import KeyQueue, key_copy
from ..models.texture import TextureFeatures, texture_features
from ..runtime.checks import check_ranges, declared_ranges
from ..runtime.device import prepare_device
from ..runtime.distributed import (
    exclude_buffers_from_ddp,
    require_whole_layers,
    shuffle_ranks,
    unshuffle_ranks,
    world_size,
)
from ..runtime.nonfinite import NonFiniteGuard
from ..runtime.seeding import run_seed, torch_seeded
from ..transforms import ContrastiveViews
from .channels import batch_image, unfold_dates
from .hyperparameters import momentum_advice, scaled_hyperparameters
from .optimization import make_optimizer, make_schedulers, require_schedule
from .requirements import largest_queue, require_data, require_dates, require_years, training_steps
from .resumable import ResumableTask

# Arguments of a task that are those of its views.
_VIEW_ARGUMENTS = (
    'size', 'crop', 'rotation', 'zoom', 'horizontal_flip', 'vertical_flip', 'contrast', 'shift',
    'jitter', 'grayscale', 'blur',
)  # fmt: skip

# A standard deviation of features below this counts as collapse.
_COLLAPSED = 0.01

# Steps over which the loss beside chance is averaged.
_RECENT = 50


class Contrast(NamedTuple):
    """Losses of one step of a method, and the features they compare."""

    #: Parts of the loss by name; their sum is minimized.
    losses: dict[str, Tensor]

    #: Projections of every group in every sub-space by the online encoder, (S, B, G, D).
    query: Tensor

    #: Positive of every sub-space, (S, B, D).
    key: Tensor


class ContrastiveTask(ResumableTask):
    """Base class of the tasks that pre-train an encoder by contrast.

    A method derives from it, declares the arguments that it adds or whose defaults differ, and
    implements :meth:`contrast`. The encoder sees groups of three bands and their textures with
    one backbone for all, or one image of any bands (*input_bands*). Every method also aligns the
    groups of an image with their mean: on groups it is "semantically aware". The alignment is
    averaged over sub-spaces, whereas the terms of InfoNCE are summed.

    The online backbone is ``self.model``, so stock TorchGeo tasks load the checkpoint by
    ``weights:``.
    """

    monitor = 'train_loss'

    #: Sub-spaces of the embedding.
    spaces: int = 1

    #: The sub-space in which dates of one location lie close.
    season_space: int = 0

    #: Keys of an image that enter a queue in a step.
    keys_per_image: int = 1

    #: Years that a sample holds, an axis of its own if there are several.
    years: int = 1

    #: Channels of the images, or None until the datamodule names them.
    bands: tuple[str, ...] | None = None

    #: Intervals of arguments, see :func:`~torchgeo_saco.runtime.checks.check_range`; a method
    #: declares those of the arguments that it adds. Those of the views are declared there.
    ranges: ClassVar[dict[str, str]] = {
        'texture_points': 'int [1, 254]',
        'texture_radius': '(0, 1000]',
        'hidden_dims': 'int [1, inf) or None',
        'output_dim': 'int [1, inf)',
        'temperature': f'{TEMPERATURE_RANGE} or None',
        'queue_size': 'int [1, inf) or None',
        'momentum': '[0, 1] or None',
        'alignment_weight': '[0, inf)',
        'group_dropout': '[0, 1)',
        'lr': '[0, 1000] or None',
        'sgd_momentum': '[0, 1)',
        'weight_decay': '[0, 1000]',
        'milestones': '(0, 1]',
        'warmup_steps': 'int [0, inf) or None',
    }

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
        texture_histograms: bool = False,
        input_bands: Sequence[str] | None = None,
        hidden_dims: Sequence[int] | None = None,
        output_dim: int = 128,
        projector_norm: bool = False,
        temperature: float | None = 0.07,
        queue_size: int | None = 16384,
        momentum: float | None = 0.999,
        shuffle_bn: bool = False,
        alignment_weight: float = 1.0,
        contrast_groups: bool = False,
        group_dropout: float = 0.0,
        size: int = 224,
        crop: float = 0.2,
        rotation: float = 0.0,
        zoom: float = 1.0,
        horizontal_flip: float = 0.5,
        vertical_flip: float = 0.0,
        contrast: float = 0.4,
        shift: float = 0.03,
        jitter: float = 0.8,
        grayscale: float = 0.2,
        blur: float = 0.5,
        optimizer: Literal['adam', 'adamw', 'sgd'] = 'sgd',
        lr: float | None = 0.03,
        sgd_momentum: float = 0.9,
        weight_decay: float = 1e-4,
        milestones: Sequence[float] = (0.6, 0.8),
        warmup_steps: int | None = 0,
        cosine: bool = False,
        compile: bool = False,
        checkpoint_groups: bool = False,
    ) -> None:
        """Initialize a new ContrastiveTask instance.

        Defaults are those of MoCo v2, SeCo and CACo, unless said otherwise. A hyperparameter that
        may be None is then computed when training starts, from its steps and batch, by
        :func:`~torchgeo_saco.tasks.hyperparameters.scaled_hyperparameters`, and printed.

        Args:
            model: Name of the `timm
                <https://huggingface.co/docs/timm/reference/models>`__ model to use.
            weights: Initial weights of the backbone. Either a weight enum, the string
                representation of a weight enum, True for ImageNet weights (they are downloaded),
                False or None for random weights, or the path to a saved model state dict.
            bands: Names of the channels of the images, or None to take them from the datamodule.
            groups: Published groups by name, a mapping from names of your own to three bands
                each, or None for all published groups. What the bands cannot form is skipped.
                ``[natural_color]`` without texture is plain RGB.
            sensor: Sensor of the bands, a key of :data:`torchgeo_saco.bands.SENSORS`, or None
                to take it from the datamodule, else Sentinel-2.
            texture: Whether the textures of the groups are groups too, or the names of the
                groups whose textures are.
            texture_points: Neighbours on the circle of the local binary pattern.
            texture_radius: Its radius, in pixels.
            texture_histograms: Whether a texture is the histogram of its codes, through a
                perceptron, in place of their image, through the backbone (ours); see
                :class:`~torchgeo_saco.models.texture.TextureFeatures`.
            input_bands: Bands that the backbone takes at once as one image, in place of groups
                and textures, or None for groups.
            hidden_dims: Widths of the hidden layers of each projector, or None for one as wide
                as the features of the backbone.
            output_dim: Length of the projections that are contrasted.
            projector_norm: Whether BatchNorm follows every layer of a projector, as in MoCo v3
                (ours: it keeps nets that start from random weights from collapsing).
            temperature: Temperature of the contrast, or None to compute it.
            queue_size: Keys kept as negatives in each sub-space, at most one per training item,
                or None to compute it.
            momentum: Share of the key encoder that stays in each step, or None to compute it.
            shuffle_bn: Whether processes that train together mix the images of their keys before
                the key encoder, as in MoCo, so that BatchNorm cannot tell a query's own key by
                the statistics of its batch. One process alone has nothing to mix.
            alignment_weight: Weight of the alignment of groups with their mean, if there is more
                than one.
            contrast_groups: Whether every group of the query is drawn to the mean of the groups of
                the key, in place of the mean of the query alone (ours). It needs no alignment.
            group_dropout: Share of the groups that the query leaves out in every step, others
                each time, while the key sees all (ours): a step costs less, and the encoder
                learns to do with some of the groups.
            size: Side of a view, in pixels.
            crop: Smallest share of the ground in a view; 1 for all of it.
            rotation: Largest rotation of an augmented view, in degrees.
            zoom: Largest enlargement of an augmented view.
            horizontal_flip: Probability of a flip of columns of an augmented view.
            vertical_flip: Probability of a flip of rows, 0 in all the papers.
            contrast: Largest relative change of contrast, around the mean of each band.
            shift: Largest change of all reflectances (ours: with *contrast* it moves the mean of
                an image of EuroSAT by 0.29 standard deviations of its pixels, where the
                ColorJitter of the originals moves it by 0.46).
            jitter: Probability of a change of contrast, and of a shift.
            grayscale: Probability that all bands of an augmented view become their mean.
            blur: Probability that an augmented view is blurred.
            optimizer: Stochastic gradient descent, Adam, or AdamW, which transformers are trained
                with.
            lr: Learning rate, or None to compute it, for Adam and AdamW.
            sgd_momentum: Momentum of stochastic gradient descent.
            weight_decay: Weight decay.
            milestones: Shares of the epochs after which the learning rate falls to a tenth; without
                ``max_epochs`` it never does.
            warmup_steps: Steps in which the learning rate rises from 0, or None to compute them.
            cosine: Whether the learning rate falls to 0 along a cosine, in place of *milestones*.
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
        """Dates of a location, and year, that a sample must hold."""
        return 1

    @property
    def has_key_encoder(self) -> bool:
        """Whether there are a key encoder and queues."""
        return True

    @property
    def encoder(self) -> Encoder:
        """The online encoder: inputs and backbone."""
        return self._encoder(self.inputs, self.model, self.texture)

    def _encoder(
        self,
        inputs: GroupInputs | BandInputs | None,
        backbone: nn.Module,
        texture: TextureFeatures | None,
    ) -> Encoder:
        """Join inputs, a backbone, and the features of textures."""
        if inputs is None:
            raise ValueError('the groups are unknown; set bands of the task to the channel names')
        # Not an attribute, whose parameters the checkpoint would list twice.
        return Encoder(
            inputs, backbone, checkpoint_groups=self.hparams['checkpoint_groups'], texture=texture
        )

    def configure_models(self) -> None:
        """Initialize backbone, projectors, their key copies, queues and views."""
        hparams = self.hparams
        check_ranges(hparams, declared_ranges(type(self)))
        # Those to compute have the values of the shortest training until they are.
        shortest = scaled_hyperparameters(0, 1)._asdict()
        self._computed = [name for name in shortest if hparams[name] is None]
        self._steps = math.inf
        hparams.update({name: shortest[name] for name in self._computed})
        self.inputs: GroupInputs | BandInputs | None = None
        self.texture: TextureFeatures | None = None
        self.texture_momentum: TextureFeatures | None = None
        model = create_backbone(hparams['model'], self.weights, self._in_channels)
        # Match the channels_last inputs to avoid re-layout at every call.
        self.model = model.to(memory_format=torch.channels_last)
        self.projector: nn.Module = Projectors(
            int(self.model.num_features),
            hparams['hidden_dims'],
            hparams['output_dim'],
            self.spaces,
            hparams['projector_norm'],
        )
        if self.has_key_encoder:
            if hparams['queue_size'] < self.years:
                raise ValueError(
                    f'the queue must hold at least 1 key of each year, got '
                    f'queue_size={hparams["queue_size"]}; set it to {self.years} or more'
                )
            self.model_momentum = key_copy(self.model)
            self.projector_momentum = key_copy(self.projector)
            self._configure_queues()
        self.views = ContrastiveViews(**{name: hparams[name] for name in _VIEW_ARGUMENTS})
        self.guard = NonFiniteGuard()
        self._warned = False
        self._updated_step = -1
        # Loss and chance of every InfoNCE of a step, and their ratio in the last steps.
        self._contrasts: list[Tensor] = []
        self._ratios: deque[float] = deque(maxlen=_RECENT)
        if hparams['bands'] is not None:
            self.configure_bands(hparams['bands'], hparams['sensor'])

    def _configure_queues(self) -> None:
        """Initialize a queue for each sub-space and year."""
        size, dim = self.hparams['queue_size'] // self.years, self.hparams['output_dim']
        self.queues = nn.ModuleList(KeyQueue(size, dim) for _ in range(self.spaces * self.years))

    def _compute_hyperparameters(self, datamodule: Any) -> None:
        """Set the hyperparameters that depend on the length of the training, and say so."""
        steps = self._steps = training_steps(self.trainer, datamodule)
        if self._computed:
            batch = getattr(datamodule, 'batch_size', None)
            if not batch:
                raise ValueError(
                    f'the datamodule has no batch_size to compute {", ".join(self._computed)} '
                    'from; set them on the command line, such as --model.init_args.lr 0.001'
                )
            batch *= self.trainer.world_size * self.trainer.accumulate_grad_batches
            values = scaled_hyperparameters(steps, batch, self.keys_per_image)._asdict()
            values = {name: values[name] for name in self._computed}
            self._set_computed(values)
            shown = ', '.join(f'{name} {value}' for name, value in values.items())
            length = f'{steps:,.0f}' if steps < math.inf else 'an unknown number of'
            rank_zero_info(f'computed for {length} steps of {batch} images: {shown}')
        # A few steps are to try whether a run works.
        if self.has_key_encoder and steps and not getattr(self.trainer, 'fast_dev_run', False):
            computed = 'momentum' in self._computed
            advice = momentum_advice(self.hparams['momentum'], steps, computed)
            if advice:
                rank_zero_info(advice)

    def _set_computed(self, values: Mapping[str, Any]) -> None:
        """Set computed hyperparameters, and what was made of them."""
        self.hparams.update(values)
        self.nce.temperature = self.hparams['temperature']
        if self.has_key_encoder:
            self._configure_queues()
            self.queues.to(self.device)

    def _limit_queues(self, largest: int | None) -> None:
        """Shorten queues that would hold an item several times, and say so."""
        size = self.hparams['queue_size']
        if self.has_key_encoder and largest is not None and size > largest:
            rank_zero_info(
                f'queue_size={size} is more than the {largest} training items; the queue holds '
                f'{largest} keys'
            )
            self.hparams['queue_size'] = largest
            self._configure_queues()
            self.queues.to(self.device)

    @property
    def _in_channels(self) -> int:
        """Channels of the backbone."""
        bands = self.hparams['input_bands']
        return 3 if bands is None else len(bands)

    def configure_bands(self, bands: Sequence[str], sensor: str | None = None) -> None:
        """Form the inputs of the encoder from the channels of the images.

        Args:
            bands: Names of the channels.
            sensor: Sensor of the bands, or None for the one of the task.

        Raises:
            ValueError: If no group can be formed, or other groups than were trained.
        """
        sensor = sensor or self.hparams['sensor'] or 'sentinel2_l1c'
        inputs = matching_inputs(bands, sensor, self.hparams, self.inputs)
        self.inputs = inputs.to(self.device).train(self.training)
        self._configure_texture(bands, sensor)
        self.bands = tuple(bands)
        self.hparams['bands'] = list(bands)
        self.hparams['sensor'] = sensor

    def _configure_texture(self, bands: Sequence[str], sensor: str) -> None:
        """Form the features of textures from histograms, with the weights of trained ones."""
        width = int(self.model.num_features)
        texture = texture_features(bands, sensor, self.hparams, self.inputs, width)
        if texture is None:
            return
        key = key_copy(texture) if self.has_key_encoder else None
        for new, trained in ((texture, self.texture), (key, self.texture_momentum)):
            if new is not None and trained is not None:
                new.load_state_dict(trained.state_dict())
        self.texture = texture.to(self.device).train(self.training)
        self.texture_momentum = None if key is None else key.to(self.device).train(self.training)

    def configure_losses(self) -> None:
        """Initialize the loss criterion."""
        hparams = self.hparams
        self.nce = InfoNCE(hparams['temperature'])
        self.align = AlignmentLoss()
        require_schedule(hparams, self._computed)
        if hparams['contrast_groups'] and not self.has_key_encoder:
            raise ValueError(
                f'{type(self).__name__} has no key encoder to draw groups to; set contrast_groups '
                'to false'
            )

    def configure_optimizers(self) -> Any:
        """Initialize the optimizer and learning rate scheduler.

        Returns:
            Optimizer of the online encoder, and the schedulers of its rate if it ever changes.
        """
        optimizer = make_optimizer(self.parameters(), self.hparams)
        epochs = self.trainer.max_epochs if self._trainer else None
        schedulers = make_schedulers(optimizer, self.hparams, self._steps, epochs)
        return ([optimizer], schedulers) if schedulers else optimizer

    def setup(self, stage: str) -> None:
        """Take the bands from the datamodule, and refuse what cannot work.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            ValueError: If bands are unknown or wrong, or samples hold too few dates.
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
        if self.inputs is None:
            raise ValueError('the datamodule does not name its bands; set bands of the task')
        for message in self.inputs.report():
            rank_zero_info(message)
        if self.texture is not None:
            rank_zero_info(f'histograms of codes: {", ".join(self.texture.names)}')
        if stage != 'fit':
            return
        require_data(self, datamodule)
        dropout = self.hparams['group_dropout']
        if dropout and all(kept == count for _, count, kept in self._kept_groups()):
            raise ValueError(
                f'group_dropout={dropout} leaves out none of the groups '
                f'{", ".join(self.encoder.names)}; raise it, add groups, or set it to 0'
            )
        self._compute_hyperparameters(datamodule)
        self._limit_queues(largest_queue(self, datamodule))
        require_whole_layers(self, self.trainer)
        # Identical on all ranks; exclude from DDP's broadcast.
        exclude_buffers_from_ddp(self, (KeyQueue, ChangeEstimate))
        backbones = [self.model, *([self.model_momentum] if self.has_key_encoder else [])]
        self._prepare_device(backbones, self._in_channels)

    def _prepare_device(self, backbones: Sequence[nn.Module], channels: int) -> None:
        """Prepare the device for backbones of some channels."""
        prepare_device(
            self.trainer.strategy.root_device,
            str(self.trainer.precision),
            backbones,
            channels,
            self.hparams['size'],
            self.hparams['compile'],
        )

    def queue(self, space: int = 0, year: int = 0) -> KeyQueue:
        """Return the queue of a sub-space and year."""
        queue: KeyQueue = self.queues[self.years * space + year]  # type: ignore[assignment]
        return queue

    def info_nce(
        self, query: Tensor, key: Tensor, negatives: Tensor, excluded: Tensor | None = None
    ) -> Tensor:
        """Compute InfoNCE, and keep it beside the loss of a guess for the log.

        Args:
            query: Features of every group, (B, G, D), or of their mean, (B, D).
            key: Positive of every image, (B, D).
            negatives: See :func:`~torchgeo_saco.losses.info_nce`.
            excluded: See there.

        Returns:
            The loss: of the mean over the groups, or the mean loss of all if they are contrasted.
        """
        if query.ndim == 3 and self.hparams['contrast_groups']:
            groups = query.shape[1]
            query, key = query.flatten(0, 1), key.repeat_interleave(groups, 0)
            if excluded is not None and excluded.ndim == 2:
                excluded = excluded.repeat_interleave(groups, 0)
        elif query.ndim == 3:
            query = query.mean(1)
        loss: Tensor = self.nce(query, key, negatives, excluded)
        self._contrasts.append(torch.stack([loss.detach(), chance_level(negatives, excluded)]))
        return loss

    @property
    def nce_over_chance(self) -> float:
        """InfoNCE over the loss of a guess, mean of the last 50 steps; NaN before the first.

        1 where the positive is told apart no better than by chance, 0 where it is always found.
        """
        return sum(self._ratios) / len(self._ratios) if self._ratios else math.nan

    @abstractmethod
    def contrast(self, image: Tensor, location: Tensor) -> Contrast:
        """Compare views of the images, and put their keys in the queues.

        Args:
            image: Reflectance, (B, T, C, H, W), or (B, Y, T, C, H, W) of several :attr:`years`.
            location: Number of the location of each image, (B).

        Returns:
            Losses, and the features they compare.
        """

    def objective(self, image: Tensor, location: Tensor) -> Contrast:
        """Compute the losses of the method, and the alignment of the groups if there are several.

        Args:
            image: As for :meth:`contrast`.
            location: Number of the location of each image, (B).

        Returns:
            All losses, and the features they compare.
        """
        contrast = self.contrast(image, location)
        if contrast.query.shape[2] == 1:
            return contrast
        aligned = self.hparams['alignment_weight'] * self.align(contrast.query.flatten(0, 1))
        return contrast._replace(losses=contrast.losses | {'group_alignment': aligned})

    def query(self, view: Tensor) -> Tensor:
        """Project the groups that a query sees with the online encoder, (S, B, G, D)."""
        features = self.encoder.forward_groups(view, self._draw_groups())
        projections: Tensor = self.projector(features)
        return projections

    def _draw_groups(self) -> list[int] | None:
        """Draw the groups that a query sees; None for all."""
        if not self.training or not self.hparams['group_dropout']:
            return None
        drawn: list[int] = []
        for first, count, kept in self._kept_groups():
            # On the host, which decides what is computed.
            numbers = torch.randperm(count)[:kept].sort().values
            drawn += (first + numbers).tolist()
        return drawn

    def _kept_groups(self) -> list[tuple[int, int, int]]:
        """First number and count of each kind of groups, and how many of them a query sees."""
        # Some of each kind, so that every weight has a gradient in every step.
        images = len(self.encoder.inputs.names)
        share = 1 - self.hparams['group_dropout']
        kinds = (0, images), (images, len(self.encoder.names) - images)
        return [(first, count, max(1, round(count * share))) for first, count in kinds if count]

    @torch.no_grad()
    def key(self, view: Tensor) -> Tensor:
        """Project the mean of the groups with the key encoder, (S, B, D)."""
        view, order = shuffle_ranks(view) if self.hparams['shuffle_bn'] else (view, None)
        encoder = self._encoder(self.inputs, self.model_momentum, self.texture_momentum)
        features = encoder.forward_groups(view)
        keys = self.projector_momentum(features).mean(2)
        return unshuffle_ranks(keys.transpose(0, 1), order).transpose(0, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Compute the embedding of an image: the mean over groups of the features.

        Args:
            image: Reflectance, (B, C, H, W).

        Returns:
            Embedding, (B, D).
        """
        embedding: Tensor = self.encoder(self.views.original(image))
        return embedding

    def forward_groups(self, image: Tensor) -> Tensor:
        """Compute the features of every group.

        Args:
            image: Reflectance, (B, C, H, W).

        Returns:
            Features, (B, G, D).
        """
        return self.encoder.forward_groups(self.views.original(image))

    def images(self, batch: Sample) -> Tensor:
        """Return the images of a batch with a time axis.

        Args:
            batch: As for :meth:`training_step`.

        Returns:
            Reflectance, (B, T, C, H, W), or of several years (B, Y, T, C, H, W).

        Raises:
            ValueError: If they have other channels than the encoder takes.
        """
        return unfold_dates(batch_image(batch), self.bands or ())

    def branches(self, image: Tensor) -> list[tuple[Encoder, nn.Module, Tensor]]:
        """Return every encoder with its projector and the channels of images that it sees.

        Args:
            image: Images, (B, C, H, W).

        Returns:
            The one encoder, its projector, and the images.
        """
        return [(self.encoder, self.projector, image)]

    def embed(self, batch: Sample) -> Tensor:
        """Compute the embeddings of all dates of a batch, one after the other.

        Args:
            batch: As for :meth:`training_step`.

        Returns:
            Embeddings, (B T, D).
        """
        return self(self.images(batch).flatten(1, -4).flatten(0, 1))

    def training_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Compute the training loss and additional metrics.

        Args:
            batch: ``image`` (B, T, C, H, W), (B, C, H, W), dates stacked as channels (B, T C, H,
                W), or of years (B, Y, T, C, H, W), as reflectance; ``location`` (B), without which
                every image counts as a location of its own.
            batch_idx: Index of this batch.
            dataloader_idx: Index of the current dataloader.

        Returns:
            The loss tensor.

        Raises:
            ValueError: If the images have another shape than the method needs, or the image or
                the loss is not finite.
        """
        image, location = self._training_image(batch), self._locations(batch)
        # Before the forward pass, since BatchNorm would keep NaN in its statistics.
        image = self.guard.images(image, location, self.global_step)
        self._update_key_encoder()
        self._contrasts.clear()
        with torch_seeded(run_seed(), self._batches, self.global_rank, device=self.device):
            losses, query, key = self.objective(image, location)
        loss = torch.stack(list(losses.values())).sum()
        # None of a method that computes its loss in another way.
        contrasts = self._contrasts or [loss.new_full((2,), torch.nan)]
        nce, chance = torch.stack(contrasts).sum(0)
        self.guard.loss(loss, location, self.global_step, nce / chance)
        parts = {f'train_{name}': part.detach() for name, part in losses.items()}
        self.log_dict(parts, batch_size=len(image))
        # Set on the trainer by Lightning's logger, which its types do not know.
        every = getattr(self.trainer, 'log_every_n_steps', 1)
        # Lightning never logs if it is 0.
        if every and self.global_step % every == 0 and query.shape[1] > 1:
            self._log_embedding(query[self.season_space].mean(1), key[self.season_space])
        return loss

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the hyperparameters that the interrupted training computed.

        Args:
            checkpoint: The checkpoint.
        """
        super().on_load_checkpoint(checkpoint)
        kept = {
            name: value
            for name, value in checkpoint.get('hyper_parameters', {}).items()
            if name in self._computed and value is not None
        }
        if kept:
            shown = ', '.join(f'{name} {value}' for name, value in kept.items())
            rank_zero_info(f'kept from the interrupted training: {shown}')
            self._set_computed(kept)

    def on_after_backward(self) -> None:
        """Stop at images or a loss that are not finite, and log the loss.

        Raises:
            ValueError: If an image or the loss is not finite, on a GPU.
        """
        numbers = self.guard.finish()
        if numbers is None:
            return
        # On the host by now, so that the progress bar does not wait for a GPU at every step.
        loss, ratio = numbers
        self.log('train_loss', loss, prog_bar=True)
        # The first step has no negatives, and so no chance to be wrong.
        if torch.isfinite(ratio):
            self._ratios.append(float(ratio))
            self.log('nce_over_chance', ratio, prog_bar=True)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Stop before a gradient that is not finite reaches a weight, on a CPU.

        Args:
            optimizer: The optimizer that is about to step.

        Raises:
            ValueError: If a gradient is NaN or infinite.
        """
        self.guard.gradients(self.parameters())

    def validation_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log how close two dates of a location lie, and how evenly locations spread.

        Uses the earlier year only. There is no alignment of a single date.

        Args:
            batch: As for :meth:`training_step`.
            batch_idx: Index of this batch.
            dataloader_idx: Index of the current dataloader.
        """
        self._shared_eval(batch, 'val')

    def test_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Log as :meth:`validation_step`, under ``test_alignment`` and ``test_uniformity``.

        Args:
            batch: As for :meth:`training_step`.
            batch_idx: Index of this batch.
            dataloader_idx: Index of the current dataloader.
        """
        self._shared_eval(batch, 'test')

    def predict_step(
        self, batch: Sample, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Compute the embeddings of every date.

        Args:
            batch: As for :meth:`training_step`.
            batch_idx: Index of this batch.
            dataloader_idx: Index of the current dataloader.

        Returns:
            ``embedding`` (B, T, D), the mean over groups; ``groups`` (B, T, G, D); and
            ``location``, ``date`` and ``label`` where the batch has them.
        """
        image = self.images(batch).flatten(1, -4)
        groups = self.forward_groups(image.flatten(0, 1))
        groups = rearrange(groups, '(b t) g d -> b t g d', b=len(image))
        embeddings = {'embedding': groups.mean(2), 'groups': groups}
        return embeddings | self.image_metadata(batch)

    @staticmethod
    def image_metadata(batch: Sample) -> dict[str, Tensor]:
        """Return what a batch says of its images: location, date and label, if it has them."""
        return {key: batch[key] for key in ('location', 'date', 'label') if key in batch}

    def _shared_eval(self, batch: Sample, stage: str) -> None:
        """Log alignment of the first and last date of a year, and uniformity."""
        image = self.images(batch)
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
            # Other ranks may have two images, and wait for this one's sum.
            self._log_mean(f'{stage}_uniformity', torch.zeros_like(aligned), 0)

    def _log_mean(self, name: str, value: Tensor, count: int) -> None:
        """Log the mean of an epoch over the images of all ranks."""
        # A multiple of the world size, since Lightning rounds the mean count of images down.
        self.log(name, value, batch_size=count * world_size(), sync_dist=True)

    @torch.no_grad()
    def _log_embedding(self, query: Tensor, key: Tensor) -> None:
        """Log measures of the embedding of queries and keys, (B, D); warn of collapse once."""
        measures = embedding_measures(query.detach(), key.detach())
        self.log_dict(measures, batch_size=len(query))
        if measures['feature_std'] < _COLLAPSED and not self._warned:
            self._warned = True
            rank_zero_warn(
                f'features have collapsed: feature_std is {measures["feature_std"]:.4f}, where 1 '
                'is an even spread; lower lr, raise temperature, or enlarge batch and queue'
            )

    def _update_key_encoder(self) -> None:
        """Update the key encoder once per optimizer step, whatever the number of batches.

        Backbone and projector keep BatchNorm statistics of their own, as in MoCo; the
        standardization of the inputs is shared.
        """
        if self.has_key_encoder and self._updated_step != self.global_step:
            update_momentum(self.model, self.model_momentum, self.hparams['momentum'])
            update_momentum(self.projector, self.projector_momentum, self.hparams['momentum'])
            if self.texture is not None and self.texture_momentum is not None:
                update_momentum(self.texture, self.texture_momentum, self.hparams['momentum'])
            self._updated_step = self.global_step

    def _training_image(self, batch: Sample) -> Tensor:
        """Return the images of a training batch, with as many years and dates as needed."""
        image = self.images(batch)
        if self.years == 1:
            image = image.flatten(1, -4)
        else:
            require_years(self, tuple(image.shape))
        require_dates(self, image.shape[-4])
        return image

    def _locations(self, batch: Sample) -> Tensor:
        """Return the number of the location of each image."""
        if 'location' in batch:
            return batch['location']
        count = len(batch_image(batch))
        return torch.arange(count, device=self.device) + self._batches * count

    @property
    def _batches(self) -> int:
        """Training batches so far, also over a resume."""
        return self.trainer.fit_loop.total_batch_idx if self._trainer else 0
