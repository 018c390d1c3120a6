# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Samples that are drawn: image, target and prediction."""

from typing import Any

import torch
from torch import Tensor
from torchgeo.datasets.utils import Sample

from ..bands import known_sensor, natural_color
from .results import PanelSample


def panel_sample(task: Any, datamodule: Any, number: int) -> PanelSample:
    """A test sample and its prediction.

    Args:
        task: Task whose ``predict_step`` returns a mapping with class numbers as ``prediction``.
        datamodule: Datamodule, set up for the test.
        number: Position in the test split.

    Returns:
        The sample, images in natural colour where the bands allow, else of the first channels.
        Two dates are shown both; of longer series, the median over dates.

    Raises:
        ValueError: If *number* is beyond the split, or the task predicts no classes.
    """
    loader = datamodule.ordered_dataloader('test')
    if number >= len(loader.dataset):
        raise ValueError(
            f'panel {number} is beyond the {len(loader.dataset)} test samples; choose smaller '
            'numbers for panels'
        )
    batch = loader.collate_fn([loader.dataset[number]])
    batch = datamodule.transfer_batch_to_device(batch, task.device, 0)
    batch = datamodule.on_after_batch_transfer(batch, 0)
    predicted = task.predict_step(batch, 0)
    if not isinstance(predicted, dict) or 'prediction' not in predicted:
        raise ValueError(
            f'predict_step of {type(task).__name__} returns no mapping with prediction; set '
            'panels: [] to draw none'
        )
    target = batch['mask'] if 'mask' in batch else batch['label']
    return PanelSample(
        {title: image.float().cpu().numpy() for title, image in _images(batch, datamodule).items()},
        target[0].cpu().numpy(),
        predicted['prediction'][0].cpu().numpy(),
    )


def _images(batch: Sample, datamodule: Any) -> dict[str, Tensor]:
    """Three channels of the first image of a batch, by title."""
    image = batch['image'][0]
    image = image[..., _visible(datamodule, image.shape[-3]), :, :]
    if image.ndim == 3:
        return {'image': image}
    if len(image) == 2:
        return {'first date': image[0], 'second date': image[1]}
    return {f'median of {len(image)} dates': image.median(0).values}


def _visible(datamodule: Any, channels: int) -> list[int]:
    """Channels of natural colour, or the first three."""
    bands = getattr(datamodule, 'bands', None)
    sensor = getattr(datamodule, 'sensor', None)
    if bands is not None and sensor is not None:
        visible = natural_color(bands, known_sensor(sensor))
        if visible is not None:
            return visible
    return torch.arange(3).clamp(max=channels - 1).tolist()
