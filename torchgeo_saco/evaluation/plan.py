# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""The runs of the table: one training and test each, and the key of its result."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jsonargparse import Namespace

from .. import __version__
from .fingerprint import Checksums, source_fingerprint
from .settings import Settings, SettingsError
from .specification import OPTIONAL, parse_part, parser, require_parts, specification


@dataclass(frozen=True)
class Run:
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
        """The run in words."""
        return f'encoder {self.encoder} on benchmark {self.benchmark} with seed {self.seed}'

    @property
    def synthetic(self) -> bool:
        """Whether the data are the generated sample."""
        return self.parts.data.init_args.get('archive') == 'sample'

    def make(self, part: str) -> Any:
        """A new task ('model'), datamodule ('data') or trainer ('trainer')."""
        maker = parser(part)
        # The older name is deprecated since jsonargparse 4.49, which is not required.
        instantiate = getattr(maker, 'instantiate', None) or maker.instantiate_classes
        return instantiate(Namespace({part: self.parts[part]}))[part]


def plan_runs(settings: Settings) -> list[Run]:
    """All runs, by benchmark, encoder and seed.

    Args:
        settings: What to evaluate.

    Returns:
        The runs.

    Raises:
        SettingsError: If an argument or class is unknown or of the wrong type, a checkpoint is
            missing, or weights have an unknown name. The message names encoder and benchmark.
    """
    checksums = Checksums()
    return [
        _run(settings, encoder, benchmark, seed, checksums)
        for benchmark in settings.benchmarks
        for encoder in settings.encoders
        for seed in settings.seeds
    ]


def _run(settings: Settings, encoder: str, benchmark: str, seed: int, checksums: Checksums) -> Run:
    """One run, its parts checked."""
    spec = settings.benchmarks[benchmark]
    try:
        require_parts(spec)
        given = specification(_insert_seed(settings.encoders[encoder], seed), spec)
        parts = Namespace()
        for name, value in given.items():
            parts[name] = parse_part(name, {name: value})[name]
        shown = parse_part(
            'shown', {name: spec[name] for name in ('metrics', 'panels') if name in spec}
        )
        if any(panel < 0 for panel in shown.panels):
            raise ValueError(f'panels must not be negative, got {shown.panels}')
        plain = parts.as_dict()
        identity = {
            'version': __version__,
            'source': source_fingerprint(),
            'model': checksums.in_place(plain['model']),
            'data': plain['data'],
            'trainer': given['trainer'],
            'panels': shown.panels,
            # What is measured only where it is asked for.
            'optional': [o for o in OPTIONAL if any(m.startswith(o) for m in shown.metrics)],
            'seed': seed,
        }
    except ValueError as error:
        raise SettingsError(f'encoder {encoder} on benchmark {benchmark}: {error}') from error
    text = json.dumps(identity, sort_keys=True, default=str)
    return Run(
        encoder,
        benchmark,
        seed,
        parts,
        tuple(shown.metrics),
        tuple(shown.panels),
        # Half of the digits tell any number of runs apart.
        hashlib.sha256(text.encode()).hexdigest()[:32],
    )


def _insert_seed(value: Any, seed: int) -> Any:
    """The value, with the seed in place of ``{seed}`` in all texts."""
    if isinstance(value, str):
        return value.replace('{seed}', str(seed))
    if isinstance(value, Mapping):
        return {name: _insert_seed(part, seed) for name, part in value.items()}
    if isinstance(value, list):
        return [_insert_seed(part, seed) for part in value]
    return value
