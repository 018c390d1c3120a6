# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Versions of packages that this one was made for."""

from importlib import metadata


def require_version(name: str) -> None:
    """Refuse a version of a package that the installed metadata of this one exclude.

    An installer only warns where a package is replaced later, and what has been renamed in it would
    fail in the middle of an import.

    Args:
        name: Name of the package.

    Raises:
        ImportError: If it is too old or too new; the message says how to install one that is not.
    """
    # Takes a moment, and is of use here alone.
    from packaging.requirements import Requirement

    try:
        needed = map(Requirement, metadata.requires('torchgeo_saco') or ())
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        # A folder on the path that is not installed, or a package whose import will say so.
        return
    for requirement in needed:
        if requirement.name == name and not requirement.specifier.contains(found, prereleases=True):
            raise ImportError(
                f'{name} {found} is installed, and torchgeo_saco needs {name}'
                f"{requirement.specifier}; run: pip install '{name}{requirement.specifier}'"
            )
