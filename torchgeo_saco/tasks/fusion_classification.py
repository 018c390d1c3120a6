# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Classification of images of two modalities."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torchgeo.datasets.utils import Sample
from torchmetrics import Metric

from ..datasets.features import cached_features
from ..metrics import ConfusionScores, MultilabelScores
from ..models import Encoder, EncoderConfig
from ..models.modalities import join_modalities
from ..runtime.seeding import run_seed, torch_seeded
from .channels import require_floats
from .downstream import DownstreamHead, DownstreamTask

# Sensor of the bands of both modalities in one image, and its name in a batch.
_BOTH = 'sentinel1_2'

# Sensor of a modality that nobody says.
_SENSORS = {'s2': 'sentinel2_l1c', 's1': 'sentinel1'}


class FusionClassifier(DownstreamHead):
    """Linear classifier of the features of one or two encoders, of which one may be missing."""

    def __init__(
        self, encoders: Mapping[str, Encoder], classes: int, norm: bool, dropout: float
    ) -> None:
        """Initialize a new FusionClassifier instance.

        Args:
            encoders: Encoder of each modality, one or two.
            classes: Number of classes.
            norm: Whether features are standardized before the linear layer.
            dropout: Probability that one of two modalities is missing in training.
        """
        first, *others = encoders.values()
        super().__init__(first)
        self.second_encoder = others[0] if others else None
        self.modalities = tuple(encoders)
        self.widths = {name: encoder.num_features for name, encoder in encoders.items()}
        self.norms = nn.ModuleList(
            nn.BatchNorm1d(width, affine=False) if norm else nn.Identity()
            for width in self.widths.values()
        )
        self.dropout = dropout
        self.linear = nn.Linear(sum(self.widths.values()), classes)

    @property
    def encoders(self) -> list[Encoder]:
        """All encoders, in the order of the modalities."""
        return [self.encoder, *([] if self.second_encoder is None else [self.second_encoder])]

    def features(self, image: Tensor, length: Tensor | None = None) -> list[Tensor]:
        """Features of images of the first modality; those of the other have no numbers."""
        return self.modality_features({self.modalities[0]: image})

    def modality_features(self, images: Mapping[str, Tensor]) -> list[Tensor]:
        """Features of every modality, (B, D) each, (B, 0) of one that is missing."""
        count, device = next((len(image), image.device) for image in images.values())
        return [
            encoder(images[name]) if name in images else torch.zeros(count, 0, device=device)
            for name, encoder in zip(self.modalities, self.encoders, strict=True)
        ]

    def scores(self, features: Sequence[Tensor], batch: Sample) -> Tensor:
        """Scores of every class, (B, classes); a missing modality counts as its mean."""
        parts = [
            norm(part) if part.shape[1] else part.new_zeros(len(part), width)
            for norm, part, width in zip(self.norms, features, self.widths.values(), strict=True)
        ]
        if self.training and self.dropout and len(parts) == 2:
            draws = torch.rand(2, len(parts[0]), 1, device=parts[0].device)
            missing = draws[0] < self.dropout
            first = draws[1] < 0.5
            parts = [
                part.masked_fill(missing & of, 0.0)
                for part, of in zip(parts, (first, ~first), strict=True)
            ]
        scores: Tensor = self.linear(torch.cat(parts, dim=1))
        return scores


