# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: packed stores that are damaged or tampered with, and archives of downloads."""

import gzip
import hashlib
import io
import json
import os
import shutil
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from torchgeo_saco.archives.packing import pack_archive, verify_store
from torchgeo_saco.archives.store.tables import _digests
from torchgeo_saco.cli import main
from torchgeo_saco.datasets import SeasonalArchive
from torchgeo_saco.io.downloads import Source, download, extract_archive, obtain

from ..data.archives import write_archive, write_labels
from ..data.folders import process_folder
from .fault import Fault

_LOCATIONS, _SCENES, _METADATA = 'locations.parquet', 'scenes.parquet', 'zarr.json'
_SHARD = 'images/c/{}/0/0/0'


# Stores.


@cache
def _sound(shard_bytes: int = 3 * 3 * 64) -> Path:
    """A store of 4 locations x 3 dates in 4 shards, not to be changed."""
    folder = process_folder()
    write_archive(folder / 'tree', 4, ('20180410', '20190412', '20190720'), ('B2', 'B3', 'B4'), 8)
    write_labels(folder / 'tree', ['b', 'a', 'b', 'a'])
    pack_archive(folder / 'tree', folder / 'sound', shard_bytes=shard_bytes, progress=False)
    return folder / 'sound'


def _read_all(root: Path, **options: Any) -> None:
    """Read all that training reads."""
    data = SeasonalArchive(root, dates=2, **options)
    for item in range(len(data)):
        data[item]
    for location in data.locations:
        data.footprint(location)
        assert [scene.name for scene in location.scenes]


def _with_store(change: Callable[[Path], object], use: Callable[..., Any], root: Path) -> None:
    """Change a store and use it."""
    shutil.copytree(_sound(), root / 'store')
    change(root / 'store')
    use(root / 'store')


def _edit(name: str, change: Callable[[dict[str, Any]], object], root: Path) -> None:
    """Change the description, but not its hash."""
    content = json.loads((root / name).read_bytes())
    change(content['attributes'].get('torchgeo_saco', content))
    (root / name).write_text(json.dumps(content))


def _sign(ours: dict[str, Any]) -> None:
    """Give a description the hash that it would have."""
    del ours['sha256']
    ours['sha256'] = hashlib.sha256(json.dumps(ours, sort_keys=True).encode()).hexdigest()


def _forge(change: dict[str, Any], root: Path) -> None:
    """Change the description and its hash."""
    _edit(_METADATA, lambda ours: (ours.update(change), _sign(ours)), root)


def _rewrite(name: str, change: Callable[[pa.Table], pa.Table], root: Path) -> None:
    """Change a table, but not its hash."""
    pq.write_table(change(pq.read_table(root / name)), root / name)


def _rewrite_and_sign(name: str, change: Callable[[pa.Table], pa.Table], root: Path) -> None:
    """Change a table and all hashes."""
    _rewrite(name, change, root)
    table = pq.read_table(root / name)
    sums = {column: _digests(table[column]) for column in table.column_names}
    _edit(_METADATA, lambda ours: (ours['tables'].update({name: sums}), _sign(ours)), root)


def _with_column(column: str, change: Callable[[Any], Any], table: pa.Table) -> pa.Table:
    """A table with one column changed; its type may change too."""
    position = table.column_names.index(column)
    changed = change(table[column].to_pylist())
    try:
        array = pa.array(changed, table[column].type)
    except (pa.ArrowException, TypeError):
        array = pa.array(changed)
    return table.set_column(position, column, array)


def _replaced(name: str, content: bytes, root: Path) -> None:
    (root / name).write_bytes(content)


def _cut(name: str, share: float, root: Path) -> None:
    content = (root / name).read_bytes()
    (root / name).write_bytes(content[: int(share * len(content))])


def _flipped(name: str, share: float, root: Path) -> None:
    content = bytearray((root / name).read_bytes())
    content[int(share * len(content))] ^= 16
    (root / name).write_bytes(content)


