# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Packages that only an extra of this package installs."""

from importlib import import_module
from typing import Any


def import_extra(name: str, extra: str, purpose: str) -> Any:
    """Import a package that not every installation has.

    Args:
        name: Name of the module.
        extra: Extra of this package that installs it.
        purpose: What needs it, the beginning of a sentence.

    Returns:
        The module.

    Raises:
        ImportError: If it is missing; the message says how to install it.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f'{purpose} needs the package {name}; install it by: pip install '
            f"'torchgeo_saco[{extra}]'"
        ) from error
