# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Specification of a run: the encoder merged over the benchmark, checked before anything runs."""

import argparse
import re
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch import Trainer
from torchgeo.datamodules import BaseDataModule
from torchgeo.tasks import BaseTask

from ..runtime.command_line import did_you_mean
from .settings import merge_configs

# Nothing but the result is kept; the command has a progress bar of its own.
_QUIET = {
    'accelerator': 'auto',
    'devices': 1,
    'logger': False,
    'enable_checkpointing': False,
    'enable_progress_bar': False,
    'enable_model_summary': False,
}

# What an encoder may be given by, in place of bare arguments of the benchmark's task.
_FORM = ('class_path', 'init_args', 'data', 'trainer', 'shared')

#: Beginnings of scores that are measured only where they are asked for, since they take a while: of
#: features beside LBP histograms, and of test images that lack half of their groups.
OPTIONAL = FUSED, HALVED = 'fused_', 'halved_'

_BENCHMARK = ('configs', 'model', 'data', 'trainer', 'metrics', 'panels')


def specification(encoder: Mapping[str, Any], benchmark: Mapping[str, Any]) -> dict[str, Any]:
    """Task, datamodule and trainer of an encoder on a benchmark.

    Args:
        encoder: Arguments of the benchmark's task; or any of ``class_path``, ``init_args``,
            ``data`` and ``trainer``, which are merged over those of the benchmark. Another
            ``class_path`` keeps the arguments that all encoders of the benchmark share, unless
            ``shared`` is false.
        benchmark: ``model``, ``data`` and ``trainer``.

    Returns:
        ``model``, ``data`` and ``trainer``.

    Raises:
        ValueError: If a part is unknown or no mapping, or no class is named.
    """
    own = encoder if encoder.keys() & set(_FORM) else {'init_args': encoder}
    _require_known('the encoder', own, _FORM, '; arguments of the task go under init_args')
    model = _mapping('model of the benchmark', benchmark.get('model'))
    _require_known('model of the benchmark', model, _FORM[:2])
    if not isinstance(own.get('shared', True), bool):
        raise ValueError(f'shared of the encoder must be true or false, got {own["shared"]!r}')
    shared = _mapping('model.init_args of the benchmark', model.get('init_args'))
    arguments = _mapping('init_args of the encoder', own.get('init_args'))
    if not own.get('shared', True):
        shared = {}
    kind = own.get('class_path', model.get('class_path'))
    if kind is None:
        raise ValueError(
            'no task is named; set class_path of the encoder, or of model of the benchmark'
        )
    return {
        'model': {'class_path': kind, 'init_args': {**shared, **arguments}},
        'data': _over('data', benchmark, own),
        'trainer': {**_QUIET, **_over('trainer', benchmark, own)},
    }


def require_parts(benchmark: Mapping[str, Any]) -> None:
    """Refuse a benchmark with a part that means nothing.

    Args:
        benchmark: The benchmark.

    Raises:
        ValueError: If a part is unknown.
    """
    _require_known('the benchmark', benchmark, _BENCHMARK)


@cache
def parser(part: str) -> ArgumentParser:
    """Parser that knows the arguments of a part, and refuses others.

    Args:
        part: 'model', 'data' or 'trainer'; or 'shown' for the metrics and panels of a benchmark.

    Returns:
        The parser.
    """
    made = ArgumentParser(exit_on_error=False)
    if part == 'trainer':
        made.add_class_arguments(Trainer, part, fail_untyped=False, sub_configs=True)
    elif part == 'shown':
        made.add_argument('--metrics', type=list[str], default=[])
        made.add_argument('--panels', type=list[int], default=[0, 1, 2])
    else:
        kinds = {'model': BaseTask, 'data': BaseDataModule}
        made.add_argument(f'--{part}', type=kinds[part], required=True)
    return made


def parse_part(part: str, given: Mapping[str, Any]) -> Namespace:
    """A part with all its defaults.

    Args:
        part: As for :func:`parser`.
        given: Values by key.

    Returns:
        The part.

    Raises:
        ValueError: If a class or an argument is unknown, or a value of the wrong type; the
            message names it, and what was probably meant.
    """
    try:
        return parser(part).parse_object(dict(given))
    except argparse.ArgumentError as error:
        text = ' '.join(str(error).split())
        raise ValueError(text + _meant(text, part, given.get(part))) from error


def _over(part: str, benchmark: Mapping[str, Any], own: Mapping[str, Any]) -> Any:
    """A part of the benchmark, with what differs for the encoder."""
    base = _mapping(f'{part} of the benchmark', benchmark.get(part))
    return merge_configs(base, _mapping(f'{part} of the encoder', own.get(part)))


def _mapping(what: str, value: Any) -> Mapping[str, Any]:
    """The value, or an empty mapping for none."""
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f'{what} must be a mapping, got {value!r}')
    return value or {}


def _require_known(
    what: str, value: Mapping[str, Any], names: tuple[str, ...], hint: str = ''
) -> None:
    """Refuse keys that are none of the names."""
    for key in value:
        if key not in names:
            raise ValueError(
                f'{what} has an unknown part {key!r}; its parts are {", ".join(names)}'
                f'{did_you_mean(str(key), names) or hint}'
            )


def _meant(text: str, part: str, value: Any) -> str:
    """Suggest a name for the one that a message of the parser refuses."""
    unknown = re.search(r"[Oo]ption '([^']+)'", text)
    if part == 'trainer' and unknown:
        return did_you_mean(unknown[1], parser(part).get_defaults().trainer.keys())
    path = value.get('class_path') if isinstance(value, Mapping) else None
    if not isinstance(path, str):
        return ''
    if unknown:
        return did_you_mean(unknown[1], [*_arguments(part, path), *_FORM])
    module, _, name = path.rpartition('.')
    public = [each for each in vars(sys.modules.get(module, object)) if each[0] != '_']
    return did_you_mean(name, public) if name not in public else ''


def _arguments(part: str, path: str) -> list[str]:
    """Names of the arguments of a class, as far as it can be made without any."""
    try:
        return list(parser(part).parse_object({part: path})[part].init_args.keys())
    except argparse.ArgumentError:
        return []