def _other_kind(name: str, make: Callable[[Path], object], root: Path) -> None:
    (root / name).unlink()
    make(root / name)


def _dangling(path: Path) -> None:
    path.symlink_to(path.with_name('nowhere'))


def _swap(root: Path) -> None:
    one, other = (root / _SHARD.format(number) for number in (0, 1))
    content = one.read_bytes()
    shutil.copy(other, one)
    other.write_bytes(content)


def _move_index(root: Path) -> None:
    """Point the first scene of a shard at the second, with a checksum that fits."""
    from torchgeo_saco.archives.store.shards import CHECKSUM, checksum, index_length

    path = root / _SHARD.format(1)
    content = bytearray(path.read_bytes())
    start = len(content) - index_length(3)
    content[start : start + 16] = content[start + 16 : start + 32]
    content[-CHECKSUM:] = checksum(bytes(content[start:-CHECKSUM]))
    path.write_bytes(content)


def _reverse(names: Any) -> Any:
    return list(reversed(names))


_AGAIN = 'pack the archive again'
_PACK = 'pack it again'

# Description changed, hash left: what each of its entries could be made to say.
_TAMPERED: dict[str, Callable[[dict[str, Any]], object]] = {
    'bands permuted': lambda d: d.update(bands=_reverse(d['bands'])),
    'bands doubled': lambda d: d.update(bands=['B02', 'B02', 'B04']),
    'bands renamed': lambda d: d.update(bands=['B02', 'B03', 'B08']),
    'classes shuffled': lambda d: d.update(classes=_reverse(d['classes'])),
    'classes doubled': lambda d: d.update(classes=['a', 'a']),
    'classes emptied': lambda d: d.update(classes=[]),
    'sensor': lambda d: d.update(sensor='sentinel2_l2a'),
    'dtype': lambda d: d.update(dtype='int8'),
    'shape': lambda d: d.update(shape=[12, 3, 8, 4]),
    'shard': lambda d: d.update(shard=4),
    'size': lambda d: d.update(size=6),
    'resampling': lambda d: d.update(resampling='nearest'),
    'max_nodata': lambda d: d.update(max_nodata=1.0),
    'listing': lambda d: d.update(listing=64 * '0'),
    'digests of a table': lambda d: d['tables'][_SCENES].update(date=[64 * '0']),
    'tables left out': lambda d: d.update(tables={}),
    'hash of another': lambda d: d.update(sha256=64 * '0'),
    'hash of no text': lambda d: d.update(sha256=None),
    'entry added': lambda d: d.update(colour='red'),
}

# Description and hash changed.
_FORGED: dict[str, dict[str, Any]] = {
    'shape negative': {'shape': [12, 3, -8, 8]},
    'shape of 3': {'shape': [12, 3, 8]},
    'shape of text': {'shape': '1238'},
    'shape null': {'shape': None},
    'shape NaN': {'shape': [12, 3, 8, float('nan')]},
    'shard 0': {'shard': 0},
    'shard infinite': {'shard': float('inf')},
    'bands doubled': {'bands': ['B02', 'B02', 'B04']},
    'bands of numbers': {'bands': [2, 3, 4]},
    'bands one short': {'bands': ['B02', 'B03']},
    'classes null': {'classes': None},
    'classes doubled': {'classes': ['a', 'a']},
    'dtype object': {'dtype': 'object'},
    'dtype unknown': {'dtype': '../../etc/passwd'},
    'entry added': {'colour': 'red'},
}

