# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Folder of a store while it is packed: whose it is, and that one run alone writes to it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...io.files import write_file
from ...io.lock import exclusive
from ..store.description import METADATA, PACKING, StoreDescription

_ARGUMENTS = 'arguments.json'


def require_description(output: Path, description: StoreDescription) -> bool:
    """Refuse a folder that holds anything else than this store, whole or begun.

    Args:
        output: Folder of the store, which may not exist yet.
        description: What the store is to say of itself.

    Returns:
        Whether the store is complete already.

    Raises:
        ValueError: If it holds anything else.
    """
    if not output.exists():
        return False
    if not output.is_dir():
        raise ValueError(f'{output} is a file; name another output')
    for path in (output / METADATA, output / PACKING / _ARGUMENTS):
        if path.exists():
            _require_same(path, description)
            return path.name == METADATA
    others = sorted(name for name in os.listdir(output) if name != PACKING)
    if others:
        raise ValueError(
            f'{output} holds {others[0]}, which was not packed by this command; name another output'
        )
    return False


@contextmanager
def lock_output(output: Path, description: StoreDescription) -> Iterator[None]:
    """Within the block, no other run packs into the same folder.

    Args:
        output: Folder of the store, made if need be.
        description: What the store is to say of itself, written down for later runs.

    Raises:
        ValueError: If another run does.
    """
    state = output / PACKING
    refusal = f'another run packs into {output} now; wait for it, or name another output'
    with exclusive(state / 'lock', refusal):
        write_file(state / _ARGUMENTS, json.dumps(_group(description)).encode())
        yield


def _group(description: StoreDescription) -> dict[str, Any]:
    """As metadata of the Zarr group."""
    return {'attributes': description.attributes()}


def _require_same(path: Path, description: StoreDescription) -> None:
    """Refuse to mix two stores."""
    wanted = next(iter(description.attributes().values()))
    try:
        found = next(iter(json.loads(path.read_text())['attributes'].values()))
        other = [name for name in wanted if found[name] != wanted[name]]
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ValueError(
            f'{path} was not written by this command, or is damaged ({error!r}); name another '
            'output'
        ) from error
    if other == ['listing'] or (other and set(other) <= {'listing', 'shape', 'shard', 'classes'}):
        raise ValueError(
            f'{path.parent} holds a store of other locations, scenes or labels; name another output'
        )
    if other:
        there = ', '.join(f'{name} {found[name]}' for name in other if name != 'listing')
        asked = ', '.join(f'{name} {wanted[name]}' for name in other if name != 'listing')
        raise ValueError(
            f'{path.parent} holds a store of {there}, but {asked} is asked for; name another output'
        )
