# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Requirements of contrastive tasks on the data they train on."""

import math
from typing import Any, Protocol


class Method(Protocol):
    """A contrastive task, as far as it concerns the data."""

    #: Years of a location that a sample holds.
    years: int

    @property
    def dates(self) -> int:
        """Dates that a sample, or each of its years, must hold."""


def require_data(task: Method, datamodule: Any) -> None:
    """Refuse a datamodule whose samples do not suit a method.

    Args:
        task: The method.
        datamodule: The data, set up; what it does not say is not checked.

    Raises:
        ValueError: If samples hold too few years or dates.
    """
    name = type(task).__name__
    years = getattr(datamodule, 'years', task.years)
    if years < task.years:
        raise ValueError(
            f'{name} needs {task.years} years of a location as an axis; set data.init_args.item '
            'to years, or where locations have one date train MoCo, which compares views of one'
        )
    require_dates(task, getattr(datamodule, 'dates', task.dates) * years // task.years)


def largest_queue(task: Method, datamodule: Any) -> int | None:
    """Return the most keys that a queue holds: as many as there are training items.

    Args:
        task: The method.
        datamodule: The data, set up.

    Returns:
        The number over all years, or None if the datamodule does not tell its items.
    """
    items = getattr(datamodule, 'train_items', 0)
    return items * task.years if items else None


def training_steps(trainer: Any, datamodule: Any) -> float:
    """Count the optimizer steps of a training.

    Lightning's own count makes the loader of the training, before a checkpoint is restored; a
    resumed training would then begin its epoch anew.

    Args:
        trainer: The trainer.
        datamodule: The data, set up, or None.

    Returns:
        The number; infinity if it is not limited, or not known.
    """
    most = trainer.max_steps if trainer.max_steps >= 0 else math.inf
    epochs = trainer.max_epochs
    if epochs is None or epochs < 0:
        return most
    batches = _training_batches(trainer, datamodule) if epochs else 0
    if batches == math.inf:
        return most
    return min(most, epochs * math.ceil(batches / trainer.accumulate_grad_batches))


def _training_batches(trainer: Any, datamodule: Any) -> float:
    """Batches of an epoch on each device."""
    items = getattr(datamodule, 'train_items', 0)
    try:
        batches = items // datamodule.batch_size if items else len(datamodule.train_dataloader())
    except (AttributeError, TypeError):
        # No data, or data of no length.
        return math.inf
    batches //= trainer.world_size
    limit = trainer.limit_train_batches
    return int(batches * limit) if isinstance(limit, float) else min(batches, limit)


def require_dates(task: Method, dates: int) -> None:
    """Refuse samples of fewer dates than a method compares.

    Args:
        task: The method.
        dates: Dates of a sample, or of each of its years.

    Raises:
        ValueError: If there are too few.
    """
    if dates < task.dates:
        each = ' in each year' if task.years > 1 else ''
        raise ValueError(
            f'{type(task).__name__} compares {task.dates} dates of a location{each}, samples have '
            f'{dates}; set data.init_args.dates to {task.dates} (of a datamodule of TorchGeo, '
            'data.dict_kwargs.seasons), or where locations have one date train MoCo, which '
            'compares views of one'
        )


def require_years(task: Method, shape: tuple[int, ...]) -> None:
    """Refuse images without the axis of years that a method needs.

    Args:
        task: The method.
        shape: Shape of the images.

    Raises:
        ValueError: If the axis is missing or of another length.
    """
    if len(shape) != 6 or shape[1] != task.years:
        raise ValueError(
            f'{type(task).__name__} needs {task.years} years of a location as an axis, (B, '
            f'{task.years}, T, C, H, W), got {shape}; set item=years of SeasonalDataModule'
        )
