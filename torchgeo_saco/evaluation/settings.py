# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Settings of ``torchgeo-saco evaluate``: configuration files and arguments."""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jsonargparse import ArgumentParser

from ..io.configs import find_config, parse_yaml, read_config

_DESCRIPTION = """\
Evaluate encoders on benchmarks, over seeds: one CSV, a Markdown table with mean and spread,
confusion matrices, and panels of image, target and predictions. Every encoder is trained and
tested on every benchmark with every seed; where the task can embed images, kNN and a linear probe
are scored too. An encoder is what the task of a benchmark starts from, or a task of its own: so
methods of pre-training are compared. Each of these runs is kept under <output>/runs and is not
run again unless its arguments, its checkpoint or the source of this package change; remove the
folder if the data do. An interrupted command goes on where it was.
"""

_EPILOG = """\
A configuration file:

  output: logs/report
  seeds: [0, 1, 2]
  reference: random        # optional: an encoder that the others are compared with
  encoders:                # arguments given to the task of every benchmark
    random: {model: resnet18, weights: null}
    SACo+: {model: resnet18, weights: 'logs/pretrain/seed{seed}.ckpt'}
    SeCo:                  # or a task of its own, and what else differs for it
      {class_path: torchgeo_saco.tasks.SeCo, init_args: {}, data: {init_args: {dates: 3}}}
    statistics:            # shared: false skips init_args of the benchmark's model
      {class_path: torchgeo_saco.evaluation.ImageStatistics, shared: false}
  benchmarks:              # model, data and trainer, as for `torchgeo-saco fit`
    EuroSAT:
      configs: [fit.yaml]  # files of `fit` to start from; their logger and callbacks are skipped
      model: {class_path: torchgeo_saco.tasks.GroupClassification, init_args: {}}
      data: {class_path: torchgeo_saco.datamodules.EuroSATBandsDataModule, init_args: {}}
      trainer: {max_epochs: 30}
      metrics: [test_OverallAccuracy, knn5_OverallAccuracy]  # columns of the table
      panels: [0, 1, 2]    # test samples that are drawn; [] for none
  curve:                   # optional: the first column of benchmarks against a number of each
    label: training images
    at: {EuroSAT: 16200}

Several files are merged in order. Any value can be set by an argument that spells out its
place, such as --benchmarks.EuroSAT.trainer.max_epochs=1 or --encoders.SACo+.model=resnet50;
null leaves an encoder or a benchmark out: --encoders.SACo+=null.

With --protocol torchgeo, the encoders of checkpoints are checked on EuroSAT instead; see
torchgeo-saco evaluate --protocol torchgeo --help.
"""

# Names become file names and runs of a Markdown table.
_NAME = re.compile(r'[\w+(][\w +.,()=-]*')


class SettingsError(ValueError):
    """Settings that cannot be evaluated; the message says which and why."""


