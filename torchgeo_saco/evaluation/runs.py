# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Training and test of one run."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch import Tensor

from ..metrics.probes import knn_scores, linear_probe
from ..tasks import ContrastiveTask
from .environment import environment
from .features import embeddings, fit_untrained_statistics
from .panels import panel_sample
from .plan import Run
from .results import Result

_NEIGHBOURS = 5


def execute_run(run: Run) -> Result:
    """Train the task of a run, test it, and probe its features.

    The task is trained and tested by Lightning. The datamodule caches the features of a frozen
    task, so the probes cost no encoding, and panels come from a new one. The test split decides
    nothing: the last weights are tested. A task that pre-trains and made no step takes the
    statistics of its BatchNorm from the training images first.

    Args:
        run: What to run.

    Returns:
        ``test_*`` of the task; and where the task has ``embed``, ``knn5_*`` of
        :func:`~torchgeo_saco.metrics.probes.knn_scores` and ``linear_*`` of
        :func:`~torchgeo_saco.metrics.probes.linear_probe`, with the strength chosen as ``linear_C``
        and the numbers of images as ``images_train`` and ``images_test``.

    Raises:
        ValueError: If a panel is beyond the test split, the task logs no test score or predicts no
            classes, or the images of a pre-training have no labels to judge it by.
    """
    start = time.perf_counter()
    seed_everything(run.seed, workers=True, verbose=False)
    datamodule, task, trainer = (run.make(part) for part in ('data', 'model', 'trainer'))
    if isinstance(task, ContrastiveTask):
        _require_judges(datamodule)
    trainer.fit(task, datamodule=datamodule)
    if trainer.interrupted:
        raise KeyboardInterrupt
    if isinstance(task, ContrastiveTask) and trainer.global_step == 0:
        fit_untrained_statistics(task.to(trainer.strategy.root_device), datamodule)
    if hasattr(task, 'cache_features') and hasattr(task, 'embed'):
        # For the test and the probes, which ask for the same images.
        datamodule.setup('test')
        with _evaluating(task, trainer):
            task.cache_features(datamodule, 'test')
    trainer.test(task, datamodule=datamodule, verbose=False)
    metrics = {
        name: float(value)
        for name, value in trainer.callback_metrics.items()
        if name.startswith('test_')
    }
    if not metrics:
        raise ValueError(
            f'{type(task).__name__} logs no score test_* in its test; log at least one'
        )
    confusion = getattr(task, 'test_confusion', None)
    fresh = run.make('data')
    fresh.prepare_data()
    fresh.setup('test')
    with _evaluating(task, trainer):
        panels = [panel_sample(task, fresh, number) for number in run.panels]
    if hasattr(task, 'embed'):
        with _evaluating(task, trainer):
            splits = [embeddings(task, datamodule, split) for split in ('train', 'val', 'test')]
        metrics |= _probe_scores(splits, fresh.classes, task.device)
    return Result(
        metrics,
        time.perf_counter() - start,
        tuple(fresh.classes),
        _plain_colors(getattr(fresh, 'colors', None)),
        None if confusion is None else confusion.cpu().numpy(),
        panels,
        environment(),
    )


def _require_judges(datamodule: Any) -> None:
    """Refuse images that could not judge an encoder, before it is trained on them."""
    datamodule.prepare_data()
    datamodule.setup('fit')
    if not datamodule.val_dataset:
        raise ValueError('no location is held out to test on; set val_fraction above 0')
    for split in ('train', 'val', 'test'):
        datamodule.ordered_dataloader(split)


@contextmanager
def _evaluating(task: LightningModule, trainer: Trainer) -> Iterator[None]:
    """Within the block the task is as in a test; Lightning moves it off the GPU after one."""
    task.to(trainer.strategy.root_device).eval()
    with torch.inference_mode(), trainer.precision_plugin.forward_context():
        yield


def _probe_scores(
    splits: Sequence[tuple[Tensor, Tensor]], classes: Sequence[str], device: torch.device
) -> dict[str, float]:
    """Scores of both probes, those of single classes under their names."""
    train, val, test = splits
    bank, asked = (tuple(part.to(device) for part in split) for split in (train, test))
    neighbours = knn_scores(bank[0], bank[1], asked[0], asked[1], _NEIGHBOURS)
    linear = linear_probe(*train, *val, *test)
    scores = {f'knn{_NEIGHBOURS}_{name}': score for name, score in neighbours.items()}
    scores |= {f'linear_{name}': score for name, score in linear.scores.items()}
    named: dict[str, float] = {
        'linear_C': linear.C,
        'images_train': float(len(train[0])),
        'images_test': float(len(test[0])),
    }
    for name, score in scores.items():
        if score.ndim == 0:
            named[name] = float(score)
        else:
            # The last classes have no number if no split has them.
            numbers = score.tolist() + [math.nan] * (len(classes) - len(score))
            named |= {f'{name}_{label}': n for label, n in zip(classes, numbers, strict=True)}
    return named


def _plain_colors(colors: Any) -> list[Any] | None:
    """Colours as texts or lists of numbers."""
    if colors is None:
        return None
    return [color if isinstance(color, str) else np.asarray(color).tolist() for color in colors]
