# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Command-line interface of TorchGeo, with the classes and the further commands of this package."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from . import __version__
from .io.configs import resolve_configs

if TYPE_CHECKING:
    from lightning.pytorch.cli import ArgsType

#: Module of each further command, and what the command does.
COMMANDS = {
    'evaluate': (
        'evaluation',
        'Evaluate encoders on benchmarks, or compare methods: tables, figures.',
    ),
    'changes': ('change.command', 'Say which locations of an archive have changed, by an encoder.'),
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
    lines = [f'  {name:<12}{text}' for name, text in texts.items()]
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
        ]
    )


def main(args: 'ArgsType' = None) -> None:
    """Run TorchGeo's command line with the classes and further commands of this package.

    Args:
        args: Arguments, or None to take them from the command line.
    """
    words = sys.argv[1:] if args is None else args
    if words in (['--help'], ['-h'], []):
        sys.stdout.write(usage())
        sys.exit(0)
    if isinstance(words, list) and words[0] in COMMANDS:
        module, _ = COMMANDS[words[0]]
        import_module(f'torchgeo_saco.{module}').main(words[1:])
        return
    if isinstance(words, list):
        try:
            words = resolve_configs(words)
        except FileNotFoundError as error:
            sys.stderr.write(f'torchgeo-saco: error: {error}\n')
            sys.exit(2)
    # Importing PyTorch, Lightning and TorchGeo takes seconds.
    sys.stderr.write(f'torchgeo_saco {__version__}\n')
    # Allows classes to be referenced using only the class name.
    for module in ('callbacks', 'datamodules', 'tasks'):
        import_module(f'torchgeo_saco.{module}')
    from torchgeo.main import main as torchgeo_main

    if args is None:
        sys.argv[1:] = words
    torchgeo_main(None if args is None else words)