class FusionClassification(DownstreamTask):
    """Image classification by Sentinel-1, Sentinel-2 or both: linear probe or fine-tuning.

    Two encoders under one linear layer are late fusion, whose weights may come from a
    checkpoint of :class:`~torchgeo_saco.tasks.DualSimCLR` or
    :class:`~torchgeo_saco.tasks.MMA`; one backbone for the bands of both is early fusion. Without
    weights every backbone takes the bands of its sensor at once. Where an image of one of two
    modalities is missing at the test, its features count as their mean over the training images
    (with *norm*).

    If you use this task in your research, please cite:

    * Dual-SimCLR: https://doi.org/10.5194/isprs-annals-V-3-2022-705-2022
    """

    target = 'label'

    ranges: ClassVar[dict[str, str]] = {'modality_dropout': '[0, 1)'}

    def __init__(
        self,
        modalities: Sequence[str] = ('s2', 's1'),
        early_fusion: bool = False,
        modality_dropout: float = 0.0,
        modality_bands: Mapping[str, Sequence[str]] | None = None,
        modality_sensors: Mapping[str, str] | None = None,
        norm: bool = True,
        task: Literal['multiclass', 'multilabel'] = 'multiclass',
        loss: Literal['ce', 'bce', 'focal'] = 'ce',
        weight_decay: float = 0.0,
        **kwargs: Any,
    ) -> None:
        """Initialize a new FusionClassification instance.

        Args:
            modalities: Those that are used, of ``s2`` and ``s1``.
            early_fusion: Whether one backbone takes the bands of both at once.
            modality_dropout: Probability that one of two modalities, either as likely, is left out
                of a training image, so that the classifier learns to do with one (ours).
            modality_bands: Names of the channels by modality, or None to take them from the
                datamodule.
            modality_sensors: Sensor by modality, a key of :data:`torchgeo_saco.bands.SENSORS`.
            norm: Whether features are standardized before the linear layer (ours).
            task: One of 'multiclass' or 'multilabel'.
            loss: One of 'ce', 'bce', or 'focal'; 'bce' for multilabel.
            weight_decay: Weight decay of Adam.
            **kwargs: See :class:`DownstreamTask`, but *modality_bands* and *modality_sensors* stand
                for *bands* and *sensor*, and *fusion* is ``mean``. *weights* of one sensor serve
                this one alone.

        Raises:
            ValueError: If an argument is out of range, or weights and bands do not match.
        """
        if (task == 'multilabel') != (loss == 'bce'):
            raise ValueError(
                f"task 'multilabel' goes with loss 'bce' alone, got {task!r}, {loss!r}"
            )
        if not modalities or len(modalities) > 2 or len(set(modalities)) < len(modalities):
            raise ValueError(f'modalities are one or two of s2 and s1, got {list(modalities)}')
        if early_fusion and len(modalities) < 2:
            raise ValueError('early_fusion joins two modalities, got one; set it to false')
        if early_fusion and (
            kwargs.get('weights') or kwargs.get('groups') or kwargs.get('texture')
        ):
            raise ValueError(
                'early_fusion takes the bands of both sensors at once, from random weights; leave '
                'out weights, groups and texture'
            )
        if kwargs.get('fusion', 'mean') != 'mean':
            raise ValueError(
                f'groups of a sensor become one by their mean, got fusion={kwargs["fusion"]!r}; '
                'leave it out'
            )
        if modality_dropout and (early_fusion or len(modalities) < 2):
            raise ValueError(
                'modality_dropout leaves out one of two encoders, and there is one; set it to 0'
            )
        if modality_dropout and not norm:
            raise ValueError(
                'modality_dropout puts the mean in the place of a modality, which norm makes 0; '
                'set norm to true'
            )
        super().__init__(loss=loss, weight_decay=weight_decay, **kwargs)

    @property
    def modalities(self) -> list[str]:
        """Names of the encoders' modalities; both together of early fusion."""
        return [_BOTH] if self.hparams['early_fusion'] else list(self.hparams['modalities'])

    def configure_models(self) -> None:
        """Initialize the model, if its bands are known already."""
        self.second_config: EncoderConfig | None = None
        self._trains = True
        # Not an attribute of its own, whose weights the checkpoint would list twice.
        self._second: tuple[Encoder, ...] = ()
        super().configure_models()
        known = self.hparams['modality_bands'] and self.hparams['num_classes'] is not None
        if known and self.model is None:
            self.configure_bands(*self._joined_bands())

    def configure_bands(self, bands: Sequence[str], sensor: str | None = None) -> None:
        """Build encoders and head for the channels of :attr:`hparams`.

        Args:
            bands: Names of the channels of the first encoder.
            sensor: Their sensor.

        Raises:
            ValueError: If bands and weights have nothing in common.
        """
        if self.hparams['modality_bands'] is None:
            raise ValueError(
                'bands are given by modality; set modality_bands of the task in place of bands'
            )
        pairs = [(list(bands), sensor or self._sensor_of(self.modalities[0]))]
        for name in self.modalities[1:]:
            pairs.append((list(self.hparams['modality_bands'][name]), self._sensor_of(name)))
        made = [self._encoder_of(*pair) for pair in pairs]
        self._random = all(random for _, _, random in made)
        self.second_config = made[1][1] if len(made) > 1 else None
        self._second = tuple(encoder for encoder, _, _ in made[1:])
        self._build(*made[0][:2])

    def _encoder_of(self, bands: list[str], sensor: str) -> tuple[Encoder, EncoderConfig, bool]:
        """Encoder of one sensor, its configuration, and whether its weights are random."""
        hparams = self.hparams
        if not self.weights and hparams['groups'] is None and not hparams['texture']:
            config = EncoderConfig(hparams['model'] or 'resnet18', bands, sensor, input_bands=bands)
            return config.encoder(), config, True
        loaded = self._load_encoder(bands, sensor)
        return loaded.encoder, loaded.config, loaded.random

    def head(self, encoder: Encoder) -> FusionClassifier:
        """See :meth:`DownstreamTask.head`."""
        return FusionClassifier(
            dict(zip(self.modalities, (encoder, *self._second), strict=True)),
            self.hparams['num_classes'],
            self.hparams['norm'],
            self.hparams['modality_dropout'],
        )

    def scores_metric(self) -> Metric:
        """See :meth:`DownstreamTask.scores_metric`."""
        if self.hparams['task'] == 'multilabel':
            return MultilabelScores(self.labels)
        return ConfusionScores(self.labels, 'classification')

    def features(self, batch: Sample) -> list[Tensor]:
        """Features of every modality, without numbers of one that is missing."""
        images = self._present(batch)
        if self.training and len(images) < len(self.modalities):
            raise ValueError(
                f'training needs images of {", ".join(self.modalities)}, got '
                f'{", ".join(images) or "none"}; leave the others out of modalities'
            )
        with torch.set_grad_enabled(
            torch.is_grad_enabled() and not self.hparams['freeze_backbone']
        ):
            return self._classifier.modality_features(images)

    def embed(self, batch: Sample) -> Tensor:
        """Embedding of the images, each modality scaled to length one.

        Args:
            batch: Images, as of :meth:`forward`, or features already taken.

        Returns:
            Embeddings, (B, D); 0 where a modality is missing.
        """
        features = cached_features(batch) or self.features(batch)
        found = {
            name: part
            for name, part in zip(self.modalities, features, strict=True)
            if part.shape[1]
        }
        return join_modalities(found, self._classifier.widths)

    def predict_step(
        self, batch: Sample, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Compute the predicted classes, their probabilities, and from what they are.

        Args:
            batch: The output of your DataLoader.
            batch_idx: Integer displaying index of this batch.
            dataloader_idx: Index of the current dataloader.

        Returns:
            ``prediction`` and ``probabilities`` as of :class:`DownstreamTask`, and ``modalities``
            (B, M), whether those of :attr:`modalities` were there.
        """
        found = super().predict_step(batch, batch_idx, dataloader_idx)
        cached = cached_features(batch)
        seen = self._present(batch) if not cached else {}
        present = [part.shape[1] > 0 for part in cached] or [n in seen for n in self.modalities]
        used = torch.tensor(present, device=self.device)
        return {**found, 'modalities': used.expand(len(found['prediction']), -1)}

    def training_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """See :meth:`DownstreamTask.training_step`; what is left out is a function of the step."""
        with torch_seeded(run_seed(), self.global_step, self.global_rank, device=self.device):
            return super().training_step(batch, batch_idx, dataloader_idx)

    def setup(self, stage: str) -> None:
        """Take bands and classes from the datamodule; all modalities must be there to train.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            ValueError: If bands or classes are unknown, or others than the model was built for.
        """
        self._trains = stage == 'fit'
        super().setup(stage)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what makes the encoders again.

        Args:
            checkpoint: The checkpoint.
        """
        super().on_save_checkpoint(checkpoint)
        if self.second_config is not None:
            checkpoint['second_encoder'] = self.second_config.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the encoders that the checkpoint holds.

        Args:
            checkpoint: The checkpoint.
        """
        second = checkpoint.get('second_encoder')
        config = None if second is None else EncoderConfig.from_dict(second)
        if config != self.second_config:
            self.second_config = config
            self._second = () if config is None else (config.encoder(),)
            # What follows builds the head anew.
            self.config = None
        super().on_load_checkpoint(checkpoint)

    @property
    def _classifier(self) -> FusionClassifier:
        """Encoders and head, once there are any."""
        model: Any = self._model
        classifier: FusionClassifier = model
        return classifier

    def _bands_of(self, datamodule: Any) -> tuple[Sequence[str] | None, str | None]:
        """Bands and sensor of the first encoder; those of all modalities are kept."""
        bands: Mapping[str, Sequence[str]] = getattr(datamodule, 'modality_bands', {})
        sensors = getattr(datamodule, 'modality_sensors', {})
        if not bands and self.model is None:
            raise ValueError(
                'the datamodule does not name the bands of its modalities; use DFC2020DataModule, '
                'or set modality_bands and modality_sensors of the task'
            )
        if not bands:
            return None, self.hparams['sensor']
        absent = [name for name in self.hparams['modalities'] if name not in bands]
        if absent and (self._trains or self.model is None):
            raise ValueError(
                f'the data have no modality {absent[0]}, but {", ".join(bands)}; set modalities of '
                'data and task to the same'
            )
        for name in self.hparams['modalities'] if self.model is not None else ():
            known = self.hparams['modality_bands'][name], self._sensor_of(name)
            given = list(bands.get(name, known[0])), sensors.get(name, known[1])
            if known != given:
                raise ValueError(
                    f'the model was built for the bands {", ".join(known[0])} of {known[1]}, the '
                    f'data have {", ".join(given[0])} of {given[1]}; read the same'
                )
        if self.model is not None:
            return None, self.hparams['sensor']
        self.hparams['modality_bands'] = {name: list(of) for name, of in bands.items()}
        self.hparams['modality_sensors'] = dict(sensors)
        return self._joined_bands()

    def _joined_bands(self) -> tuple[list[str], str]:
        """Bands and sensor of the first encoder."""
        bands: Mapping[str, Sequence[str]] = self.hparams['modality_bands']
        used: Sequence[str] = self.hparams['modalities']
        if self.hparams['early_fusion']:
            return [band for name in used for band in bands[name]], _BOTH
        return list(bands[used[0]]), self._sensor_of(used[0])

    def _sensor_of(self, modality: str) -> str:
        """Sensor of a modality."""
        sensors: Mapping[str, str] = self.hparams['modality_sensors'] or {}
        return sensors.get(modality, _SENSORS.get(modality, modality))

    def _present(self, batch: Sample) -> dict[str, Tensor]:
        """Images of the modalities that a batch has, joined for early fusion."""
        bands: Mapping[str, Sequence[str]] = self.hparams['modality_bands'] or {}
        images = {}
        for name in self.hparams['modalities']:
            image = batch.get('image' if name == 's2' else name)
            if image is None:
                continue
            require_floats(image)
            if image.ndim != 4 or image.shape[1] != len(bands[name]):
                raise ValueError(
                    f'images of {name} must be (B, {len(bands[name])}, H, W) with the bands '
                    f'{", ".join(bands[name])}, got {tuple(image.shape)}'
                )
            images[name] = image
        sizes = {tuple(image.shape[-2:]) for image in images.values()}
        if self.hparams['early_fusion'] and len(images) == 2 and len(sizes) == 1:
            return {_BOTH: torch.cat(list(images.values()), dim=1)}
        if self.hparams['early_fusion'] and images:
            raise ValueError(
                f'early fusion needs images of {" and ".join(self.hparams["modalities"])} on one '
                f'grid, got {", ".join(f"{n} {tuple(i.shape)}" for n, i in images.items())}'
            )
        if not images:
            raise ValueError(
                f'the batch has no image of {" or ".join(self.hparams["modalities"])}, but '
                f'{", ".join(batch)}'
            )
        return images

    def _seen(self, batch: Sample, number: int) -> Tensor:
        """Images of a batch as one of the encoders takes them."""
        return self._present(batch)[self.modalities[number]]
