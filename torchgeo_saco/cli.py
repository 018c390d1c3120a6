# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Command-line interface of TorchGeo, with the classes and the further commands of this package."""

import sys
from importlib import import_module

from lightning.pytorch.cli import ArgsType
from torchgeo.main import main as torchgeo_main

# Allows classes to be referenced using only the class name
import torchgeo_saco.callbacks
import torchgeo_saco.datamodules
import torchgeo_saco.tasks  # noqa: F401
from torchgeo_saco.io.configs import resolve_configs

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

_MORE_HELP = '\nmore subcommands, each with a --help of its own:\n' + ''.join(
    f'    {name:<20}{text}\n' for name, (_, text) in COMMANDS.items()
)


def main(args: ArgsType = None) -> None:
    """Run TorchGeo's command line with the classes and further commands of this package.

    Args:
        args: Arguments, or None to take them from the command line.
    """
    words = sys.argv[1:] if args is None else args
    if isinstance(words, list) and words and words[0] in COMMANDS:
        module, _ = COMMANDS[words[0]]
        import_module(f'torchgeo_saco.{module}').main(words[1:])
        return
    if isinstance(words, list):
        try:
            words = resolve_configs(words)
        except FileNotFoundError as error:
            sys.stderr.write(f'torchgeo-saco: error: {error}\n')
            sys.exit(2)
    if args is None:
        sys.argv[1:] = words
    try:
        torchgeo_main(None if args is None else words)
    except SystemExit:
        if words in (['--help'], ['-h']):
            sys.stdout.write(_MORE_HELP)
        raise
