# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""The check of TorchGeo for self-supervised encoders, on EuroSAT."""

import argparse
import csv
import inspect
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import seed_everything
from rich.console import Console
from rich.table import Table
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..datamodules import EuroSATBandsDataModule
from ..datamodules.benchmark import SPLITS, Split
from ..io.checkpoint import read_checkpoint
from ..io.files import require_folder, write_file
from ..losses import l2_normalize
from ..metrics import effective_rank, feature_std
from ..metrics.probes import linear_probe
from ..models import Encoder, fit_input_statistics
from ..models.load import LoadedEncoder, load_encoder
from ..runtime.checks import check_choice
from ..runtime.device import known_device
from .baselines import ImageStatistics
from .environment import environment
from .features import batches

#: Learning rates of the linear classifier, of which validation chooses one.
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)

# Ours: a trained ResNet has a spread of 0.2 to 0.9 and tens of dimensions in use; where training
# collapses both fall by orders of magnitude.
_LEAST_STD, _LEAST_RANK = 0.01, 2.0

_NEIGHBOURS, _EPOCHS, _BATCH = 5, 50, 256

#: Floor of image statistics, in the table.
FLOOR = 'image statistics'

#: Features and labels of the splits.
Features = Mapping[Split, tuple[Tensor, Tensor]]


class ProtocolRow(NamedTuple):
    """Scores of one encoder, shares from 0 to 1."""

    #: Name of the encoder, or :data:`FLOOR`.
    encoder: str

    #: Learning rate of its pre-training, None where it is not known.
    pretraining_lr: float | None

    #: Accuracy of 5 nearest neighbours by Euclidean distance, on val and on test.
    knn5_val: float
    knn5_test: float

    #: Accuracy of a linear classifier by stochastic gradients, at the rate that was best on val.
    linear_test: float
    linear_lr: float

    #: Accuracy of logistic regression by L-BFGS, at the strength that was best on val.
    logistic_test: float

    #: Spread, dimensions in use after centring, and mean cosine of pairs, of the test images.
    feature_std: float
    effective_rank: float
    mean_cosine: float

    #: Length of a feature.
    dimensions: int

    @property
    def collapsed(self) -> bool:
        """Whether all images have nearly the same feature."""
        return self.feature_std < _LEAST_STD or self.effective_rank < _LEAST_RANK

    def verdict(self, floor: 'ProtocolRow') -> str:
        """What the check says of an encoder.

        Args:
            floor: Row of the image statistics.
        """
        if self.collapsed:
            return 'collapsed'
        return 'passes' if self.knn5_test > floor.knn5_test else 'below floor'


def main(protocol: str, args: Sequence[str]) -> None:
    """Run ``torchgeo-saco evaluate --protocol``.

    Args:
        protocol: Name of the protocol, ``torchgeo``.
        args: The other arguments, those of :func:`torchgeo_protocol`.

    Raises:
        ValueError: If an argument or the data are wrong.
    """
    check_choice('protocol', protocol, ('torchgeo',))
    parser = ArgumentParser(
        prog='torchgeo-saco evaluate --protocol torchgeo',
        description=inspect.cleandoc(torchgeo_protocol.__doc__ or '').split('\nArgs:\n')[0],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        exit_on_error=False,
    )
    parser.add_function_arguments(torchgeo_protocol, as_group=False)
    torchgeo_protocol(**parser.parse_args(list(args)).as_dict())


def split_protocol(args: Sequence[str]) -> tuple[str | None, list[str]]:
    """Value of ``--protocol``, None where it is not given, and the other arguments.

    Args:
        args: Arguments after ``evaluate``.

    Raises:
        ValueError: If it lacks a value.
    """
    protocol, others = None, []
    left = list(args)
    while left:
        word = left.pop(0)
        name, equals, value = word.partition('=')
        if name != '--protocol':
            others.append(word)
            continue
        if not equals and not left:
            raise ValueError('argument --protocol lacks a value; it is torchgeo')
        protocol = value if equals else left.pop(0)
    return protocol, others