@dataclass(frozen=True)
class Settings:
    """Encoders, benchmarks and seeds; every combination is evaluated."""

    #: Folder of the results.
    output: str

    #: Seeds of initial weights, batches and augmentation.
    seeds: Sequence[int]

    #: By name of the encoder: arguments of the task, or ``class_path``, ``init_args``, ``data`` and
    #: ``trainer``; ``{seed}`` in a text becomes the seed.
    encoders: Mapping[str, Mapping[str, Any]]

    #: By name of the benchmark: ``model``, ``data``, ``trainer``, ``metrics``, ``panels``.
    benchmarks: Mapping[str, Mapping[str, Any]]

    #: Name of the encoder that the others are compared with, or None.
    reference: str | None = None

    #: ``label`` of an axis, and ``at``, the number of each benchmark there; or None for no curve.
    curve: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be evaluated.

        Raises:
            SettingsError: If a list is empty, a seed is negative or listed twice, or a name does
                not make a file name.
        """
        for what in ('output', 'seeds', 'encoders', 'benchmarks'):
            if not getattr(self, what):
                raise SettingsError(f'{what} is empty; name at least one')
        if min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise SettingsError(f'seeds must be different and not negative, got {list(self.seeds)}')
        if self.reference is not None and self.reference not in self.encoders:
            raise SettingsError(
                f'reference {self.reference!r} is no encoder; name one of '
                f'{", ".join(map(str, self.encoders))}'
            )
        if self.curve is not None:
            self._require_curve(self.curve)
        for what in ('encoders', 'benchmarks'):
            files = [str(name).replace(' ', '_') for name in getattr(self, what)]
            if len(set(files)) < len(files):
                raise SettingsError(f'{what}: two names differ in a space alone; rename one')
            for name, arguments in getattr(self, what).items():
                if not isinstance(name, str) or not _NAME.fullmatch(name):
                    raise SettingsError(
                        f'{what}: {name!r} is no name for a file; use letters, digits, spaces '
                        'and any of _ + - . , ( ) ='
                    )
                if not isinstance(arguments, Mapping):
                    raise SettingsError(f'{what}.{name} must be a mapping, got {arguments!r}')

    def _require_curve(self, curve: Any) -> None:
        """Refuse a curve without numbers."""
        at = curve.get('at') if isinstance(curve, Mapping) else None
        if not isinstance(at, Mapping) or set(curve) - {'label', 'at'}:
            raise SettingsError(f'curve has the parts label and at, got {curve!r}')
        wrong = [name for name in at if name not in self.benchmarks]
        if wrong:
            raise SettingsError(
                f'curve.at: {wrong[0]!r} is no benchmark; name some of {", ".join(self.benchmarks)}'
            )
        if not at or not all(isinstance(n, int | float) and n > 0 for n in at.values()):
            raise SettingsError(f'curve.at must hold numbers above 0, got {dict(at)!r}')


def read_settings(args: Sequence[str]) -> Settings:
    """Settings from configuration files and arguments; the latter win.

    Args:
        args: Arguments of the command.

    Returns:
        The settings, the files of benchmarks merged into them.

    Raises:
        SettingsError: If an argument or a file is wrong.
        SystemExit: After ``--help``.
    """
    parser = _parser()
    if {'-h', '--help'} & set(args):
        parser.parse_args(['--help'])
    given = _read_arguments(args)
    # What jsonargparse does not see, it cannot take for a class to make.
    parts = {name: given.pop(name, {}) for name in ('encoders', 'benchmarks')}
    curve = given.pop('curve', None)
    try:
        known = parser.parse_object(given)
    except argparse.ArgumentError as error:
        raise SettingsError(str(error)) from error
    for name, part in parts.items():
        if not isinstance(part, Mapping):
            raise SettingsError(f'{name} must be a mapping of names, got {part!r}')
    benchmarks = {name: _expand_configs(name, spec) for name, spec in parts['benchmarks'].items()}
    encoders, output, seeds = parts['encoders'], known.output, known.seeds
    if known.quick:
        encoders, benchmarks = _shorten(encoders), _shorten(benchmarks)
        output, seeds = f'{output}/quick', seeds[:1]
    return Settings(output, seeds, encoders, benchmarks, known.reference, curve)


def merge_configs(base: Any, over: Any) -> Any:
    """One configuration over another: mappings are merged, anything else is replaced.

    Args:
        base: Configuration.
        over: What differs. Another ``class_path`` drops the arguments of the class before.

    Returns:
        The configuration of both.

    Example:
        >>> merge_configs({'trainer': {'max_epochs': 9, 'devices': 1}}, {'trainer': {'devices': 2}})
        {'trainer': {'max_epochs': 9, 'devices': 2}}
    """
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return over
    if over.get('class_path', base.get('class_path')) != base.get('class_path'):
        base = {name: part for name, part in base.items() if name != 'init_args'}
    return {
        **base,
        **{
            name: merge_configs(base[name], part) if name in base else part
            for name, part in over.items()
        },
    }


def _parser() -> ArgumentParser:
    """Parser of everything but encoders and benchmarks."""
    parser = ArgumentParser(
        prog='torchgeo-saco evaluate',
        usage='%(prog)s --config FILE [--config FILE ...] [--PLACE.IN.THE.FILE=VALUE ...]',
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        exit_on_error=False,
    )
    parser.add_argument('--config', metavar='FILE', help='YAML file; may be repeated')
    parser.add_argument('--output', type=str, default='logs/report', help='folder of the results')
    parser.add_argument(
        '--seeds', type=list[int], default=[0, 1, 2], metavar='[SEED,...]', help='seeds to run'
    )
    parser.add_argument(
        '--quick',
        type=bool,
        default=False,
        metavar='true',
        help='the first seed and a twentieth of the steps, below <output>/quick, to try a file',
    )
    parser.add_argument(
        '--reference',
        type=str | None,
        default=None,
        metavar='NAME',
        help='encoder to compare the others with: paired differences and their 95 %% intervals',
    )
    parser.add_argument('--encoders.NAME.ARGUMENT', metavar='VALUE', help='argument of an encoder')
    parser.add_argument('--benchmarks.NAME.PLACE', metavar='VALUE', help='any value of a benchmark')
    return parser


def _read_arguments(args: Sequence[str]) -> dict[str, Any]:
    """Files merged in order, and the values of arguments over them."""
    given: Any = {}
    values: list[tuple[str, str]] = []
    left = list(args)
    while left:
        name, equals, value = left.pop(0).partition('=')
        if not re.fullmatch('--[^-].*', name):
            raise SettingsError(f'unexpected argument {name!r}; arguments look like --seeds=[0,1]')
        if not equals:
            if not left:
                raise SettingsError(f'argument {name} lacks a value')
            value = left.pop(0)
        if name == '--config':
            given = _merge_over(given, _read(value))
        else:
            values.append((name[2:], value))
    for place, value in values:
        try:
            part: Any = parse_yaml(value, f'--{place} {value}')
        except ValueError as error:
            raise SettingsError(str(error)) from error
        for name in reversed(place.split('.')):
            part = {name: part}
        given = _merge_over(given, part)
    return given


def _merge_over(given: Any, over: Any) -> Any:
    """Merge, and leave out the encoders and benchmarks that the second sets to null."""
    merged = merge_configs(given, over)
    for what in ('encoders', 'benchmarks'):
        before, now = given.get(what), merged.get(what)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            # A null that no mapping was there for is a name misspelt, or a value forgotten.
            merged[what] = {
                name: part
                for name, part in now.items()
                if part is not None or before.get(name) is None
            }
    return merged


def _shorten(part: Any) -> Any:
    """A twentieth of the steps of every trainer, at least one, or one epoch."""
    if not isinstance(part, Mapping):
        return part
    short = {name: _shorten(value) for name, value in part.items()}
    for limit in ('max_steps', 'max_epochs'):
        if isinstance(short.get(limit), int) and short[limit] > 0:
            short[limit] = max(1, short[limit] // 20)
    return short


def _expand_configs(name: str, spec: Any) -> Any:
    """Specification of a benchmark, over the files of ``fit`` that it starts from."""
    if not isinstance(spec, Mapping) or 'configs' not in spec:
        return spec
    files = spec['configs']
    if isinstance(files, str) or not isinstance(files, Sequence):
        raise SettingsError(f'benchmarks.{name}.configs must be a list of files, got {files!r}')
    base: Any = {}
    for file in files:
        base = merge_configs(base, _read(file))
    base = {part: base[part] for part in ('model', 'data', 'trainer') if part in base}
    if isinstance(base.get('trainer'), Mapping):
        base['trainer'] = {
            key: value
            for key, value in base['trainer'].items()
            if key not in ('logger', 'callbacks')
        }
    return merge_configs(base, {part: value for part, value in spec.items() if part != 'configs'})


def _read(path: str) -> dict[str, Any]:
    """A configuration file."""
    try:
        return read_config(find_config(path))
    except (FileNotFoundError, ValueError) as error:
        raise SettingsError(str(error)) from error
