# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Published files: the encoders in them, and checkpoints of these."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from timm import create_model
from torch import Tensor

from ...io.checkpoint import CheckpointError, read_checkpoint
from ...io.files import atomic_file
from ..load import SECOND, EncoderConfig
from ..weights import load_exactly
from .layouts import PublishedPart, Tensors, depth, split_tensors
from .sources import encoder_config

_SWIN = 'swin_tiny_patch4_window7_224'


@dataclass(frozen=True)
class PublishedEncoder:
    """A backbone in a published file."""

    #: What it is.
    what: str

    #: Name of the timm model.
    model: str

    #: Its tensors, by name in timm.
    state: dict[str, Tensor]

    #: How its images are made.
    config: EncoderConfig

    @property
    def untrained(self) -> bool:
        """Whether no step has moved its BatchNorm layers, so it is random or frozen from start."""
        scales = [value for name, value in self.state.items() if _is_norm(name, 'weight')]
        shifts = [value for name, value in self.state.items() if _is_norm(name, 'bias')]
        return bool(scales) and all(bool((value == 1).all()) for value in scales) and all(
            bool((value == 0).all()) for value in shifts
        )  # fmt: skip


@dataclass(frozen=True)
class PublishedFile:
    """A published file, all tensors of which are accounted for."""

    #: Path of the file.
    path: str

    #: Its tensors in parts.
    tensors: Tensors

    #: Its encoders: none of a timm model, one, or one of each of two sensors.
    encoders: list[PublishedEncoder]

    def part(self, role: str) -> PublishedPart | None:
        """Part of that role, or None."""
        return next((one for one in self.tensors.parts if one.role == role), None)

    def report(self) -> list[str]:
        """Say what the file holds, and what of it becomes an encoder."""
        tensors = self.tensors
        kept = {encoder.what: encoder for encoder in self.encoders}
        lines = [f'{self.path}: {tensors.layout.title}']
        for one in tensors.parts:
            encoder = kept.get(one.what)
            count = sum(tensor.numel() for tensor in one.state.values())
            size = f'{len(one.state)} tensors, {count / 1e6:.2f} million numbers'
            if encoder is None:
                lines.append(f'{one.what}: {size}; left out, {_reason(one)}')
                continue
            lines.append(f'{one.what}: {size}; {_described(encoder)}')
            if encoder.untrained:
                lines.append(
                    f'{one.what}: every BatchNorm scales by 1 and shifts by 0, so it was never '
                    'trained, or the file is not what it is said to be'
                )
        if tensors.beside:
            lines.append(f'beside the weights: {", ".join(tensors.beside)}; left out')
        return lines


def read_published(path: str | os.PathLike[str]) -> PublishedFile:
    """Read a published file, without unpickling its classes.

    Args:
        path: File of SACo+, SeCo, CACo, Dual-SimCLR or MMA.

    Returns:
        Its parts, and its encoders under timm's names.

    Raises:
        CheckpointError: If it is damaged or of no known layout, or a tensor is missing, spare,
            quantized or of another shape.
    """
    name = os.fspath(path)
    tensors = split_tensors(name, read_checkpoint(name, inert=True))
    encoders = [
        _encoder(name, tensors.layout.name, one)
        for one in tensors.parts
        if one.role in ('numbers', 'names', 'swin')
    ]
    return PublishedFile(name, tensors, encoders)


def _encoder(path: str, layout: str, one: PublishedPart) -> PublishedEncoder:
    """Check the tensors of a backbone against the timm model that they are of."""
    state = {key: value.detach().clone() for key, value in one.state.items()}
    model = _SWIN if one.role == 'swin' else depth(path, state)
    first = state.get('patch_embed.proj.weight' if one.role == 'swin' else 'conv1.weight')
    if first is None or first.ndim != 4:
        raise CheckpointError(
            f'{path} lacks the first layer of its {one.what}; it may be incomplete: fetch it again'
        )
    config = encoder_config(layout, model, first.shape[1], one.sensor, path)
    backbone = create_model(model, in_chans=first.shape[1], num_classes=0)
    try:
        load_exactly(backbone, state, model, path)
    except ValueError as error:
        raise CheckpointError(
            f'{path}: the {one.what} is no {model} ({error}); it may be incomplete: fetch it again'
        ) from error
    return PublishedEncoder(one.what, model, state, config)


def write_encoders(
    file: PublishedFile, output: str | os.PathLike[str], sensor: str | None = None
) -> list[PublishedEncoder]:
    """Write the encoders of a published file as a checkpoint of this package.

    :func:`~torchgeo_saco.models.load_encoder`, tasks of this package and stock TorchGeo tasks
    take it.

    Args:
        file: The published file.
        output: Checkpoint to write.
        sensor: Sensor of the only encoder to write of two, or None for both; stock TorchGeo tasks
            see that of Sentinel-2 then.

    Returns:
        The encoders, the first of which stock tasks see.

    Raises:
        CheckpointError: If the file has no encoder of a timm model, or none of that sensor.
    """
    encoders = [one for one in file.encoders if sensor in (None, one.config.sensor)]
    if not encoders:
        have = ', '.join(one.config.sensor for one in file.encoders)
        raise CheckpointError(
            f'{file.path} holds encoders of {have}, none of {sensor}; name one of these'
            if have
            else f'{file.path} holds no encoder of a timm model; run it by load_published'
        )
    encoders.sort(key=lambda one: one.config.sensor, reverse=True)
    state: dict[str, Tensor] = {}
    arguments: dict[str, Any] = {'source': file.tensors.layout.title}
    for prefix, where, one in zip(
        ('', SECOND), ('model.', f'{SECOND}backbone.'), encoders, strict=False
    ):
        state |= {f'{where}{name}': value for name, value in one.state.items()}
        arguments |= {
            f'{prefix}model': one.model,
            f'{prefix}sensor': one.config.sensor,
            f'{prefix}bands': one.config.bands,
            f'{prefix}encoder': one.config.to_dict(),
        }
    with atomic_file(output) as partial:
        torch.save({'state_dict': state, 'hyper_parameters': arguments}, partial)
    return encoders


def _is_norm(name: str, what: str) -> bool:
    """Whether a name is that of a BatchNorm layer of a ResNet."""
    layer = name.rpartition('.')[0].rpartition('.')[2]
    return name.endswith(f'.{what}') and layer.startswith('bn')


def _described(encoder: PublishedEncoder) -> str:
    """Say in a clause what an encoder sees."""
    config = encoder.config
    seen = f'groups {", ".join(config.groups)}' if config.groups else f'{" ".join(config.bands)}'
    scaled = (
        'standardized by statistics of the images'
        if config.scaling is None
        else 'scaled as in its training'
    )
    return f'{encoder.model} of {config.sensor}, {seen}, {scaled}'


def _reason(one: PublishedPart) -> str:
    """Say in a clause why a part becomes no encoder."""
    if one.role in ('classifier.', 'decoder.'):
        return 'for an encoder has no head; load_published runs it'
    if one.role == 'vgg':
        return 'for it is no timm model; load_published runs it'
    return 'for it serves the training alone'