def torchgeo_protocol(
    weights: str | list[str],
    root: str = 'data/eurosat',
    output: str = 'logs/torchgeo',
    model: str | None = None,
    archive: str = 'official',
    download: bool = False,
    spatial: bool = False,
    batch_size: int = 64,
    num_workers: int = 0,
    device: str = 'auto',
    seed: int = 0,
) -> list[ProtocolRow]:
    """Check encoders as TorchGeo asks of self-supervised training, on EuroSAT.

    Every encoder is frozen. Reported are the accuracy of 5 nearest neighbours (Euclidean
    distance), of a linear classifier over a sweep of learning rates, of which the validation split
    chooses one, and of logistic regression; whether the features have collapsed; and the floor
    that images give without any net: mean, standard deviation and quartiles of every band,
    and an untrained net of the architecture of the first checkpoint.

    Give checkpoints of several learning rates of the pre-training, and the table is the sweep
    over them; nothing is chosen by the test split. Fine-tuning is left out.

    For example:

      torchgeo-saco evaluate --protocol torchgeo --weights last.ckpt --root data/eurosat
      torchgeo-saco evaluate --protocol torchgeo --weights '[lr_0.01.ckpt, lr_0.03.ckpt]'

    Args:
        weights: Checkpoints, or names of weights of TorchGeo.
        root: Folder that holds EuroSAT.
        output: Folder of ``protocol.csv`` and ``protocol.json``.
        model: Name of the timm model, or None for that of the weights, else ResNet-18.
        archive: ``official``, or ``sample`` for the synthetic one.
        download: Download EuroSAT, or generate the sample, where it is absent.
        spatial: Split by longitude.
        batch_size: Images at a time.
        num_workers: Number of workers for parallel data loading.
        device: cpu, cuda, or auto.
        seed: Seed of the untrained net and of the linear classifiers.

    Returns:
        The floor, the untrained net, and the encoders in the order given.

    Raises:
        ValueError: If an argument is out of range, or weights do not fit the bands of EuroSAT.
        CheckpointError: If a file is no usable checkpoint.
        DatasetNotFoundError: If EuroSAT is missing.
    """
    weights = [weights] if isinstance(weights, str) else weights
    if not weights:
        raise ValueError('weights lists no checkpoint; give at least one')
    doubled = sorted({name for name in weights if weights.count(name) > 1})
    if doubled:
        raise ValueError(f'weights lists {", ".join(doubled)} twice; remove one')
    where = known_device(device)
    require_folder(output)
    data = EuroSATBandsDataModule(
        root, spatial, archive=archive, download=download, batch_size=batch_size,
        num_workers=num_workers,
    )  # fmt: skip
    encoders = {name: load_encoder(data.bands, data.sensor, model, name) for name in weights}
    data.prepare_data()
    for stage in ('fit', 'test'):
        data.setup(stage)
    console = Console(stderr=True, highlight=False)
    rows = [_row(FLOOR, None, _features(data, where, ImageStatistics()), seed, scaled=True)]
    first = next(iter(encoders.values()))
    seed_everything(seed, workers=True, verbose=False)
    untrained = LoadedEncoder(
        first.config.encoder(), first.config, True, [], list(first.encoder.inputs.names)
    )
    for name, loaded in {'untrained': untrained, **encoders}.items():
        console.print(f'{name}: features of EuroSAT')
        if loaded.unfitted:
            console.print(
                f'{name}: statistics of {", ".join(loaded.unfitted)} are taken from the training '
                'images'
            )
        rate = None if loaded.random else pretraining_lr(name)
        rows.append(_row(name, rate, encoder_features(loaded, data, where), seed))
    _write(Path(output), rows, {'root': root, 'archive': archive, 'spatial': spatial, 'seed': seed})
    Console().print(_table(rows, archive == 'sample'))
    console.print(f'The table is in {output}/protocol.csv and protocol.json')
    return rows


def encoder_features(
    loaded: LoadedEncoder, data: EuroSATBandsDataModule, device: torch.device
) -> Features:
    """Features of all splits; statistics that are missing are taken from the training images.

    Args:
        loaded: The encoder.
        data: The images, set up.
        device: Where to compute.

    Returns:
        Features, (N, D), and labels, (N), of each split, on the CPU.
    """
    encoder: Encoder = loaded.encoder.to(device).eval()
    if loaded.unfitted:
        fit_input_statistics(
            encoder,
            lambda: (batch['image'] for batch in batches(device, data, 'train')),
            backbone=loaded.random,
        )
        encoder.eval()
    return _features(data, device, encoder)


def linear_rate_sweep(
    features: Features, rates: Sequence[float] = RATES, seed: int = 0
) -> tuple[float, float]:
    """Accuracy of linear classifiers by stochastic gradients, one a learning rate.

    Features are standardized by the training split; momentum 0.9, no weight decay, batches of 256,
    50 epochs, the rate falling to 0 along a cosine. All rates see the same batches.

    Args:
        features: Features and labels of the splits.
        rates: Learning rates.
        seed: Seed of the order of batches.

    Returns:
        Accuracy on test at the rate that is best on val, the least of equals; and that rate.

    Raises:
        ValueError: If there are no rates.
    """
    if not rates:
        raise ValueError('rates is empty; list at least one learning rate')
    (train, labels), val, test = (features[split] for split in SPLITS)
    mean, std = train.mean(0), train.std(0).clamp_min(1e-8)
    standard = (train - mean) / std
    classes = 1 + max(int(part[1].max()) for part in features.values())
    found = []
    for rate in sorted(rates):
        generator = torch.Generator().manual_seed(seed)
        layer = nn.Linear(train.shape[1], classes)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        optimizer = torch.optim.SGD(layer.parameters(), rate, momentum=0.9)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _EPOCHS)
        for _ in range(_EPOCHS):
            for chosen in torch.randperm(len(train), generator=generator).split(_BATCH):
                optimizer.zero_grad()
                cross_entropy(layer(standard[chosen]), labels[chosen]).backward()
                optimizer.step()
            schedule.step()
        with torch.no_grad():
            scores = [
                (layer((part - mean) / std).argmax(1) == truth).float().mean().item()
                for part, truth in (val, test)
            ]
        found.append((scores[0], -rate, scores[1]))
    _, rate, score = max(found)
    return score, -rate