_COLUMNS: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    'null location': (_LOCATIONS, 'location', lambda v: [None, *v[1:]]),
    'locations swapped': (_LOCATIONS, 'location', lambda v: [v[1], v[0], *v[2:]]),
    'location renamed': (_LOCATIONS, 'location', lambda v: [*v[:-1], 'zzz']),
    'location doubled': (_LOCATIONS, 'location', lambda v: [v[0], v[0], *v[2:]]),
    'location outside': (_LOCATIONS, 'location', lambda v: ['../../etc/passwd', *v[1:]]),
    'location absolute': (_LOCATIONS, 'location', lambda v: ['/etc/passwd', *v[1:]]),
    'location with NUL': (_LOCATIONS, 'location', lambda v: ['\0', *v[1:]]),
    'location empty': (_LOCATIONS, 'location', lambda v: ['', *v[1:]]),
    'locations of numbers': (_LOCATIONS, 'location', lambda v: list(range(len(v)))),
    'counts moved': (_LOCATIONS, 'scenes', lambda v: [2, 4, 3, 3]),
    'counts negative': (_LOCATIONS, 'scenes', lambda v: [-3, 9, 3, 3]),
    'counts null': (_LOCATIONS, 'scenes', lambda v: [None, 3, 3, 3]),
    'counts of text': (_LOCATIONS, 'scenes', lambda v: ['3', '3', '3', '3']),
    'dates in another order': (_SCENES, 'date', lambda v: [v[1], v[0], *v[2:]]),
    'date null': (_SCENES, 'date', lambda v: [None, *v[1:]]),
    'dates of text': (_SCENES, 'date', lambda v: [str(date) for date in v]),
    'checksums null': (_SCENES, 'checksum', lambda v: [None, *v[1:]]),
    'checksums of text': (_SCENES, 'checksum', lambda v: [str(number) for number in v]),
}

# Changes that no check but the hash can see.
_HIDDEN: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    'labels shuffled': (_LOCATIONS, 'label', _reverse),
    'label null': (_LOCATIONS, 'label', lambda v: [None, *v[1:]]),
    'footprint null': (_LOCATIONS, 'geometry', lambda v: [None, *v[1:]]),
    'checksums shuffled': (_SCENES, 'checksum', _reverse),
    'scenes renamed': (_SCENES, 'scene', lambda v: ['../x', *v[1:]]),
    'dates shifted': (_SCENES, 'date', lambda v: [v[0].replace(year=1999), *v[1:]]),
}

_KINDS: dict[str, Callable[[Path], object]] = {
    'a pipe': os.mkfifo,
    'a folder': os.mkdir,
    'a broken link': _dangling,
    'a link to a device': lambda path: path.symlink_to('/dev/zero'),
    'missing': lambda path: None,
}

_ALL_FILES = (_METADATA, 'images/zarr.json', _LOCATIONS, _SCENES, _SHARD.format(1))


def _store_row(id: str, change: Callable[[Path], object], names: str, remedy: str) -> Fault:
    return Fault(id, partial(_with_store, change, _read_all), (names,), remedy)


