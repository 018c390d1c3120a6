# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Command-line interface of TorchGeo, with the classes of this package imported."""

from lightning.pytorch.cli import ArgsType
from torchgeo.main import main as torchgeo_main

# Allows classes to be referenced using only the class name
import torchgeo_saco.callbacks
import torchgeo_saco.datamodules
import torchgeo_saco.tasks  # noqa: F401


def main(args: ArgsType = None) -> None:
    """Command-line interface of TorchGeo, with the classes of this package imported.

    Args:
        args: Arguments, or None to take them from the command line.
    """
    torchgeo_main(args)
