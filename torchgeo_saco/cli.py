# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Command-line interface of TorchGeo, with the classes of this package and its evaluation."""

import sys

from lightning.pytorch.cli import ArgsType
from torchgeo.main import main as torchgeo_main

# Allows classes to be referenced using only the class name
import torchgeo_saco.callbacks
import torchgeo_saco.datamodules
import torchgeo_saco.tasks  # noqa: F401

from .evaluation import main as evaluate_main

_MORE_HELP = """
one more subcommand:
    evaluate            Evaluate encoders on benchmarks: table and figures. See
                        torchgeo-saco evaluate --help
"""


def main(args: ArgsType = None) -> None:
    """Command-line interface of TorchGeo, with the classes of this package and its evaluation.

    Args:
        args: Arguments, or None to take them from the command line.
    """
    words = sys.argv[1:] if args is None else args
    if isinstance(words, list) and words[:1] == ['evaluate']:
        evaluate_main(words[1:])
        return
    try:
        torchgeo_main(args)
    except SystemExit:
        if words in (['--help'], ['-h']):
            sys.stdout.write(_MORE_HELP)
        raise
