# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""What a command line says of an error, in one sentence."""

import difflib
import re
import sys
from argparse import ArgumentError
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning
import torchgeo.main
from jsonargparse import ArgumentParser
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningCLI
from torchgeo.datasets.errors import DatasetNotFoundError, DependencyNotFoundError

from ..io.checkpoint import CheckpointError, read_checkpoint
from ..io.errors import is_raised_in, sentence

# What Lightning itself finds.
_FOUND = ('best', 'last', 'hpc')

# Errors of libraries that say in a sentence what is wrong with files and settings.
_PLAIN = (
    ArgumentError, DatasetNotFoundError, DependencyNotFoundError, ImportError,
    MisconfigurationException, OSError,
)  # fmt: skip

# Where arguments of a trainer are refused.
_LIGHTNING = str(Path(lightning.__file__).parent)

# What jsonargparse says of types beside what is wrong.
_NOISE = re.compile(
    r'^\s*(Does not validate against any|Subtypes:|Errors:|Given value|- Expected a <class '
    r"'NoneType'>).*$\n?",
    re.MULTILINE,
)


class CheckedCLI(LightningCLI):
    """Lightning's command line, of errors in one sentence and checkpoints without code.

    Lightning replaces the task of the configuration, whichever it is, and its arguments by those
    of the checkpoint of ``--ckpt_path``. Here a task of another class is refused; the arguments of
    a training are those that were given, and the task refuses those that differ from the
    checkpoint's.
    """

    def init_parser(self, **kwargs: Any) -> Any:
        """Make a parser that raises errors, in place of printing its usage."""
        return super().init_parser(**{'exit_on_error': False, 'allow_abbrev': False} | kwargs)

    def _parse_ckpt_path(self) -> None:
        """Read the checkpoint, and take over arguments of the task where nothing is trained."""
        name = self.config.get('subcommand')
        config: Any = self.config[name] if name else {}
        path = config.get('ckpt_path')
        if not path or path in _FOUND or '://' in str(path):
            return
        content = read_checkpoint(path)
        arguments = content.get('hyper_parameters')
        if not isinstance(arguments, dict):
            return
        wanted = str(config.model.class_path).rsplit('.', 1)[-1]
        trained = str(content.get('task') or arguments.get('_class_path') or wanted)
        if trained.rsplit('.', 1)[-1] != wanted:
            raise CheckpointError(
                f'{path} is of {trained.rsplit(".", 1)[-1]}, and the configuration of {wanted}; '
                f'set model to {trained.rsplit(".", 1)[-1]}, or give another checkpoint'
            )
        if name == 'fit':
            return
        # Weights are in the checkpoint; none are to be looked for elsewhere.
        given = {
            key: value
            for key, value in arguments.items()
            if key[:1] != '_' and not key.endswith('weights')
        }
        model = {'class_path': config.model.class_path, 'dict_kwargs': given}
        self.config = self.parser.parse_object({name: {'model': model}}, self.config)


@contextmanager
def checked_command_line() -> Iterator[None]:
    """Within the block, TorchGeo's command line is :class:`CheckedCLI`."""
    with patch.object(torchgeo.main, 'LightningCLI', CheckedCLI):
        yield


def error_message(error: Exception, options: Iterable[str] = ()) -> str | None:
    """What a command line says of an error.

    Args:
        error: The error.
        options: Options of the command, to suggest one for an unknown one.

    Returns:
        One sentence: of this package, of what an argument should be, or of a library about a file
        or a setting; None of other errors, whose traceback is needed.
    """
    text = sentence(error)
    if text is None and isinstance(error, ArgumentError):
        text = _NOISE.sub('', str(error))
        text = text.rstrip() + _meant(text, options)
    if text is None and (
        isinstance(error, _PLAIN)
        or (isinstance(error, TypeError | ValueError) and is_raised_in(error, _LIGHTNING))
    ):
        text = str(error) or type(error).__name__
    return None if text is None else ' '.join(text.split())


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """End of a message on an unknown name: the nearest one, or nothing if none is near."""
    close = difflib.get_close_matches(name, names, n=1)
    return f'; did you mean {close[0]!r}?' if close else ''


def class_arguments(path: str) -> list[str]:
    """Names of the arguments of a class by its path, none if there is no such class."""
    found = _imported(path)
    if found is None:
        return []
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(found, fail_untyped=False)
    return list(parser.get_defaults().keys())


def _meant(text: str, options: Iterable[str]) -> str:
    """Suggest a name for the one that a message of the parser refuses."""
    given = re.search(r'unrecognized arguments: (--[^\s=]+)', text)
    if given:
        return did_you_mean(given[1], options)
    unknown = re.findall(r"[Oo]ption '([^']+)'", text)
    path = re.findall(r"class_path '([^']+)'", text)
    if unknown and path:
        return did_you_mean(unknown[-1], class_arguments(path[-1]))
    if unknown:
        name = unknown[-1].rpartition('.')[2]
        return did_you_mean(name, class_arguments('lightning.pytorch.Trainer'))
    if path and _imported(path[-1]) is None:
        module, _, name = path[-1].rpartition('.')
        public = [each for each in vars(sys.modules.get(module, object)) if each[0] != '_']
        return did_you_mean(name, public)
    return ''


def _imported(path: str) -> Any:
    """Class of a path whose module was imported, or None."""
    module, _, name = path.rpartition('.')
    return getattr(sys.modules.get(module), name, None)