def _store_rows() -> list[Fault]:
    rows = [
        _store_row(
            f'R2 store: {name}', partial(_edit, _METADATA, change),
            'zarr.json was changed after packing', 'copy it anew',
        )
        for name, change in _TAMPERED.items()
    ]  # fmt: skip
    rows += [
        _store_row(
            f'F18 store, hash forged: {name}',
            partial(_forge, change),
            'zarr.json is damaged',
            _PACK,
        )
        for name, change in _FORGED.items()
    ]
    for name, (table, column, change) in (_COLUMNS | _HIDDEN).items():
        edit = partial(_with_column, column, change)
        rows.append(
            _store_row(
                f'R2 store: {name}', partial(_rewrite, table, edit),
                f'{table} was changed after packing', 'copy it anew',
            )
        )  # fmt: skip
    for name, (table, column, change) in _COLUMNS.items():
        if name == 'location renamed':
            continue
        edit = partial(_rewrite_and_sign, table, partial(_with_column, column, change))
        rows.append(_store_row(f'F18 store, hash forged: {name}', edit, 'store', _PACK))
    rows += [
        _store_row(
            f'F18 store, hash forged: {name}', partial(_forge, change), 'store', remedy
        )
        for name, change, remedy in (
            ('shape larger', {'shape': [12, 3, 60000, 60000]}, _PACK),
            ('other format', {'format': 99}, _PACK),
            ('format of a former version', {'format': 2}, _PACK),
        )
    ]  # fmt: skip
    rows += [
        _store_row(f'F3 {file} is {name}', partial(_other_kind, file, make), 'store', 'again')
        for file in _ALL_FILES
        for name, make in _KINDS.items()
        if (file, name) not in {(_METADATA, 'missing'), (_METADATA, 'a broken link')}
    ]
    rows += [
        Fault(
            f'F3 {_METADATA} is {name}',
            partial(_with_store, partial(_other_kind, _METADATA, _KINDS[name]), _read_all),
            ('store',), 'root', error=(FileNotFoundError, ValueError),  # type: ignore[arg-type]
        )
        for name in ('missing', 'a broken link')
    ]  # fmt: skip
    rows += [
        _store_row(f'F3 {file} {name}', partial(_replaced, file, content), 'store', 'again')
        for file in _ALL_FILES
        for name, content in {
            'empty': b'', 'of HTML': b'<html><p>Not found</p>' * 9, 'of zeros': bytes(5000),
        }.items()
    ]  # fmt: skip
    rows += [
        _store_row(f'F1 {file} cut at {share}', partial(_cut, file, share), 'store', 'again')
        for file in _ALL_FILES
        for share in (0.1, 0.5, 0.9)
    ]
    rows += [
        _store_row(
            f'F2 {file} flipped at {share}', partial(_flipped, file, share), 'store', 'again'
        )
        for file in (_SCENES, _SHARD.format(1))
        for share in (0.15, 0.35)
    ]
    shard = _SHARD.format(1)
    rows += [
        _store_row(
            'R2 one shard copied over another',
            lambda root: shutil.copy(root / _SHARD.format(0), root / shard),
            f'{shard} holds another scene in place of 000001/', _AGAIN,
        ),
        _store_row('R2 two shards swapped', _swap, 'another scene in place of 000000/', _AGAIN),
        _store_row('R2 index points at another scene', _move_index, 'another scene in', _AGAIN),
        _store_row(
            'R2 bands of the array permuted',
            lambda root: _edit(
                'images/zarr.json',
                lambda array: array['attributes'].update(bands=['B04', 'B03', 'B02']), root,
            ),
            'attributes', _PACK,
        ),
        Fault(
            'R2 verify finds a copied shard',
            partial(
                _with_store,
                lambda root: shutil.copy(root / _SHARD.format(0), root / shard), verify_store,
            ),
            ('another scene',), _AGAIN,
        ),
        Fault(
            'R2 verify finds labels shuffled',
            partial(
                _with_store,
                partial(_rewrite, _LOCATIONS, partial(_with_column, 'label', _reverse)),
                verify_store,
            ),
            ('label',), _AGAIN,
        ),
        Fault(
            'R3 verify on the command line',
            partial(
                _with_store,
                lambda root: shutil.copy(root / _SHARD.format(0), root / shard),
                lambda root: main(['pack', '--output', str(root), '--verify', 'true']),
            ),
            ('another scene',), _AGAIN, error=SystemExit,
        ),
        Fault('R2 a sound store', partial(_with_store, lambda root: None, _read_all), error=None),
        Fault('R2 a sound store is verified', partial(_with_store, lambda root: None, _sound_one),
              error=None),
        Fault('P7 tables rewritten by others', partial(
            _with_store, partial(_rewrite, _SCENES, lambda table: table), _read_all), error=None),
        Fault('P7 description spaced otherwise', partial(
            _with_store, partial(_edit, _METADATA, lambda ours: None), _read_all), error=None),
    ]  # fmt: skip
    return rows


def _sound_one(root: Path) -> None:
    assert verify_store(root) == 12


# Archives of downloads.

_NAMES = {
    'leads up': '../x',
    'leads up within': 'a/../../x',
    'is absolute': '/srv/x',
    'has a drive': 'C:\\x',
    'leads up by backslashes': '..\\x',
    'is a share': '\\\\host\\x',
    'leads up at its end': 'a/..',
}


