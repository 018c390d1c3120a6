# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Training and test of one run."""

import itertools
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
from ..metrics.probes import knn_probe, knn_scores, linear_probe
from ..models.inputs import GroupInputs
from ..tasks import ContrastiveTask
from .baselines import ImageFeatures, LBPHistograms
from .environment import environment
from .features import SplitFeatures, embeddings, fit_exact_statistics
from .panels import panel_sample
from .plan import Run
from .results import Result
from .specification import FUSED, HALVED, OPTIONAL

_NEIGHBOURS = 5

# Draws of the groups that are missing.
_HALVES = 8

# Tasks that are judged by their features alone.
_PRETRAINING = (ContrastiveTask, TorchGeoMoCo, SimCLR, BYOL, ImageFeatures)


def execute_run(run: Run) -> Result:
    """Train the task of a run, test it, and probe its features.

    The task is trained and tested by Lightning. The datamodule caches the features of a frozen
    task, so the probes cost no encoding, and panels come from a new one. The test split decides
    nothing: the last weights are tested. Tasks that pre-train, ours and those of TorchGeo, take the
    statistics of their BatchNorm from training images before they are judged. Those of TorchGeo and
    :class:`~torchgeo_saco.evaluation.baselines.ImageFeatures` are judged by their features alone.

    Args:
        run: What to run.

    Returns:
        ``test_*`` of the task; and where it gives features, ``knn5_*`` of
        :func:`~torchgeo_saco.metrics.probes.knn_scores`, of fewer training images all of them,
        and ``linear_*`` of
        :func:`~torchgeo_saco.metrics.probes.linear_probe`, with the strength chosen as ``linear_C``
        and the numbers of images as ``images_train`` and ``images_test``; ``effective_rank`` of the
        test features, ``same_location_auc`` if locations have several dates, and
        ``nce_over_chance`` at the end of a training of ours (NaN elsewhere). If a metric of the run
        begins with ``fused_``, the same of the features beside the LBP histograms of the image,
        both of length one, as SACo+ classifies EuroSAT; and if one begins with ``halved_``,
        ``halved_knn5_OverallAccuracy`` of test images that lack half of their groups and the
        textures of these (NaN of one group; of an odd number the larger half stays). Of a task of
        two sensors both are of the first. Images without labels are judged by the measures that
        need none.

    Raises:
        ValueError: If a panel is beyond the test split, the task logs no test score or predicts no
            classes, or the images of a pre-training have neither labels nor several dates to
            judge it by.
    """
    start = time.perf_counter()
    seed_everything(run.seed, workers=True, verbose=False)
    datamodule, task, trainer = (run.make(part) for part in ('data', 'model', 'trainer'))
    pretraining = isinstance(task, _PRETRAINING)
    if pretraining:
        _require_judges(datamodule, run.metrics)
    if not isinstance(task, ImageFeatures):
        trainer.fit(task, datamodule=datamodule)
    if trainer.interrupted:
        raise KeyboardInterrupt
    if pretraining and not isinstance(task, ImageFeatures):
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
        # Without labels there is nothing to learn from the other splits.
        names = ('train', 'val', 'test') if fresh.classes else ('test',)
        with _evaluating(task, trainer):
            splits = [embeddings(task, datamodule, split) for split in names]
        locations = splits[-1].locations
        scores, image_scores = _measures(splits[-1])
        metrics |= scores
        if fresh.classes:
            scores, more = _probe_scores(splits, fresh.classes, task.device)
            metrics |= scores
            image_scores |= more
        # Others may hold features in place of images.
        if pretraining and any(name.startswith(FUSED) for name in run.metrics):
            scores, _ = _probe_scores(
                _fuse_histograms(splits, datamodule), fresh.classes, task.device
            )
            metrics |= {f'{FUSED}{name}': score for name, score in scores.items()}
    if any(name.startswith(HALVED) for name in run.metrics):
        with _evaluating(task, trainer):
            metrics |= _halved_scores(task, datamodule)
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


