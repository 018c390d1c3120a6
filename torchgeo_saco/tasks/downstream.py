# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Base class of the downstream tasks: an encoder, frozen or not, under a head."""

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn
from matplotlib import pyplot as plt
from segmentation_models_pytorch.losses import DiceLoss, FocalLoss
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import CosineAnnealingLR
from torchgeo.datasets import RGBBandsMissingError, unbind_samples
from torchgeo.datasets.utils import Sample
from torchmetrics import Metric
from torchvision.models._api import WeightsEnum

from ..datamodules.benchmark import IGNORED, BenchmarkDataModule, Split
from ..datasets.features import cached_features, extract_features
from ..io.checkpoint import CheckpointError
from ..models import (
    Encoder,
    EncoderConfig,
    Fusion,
    LoadedEncoder,
    fit_input_statistics,
    load_encoder,
)
from ..runtime.checks import check_ranges, declared_ranges
from .channels import batch_image, require_floats
from .resumable import ResumableTask


class DownstreamHead(nn.Module):
    """An encoder and what is trained on its features. Base class."""

    def __init__(self, encoder: Encoder) -> None:
        """Initialize a new DownstreamHead instance.

        Args:
            encoder: The encoder.
        """
        super().__init__()
        self.encoder = encoder

    @property
    def encoders(self) -> list[Encoder]:
        """All encoders."""
        return [self.encoder]

    @abstractmethod
    def features(self, image: Tensor, length: Tensor | None = None) -> list[Tensor]:
        """All that the head needs of images, (B, ...); of series, as many dates as *length*."""

    @abstractmethod
    def scores(self, features: Sequence[Tensor], batch: Sample) -> Tensor:
        """Scores (logits) of every class, (B, classes, ...)."""