def _zip(path: Path, *entries: tuple[Any, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, **options) as file:
        for entry, content in entries:
            file.writestr(entry, content)
    return path


def _zip_entry(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = mode << 16
    return entry


def _tar(path: Path, *entries: tuple[Any, bytes], mode: str = 'w:gz') -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for entry, content in entries:
            info = tarfile.TarInfo(entry) if isinstance(entry, str) else entry
            info.size = info.size or len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def _tar_entry(name: str, kind: bytes, linkname: str = '') -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, linkname
    return info


def _extract(make: Callable[[Path], object], name: str, root: Path, **options: Any) -> None:
    """Extract an archive, and see to it that nothing is left of one that is refused."""
    path = root / name
    make(path)
    before = sorted(root.iterdir())
    try:
        extract_archive([path], root, **options)
    finally:
        if not options.get('keeps'):
            assert sorted(root.iterdir()) == before


def _whole(path: Path) -> Path:
    return (_zip if path.suffix == '.zip' else _tar)(
        path, *((f'tree/{number}.txt', os.urandom(300)) for number in range(8))
    )


def _shortened(share: float, path: Path) -> None:
    content = _whole(path).read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def _plain_shortened(blocks: int, path: Path) -> None:
    content = _tar(path, ('a', b'x' * 600), ('b', b'y' * 600), mode='w').read_bytes()
    path.write_bytes(content[: 512 * blocks])


def _encrypted(path: Path) -> None:
    content = bytearray(_zip(path, ('x', b'1')).read_bytes())
    content[content.index(b'PK\1\2') + 8] |= 1
    content[6] |= 1
    path.write_bytes(content)


def _declared(size: int, count: int, path: Path) -> None:
    """Entries that declare another size than they have."""
    entries = ((f'{number}', b'1' * 100) for number in range(count))
    content = bytearray(_zip(path, *entries).read_bytes())
    start = 0
    while (start := content.find(b'PK\1\2', start)) >= 0:
        content[start + 24 : start + 28] = struct.pack('<I', size)
        start += 4
    path.write_bytes(content)


def _method(path: Path) -> None:
    """Compressed by a method that nothing knows."""
    content = bytearray(_zip(path, ('x', b'1' * 100)).read_bytes())
    start = content.index(b'PK\1\2') + 10
    content[start : start + 2] = content[8:10] = struct.pack('<H', 77)
    path.write_bytes(content)


def _null_name(path: Path) -> None:
    content = _zip(path, ('x_y', b'1')).read_bytes()
    path.write_bytes(content.replace(b'x_y', b'x\0y'))


def _huge_header(path: Path) -> None:
    entry = tarfile.TarInfo('x')
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 1 << 33
    path.write_bytes(entry.tobuf() + bytes(1024))


def _gz_flipped(path: Path) -> None:
    content = bytearray(_whole(path).read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)


def _archive_rows() -> list[Fault]:
    link = tarfile.SYMTYPE
    zips: dict[str, tuple[Callable[[Path], object], str]] = {
        f'F12 zip: an entry {what}': (partial(_named_zip, name), f'{name!r}, which leads out')
        for what, name in _NAMES.items()
    }
    zips |= {
        'F12 zip: an entry with NUL': (_null_name, 'leads out of the folder'),
        'F12 zip: an encrypted entry': (_encrypted, "'x', which is encrypted"),
        'F13 zip: an entry twice': (_twice, "'x', which is there twice"),
        'F13 zip: a file below a file': (
            lambda path: _zip(path, ('x', b'1'), ('x/y', b'2')), "'x/y', which is there twice"
        ),
        'F13 zip: a bomb': (
            partial(_declared, 1 << 30, 1), 'more than 200 times its size'
        ),
        'F13 zip: a bomb of many entries': (
            partial(_declared, 3 << 24, 12),
            'more than 200 times its size',
        ),
        'F13 zip: an entry longer than declared': (partial(_declared, 10, 1), 'is damaged'),
        'F15 zip: an unknown method': (_method, 'is damaged'),
    }  # fmt: skip
    for what, kind in {
        'symbolic link': stat.S_IFLNK, 'device': stat.S_IFCHR, 'block device': stat.S_IFBLK,
        'pipe': stat.S_IFIFO, 'socket': stat.S_IFSOCK,
    }.items():  # fmt: skip
        entry = _zip_entry('x', kind | 0o777)
        zips[f'F12 zip: a {what}'] = (
            partial(_zip_of, entry, b'/etc/passwd'), "'x', which is no file or folder"
        )  # fmt: skip
    tars: dict[str, tuple[Callable[[Path], object], str]] = {
        f'F12 tar: an entry {what}': (partial(_named_tar, name), f'{name!r}, which leads out')
        for what, name in _NAMES.items()
    }
    for what, (kind, target) in {
        'symbolic link': (link, '/etc/passwd'), 'link within': (link, 'y'),
        'hard link': (tarfile.LNKTYPE, '/etc/passwd'), 'device': (tarfile.CHRTYPE, ''),
        'block device': (tarfile.BLKTYPE, ''), 'pipe': (tarfile.FIFOTYPE, ''),
        'contiguous link': (b'Z', ''),
    }.items():  # fmt: skip
        entry = _tar_entry('x', kind, target)
        tars[f'F12 tar: a {what}'] = (partial(_tar_of, entry), "'x'")
    tars |= {
        'F12 tar: a file through a link': (
            lambda path: _tar(path, (_tar_entry('x', link, '/srv'), b''), ('x/y', b'1')), "'x'"
        ),
        'F13 tar: an entry twice': (
            lambda path: _tar(path, ('x', b'1'), ('x', b'2')), "'x', which is there twice"
        ),
        'F13 tar: a file below a file': (
            lambda path: _tar(path, ('x', b'1'), ('x/y', b'2')), "'x/y', which is there twice"
        ),
        'F13 tar: a bomb': (
            lambda path: path.write_bytes(gzip.compress(_sized('x', 1 << 30).tobuf())),
            'more than 200 times its size',
        ),
        'F13 tar: a header of 8 GB': (_huge_header, 'is damaged'),
        'F15 tar: checksum of gzip': (_gz_flipped, 'is damaged'),
        'F15 tar: an entry that ends early': (
            lambda path: _tar(path, (_sized('x', 5000), b'1' * 5000), mode='w')
            and path.write_bytes(path.read_bytes()[:2048]),
            'is damaged',
        ),
    }  # fmt: skip
    for blocks in (3, 4, 5, 6):
        tars[f'F15 tar without its end: {blocks} blocks'] = (
            partial(_plain_shortened, blocks), ''
        )  # fmt: skip
    both: dict[str, tuple[Callable[[Path], object], str]] = {
        'F3 empty': (Path.touch, 'is damaged or of another format'),
        'F3 of HTML': (lambda path: path.write_text('<html>' * 99), 'damaged or of another format'),
        'F3 of zeros': (lambda path: path.write_bytes(bytes(99)), 'damaged or of another format'),
        'F3 a folder': (os.mkdir, 'is no regular file'),
        'F3 a pipe': (os.mkfifo, 'is no regular file'),
        'F3 a device': (lambda path: path.symlink_to('/dev/zero'), 'is no regular file'),
        'F3 missing': (lambda path: None, 'cannot be extracted'),
    }
    for share in (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98):
        both[f'F15 cut at {share}'] = (partial(_shortened, share), 'is damaged')
    rows = [
        Fault(id, partial(_extract, make, name), (name, words), 'fetch it again')
        for name, cases in (('data.zip', zips), ('data.tar.gz', tars))
        for id, (make, words) in cases.items()
    ]
    rows += [
        Fault(
            f'{id} {name}', partial(_extract, make, name), (name, words),
            'make room' if 'missing' in id else 'fetch it again',
        )
        for name in ('data.zip', 'data.tar.gz')
        for id, (make, words) in both.items()
    ]  # fmt: skip
    rows += [
        Fault(
            f'F13 {name} of more entries than allowed',
            lambda root, name=name: _extract(_whole, name, root, max_entries=7),
            (name, 'more than 7 entries'), 'fetch it again',
        )
        for name in ('data.zip', 'data.tar.gz')
    ]  # fmt: skip
    return rows


def _zip_of(entry: zipfile.ZipInfo, content: bytes, path: Path) -> None:
    _zip(path, (entry, content))


def _tar_of(entry: tarfile.TarInfo, path: Path) -> None:
    _tar(path, (entry, b''))


def _named_zip(name: str, path: Path) -> None:
    _zip(path, ('fine', b'1'), (name, b'2'))


def _named_tar(name: str, path: Path) -> None:
    _tar(path, ('fine', b'1'), (name, b'2'))


def _twice(path: Path) -> None:
    content = _zip(path, ('x', b'1'), ('y', b'2')).read_bytes()
    path.write_bytes(content.replace(b'y', b'x'))


def _sized(name: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size = size
    return entry


# Downloads.


def _mismatch(digest: str, there: bool, root: Path) -> None:
    origin = _zip(root / 'origin.zip', ('tree/x', b'1'))
    if there:
        (root / 'data.zip').write_bytes(b'begun')
    try:
        obtain(root, [Source(origin.as_uri(), 'data.zip', digest)], ['tree'])
    finally:
        assert not (root / 'tree').exists()
        assert not (root / 'data.zip').exists()
        kept = [path.read_bytes() for path in sorted(root.glob('data.zip.bad*'))]
        assert kept == [b'begun'] * there + [origin.read_bytes()]


def _parts_cut(root: Path) -> None:
    whole = _whole(root / 'whole.tar.gz').read_bytes()
    (root / 'aa').write_bytes(whole[:500])
    (root / 'ab').write_bytes(whole[600:])
    extract_archive([root / 'aa', root / 'ab'], root)


def _parts_mixed(root: Path) -> None:
    whole = _whole(root / 'whole.tar.gz').read_bytes()
    (root / 'aa').write_bytes(whole[:500])
    (root / 'ab').write_bytes(whole[500:])
    extract_archive([root / 'ab', root / 'aa'], root)


def _download_rows() -> list[Fault]:
    urls = {
        'ftp': ('ftp://host/x', 'no address'),
        'no scheme': ('host/x', 'no address'),
        'data': ('data:text/plain,x', 'no address'),
        'a file that is not there': ('file:///nowhere/x.zip', 'cannot be downloaded'),
        'a folder': ('file:///srv', 'cannot be downloaded'),
        'a port of letters': ('http://localhost:port/x', 'cannot be downloaded'),
        'no host': ('http:///x', 'cannot be downloaded'),
    }
    rows = [
        Fault(
            f'F14 URL of {what}', lambda root, url=url: download(Source(url, 'x.zip'), root),
            ('x.zip', url, words), 'correct it' if words == 'no address' else 'look at the network',
        )
        for what, (url, words) in urls.items()
    ]  # fmt: skip
    rows += [
        Fault(
            f'F14 {kind} is wrong' + ' where another file lies' * there,
            partial(_mismatch, '0' * length, there), ('data.zip', '0' * length, 'data.zip.bad'),
            'download again',
        )
        for kind, length in (('MD5', 32), ('SHA-256', 64))
        for there in (False, True)
    ]  # fmt: skip
    rows += [
        Fault('F15 parts of which one lacks its beginning', _parts_cut, ('aa',), 'fetch it again'),
        Fault('F15 parts in another order', _parts_mixed, ('ab',), 'fetch it again'),
    ]
    return rows


FAULTS: list[Fault] = [*_store_rows(), *_archive_rows(), *_download_rows()]
