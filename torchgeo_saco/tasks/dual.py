# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Base class of the tasks that contrast two modalities."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from einops import rearrange
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn
from torchgeo.datasets.utils import Sample
from torchvision.models._api import WeightsEnum

from ..bands import SENTINEL1, SENTINEL2_L1C, modality_name
from ..losses import l2_normalize
from ..metrics import RetrievalScores
from ..models import BandInputs, Encoder, GroupInputs, Projectors, create_backbone, matching_inputs
from ..models.modalities import join_modalities
from ..models.texture import TextureFeatures, texture_features
from .channels import batch_image, unfold_dates
from .contrastive import ContrastiveTask

# Names of the arguments of an encoder that the second one has too, behind a prefix.
_OWN = ('groups', 'texture', 'texture_histograms', 'input_bands')
_SHARED = ('texture_points', 'texture_radius', 'compile')


class DualTask(ContrastiveTask):
    """Base class of the tasks that train two encoders on images of one location by two sensors.

    Each modality has inputs and a backbone of its own: bands as they are, or groups and textures.
    The images of both share their views, so that they show the same ground. A batch holds those of
    the first sensor under ``image``, and of the second one under its name, such as ``s1``; see
    :class:`~torchgeo_saco.datamodules.PairedDataModule`, whose first archive decides which encoder
    is ``self.model``, the one that stock TorchGeo tasks load.
    :func:`~torchgeo_saco.models.load_encoder` gives the one of the sensor that is asked for.

    There are no queue and no key encoder: what has to do with them has no effect.
    """

    ignore = ('weights', 'second_weights')

    #: Whether ``image`` of a batch is of the second sensor, which is embedded alone.
    alone: bool = False

    #: Channels of the images of the second sensor, or None until the datamodule names them.
    second_bands: tuple[str, ...] | None = None

    def __init__(
        self,
        model: str = 'resnet50',
        input_bands: Sequence[str] | None = tuple(SENTINEL2_L1C.bands),
        second_model: str | None = None,
        second_weights: WeightsEnum | str | bool | None = None,
        second_bands: Sequence[str] | None = None,
        second_sensor: str | None = None,
        second_input_bands: Sequence[str] | None = tuple(SENTINEL1.bands),
        second_groups: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        second_texture: bool | Sequence[str] = False,
        second_texture_histograms: bool = False,
        temperature: float | None = 0.07,
        size: int = 128,
        crop: float = 0.25,
        horizontal_flip: float = 0.0,
        contrast: float = 0.0,
        shift: float = 0.0,
        jitter: float = 0.0,
        grayscale: float = 0.0,
        blur: float = 0.0,
        optimizer: Literal['adam', 'adamw', 'sgd'] = 'adam',
        lr: float | None = 3e-5,
        milestones: Sequence[float] = (),
        **kwargs: Any,
    ) -> None:
        """Initialize a new DualTask instance.

        Args:
            model: Name of the `timm
                <https://huggingface.co/docs/timm/reference/models>`__ model to use for the first
                sensor.
            input_bands: Bands of the first sensor that its backbone takes at once as one image, or
                None for groups and textures.
            second_model: Name of the timm model for the second sensor, or None for the same.
            second_weights: Initial weights of its backbone, as *weights* of the first.
            second_bands: Names of the channels of the second sensor, or None to take them from the
                datamodule.
            second_sensor: Second sensor, a key of :data:`torchgeo_saco.bands.SENSORS`, or None to
                take it from the datamodule, else Sentinel-1.
            second_input_bands: Bands of the second sensor that its backbone takes at once, or None
                for groups and textures.
            second_groups: Groups of the second sensor, as *groups* of the first; None for all.
            second_texture: Textures of its groups, as *texture* of the first.
            second_texture_histograms: Whether its textures are histograms, as
                *texture_histograms* of the first.
            temperature: Temperature of the contrast.
            size: Side of a view, in pixels.
            crop: Smallest share of the ground in a view; the original cuts windows of 128 px out of
                256 px, which are not resampled.
            horizontal_flip: Probability of a flip of columns of a view.
            contrast: Largest relative change of contrast, around the mean of each band.
            shift: Largest change of reflectance and of scaled backscatter.
            jitter: Probability of a change of contrast, and of a shift.
            grayscale: Has no meaning for two sensors and must be 0.
            blur: Probability that a view is blurred.
            optimizer: Stochastic gradient descent, Adam or AdamW.
            lr: Learning rate.
            milestones: Shares of the epochs after which the learning rate falls to a tenth; the
                cosine of the original falls by a tenth in 200 epochs.
            **kwargs: See :class:`ContrastiveTask`.

        Raises:
            ValueError: If an argument is out of range, or no group can be formed.
        """
        self.second_weights = second_weights
        super().__init__(
            model=model,
            input_bands=input_bands,
            temperature=temperature,
            size=size,
            crop=crop,
            horizontal_flip=horizontal_flip,
            contrast=contrast,
            shift=shift,
            jitter=jitter,
            grayscale=grayscale,
            blur=blur,
            optimizer=optimizer,
            lr=lr,
            milestones=milestones,
            **kwargs,
        )

    @property
    def has_key_encoder(self) -> bool:
        """Never: the other modality is the key."""
        return False

    @property
    def modalities(self) -> tuple[str, str]:
        """Names of the two modalities, that of ``image`` first."""
        return (
            modality_name(self.hparams['sensor'] or 'sentinel2_l1c'),
            modality_name(self.hparams['second_sensor'] or 'sentinel1'),
        )

    @property
    def second_encoder(self) -> Encoder:
        """The encoder of the second sensor: inputs and backbone."""
        return self._encoder(self.second_inputs, self.second_backbone, self.second_texture)

    @property
    def _second_width(self) -> int:
        """Length of a feature of the second backbone."""
        return int(self.second_backbone.num_features)  # type: ignore[arg-type]

    def configure_models(self) -> None:
        """Initialize backbones, projectors and views."""
        hparams = self.hparams
        if hparams['second_model'] is None:
            hparams['second_model'] = hparams['model']
        self.second_inputs: GroupInputs | BandInputs | None = None
        self.second_texture: TextureFeatures | None = None
        bands = hparams['second_input_bands']
        channels = 3 if bands is None else len(bands)
        backbone = create_backbone(hparams['second_model'], self.second_weights, channels)
        self.second_backbone = backbone.to(memory_format=torch.channels_last)
        super().configure_models()
        self.second_projector: nn.Module = Projectors(
            self._second_width,
            hparams['hidden_dims'],
            hparams['output_dim'],
            self.spaces,
            hparams['projector_norm'],
        )
        if hparams['second_bands'] is not None:
            sensor = hparams['second_sensor'] or 'sentinel1'
            self.configure_second_bands(hparams['second_bands'], sensor)

    def configure_second_bands(self, bands: Sequence[str], sensor: str) -> None:
        """Form the inputs of the second encoder from the channels of its images.

        Args:
            bands: Names of the channels.
            sensor: Their sensor.

        Raises:
            ValueError: If no group can be formed, or other groups than were trained.
        """
        arguments = {name: self.hparams[f'second_{name}'] for name in _OWN}
        arguments |= {name: self.hparams[name] for name in _SHARED}
        inputs = matching_inputs(bands, sensor, arguments, self.second_inputs)
        self.second_inputs = inputs.to(self.device).train(self.training)
        texture = texture_features(bands, sensor, arguments, inputs, self._second_width)
        if texture is not None and self.second_texture is not None:
            texture.load_state_dict(self.second_texture.state_dict())
        self.second_texture = (
            None if texture is None else texture.to(self.device).train(self.training)
        )
        self.second_bands = tuple(bands)
        self.hparams['second_bands'], self.hparams['second_sensor'] = list(bands), sensor

    def configure_losses(self) -> None:
        """Initialize the loss criterion."""
        super().configure_losses()
        if self.hparams['grayscale']:
            raise ValueError(
                'grayscale would mix the bands of two sensors, got '
                f'{self.hparams["grayscale"]}; set it to 0'
            )
        for name in ('contrast_groups', 'group_dropout'):
            if self.hparams[name]:
                raise ValueError(
                    f'{type(self).__name__} does without {name}, got {self.hparams[name]}; leave '
                    'it out'
                )

    def configure_metrics(self) -> None:
        """Initialize the performance metrics."""
        # Maps of many images are large.
        self.val_retrieval = RetrievalScores(*self.modalities, compute_on_cpu=True)
        self.test_retrieval = RetrievalScores(*self.modalities, compute_on_cpu=True)

    def setup(self, stage: str) -> None:
        """Take the bands of both sensors from the datamodule, and refuse what cannot work.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            ValueError: If bands are unknown or wrong.
        """
        datamodule: Any = getattr(self.trainer, 'datamodule', None)
        sensors: Mapping[str, str] = getattr(datamodule, 'modality_sensors', {})
        others = [name for name in sensors if sensors[name] != getattr(datamodule, 'sensor', None)]
        known = self.hparams['second_sensor']
        for name in others[:1]:
            bands = datamodule.modality_bands[name]
            if known not in (None, sensors[name]):
                raise ValueError(
                    f'the second sensor of the task is {known}, that of the data {sensors[name]}; '
                    'set model.init_args.second_sensor and data.init_args.second_sensor to the same'
                )
            if tuple(bands) != self.second_bands:
                self.configure_second_bands(bands, sensors[name])
        self.alone = (
            stage == 'predict'
            and known not in (None, self.hparams['sensor'])
            and (not sensors and getattr(datamodule, 'sensor', None) == known)
        )
        if self.alone:
            bands = datamodule.bands
            if tuple(bands) != self.second_bands:
                self.configure_second_bands(bands, known)
            rank_zero_info(f'images of {self.modalities[1]} alone')
            return
        if self.second_inputs is None:
            raise ValueError(
                'the datamodule does not name the bands of a second sensor; use PairedDataModule, '
                'or set second_bands of the task'
            )
        super().setup(stage)
        self.configure_metrics()
        for message in self.second_inputs.report():
            rank_zero_info(f'{self.modalities[1]}: {message}')
        if stage == 'fit':
            bands = self.hparams['second_input_bands']
            self._prepare_device([self.second_backbone], 3 if bands is None else len(bands))

    def images(self, batch: Sample) -> Tensor:
        """Return the images of both sensors, the channels of the second behind those of the first.

        Args:
            batch: ``image`` and the second modality.

        Returns:
            Images, (B, T, C, H, W).

        Raises:
            ValueError: If a modality is missing, or the two differ in dates or size.
        """
        found = self._present(batch)
        missing = [name for name in self.modalities if name not in found]
        if missing:
            raise ValueError(
                f'{type(self).__name__} compares {" and ".join(self.modalities)}, and the batch '
                f'has no {missing[0]}; use PairedDataModule, or embed and predict, which take one '
                'alone'
            )
        return torch.cat(list(found.values()), dim=-3)

    def branches(self, image: Tensor) -> list[tuple[Encoder, nn.Module, Tensor]]:
        """Return both encoders with their projectors and the channels that they see.

        Args:
            image: Images of both sensors, (B, C, H, W).

        Returns:
            Encoder, projector and images of each modality.
        """
        counts = [len(self.bands or ()), len(self.second_bands or ())]
        if image.shape[-3] != sum(counts):
            raise ValueError(
                f'images of {self.modalities[0]} and {self.modalities[1]} have {sum(counts)} '
                f'channels, got {image.shape[-3]}; give one sensor alone to embed, in a batch'
            )
        first, second = image.split(counts, dim=-3)
        return [
            (self.encoder, self.projector, first),
            (self.second_encoder, self.second_projector, second),
        ]

    def forward(self, image: Tensor) -> Tensor:
        """Compute the embedding of images of both sensors.

        Args:
            image: Images, the channels of the second sensor behind those of the first,
                (B, C, H, W).

        Returns:
            Features of both modalities, each of length one, (B, D1 + D2).
        """
        first, second = (
            l2_normalize(encoder(view))
            for encoder, _, view in self.branches(self.views.original(image))
        )
        return torch.cat([first, second], dim=1)

    def embed(self, batch: Sample) -> Tensor:
        """Compute the embeddings of all dates of a batch, of one modality or of both.

        Args:
            batch: ``image``, the second modality, or both; see :meth:`training_step`.

        Returns:
            Embeddings, (B T, D1 + D2): features of both modalities, each of length one; those of a
            modality that is missing are 0. Cosines of images of one modality are then those of this
            modality alone, up to a factor.

        Raises:
            ValueError: If there is neither.
        """
        encoders = dict(zip(self.modalities, (self.encoder, self.second_encoder), strict=True))
        features = {
            name: encoders[name](self.views.original(image.flatten(1, -4).flatten(0, 1)))
            for name, image in self._present(batch).items()
        }
        widths = {name: encoder.num_features for name, encoder in encoders.items()}
        return join_modalities(features, widths)

    def predict_step(
        self, batch: Sample, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Compute the embeddings of every date, of one modality or of both.

        Args:
            batch: As for :meth:`embed`.
            batch_idx: Index of this batch.
            dataloader_idx: Index of the current dataloader.

        Returns:
            ``embedding`` (B, T, D1 + D2), see :meth:`embed`; ``modalities`` (B, 2), whether those
            of :attr:`modalities` were there; and ``location``, ``date`` and ``label`` where the
            batch has them.
        """
        found = self._present(batch)
        count = len(next(iter(found.values())))
        present = torch.tensor([name in found for name in self.modalities], device=self.device)
        embeddings = {
            'embedding': rearrange(self.embed(batch), '(b t) d -> b t d', b=count),
            'modalities': present.expand(count, 2),
        }
        return embeddings | self.image_metadata(batch)

    def on_validation_epoch_end(self) -> None:
        """Log how well either modality finds the other."""
        self._log_retrieval('val', self.val_retrieval)

    def on_test_epoch_end(self) -> None:
        """Log how well either modality finds the other."""
        self._log_retrieval('test', self.test_retrieval)

    def project(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Project the groups of either modality.

        Args:
            image: Images of both sensors, (B, C, H, W).

        Returns:
            Projections, (1, B, G, D) each.
        """
        first, second = (
            projector(encoder.forward_groups(part))
            for encoder, projector, part in self.branches(image)
        )
        return first, second

    def losses(self, name: str, loss: Tensor, choices: int, groups: Tensor) -> dict[str, Tensor]:
        """Name the parts of a loss, and keep it beside that of a guess for the log.

        Args:
            name: Name of the contrast of the modalities.
            loss: Its loss.
            choices: Images that the other modality is found among.
            groups: Features of the groups of the second modality, which are aligned if there are
                several, (B, G, D).

        Returns:
            The parts by name; the alignment of the first modality is not among them.
        """
        self._contrasts.append(torch.stack([loss.detach(), loss.new_tensor(math.log(choices))]))
        if groups.shape[1] == 1:
            return {name: loss}
        aligned = self.hparams['alignment_weight'] * self.align(groups)
        return {name: loss, 'second_alignment': aligned}

    def retrieval_features(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Features of either modality in which the other is looked for.

        Args:
            image: Images of both sensors at the size of a view, (B, C, H, W).

        Returns:
            Mean projections of the groups, (B, D) each.
        """
        first, second = self.project(image)
        return first[0].mean(1), second[0].mean(1)

    def _shared_eval(self, batch: Sample, stage: str) -> None:
        """Count how well either modality finds the other, at the first date."""
        image = self.images(batch).flatten(1, -4)[:, 0]
        metric = self.val_retrieval if stage == 'val' else self.test_retrieval
        metric.update(*self.retrieval_features(self.views.original(image)))

    def _log_retrieval(self, stage: str, metric: RetrievalScores) -> None:
        """Log and reset a metric."""
        if metric.update_called:
            self.log_dict({f'{stage}_{name}': value for name, value in metric.compute().items()})
        metric.reset()

    def _present(self, batch: Sample) -> dict[str, Tensor]:
        """Images of the modalities that a batch has, with a time axis."""
        first, second = self.modalities
        found = {}
        if self.alone:
            return {second: unfold_dates(batch_image(batch), self.second_bands or ())}
        if 'image' in batch or 'image1' in batch or second not in batch:
            found[first] = unfold_dates(batch_image(batch), self.bands or ())
        if second in batch:
            found[second] = unfold_dates(batch[second], self.second_bands or ())
        shapes = [(*image.shape[:-3], *image.shape[-2:]) for image in found.values()]
        if len(set(shapes)) > 1:
            raise ValueError(
                f'images of {first} are {tuple(found[first].shape)}, those of {second} '
                f'{tuple(found[second].shape)}; give both as many dates, on one grid'
            )
        return found