class DownstreamTask(ResumableTask):
    """Base class of the downstream tasks.

    A task derives from it, lists its arguments, and builds its head in :meth:`head`. Bands and
    class names come from the datamodule unless they are given. Frozen means frozen: BatchNorm of
    the encoder stays in evaluation mode, and features are taken once, not once an epoch.
    """

    monitor = 'val_loss'

    #: Key of the target in a batch.
    target = 'mask'

    #: Axes of the images that the task takes.
    axes: ClassVar[Sequence[str]] = ('B C H W',)

    #: Confusion matrix of the last test, (C, C), rows target; None before it, or if labels overlap.
    test_confusion: Tensor | None = None

    #: Encoder and head, or None until the bands are known.
    model: DownstreamHead | None

    #: Whether the statistics were taken already.
    statistics_fitted: Tensor

    #: Intervals of arguments, see :func:`~torchgeo_saco.runtime.checks.check_range`.
    ranges: ClassVar[dict[str, str]] = {
        'texture_points': 'int [1, 254] or None',
        'texture_radius': '(0, 1000] or None',
        'num_classes': 'int [1, inf) or None',
        'class_weights': '[0, inf) or None',
        'cache_gib': '[0, inf)',
        'lr': '[0, 1000]',
        'weight_decay': '[0, 1000]',
    }

    def __init__(
        self,
        model: str | None = None,
        weights: WeightsEnum | str | bool | None = None,
        bands: Sequence[str] | None = None,
        groups: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        sensor: str | None = None,
        texture: bool | Sequence[str] | None = None,
        texture_points: int | None = None,
        texture_radius: float | None = None,
        fusion: Fusion = 'mean',
        num_classes: int | None = None,
        labels: Sequence[str] | None = None,
        loss: Literal['ce', 'bce', 'focal', 'dice'] = 'ce',
        class_weights: Sequence[float] | None = None,
        statistics: Literal['data', 'weights'] = 'data',
        freeze_backbone: bool = True,
        cache_gib: float = 4.0,
        lr: float = 1e-3,
        weight_decay: float = 1e-4,
    ) -> None:
        """Initialize a new DownstreamTask instance.

        Args:
            model: Name of the `timm
                <https://huggingface.co/docs/timm/reference/models>`__ model to use, or None for
                the one of the weights, else ResNet-18.
            weights: Weights of the encoder. Either a weight enum, the string representation of a
                weight enum, True for ImageNet weights, False or None for random weights, or the
                path of a checkpoint of this package or of TorchGeo.
            bands: Names of the channels of the images, or None to take them from the datamodule.
            groups: Groups as for :class:`~torchgeo_saco.models.load_encoder`.
            sensor: Sensor of the bands, a key of :data:`torchgeo_saco.bands.SENSORS`, or None
                to take it from the datamodule.
            texture: Whether the textures of the groups are groups too, the names of those whose
                are, or None for those of the weights.
            texture_points: Neighbours on the circle of the local binary pattern, or None for
                those of the weights, else 16.
            texture_radius: Its radius in pixels, or None for that of the weights, else 2.
            fusion: How the features of the groups become one: ``mean``, ``concat``, or
                ``learned``.
            num_classes: Number of classes, or None to take it from the datamodule.
            labels: Names of the classes, or None to take them from the datamodule.
            loss: One of 'ce', 'bce', 'focal', or 'dice', as far as the task has it.
            class_weights: Weight of each class in the loss 'ce'.
            statistics: Whether the groups are standardized by statistics of the training images
                or by those that the weights bring. Weights of TorchGeo keep the scaling that
                they were trained with in any case.
            freeze_backbone: Train the head alone, on features that are computed once.
            cache_gib: Largest size of these features in memory, in GiB.
            lr: Learning rate of Adam; it falls to 0 along a cosine.
            weight_decay: Weight decay of Adam.

        Raises:
            ValueError: If an argument is out of range, or weights and bands do not match.
        """
        self.weights = weights
        super().__init__()

    def configure_models(self) -> None:
        """Initialize the model, if its bands are known already."""
        check_ranges(self.hparams, declared_ranges(type(self)))
        self.model = None
        self.config: EncoderConfig | None = None
        self._random = False
        self.register_buffer('statistics_fitted', torch.tensor(False))
        if self.hparams['bands'] is not None and self.hparams['num_classes'] is not None:
            self.configure_bands(self.hparams['bands'], self.hparams['sensor'])

    def configure_losses(self) -> None:
        """Initialize the loss criterion, in which pixels without a class do not count."""
        weights = self.hparams['class_weights']
        match self.hparams['loss']:
            case 'ce':
                weight = None if weights is None else torch.tensor(weights, dtype=torch.float32)
                self.criterion: nn.Module = nn.CrossEntropyLoss(weight, ignore_index=IGNORED)
            case 'bce':
                self.criterion = nn.BCEWithLogitsLoss()
            case 'focal':
                self.criterion = FocalLoss('multiclass', ignore_index=IGNORED, normalized=True)
            case 'dice':
                self.criterion = DiceLoss('multiclass', ignore_index=IGNORED)
            case other:
                raise ValueError(f"loss must be 'ce', 'bce', 'focal' or 'dice', got {other!r}")
        if weights is not None and self.hparams['loss'] != 'ce':
            raise ValueError(f"class_weights go with loss 'ce' alone, got {self.hparams['loss']!r}")

    def configure_metrics(self) -> None:
        """Initialize the performance metrics, if the classes are known already."""
        self.val_scores: Metric | None = None
        self.test_scores: Metric | None = None
        if self.hparams['num_classes'] is not None:
            self._configure_classes()

    def configure_optimizers(self) -> Any:
        """Initialize the optimizer and learning rate scheduler.

        Returns:
            Adam whose learning rate falls to zero along a cosine, epoch by epoch.
        """
        trained = [weight for weight in self.parameters() if weight.requires_grad]
        optimizer = Adam(trained, self.hparams['lr'], weight_decay=self.hparams['weight_decay'])
        epochs = self.trainer.max_epochs if self._trainer else None
        if not epochs or epochs < 1:
            return optimizer
        return {'optimizer': optimizer, 'lr_scheduler': CosineAnnealingLR(optimizer, epochs)}

    @abstractmethod
    def head(self, encoder: Encoder) -> DownstreamHead:
        """Encoder and head for ``self.hparams``."""

    @abstractmethod
    def scores_metric(self) -> Metric:
        """Metric of the published protocol, whose ``compute`` is a dictionary."""

    def configure_bands(self, bands: Sequence[str], sensor: str | None = None) -> None:
        """Build encoder and head for images with these channels.

        Args:
            bands: Names of the channels.
            sensor: Their sensor, or None for Sentinel-2 level 1C.

        Raises:
            ValueError: If bands and weights have nothing in common.
        """
        loaded = self._load_encoder(bands, sensor or 'sentinel2_l1c')
        self._random = loaded.random
        self._build(loaded.encoder, loaded.config)

    def _load_encoder(self, bands: Sequence[str], sensor: str) -> LoadedEncoder:
        """Load the encoder of a sensor from the weights, and say what it sees."""
        loaded = load_encoder(
            bands,
            sensor,
            self.hparams['model'],
            self.weights,
            self.hparams['groups'],
            self.hparams['texture'],
            self.hparams['texture_points'],
            self.hparams['texture_radius'],
        )
        if self.hparams['statistics'] == 'weights' and loaded.unfitted:
            raise ValueError(
                f'statistics=weights is set, but the weights bring none of '
                f'{", ".join(loaded.unfitted)}; set statistics=data'
            )
        rank_zero_info(f'the encoder sees: {", ".join(loaded.encoder.names)}')
        for group in loaded.skipped:
            rank_zero_info(f'skipped: group {group.name}, since {group.reason}')
        return loaded

    def setup(self, stage: str) -> None:
        """Take bands and classes from the datamodule.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            ValueError: If bands or classes are unknown, or others than the model was built for.
        """
        datamodule = getattr(self.trainer, 'datamodule', None)
        (bands, sensor), classes = self._bands_of(datamodule), getattr(datamodule, 'classes', None)
        if self.hparams['num_classes'] is None:
            if not classes:
                raise ValueError('the datamodule does not name its classes; set num_classes')
            self.hparams['num_classes'], self.hparams['labels'] = len(classes), list(classes)
            self._configure_classes()
        elif classes and len(classes) != self.hparams['num_classes']:
            raise ValueError(
                f'the task has {self.hparams["num_classes"]} classes, the data {len(classes)}: '
                f'{", ".join(classes)}; leave num_classes out to take those of the data'
            )
        if self.model is None:
            if bands is None:
                raise ValueError('the datamodule does not name its bands; set bands of the task')
            self.configure_bands(bands, sensor)
        elif bands is not None and self.config is not None and list(bands) != self.config.bands:
            raise ValueError(
                f'the model was built for the bands {", ".join(self.config.bands)}, the data have '
                f'{", ".join(bands)}; read the same'
            )
        if isinstance(datamodule, BenchmarkDataModule):
            # Another task may have used the datamodule before.
            datamodule.discard_other_features(self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what makes the encoder again.

        Args:
            checkpoint: The checkpoint.
        """
        super().on_save_checkpoint(checkpoint)
        checkpoint['encoder'] = self.config.to_dict() if self.config is not None else None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the encoder that the checkpoint holds.

        Args:
            checkpoint: The checkpoint.
        """
        super().on_load_checkpoint(checkpoint)
        if not checkpoint.get('encoder'):
            raise CheckpointError(
                f'{self._checkpoint_path} was written before its encoder was known; train first'
            )
        config = EncoderConfig.from_dict(checkpoint['encoder'])
        # Arguments alone do not tell the groups that the weights brought.
        if config != self.config:
            self._build(config.encoder(), config)

    def train(self, mode: bool = True) -> 'DownstreamTask':
        """Set the mode of the head, and of the encoder unless that is frozen."""
        super().train(mode)
        if self.model is not None and self.hparams['freeze_backbone']:
            for encoder in self.model.encoders:
                encoder.eval()
        return self

    def on_fit_start(self) -> None:
        """Take statistics from the training images, and the features of a frozen encoder."""
        if self.hparams['freeze_backbone']:
            # Lightning warns of what is meant here.
            warnings.filterwarnings('ignore', r'Found \d+ module\(s\) in eval mode')
        datamodule = getattr(self.trainer, 'datamodule', None)
        if not isinstance(datamodule, BenchmarkDataModule):
            if self.hparams['statistics'] == 'data' and not self.statistics_fitted:
                rank_zero_warn(
                    'the groups keep the statistics that they have, for statistics=data takes them '
                    'from the datamodules of torchgeo_saco alone; see that images are reflectance, '
                    'or set statistics=weights'
                )
            return
        if self.hparams['statistics'] == 'data' and not self.statistics_fitted:
            for number, encoder in enumerate(self._model.encoders):
                images = partial(self._images, datamodule, number)
                fit_input_statistics(encoder, images, self._random)
            self.statistics_fitted.fill_(True)
        if not datamodule.augment:
            self.cache_features(datamodule, 'train')
            self.cache_features(datamodule, 'val')

    def cache_features(self, datamodule: BenchmarkDataModule, split: Split) -> None:
        """Compute the features of a frozen encoder once, if they fit in memory.

        Args:
            datamodule: The data, set up, which yield the features from then on.
            split: Which part of them. Its loader must not have been asked for yet.
        """
        if not self.hparams['freeze_backbone'] or split in datamodule.features:
            return
        gib = self.hparams['cache_gib']
        count = len(getattr(datamodule, f'{split}_dataset'))
        loader = datamodule.ordered_dataloader(split)
        batches = map(self.trainer.strategy.batch_to_device, loader)
        features = extract_features(self.features, batches, count, gib * 2**30)
        if features is None:
            rank_zero_info(
                f'features of {split} take more than cache_gib={gib}; '
                'they are computed anew in every epoch'
            )
        else:
            datamodule.cache_features(split, features, self)

    def features(self, batch: Sample) -> list[Tensor]:
        """All that the head needs of a batch; without gradient if the encoder is frozen."""
        with torch.set_grad_enabled(
            torch.is_grad_enabled() and not self.hparams['freeze_backbone']
        ):
            return self._model.features(self._require_bands(batch), batch.get('length'))

    def forward(self, batch: Sample | Tensor) -> Tensor:
        """Scores (logits) of every class.

        Args:
            batch: Images as reflectance, as stock tasks take them; or a batch with them under
                ``image``, or with ``features`` already taken.

        Returns:
            Scores, (B, classes, ...).

        Raises:
            ValueError: If the images have other axes or channels than the task takes, or are
                integers.
        """
        batch = {'image': batch} if isinstance(batch, Tensor) else batch
        return self._model.scores(cached_features(batch) or self.features(batch), batch)

    def training_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Compute the training loss.

        Args:
            batch: The output of your DataLoader.
            batch_idx: Integer displaying index of this batch.
            dataloader_idx: Index of the current dataloader.

        Returns:
            The loss tensor.
        """
        target = self._target(batch)
        loss = self.loss(self(batch), self.training_target(target))
        self.log('train_loss', loss.detach(), prog_bar=True, batch_size=len(target))
        return loss

    def validation_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Compute the validation loss and additional metrics.

        Args:
            batch: The output of your DataLoader.
            batch_idx: Integer displaying index of this batch.
            dataloader_idx: Index of the current dataloader.
        """
        scores = self._evaluate(batch, 'val')
        if batch_idx == 0 and 'image' in batch:
            self._plot({**batch, 'prediction': self.prediction(scores)})

    def test_step(self, batch: Sample, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Compute the test loss and additional metrics.

        Args:
            batch: The output of your DataLoader.
            batch_idx: Integer displaying index of this batch.
            dataloader_idx: Index of the current dataloader.
        """
        self._evaluate(batch, 'test')

    def predict_step(
        self, batch: Sample, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Compute the predicted classes and their probabilities.

        Args:
            batch: The output of your DataLoader.
            batch_idx: Integer displaying index of this batch.
            dataloader_idx: Index of the current dataloader.

        Returns:
            ``prediction``, (B, ...), and ``probabilities``, (B, classes, ...).
        """
        scores = self(batch)
        probabilities = scores.sigmoid() if self.multilabel else scores.softmax(1)
        return {'prediction': self.prediction(scores), 'probabilities': probabilities}

    def on_validation_epoch_end(self) -> None:
        """Log validation metrics."""
        self._log_metrics('val', self.val_scores)

    def on_test_epoch_end(self) -> None:
        """Log test metrics, and keep the confusion matrix."""
        matrix = getattr(self.test_scores, 'matrix', None)
        self.test_confusion = None if matrix is None else matrix.detach().cpu().clone()
        self._log_metrics('test', self.test_scores)

    def loss(self, scores: Tensor, target: Tensor) -> Tensor:
        """Loss of scores (B, classes, ...) against classes (B, ...)."""
        classes = self.hparams['num_classes']
        if not self.multilabel and int(target.max()) >= classes:
            raise ValueError(
                f'{self.target} holds class {int(target.max())}, but there are {classes} classes, '
                'counted from 0; mend the labels, or set num_classes'
            )
        if not self.multilabel and target.shape != scores.shape[:1] + scores.shape[2:]:
            raise ValueError(
                f'{self.target} is {tuple(target.shape)} where one class for each of '
                f'{tuple(scores.shape[:1] + scores.shape[2:])} is expected; if an image has '
                'several labels, use GroupClassification with task=multilabel and loss=bce'
            )
        if not (target != IGNORED).any():
            # The mean over no pixel would be NaN.
            return scores.sum() * 0
        target = target.float() if self.hparams['loss'] == 'bce' else target
        loss: Tensor = self.criterion(scores, target)
        return loss

    def training_target(self, target: Tensor) -> Tensor:
        """The target as far as it enters the loss."""
        return target

    def prediction(self, scores: Tensor) -> Tensor:
        """Classes from scores: the largest, or all more likely than not."""
        return (scores > 0).long() if self.multilabel else scores.argmax(1)

    @property
    def multilabel(self) -> bool:
        """Whether an image may have several classes."""
        return self.hparams.get('task') == 'multilabel'

    @property
    def labels(self) -> Sequence[str]:
        """Names of the classes, or their numbers."""
        names: Sequence[str] | None = self.hparams['labels']
        return [str(i) for i in range(self.hparams['num_classes'])] if names is None else names

    @property
    def _model(self) -> DownstreamHead:
        """Encoder and head, once there are any."""
        if self.model is None:
            raise ValueError('the model is unknown; set bands and num_classes of the task')
        return self.model

    def _build(self, encoder: Encoder, config: EncoderConfig) -> None:
        """Put a head on the encoder."""
        self.config = config
        self.hparams['bands'], self.hparams['sensor'] = list(config.bands), config.sensor
        self.model = self.head(encoder).to(self.device)
        if config.texture_histograms and encoder.texture is None:
            # The head has no use for them.
            self.config = replace(config, texture=[], texture_histograms=False)
        if self.hparams['freeze_backbone']:
            frozen: set[nn.Module] = set()
            for part in self.model.encoders:
                part.requires_grad_(False)
                frozen |= set(part.modules())
            for layer in set(self.model.modules()) - frozen:
                if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and not layer.affine:
                    # The features stay the same: the mean over all batches is known soonest.
                    layer.momentum = None
        self.train(self.training)

    def _configure_classes(self) -> None:
        """Make the metrics of these classes."""
        self.val_scores, self.test_scores = self.scores_metric(), self.scores_metric()

    def _bands_of(self, datamodule: Any) -> tuple[Sequence[str] | None, str | None]:
        """Bands and sensor of the images of a datamodule, or None where it does not name them."""
        bands = getattr(datamodule, 'bands', None)
        return bands, getattr(datamodule, 'sensor', self.hparams['sensor'])

    def _seen(self, batch: Sample, number: int) -> Tensor:
        """Images of a batch as one of the encoders takes them."""
        return batch['image']

    def _images(self, datamodule: BenchmarkDataModule, number: int = 0) -> Any:
        """Training images as one of the encoders takes them."""
        for batch in datamodule.ordered_dataloader('train'):
            # Makes reflectance too, for it calls the hooks of the datamodule.
            batch = self.trainer.strategy.batch_to_device(batch)
            image = self._seen(batch, number)
            if 'length' in batch:
                dates = torch.arange(image.shape[1], device=image.device)
                image = image[dates < batch['length'][:, None]]
            yield image.flatten(0, 1) if image.ndim == 5 else image

    def _require_bands(self, batch: Sample) -> Tensor:
        """The image, if it is one of the bands that the model takes."""
        image, bands = batch_image(batch), self.config.bands if self.config is not None else []
        if image.ndim not in {len(axes.split()) for axes in self.axes}:
            raise ValueError(
                f'{type(self).__name__} takes images ({") or (".join(self.axes)}), got '
                f'{tuple(image.shape)}; give it these axes'
            )
        require_floats(image)
        if image.shape[-3] != len(bands):
            raise ValueError(
                f'image has {image.shape[-3]} channels where the bands {", ".join(bands)} are '
                'expected; read these bands'
            )
        mask = batch.get('mask')
        if mask is not None and mask.shape[-2:] != image.shape[-2:]:
            raise ValueError(
                f'mask is {tuple(mask.shape[-2:])} px where the image is '
                f'{tuple(image.shape[-2:])}; crop or resample one to the other'
            )
        return image

    def _target(self, batch: Sample) -> Tensor:
        """The target of a batch; a mask of TorchGeo may have a channel."""
        target = batch[self.target]
        channel = self.target == 'mask' and target.ndim == 4 and target.shape[1] == 1
        return target[:, 0] if channel else target

    def _evaluate(self, batch: Sample, stage: Literal['val', 'test']) -> Tensor:
        """Log the loss, and count what is right."""
        scores, target = self(batch), self._target(batch)
        self.log(
            f'{stage}_loss', self.loss(scores, self.training_target(target)), batch_size=len(target)
        )
        metric: Any = self.val_scores if stage == 'val' else self.test_scores
        metric.update(scores.sigmoid() if self.multilabel else self.prediction(scores), target)
        return scores

    def _log_metrics(self, stage: str, metric: Any) -> None:
        """Log and reset a metric."""
        self.log_dict({f'{stage}_{name}': value for name, value in metric.compute().items()})
        metric.reset()

    def _plot(self, batch: Sample) -> None:
        """Draw the first image of a batch in TensorBoard."""
        datamodule: Any = getattr(self.trainer, 'datamodule', None)
        experiment: Any = getattr(self.logger, 'experiment', None)
        if not hasattr(datamodule, 'plot') or not hasattr(experiment, 'add_figure'):
            return
        sample = unbind_samples({key: value[:1].cpu() for key, value in batch.items()})[0]
        try:
            figure = datamodule.plot(sample)
        except RGBBandsMissingError:
            return
        experiment.add_figure('prediction', figure, self.global_step)
        plt.close(figure)
