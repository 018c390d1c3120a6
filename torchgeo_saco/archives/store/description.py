# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Description of a store: attributes of a Zarr group and metadata of its array."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ...io.raster import BandFileError
from .files import LocalFiles, RemoteFiles, is_url

#: Name of the array of all scenes.
IMAGES = 'images'

#: Metadata of a Zarr group or array.
METADATA = 'zarr.json'

#: Where a store keeps its state until it is complete.
PACKING = '.packing'

#: Counted up when older versions could misread what is written.
FORMAT = 3

_OURS = 'torchgeo_saco'

#: SHA-256 of columns of a table by name, one for each group of rows.
type Digests = Mapping[str, Sequence[str]]

_CHECKED = {'name': 'crc32c'}
_LITTLE = {'name': 'bytes', 'configuration': {'endian': 'little'}}


class StoreError(BandFileError):
    """A store that cannot be read; the message names it and the remedy."""


@dataclass(frozen=True)
class StoreDescription:
    """Description that all scenes of a store share."""

    #: Sensor by name, a key of :data:`torchgeo_saco.bands.SENSORS`.
    sensor: str

    #: Bands of every scene, in order.
    bands: tuple[str, ...]

    #: Type of the stored numbers.
    dtype: str

    #: Scenes, bands, height and width.
    shape: tuple[int, int, int, int]

    #: Scenes of a shard.
    shard: int

    #: Classes of the labels in order.
    classes: tuple[str, ...] = ()

    #: Side of the centred window that was packed, or None for whole images.
    size: int | None = None

    #: How coarser bands were brought to the finest grid.
    resampling: str = 'bilinear'

    #: Largest share of nodata in a band that was let pass.
    max_nodata: float = 0.0

    #: Whether 3-band previews were packed.
    previews: bool = False

    #: SHA-256 of what was listed: locations, scenes, dates, labels.
    listing: str = ''

    #: Digests of the tables, known once all is packed. One column holds the checksums of the
    #: scenes, so what hashes this description ties it to every pixel.
    tables: Mapping[str, Digests] = field(default_factory=dict)

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.shape[0] // self.shard)

    def attributes(self) -> dict[str, Any]:
        """As attributes of the Zarr group, without what is known once all is packed."""
        # Through JSON, so that it equals what is read back.
        ours = json.loads(json.dumps({'format': FORMAT} | asdict(self)))
        del ours['tables']
        return {_OURS: ours}

    def metadata(self) -> dict[str, bytes]:
        """Zarr's own files by name: of the group, and of the array."""
        array = {
            'zarr_format': 3,
            'node_type': 'array',
            'shape': list(self.shape),
            'data_type': self.dtype,
            'chunk_grid': {
                'name': 'regular',
                'configuration': {'chunk_shape': [self.shard, *self.shape[1:]]},
            },
            'chunk_key_encoding': {'name': 'default', 'configuration': {'separator': '/'}},
            'fill_value': 0,
            'codecs': [self._sharding()],
            'attributes': {'bands': list(self.bands)},
            'dimension_names': ['scene', 'band', 'y', 'x'],
            'storage_transformers': [],
        }
        ours = self.attributes()[_OURS] | {'tables': dict(self.tables)}
        attributes = {_OURS: ours | {'sha256': _digest(ours)}}
        group = {'zarr_format': 3, 'node_type': 'group', 'attributes': attributes}
        # So that readers need not list the folder, which object stores may forbid.
        group['consolidated_metadata'] = {
            'kind': 'inline', 'must_understand': False, 'metadata': {IMAGES: array}
        }  # fmt: skip
        files = {METADATA: group, f'{IMAGES}/{METADATA}': array}
        return {name: f'{json.dumps(file, indent=2)}\n'.encode() for name, file in files.items()}

    def shard_name(self, number: int) -> str:
        """File of a shard below the root."""
        return f'{IMAGES}/c/{number}/0/0/0'

    def _sharding(self) -> dict[str, Any]:
        """The one codec of the array."""
        order = {'name': 'bytes'} if self.dtype == 'uint8' else _LITTLE
        return {
            'name': 'sharding_indexed',
            'configuration': {
                'chunk_shape': [1, *self.shape[1:]],
                'codecs': [order, _CHECKED],
                'index_codecs': [_LITTLE, _CHECKED],
                'index_location': 'end',
            },
        }