def _require_judges(datamodule: Any, metrics: Sequence[str]) -> None:
    """Refuse images that could not judge an encoder, before it is trained on them."""
    datamodule.prepare_data()
    datamodule.setup('fit')
    if not datamodule.val_dataset:
        raise ValueError('no location is held out to test on; set val_fraction above 0')
    for split in ('train', 'val', 'test') if datamodule.classes else ():
        datamodule.ordered_dataloader(split)
    if datamodule.classes:
        return
    # Dates of a location judge.
    wrong = [name for name in metrics if name.startswith(OPTIONAL) or 'Accuracy' in name]
    if wrong:
        raise ValueError(
            f'{wrong[0]} needs labels, and {datamodule.folder} has none; add labels.csv, or ask '
            'for same_location_auc and effective_rank alone'
        )
    loader = datamodule.ordered_dataloader('test', labelled=False)
    if len(loader.dataset) < 2 + len(loader.dataset.locations):
        raise ValueError(
            'neither labels nor several dates of a location judge an encoder; add labels.csv, or '
            'hold out more locations by val_fraction'
        )


@contextmanager
def _evaluating(task: LightningModule, trainer: Trainer) -> Iterator[None]:
    """Within the block the task is as in a test; Lightning moves it off the GPU after one."""
    task.to(trainer.strategy.root_device).eval()
    with torch.inference_mode(), trainer.precision_plugin.forward_context():
        yield


def _measures(test: SplitFeatures) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Scores of features that need no labels, and those of each image."""
    named = {'effective_rank': float(effective_rank(test.features)), 'same_location_auc': math.nan}
    if test.locations is None:
        return named, {}
    closer = same_location_auc(test.features, test.locations)
    if closer.isnan().all():
        return named, {}
    named['same_location_auc'] = float(closer.nanmean())
    return named, {'same_location_auc': closer.numpy()}


def _probe_scores(
    splits: Sequence[SplitFeatures], classes: Sequence[str], device: torch.device
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Scores of features, those of single classes under their names, and those of each image."""
    train, val, test = splits
    bank = (train.features.to(device), train.labels.to(device))
    asked = (test.features.to(device), test.labels.to(device))
    neighbours, voted = knn_probe(*bank, *asked, min(_NEIGHBOURS, len(bank[0])))
    linear = linear_probe(*train[:2], *val[:2], *test[:2])
    scores = {f'knn{_NEIGHBOURS}_{name}': score for name, score in neighbours.items()}
    scores |= {f'linear_{name}': score for name, score in linear.scores.items()}
    named: dict[str, float] = {
        'linear_C': linear.C,
        'images_train': float(len(train[0])),
        'images_test': float(len(test[0])),
    }
    of_images: dict[str, Tensor] = {}
    if voted is not None and linear.predicted is not None:
        of_images[f'knn{_NEIGHBOURS}_OverallAccuracy'] = (voted == test.labels).double()
        of_images['linear_OverallAccuracy'] = (linear.predicted == test.labels).double()
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


def _halved_scores(task: Any, datamodule: Any) -> dict[str, float]:
    """Accuracy of kNN where test images lack half of their groups, and those of training none."""
    name = f'{HALVED}knn{_NEIGHBOURS}_OverallAccuracy'
    inputs = task.encoder.inputs if isinstance(task, ContrastiveTask) else None
    if not isinstance(inputs, GroupInputs) or len(inputs.spectral.groups) < 2:
        return {name: math.nan}
    names = task.encoder.names
    # Bands that are missing take the texture of a group with them.
    members = [
        [names.index(of) for of in (group.name, f'{group.name}_texture') if of in names]
        for group in inputs.spectral.groups
    ]

    def of_groups(task: Any, batch: Any) -> Tensor:
        features: Tensor = task.forward_groups(batch['image'].flatten(0, -4))
        return features.flatten(1)

    train, test = (embeddings(task, datamodule, split, of_groups) for split in ('train', 'test'))
    bank, asked = (split.features.unflatten(1, (len(names), -1)) for split in (train, test))
    halves = list(itertools.combinations(members, len(members) - len(members) // 2))
    drawn = np.random.default_rng(0).permutation(len(halves))[:_HALVES]
    found = []
    for draw in drawn:
        kept = [number for numbers in halves[draw] for number in numbers]
        scores = knn_scores(
            bank.mean(1),
            train.labels,
            asked[:, kept].mean(1),
            test.labels,
            min(_NEIGHBOURS, len(bank)),
        )
        found.append(float(scores['OverallAccuracy']))
    return {name: sum(found) / len(found)}


def _plain_colors(colors: Any) -> list[Any] | None:
    """Colours as texts or lists of numbers."""
    if colors is None:
        return None
    return [color if isinstance(color, str) else np.asarray(color).tolist() for color in colors]
