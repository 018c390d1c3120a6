# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Encoders as models of torchgeo-bench, which names them by ``_target_``.

torchgeo-bench is not imported here: it asks a model for its constructor, its ``forward`` and no
base class.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn

from ..bands import band_name, known_sensor
from ..models import load_encoder
from ..runtime.checks import check_choice
from ..transforms import Reflectance

# Sensors of torchgeo-bench whose numbers and bands are those of one of ours.
_SENSORS = {'s2': 'sentinel2_l1c', 's1': 'sentinel1', 'landsat': 'landsat_8_9', 'aerial': 'rgb'}

# Those that keep the units of images; the others shift or scale every band.
_NATIVE = ('model_native', 'identity')


class BandDescription(Protocol):
    """A channel as torchgeo-bench describes it."""

    #: Family of the sensor, such as ``s2``.
    sensor: str

    #: Name in the files, such as ``B04`` or ``04 - Red``.
    source_name: str

    #: Largest number of the training images.
    max: float


class BenchEncoder(nn.Module):
    """An encoder for the runner of torchgeo-bench: raw images in, embeddings out.

    Channels are matched by band name, and numbers become reflectance by the scale that the
    descriptions of the bands tell. Of the sensors in a dataset the encoder sees one, and of its
    bands those that it needs. Segmentation is not supported: the feature maps of a layer hold
    groups as images.

    Shape:
        - Input: :math:`(B, C, H, W)`, as the dataset stores it
        - Output: :math:`(B, D)`

    References:
        torchgeo-bench 0.4, https://github.com/torchgeo/torchgeo-bench
    """

    #: Positions of the channels that the encoder is given.
    channels: Tensor

    def __init__(
        self,
        bands: Sequence[BandDescription],
        normalization: str = 'model_native',
        weights: str | None = None,
        model: str | None = None,
        sensor: str = 's2',
        groups: Any = None,
        texture: Any = None,
        unit: float | None = None,
        name: str = '',
        eval: Any = None,
    ) -> None:
        """Initialize a new BenchEncoder instance.

        Args:
            bands: Description of every channel, given by the runner.
            normalization: Normalization that the runner records in its table: ``model_native`` or
                ``identity``, for the encoder brings its own.
            weights: As for :func:`~torchgeo_saco.models.load_encoder`: path of a checkpoint, or
                name of a weight of TorchGeo.
            model: Name of the timm model, or None for the one of the weights.
            sensor: Sensor whose channels are used: ``s2``, ``s1``, ``landsat`` or ``aerial``.
            groups: As for :func:`~torchgeo_saco.models.load_encoder`.
            texture: As for :func:`~torchgeo_saco.models.load_encoder`.
            unit: Stored number of reflectance 1; or None to tell it by the largest number of the
                bands: 10000 above 1000, 255 above 10, else 1; 1 for Sentinel-1.
            name: Name of the model in the table of the runner.
            eval: Settings of the evaluation, which the runner reads itself.

        Raises:
            ValueError: If the normalization changes the units, no channel is of the sensor, or the
                weights do not bring all that the encoder needs.
            CheckpointError: If the file is no usable checkpoint.
        """
        super().__init__()
        if normalization not in _NATIVE:
            raise ValueError(
                f'dataset.normalization={normalization} changes the numbers that the encoder was '
                'trained on; set dataset.normalization=model_native'
            )
        check_choice('sensor', sensor, _SENSORS)
        ours = _SENSORS[sensor]
        names, channels = [], []
        for channel, band in enumerate(bands):
            if band.sensor == sensor and (known := _known_band(band, ours)) is not None:
                names.append(known)
                channels.append(channel)
        if not names:
            found = ', '.join(sorted({band.sensor for band in bands}))
            raise ValueError(
                f'no channel of the dataset is of the sensor {sensor} with a known name; it has '
                f'{found}'
            )
        self.num_channels = len(bands)
        self.name = name
        self.register_buffer('channels', torch.tensor(channels), persistent=False)
        self.reflectance = Reflectance(unit or _unit(sensor, [bands[c] for c in channels]))
        loaded = load_encoder(names, ours, model, weights, groups, texture)
        if loaded.random or loaded.unfitted:
            what = 'weights' if loaded.random else f'statistics of {", ".join(loaded.unfitted)}'
            raise ValueError(
                f'weights={weights} brings no {what}; give a checkpoint, or leave out groups and '
                'texture'
            )
        for group in loaded.skipped:
            rank_zero_info(f'skipped: group {group.name}, since {group.reason}')
        self.encoder = loaded.encoder.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings of raw images, (B, D)."""
        embedding: Tensor = self.encoder(self.reflectance(images[:, self.channels]))
        return embedding

    def forward_patch_features(self, images: Tensor) -> Tensor:
        """Embeddings of raw images, as :meth:`forward`; the name that torchgeo-bench has."""
        embedding: Tensor = self(images)
        return embedding


def _known_band(band: BandDescription, sensor: str) -> str | None:
    """Name of a band of ours, None where the sensor has no such band."""
    try:
        return band_name(band.source_name.partition(' - ')[0], known_sensor(sensor))
    except ValueError:
        return None


def _unit(sensor: str, bands: Sequence[BandDescription]) -> float:
    """Stored number of reflectance 1, by the rule of torchgeo-bench."""
    largest = max(band.max for band in bands)
    if sensor == 's1':
        return 1.0
    return 10000.0 if largest > 1000 else 255.0 if largest > 10 else 1.0
