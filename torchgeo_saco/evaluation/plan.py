# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""The cells of the table: one training and test each, and the key of its result."""

import argparse
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch import Trainer
from torchgeo.datamodules import BaseDataModule
from torchgeo.models import get_weight
from torchgeo.tasks import BaseTask

from .. import __version__
from .settings import Settings, SettingsError

# Nothing but the result is kept; the command has a progress bar of its own.
_QUIET = {
    'accelerator': 'auto',
    'devices': 1,
    'logger': False,
    'enable_checkpointing': False,
    'enable_progress_bar': False,
    'enable_model_summary': False,
}

_CHECKPOINTS = ('.ckpt', '.pth', '.pt', '.safetensors')


@dataclass(frozen=True)
class Cell:
    """An encoder on a benchmark with a seed."""

    #: Name of the encoder.
    encoder: str

    #: Name of the benchmark.
    benchmark: str

    #: Seed of the run.
    seed: int

    #: Task, datamodule and trainer, checked and with all defaults.
    parts: Namespace

    #: Names of the scores that the table shows; empty for the overall ones.
    metrics: tuple[str, ...]

    #: Positions of the test samples that are drawn.
    panels: tuple[int, ...]

    #: Hash of all that the result depends on.
    key: str

    @property
    def name(self) -> str:
        """The cell in words."""
        return f'encoder {self.encoder} on benchmark {self.benchmark} with seed {self.seed}'

    @property
    def synthetic(self) -> bool:
        """Whether the data are the generated sample."""
        return self.parts.data.init_args.get('archive') == 'sample'

    def make(self, part: str) -> Any:
        """A new task ('model'), datamodule ('data') or trainer ('trainer')."""
        parser = _parser(part)
        # The older name is deprecated since jsonargparse 4.49, which is not required.
        instantiate = getattr(parser, 'instantiate', None) or parser.instantiate_classes
        return instantiate(Namespace({part: self.parts[part]}))[part]


def plan_cells(settings: Settings) -> list[Cell]:
    """All cells, by benchmark, encoder and seed.

    Args:
        settings: What to evaluate.

    Returns:
        The cells.

    Raises:
        SettingsError: If an argument or class is unknown or of the wrong type, a checkpoint is
            missing, or weights have an unknown name. The message names encoder and benchmark.
    """
    hashes = _Hashes()
    return [
        _cell(settings, encoder, benchmark, seed, hashes)
        for benchmark in settings.benchmarks
        for encoder in settings.encoders
        for seed in settings.seeds
    ]


def _cell(settings: Settings, encoder: str, benchmark: str, seed: int, hashes: '_Hashes') -> Cell:
    """One cell, its parts checked."""
    spec = settings.benchmarks[benchmark]
    arguments = _seeded(settings.encoders[encoder], seed)
    where = f'encoder {encoder} on benchmark {benchmark}'
    unknown = set(spec) - {'model', 'data', 'trainer', 'metrics', 'panels'}
    if unknown:
        raise SettingsError(
            f'benchmark {benchmark} has an unknown part {min(unknown)!r}; its parts are configs, '
            'model, data, trainer, metrics and panels'
        )
    model = spec.get('model') or {}
    if not isinstance(model, Mapping):
        raise SettingsError(f'benchmark {benchmark}: model must be a mapping, got {model!r}')
    given = {
        'model': {**model, 'init_args': {**(model.get('init_args') or {}), **arguments}},
        'data': spec.get('data') or {},
        'trainer': {**_QUIET, **(spec.get('trainer') or {})},
    }
    parts = Namespace()
    try:
        for name, value in given.items():
            parts[name] = _parser(name).parse_object({name: value})[name]
        shown = _parser('shown').parse_object(
            {name: spec[name] for name in ('metrics', 'panels') if name in spec}
        )
        if any(panel < 0 for panel in shown.panels):
            raise ValueError(f'panels must not be negative, got {shown.panels}')
        plain = parts.as_dict()
        identity = {
            'version': __version__,
            'model': hashes.in_place(plain['model']),
            'data': plain['data'],
            'trainer': given['trainer'],
            'panels': shown.panels,
            'seed': seed,
        }
    except (ValueError, argparse.ArgumentError) as error:
        raise SettingsError(f'{where}: {error}') from error
    text = json.dumps(identity, sort_keys=True, default=str)
    return Cell(
        encoder,
        benchmark,
        seed,
        parts,
        tuple(shown.metrics),
        tuple(shown.panels),
        # Half of the digits tell any number of cells apart.
        hashlib.sha256(text.encode()).hexdigest()[:32],
    )


@cache
def _parser(part: str) -> ArgumentParser:
    """Parser that knows the arguments of a part, and refuses others."""
    parser = ArgumentParser(exit_on_error=False)
    if part == 'trainer':
        parser.add_class_arguments(Trainer, part, fail_untyped=False, sub_configs=True)
    elif part == 'shown':
        parser.add_argument('--metrics', type=list[str], default=[])
        parser.add_argument('--panels', type=list[int], default=[0, 1, 2])
    else:
        kinds = {'model': BaseTask, 'data': BaseDataModule}
        parser.add_argument(f'--{part}', type=kinds[part], required=True)
    return parser


def _seeded(value: Any, seed: int) -> Any:
    """The value, with the seed in place of ``{seed}`` in all texts."""
    if isinstance(value, str):
        return value.replace('{seed}', str(seed))
    if isinstance(value, Mapping):
        return {name: _seeded(part, seed) for name, part in value.items()}
    if isinstance(value, list):
        return [_seeded(part, seed) for part in value]
    return value


class _Hashes:
    """SHA-256 of checkpoints, each read once."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self.known: dict[str, str] = {}

    def in_place(self, value: Any, name: str = '') -> Any:
        """The value, with the hash of the content in place of every path of a checkpoint."""
        if isinstance(value, Mapping):
            return {key: self.in_place(part, key) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.in_place(part, name) for part in value]
        if not isinstance(value, str):
            return value
        if value.endswith(_CHECKPOINTS) or (name == 'weights' and Path(value).is_file()):
            return self._of(value)
        if name == 'weights':
            _require_weights(value)
        return value

    def _of(self, path: str) -> str:
        """Hash of a file."""
        if path not in self.known:
            try:
                with open(path, 'rb') as file:
                    self.known[path] = 'sha256:' + hashlib.file_digest(file, 'sha256').hexdigest()
            except OSError as error:
                raise ValueError(
                    f'checkpoint {path} cannot be read ({error.strerror}); pre-train it, or '
                    'correct the path'
                ) from error
        return self.known[path]


def _require_weights(name: str) -> None:
    """Refuse an unknown name of published weights before anything runs."""
    try:
        get_weight(name)
    except (KeyError, ValueError) as error:
        raise ValueError(
            f'weights {name!r} is neither a file nor the name of a TorchGeo weight such as '
            'ResNet18_Weights.SENTINEL2_RGB_SECO'
        ) from error
