# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Command-line interface of TorchGeo, with the classes and the further commands of this package."""

import inspect
import sys
import warnings
from argparse import ArgumentError, RawDescriptionHelpFormatter
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from . import __version__
from .io.configs import resolve_configs

if TYPE_CHECKING:
    from lightning.pytorch.cli import ArgsType

#: Module of each further command, a function of that name there, and what it does.
COMMANDS = {
    'evaluate': (
        'evaluation.command',
        'Evaluate encoders on benchmarks, or compare methods: tables, figures.',
    ),
    'embed': (
        'embeddings.command',
        'Write embeddings of an archive as a table, or of a scene as a map.',
    ),
    'changes': ('change.command', 'Say which locations of an archive have changed, by an encoder.'),
    'pixel-changes': (
        'change.pixel_command',
        'Say which pixels have changed between images of one scene.',
    ),
    'map': (
        'embeddings.page_command',
        'Write one page to look at embeddings, and to search them, in a browser.',
    ),
    'convert': (
        'models.published.command',
        'Say what a file of published weights holds, and make a checkpoint of it.',
    ),
    'export': (
        'models.export.command',
        'Write an encoder as ONNX, safetensors and a model card, for use without this package.',
    ),
    'sample': (
        'locations.sampling.command',
        'Sample locations on Earth to pre-train on, and dates of each.',
    ),
    'pack': (
        'archives.packing.command',
        'Pack an archive into one store, to be read faster or remotely.',
    ),
    'fetch': (
        'locations.fetching.command',
        'Fetch images of sampled locations from a STAC catalogue.',
    ),
}

#: Subcommands of TorchGeo, which are Lightning's.
TRAINER_COMMANDS = {
    'fit': 'Pre-train an encoder, or train a task on one.',
    'validate': 'Perform one evaluation epoch over the validation set.',
    'test': 'Perform one evaluation epoch over the test set.',
    'predict': 'Compute embeddings or predictions.',
}


def usage() -> str:
    """Return the help of the command itself, without importing what the subcommands need."""
    texts = TRAINER_COMMANDS | {name: text for name, (_, text) in COMMANDS.items()}
    lines = [f'  {name:<15}{text}' for name, text in texts.items()]
    return '\n'.join(
        [
            'usage: torchgeo-saco SUBCOMMAND ...',
            '',
            (
                "TorchGeo's command line with the classes and further commands of torchgeo_saco "
                f'{__version__}.'
            ),
            '',
            'subcommands, each with a --help of its own:',
            *lines,
            '',
            'Errors are shown in one sentence; --traceback shows where they were raised.',
            '',
        ]
    )


def main(args: 'ArgsType' = None) -> None:
    """Run TorchGeo's command line with the classes and further commands of this package.

    Args:
        args: Arguments, or None to take them from the command line.
    """
    words = sys.argv[1:] if args is None else args
    trace = False
    if isinstance(words, list):
        trace = '--traceback' in words
        words = [word for word in words if word != '--traceback']
    if words in (['--help'], ['-h'], []):
        sys.stdout.write(usage())
        sys.exit(0)
    if isinstance(words, list):
        if words[0] in COMMANDS:
            _run_command(words[0], words[1:], trace)
            return
        try:
            words = resolve_configs(words)
        except (OSError, ValueError) as error:
            _refuse('torchgeo-saco', str(error))
    # Importing PyTorch, Lightning and TorchGeo takes seconds.
    sys.stderr.write(f'torchgeo_saco {__version__}\n')
    # Lightning 2.6 calls what PyTorch renames; nobody who runs this can do anything about it.
    warnings.filterwarnings('ignore', '.*LeafSpec.*')
    # Allows classes to be referenced using only the class name.
    for module in ('callbacks', 'datamodules', 'tasks'):
        import_module(f'torchgeo_saco.{module}')
    from .runtime.command_line import checked_command_line, error_message

    if args is None:
        sys.argv[1:] = words
    from torchgeo.main import main as torchgeo_main

    try:
        with checked_command_line():
            torchgeo_main(None if args is None else words)
    except Exception as error:
        text = None if trace else error_message(error)
        if text is None:
            raise
        _refuse('torchgeo-saco', text)


def _run_command(name: str, args: list[str], trace: bool) -> None:
    """Run a further command with the arguments of its function, or exit with one sentence."""
    # Takes a second, which the help of the command line itself does without.
    from jsonargparse import ArgumentParser, DefaultHelpFormatter

    class Formatter(RawDescriptionHelpFormatter, DefaultHelpFormatter):
        """Keeps the lines of an example."""

    prog = f'torchgeo-saco {name}'
    known: list[str] = []
    try:
        module = import_module(f'torchgeo_saco.{COMMANDS[name][0]}')
        if name == 'evaluate':
            # Its files merge names of encoders and benchmarks that no signature knows.
            module.main(args)
            return
        function = getattr(module, name.replace('-', '_'))
        parser = ArgumentParser(
            prog=prog,
            description=inspect.cleandoc(function.__doc__).split('\nArgs:\n')[0],
            formatter_class=Formatter,
            exit_on_error=False,
            allow_abbrev=False,
        )
        parser.add_argument('--config', action='config', help='YAML file of arguments')
        # A file to look at needs no name before it.
        parser.add_function_arguments(function, as_group=False, as_positional=name == 'convert')
        known += [f'--{option}' for option in vars(parser.get_defaults())]
        options = parser.instantiate_classes(parser.parse_args(resolve_configs(args)))
        del options['config']
        function(**options)
    except (ArgumentError, ImportError, OSError, RuntimeError, ValueError) as error:
        from .runtime.command_line import error_message

        text = error_message(error, known) or (
            '' if isinstance(error, RuntimeError) else str(error)
        )
        if trace or not text:
            raise
        _refuse(prog, text)
    except KeyboardInterrupt:
        sys.stderr.write('interrupted; run the same command again to go on\n')
        sys.exit(130)


def _refuse(prog: str, text: str) -> NoReturn:
    """Say in one line why a command cannot run."""
    sys.stderr.write(f'{prog}: error: {" ".join(text.split())}\n')
    sys.exit(2)