def pretraining_lr(name: str) -> float | None:
    """Learning rate that a checkpoint was trained at, None where it says none.

    Args:
        name: Path of a checkpoint, or name of a weight.
    """
    if not Path(name).is_file():
        return None
    rate = read_checkpoint(name).get('hyper_parameters', {}).get('lr')
    return float(rate) if isinstance(rate, int | float) else None


@torch.inference_mode()
def _features(
    data: EuroSATBandsDataModule, device: torch.device, embed: Callable[[Tensor], Tensor]
) -> Features:
    """Features of all splits."""
    found: dict[Split, tuple[Tensor, Tensor]] = {}
    for split in SPLITS:
        pairs = [
            (embed(batch['image']).float().cpu(), batch['label'].cpu())
            for batch in batches(device, data, split)
        ]
        features, labels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        found[split] = (features, labels)
    return found


def _row(
    name: str, rate: float | None, features: Features, seed: int, scaled: bool = False
) -> ProtocolRow:
    """Scores of features; those of other units are standardized for the neighbours, if *scaled*."""
    (train, labels), (val, val_labels), (test, test_labels) = (features[s] for s in SPLITS)
    if not all(part[0].isfinite().all() for part in features.values()):
        raise ValueError(f'features of {name} hold NaN or infinity; the encoder has diverged')
    mean = train.mean(0) if scaled else 0
    std = train.std(0).clamp_min(1e-8) if scaled else 1
    votes = KNeighborsClassifier(min(_NEIGHBOURS, len(train))).fit(
        ((train - mean) / std).numpy(), labels.numpy()
    )
    near = [
        float(votes.score(((part - mean) / std).numpy(), truth.numpy()))
        for part, truth in ((val, val_labels), (test, test_labels))
    ]
    linear, linear_rate = linear_rate_sweep(features, seed=seed)
    logistic = linear_probe(train, labels, val, val_labels, test, test_labels)
    return ProtocolRow(
        name,
        rate,
        near[0],
        near[1],
        linear,
        linear_rate,
        float(logistic.scores['OverallAccuracy']),
        float(feature_std(test)),
        float(effective_rank(test - test.mean(0))),
        _mean_cosine(test),
        test.shape[1],
    )


def _mean_cosine(features: Tensor) -> float:
    """Mean cosine of all pairs of different images."""
    unit = l2_normalize(features.double())
    count = len(unit)
    pairs = max(count * (count - 1), 1)
    return float((unit.sum(0).square().sum() - unit.square().sum()) / pairs)


def _write(folder: Path, rows: Sequence[ProtocolRow], settings: Mapping[str, Any]) -> None:
    """Write the table as CSV and JSON."""
    records = [row._asdict() | {'verdict': _verdict(row, rows)} for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator='\n')
    writer.writeheader()
    writer.writerows(records)
    write_file(folder / 'protocol.csv', text.getvalue().encode())
    record = {'protocol': 'torchgeo', **settings, 'rows': records, 'environment': environment()}
    write_file(folder / 'protocol.json', (json.dumps(record, indent=2) + '\n').encode())


def _verdict(row: ProtocolRow, rows: Sequence[ProtocolRow]) -> str:
    """Verdict of a row, none of the floor itself."""
    return '' if row.encoder == FLOOR else row.verdict(rows[0])


def _table(rows: Sequence[ProtocolRow], synthetic: bool) -> Table:
    """Table for the terminal, in percent."""
    title = 'Check of TorchGeo on EuroSAT, test split' + (', synthetic' if synthetic else '')
    table = Table(
        title=title, caption='lr: learning rate of the pre-training', min_width=len(title)
    )
    table.add_column('encoder', overflow='fold')
    for head in (
        'lr', 'kNN-5', 'linear (lr)', 'logistic', 'std', 'rank', 'cosine', 'verdict'
    ):  # fmt: skip
        table.add_column(head, justify='right')
    for row in rows:
        rate = math.nan if row.pretraining_lr is None else row.pretraining_lr
        table.add_row(
            row.encoder,
            '' if math.isnan(rate) else f'{rate:g}',
            f'{100 * row.knn5_test:.1f}',
            f'{100 * row.linear_test:.1f} ({row.linear_lr:g})',
            f'{100 * row.logistic_test:.1f}',
            f'{row.feature_std:.3f}',
            f'{row.effective_rank:.1f}',
            f'{row.mean_cosine:.3f}',
            _verdict(row, rows),
        )
    return table