def is_store(root: str | os.PathLike[str]) -> bool:
    """Whether a root is a store, whole or begun, and no tree of folders."""
    return is_url(root) or any(
        os.path.exists(os.path.join(root, name)) for name in (METADATA, PACKING)
    )


def read_description(files: LocalFiles | RemoteFiles) -> StoreDescription:
    """Read the description of a store.

    Args:
        files: Its files.

    Raises:
        FileNotFoundError: If there is no store.
        StoreError: If it is not complete, damaged, or of another kind or version.
        OSError: If it cannot be read.
    """
    root = files.root
    try:
        content = files.read(METADATA)
    except FileNotFoundError as error:
        if not is_url(root) and os.path.isdir(os.path.join(root, PACKING)):
            raise StoreError(
                f'{root} is not complete; give the same torchgeo-saco pack command again'
            ) from error
        raise FileNotFoundError(
            f'{root} holds no store; pack one by torchgeo-saco pack, or correct root'
        ) from error
    except OSError as error:
        raise _unreadable(files, METADATA, error) from error
    try:
        found = json.loads(content)['attributes'][_OURS]
        if found.get('format') != FORMAT:
            raise StoreError(f'{root} is of another version of torchgeo_saco; pack it again')
        if found.pop('sha256') != _digest(found):
            raise StoreError(
                f'{root}/{METADATA} was changed after packing, for its SHA-256 is wrong; copy it '
                'anew, or pack the archive again'
            )
        del found['format']
        shape, bands, classes = (tuple(found.pop(name)) for name in ('shape', 'bands', 'classes'))
        description = StoreDescription(shape=shape, bands=bands, classes=classes, **found)
        _require_sound(description)
        array = json.loads(files.read(f'{IMAGES}/{METADATA}'))
        expected = json.loads(description.metadata()[f'{IMAGES}/{METADATA}'])
        other = [name for name in expected if not _alike(name, array.get(name), expected[name])]
    except StoreError:
        raise
    except OSError as error:
        raise _unreadable(files, f'{IMAGES}/{METADATA}', error) from error
    except (
        ValueError, KeyError, TypeError, AttributeError, RecursionError
    ) as error:  # fmt: skip
        raise StoreError(
            f'{root} was not written by torchgeo-saco pack, or its {METADATA} is damaged '
            f'({type(error).__name__}: {error}); pack it again'
        ) from error
    if other:
        raise StoreError(
            f'{root} has an array whose {", ".join(other)} are not as torchgeo-saco pack writes '
            'them (one scene a chunk, checksummed, not compressed); pack it again'
        )
    return description


def _unreadable(files: LocalFiles | RemoteFiles, name: str, error: OSError) -> OSError | StoreError:
    """Error of metadata that cannot be read; those of object stores say what to do already."""
    if is_url(files.root) and not isinstance(error, FileNotFoundError):
        return error
    return StoreError(
        f'{files.root}/{name} cannot be read ({error}); copy it anew, or pack the archive again'
    )


def _digest(ours: Mapping[str, Any]) -> str:
    """SHA-256 of attributes, however they are spaced and ordered."""
    return hashlib.sha256(json.dumps(ours, sort_keys=True).encode()).hexdigest()


def _require_sound(description: StoreDescription) -> None:
    """Refuse what :func:`pack_archive` does not write, though its digest is right."""
    shape, bands = description.shape, description.bands
    whole = all(type(number) is int and number > 0 for number in (*shape, description.shard))
    if not whole or len(shape) != 4 or len(bands) != shape[1]:
        raise ValueError(f'shape {shape} and shards of {description.shard} do not fit {bands}')
    for names in (bands, description.classes):
        if len(set(names)) < len(names) or not all(type(name) is str for name in names):
            raise ValueError(f'{names} are no different names')
    if np.dtype(description.dtype).kind not in 'uif':
        raise ValueError(f'{description.dtype} is no type of pixels')


def _alike(name: str, found: Any, expected: Any) -> bool:
    """Whether metadata say the same; what others may add says nothing of the pixels."""
    if name == 'attributes' and isinstance(found, dict):
        return bool(found.get('bands', expected['bands']) == expected['bands'])
    if name in ('attributes', 'dimension_names', 'storage_transformers', 'fill_value'):
        return True
    return bool(json.dumps(found, sort_keys=True) == json.dumps(expected, sort_keys=True))
