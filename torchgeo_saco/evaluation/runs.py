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
from torchgeo.tasks import BYOL, SimCLR
from torchgeo.tasks import MoCo as TorchGeoMoCo

from ..metrics import effective_rank, same_location_auc
from ..metrics.probes import knn_classes, knn_scores, linear_probe
from ..tasks import ContrastiveTask
from .baselines import ImageFeatures, LBPHistograms
from .environment import environment
from .features import SplitFeatures, embeddings, fit_exact_statistics
from .panels import panel_sample
from .plan import Run
from .results import Result

_NEIGHBOURS = 5

# Before the scores of features beside LBP histograms, which take a while to compute.
_FUSED = 'fused_'

# Tasks that are judged by their features alone.
_PRETRAINING = (ContrastiveTask, TorchGeoMoCo, SimCLR, BYOL, ImageFeatures)


def execute_run(run: Run) -> Result:
    """Train the task of a run, test it, and probe its features.

    The task is trained and tested by Lightning. The datamodule caches the features of a frozen
    task, so the probes cost no encoding, and panels come from a new one. The test split decides
    nothing: the last weights are tested. Our tasks that pre-train take the statistics of their
    BatchNorm from the training images before they are judged. Tasks of TorchGeo that pre-train
    and :class:`~torchgeo_saco.evaluation.baselines.ImageFeatures` are judged by the probes alone.

    Args:
        run: What to run.

    Returns:
        ``test_*`` of the task; and where it gives features, ``knn5_*`` of
        :func:`~torchgeo_saco.metrics.probes.knn_scores` and ``linear_*`` of
        :func:`~torchgeo_saco.metrics.probes.linear_probe`, with the strength chosen as ``linear_C``
        and the numbers of images as ``images_train`` and ``images_test``; ``effective_rank`` of the
        test features, ``same_location_auc`` if locations have several dates, and
        ``nce_over_chance`` at the end of a training of ours (NaN elsewhere). If a metric of the run
        begins with ``fused_``, the same of the features beside the LBP histograms of the image,
        both of length one, as SACo+ classifies EuroSAT.

    Raises:
        ValueError: If a panel is beyond the test split, the task logs no test score or predicts no
            classes, or the images of a pre-training have no labels to judge it by.
    """
    start = time.perf_counter()
    seed_everything(run.seed, workers=True, verbose=False)
    datamodule, task, trainer = (run.make(part) for part in ('data', 'model', 'trainer'))
    pretraining = isinstance(task, _PRETRAINING)
    if pretraining:
        _require_judges(datamodule)
    if not isinstance(task, ImageFeatures):
        trainer.fit(task, datamodule=datamodule)
    if trainer.interrupted:
        raise KeyboardInterrupt
    if isinstance(task, ContrastiveTask):
        task.to(trainer.strategy.root_device)
        fit_exact_statistics(task, datamodule, trainer.global_step > 0)
    if hasattr(task, 'cache_features') and hasattr(task, 'embed'):
        # For the test and the probes, which ask for the same images.
        datamodule.setup('test')
        with _evaluating(task, trainer):
            task.cache_features(datamodule, 'test')
    metrics: dict[str, float] = {}
    if not pretraining or isinstance(task, ContrastiveTask):
        trainer.test(task, datamodule=datamodule, verbose=False)
        metrics = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith('test_')
        }
    if not metrics and not pretraining:
        raise ValueError(
            f'{type(task).__name__} logs no score test_* in its test; log at least one'
        )
    confusion = getattr(task, 'test_confusion', None)
    fresh = run.make('data')
    fresh.prepare_data()
    fresh.setup('test')
    with _evaluating(task, trainer):
        panels = [panel_sample(task, fresh, number) for number in run.panels]
    image_scores: dict[str, np.ndarray] = {}
    locations = None
    if pretraining or hasattr(task, 'embed'):
        with _evaluating(task, trainer):
            splits = [embeddings(task, datamodule, split) for split in ('train', 'val', 'test')]
        locations = splits[-1].locations
        scores, image_scores = _probe_scores(splits, fresh.classes, task.device)
        metrics |= scores
        if any(name.startswith(_FUSED) for name in run.metrics):
            scores, _ = _probe_scores(
                _fuse_histograms(splits, datamodule), fresh.classes, task.device
            )
            metrics |= {f'{_FUSED}{name}': score for name, score in scores.items()}
    if pretraining:
        metrics['nce_over_chance'] = getattr(task, 'nce_over_chance', math.nan)
    return Result(
        metrics,
        time.perf_counter() - start,
        tuple(fresh.classes),
        _plain_colors(getattr(fresh, 'colors', None)),
        None if confusion is None else confusion.cpu().numpy(),
        panels,
        environment(),
        image_scores,
        None if locations is None else locations.numpy(),
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
    splits: Sequence[SplitFeatures], classes: Sequence[str], device: torch.device
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Scores of features, those of single classes under their names, and those of each image."""
    train, val, test = splits
    bank = (train.features.to(device), train.labels.to(device))
    asked = (test.features.to(device), test.labels.to(device))
    neighbours = knn_scores(*bank, *asked, _NEIGHBOURS)
    linear = linear_probe(*train[:2], *val[:2], *test[:2])
    scores = {f'knn{_NEIGHBOURS}_{name}': score for name, score in neighbours.items()}
    scores |= {f'linear_{name}': score for name, score in linear.scores.items()}
    named: dict[str, float] = {
        'linear_C': linear.C,
        'images_train': float(len(train[0])),
        'images_test': float(len(test[0])),
        'effective_rank': float(effective_rank(test.features)),
        'same_location_auc': math.nan,
    }
    of_images: dict[str, Tensor] = {}
    if linear.predicted is not None:
        voted = knn_classes(*bank, asked[0], _NEIGHBOURS)
        of_images[f'knn{_NEIGHBOURS}_OverallAccuracy'] = (voted == test.labels).double()
        of_images['linear_OverallAccuracy'] = (linear.predicted == test.labels).double()
    if test.locations is not None:
        closer = same_location_auc(test.features, test.locations)
        if not closer.isnan().all():
            named['same_location_auc'] = float(closer.nanmean())
            of_images['same_location_auc'] = closer
    for name, score in scores.items():
        if score.ndim == 0:
            named[name] = float(score)
        else:
            # The last classes have no number if no split has them.
            numbers = score.tolist() + [math.nan] * (len(classes) - len(score))
            named |= {f'{name}_{label}': n for label, n in zip(classes, numbers, strict=True)}
    return named, {name: scores.numpy() for name, scores in of_images.items()}


def _fuse_histograms(splits: Sequence[SplitFeatures], datamodule: Any) -> list[SplitFeatures]:
    """Features beside the LBP histograms of the images, each of length one."""
    fused = []
    for name, split in zip(('train', 'val', 'test'), splits, strict=True):
        histograms = embeddings(LBPHistograms(), datamodule, name).features
        parts = [torch.nn.functional.normalize(part) for part in (split.features, histograms)]
        fused.append(split._replace(features=torch.cat(parts, dim=1)))
    return fused


def _plain_colors(colors: Any) -> list[Any] | None:
    """Colours as texts or lists of numbers."""
    if colors is None:
        return None
    return [color if isinstance(color, str) else np.asarray(color).tolist() for color in colors]
