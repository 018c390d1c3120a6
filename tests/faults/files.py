# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: files and folders that are damaged, hostile or of another kind."""

import os
import shutil
import socket
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import rasterio
import torch
from affine import Affine
from PIL import Image

from torchgeo_saco.datasets import SeasonalArchive
from torchgeo_saco.io.raster import open_array, read_mask

from ..data.archives import write_tif
from ..data.layouts import write_image_folders
from ..data.small_archive import (
    DATES,
    SIDE,
    band_file,
    copy_archive,
    open_small,
    read_small,
    rewrite,
)
from .fault import Fault

_PATH = f'000000/{DATES[0]}/B4.tif'

_PROFILES = {
    'plain': {},
    'LZW': {'compress': 'lzw'},
    'Deflate': {'compress': 'deflate'},
    'tiled': {'tiled': True, 'blockxsize': 16, 'blockysize': 16},
    'big-endian': {'endianness': 'big'},
    'BigTIFF': {'bigtiff': 'yes'},
}


def _truncated(share: float, **profile):
    """Cut a file off."""

    def act(root: Path) -> None:
        path = rewrite(band_file(copy_archive(root)), **profile)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        read_small(root)

    return act


def _replaced(make, **kwargs):
    """Put something else in place of a file."""

    def act(root: Path) -> None:
        path = band_file(copy_archive(root))
        path.unlink()
        make(path)
        read_small(root, **kwargs)

    return act


def _other_format(driver: str, **options):
    """Write another format under the name of a GeoTIFF."""

    def make(path: Path) -> None:
        other = path.with_suffix('.other')
        with rasterio.open(
            other, 'w', driver=driver, count=1, height=SIDE, width=SIDE, dtype='uint8', **options
        ) as file:
            file.write(np.ones((1, SIDE, SIDE), 'uint8'))
        other.rename(path)

    return make


def _virtual(path: Path) -> None:
    """Write a virtual raster that shows another file."""
    secret = path.with_name('B8.tif')
    path.write_text(
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"><VRTRasterBand dataType="Byte" '
        f'band="1"><SimpleSource><SourceFilename>{secret}</SourceFilename></SimpleSource>'
        '</VRTRasterBand></VRTDataset>'
    )


def _image(form: str):
    """Write an image under the name of a GeoTIFF."""
    return lambda path: Image.new('L', (SIDE, SIDE), 7).save(path, form)


def _socket(path: Path) -> None:
    """Bind a socket."""
    folder = os.open(path.parent, os.O_RDONLY)
    # Such names are short.
    name = f'/proc/self/fd/{folder}/{path.name}'
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(name)
    os.close(folder)


def _sparse(side: int, count: int = 1, dtype: str = 'uint8', everywhere: bool = False):
    """Declare a huge image that holds nothing."""

    def act(root: Path) -> None:
        copy_archive(root)
        paths = sorted(root.glob('*/*/*.tif')) if everywhere else [band_file(root)]
        huge = root / 'huge.tif'
        with rasterio.open(
            huge, 'w', driver='GTiff', count=count, height=side, width=side, dtype=dtype,
            compress='deflate', sparse_ok=True, transform=Affine.scale(10, -10), crs='EPSG:32631',
        ):  # fmt: skip
            pass
        for path in paths:
            path.unlink()
            os.link(huge, path)
        huge.unlink()
        read_small(root)

    return act


def _beside(name: str, content: str):
    """Put a file beside a band, which says something else of it."""

    def act(root: Path) -> None:
        expected = read_small(copy_archive(root)).predict_dataset[0]['image']
        band_file(root).with_name(name).write_text(content)
        found = read_small(root).predict_dataset[0]['image']
        assert torch.equal(found, expected)

    return act


def _external_mask(root: Path) -> None:
    """A mask beside a band is not read."""
    expected = read_small(copy_archive(root)).predict_dataset[0]['image']
    mask = root / 'mask.tif'
    write_tif(mask, np.zeros((SIDE, SIDE), 'uint8'))
    mask.rename(band_file(root).with_name('B4.tif.msk'))
    assert torch.equal(read_small(root).predict_dataset[0]['image'], expected)


def _overview(root: Path) -> None:
    """An overview beside a band is not read."""
    expected = read_small(copy_archive(root)).predict_dataset[0]['image']
    write_tif(root / 'o.tif', np.full((6, 6), 99, 'uint8'))
    (root / 'o.tif').rename(band_file(root).with_name('B4.tif.ovr'))
    assert torch.equal(read_small(root).predict_dataset[0]['image'], expected)


def _stray(name: str, is_folder: bool, level: int):
    """What systems and editors leave behind is passed over."""

    def act(root: Path) -> None:
        copy_archive(root)
        folder = (root, root / '000000', band_file(root).parent)[level]
        if is_folder:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(b'left behind')
        datamodule = read_small(root)
        assert len(datamodule.predict_dataset) == 8 and len(datamodule.bands) == 5

    return act


def _root(make, **kwargs):
    """Open a folder that holds no archive."""

    def act(root: Path) -> None:
        make(root)
        open_small(root / 'archive', **kwargs)

    return act


def _vanished(root: Path) -> None:
    """Remove a file after the archive was listed."""
    dataset = open_small(copy_archive(root)).predict_dataset
    band_file(root, 'B11', 3, 1).unlink()
    dataset[len(dataset) - 1]


def _vanished_folder(root: Path) -> None:
    """Remove a location after the archive was listed."""
    dataset = open_small(copy_archive(root)).predict_dataset
    shutil.rmtree(root / '000003')
    dataset[len(dataset) - 1]


def _shrunk(root: Path) -> None:
    """Overwrite a file by a shorter one after the archive was listed."""
    dataset = open_small(copy_archive(root)).predict_dataset
    path = band_file(root, 'B11', 3, 1)
    path.write_bytes(path.read_bytes()[:200])
    dataset[len(dataset) - 1]


def _named(name: str):
    """Locations of unusual names work."""

    def act(root: Path) -> None:
        copy_archive(root)
        (root / '000002').rename(root / name)
        datamodule = read_small(root)
        assert name in datamodule.predict_dataset.locations.names.to_pylist()

    return act


def _bytes_name(level: int):
    """Give a folder a name that is no text."""

    def act(root: Path) -> None:
        copy_archive(root)
        old = (root / '000002', root / '000002' / DATES[0])[level]
        new = os.fsencode(old.parent) + b'/' + (b'\xff\xfe2', b'20190101\xff')[level]
        os.rename(os.fsencode(old), new)
        read_small(root)

    return act


@contextmanager
def _as_nobody():
    """Run as a user without rights, in a folder that all may enter."""
    # The folder of a fault lies in one of root alone.
    folder = tempfile.mkdtemp(dir='/var/tmp')
    os.chmod(folder, 0o755)  # noqa: S103
    try:
        yield Path(folder)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        shutil.rmtree(folder)


def _drop_rights() -> None:
    """Root may read anything; others not."""
    if os.getuid() == 0:
        os.seteuid(65534)


def _unreadable(below: str, mode: int = 0):
    """Take the rights of a file or folder away."""

    def act(_: Path) -> None:
        with _as_nobody() as folder:
            root = copy_archive(folder / 'tree')
            os.chmod(root, 0o755)  # noqa: S103
            os.chmod(root / below, mode)
            _drop_rights()
            try:
                read_small(root)
            finally:
                if os.getuid() == 0:
                    os.seteuid(0)
                os.chmod(root / below, 0o755)  # noqa: S103

    return act


def _read_only(_: Path) -> None:
    """Nothing is written beside the data."""
    with _as_nobody() as folder:
        root = copy_archive(folder / 'tree')
        for path in [root, *root.rglob('*')]:
            os.chmod(path, 0o555 if path.is_dir() else 0o444)
        before = sorted(folder.rglob('*'))
        _drop_rights()
        read_small(root)
        assert sorted(folder.rglob('*')) == before


def _labels(content: bytes | str, **kwargs):
    """Write a table of labels, and open the archive."""

    def act(root: Path) -> None:
        copy_archive(root)
        raw = content.encode() if isinstance(content, str) else content
        (root / 'labels.csv').write_bytes(raw)
        open_small(root, **kwargs)

    return act


def _labels_read(content: bytes | str, classes: list[str], labels: dict[str, int]):
    """A table of labels that is unusual, and read."""

    def act(root: Path) -> None:
        copy_archive(root)
        raw = content.encode() if isinstance(content, str) else content
        (root / 'labels.csv').write_bytes(raw)
        dataset = SeasonalArchive(root)
        assert dataset.classes == classes, dataset.classes
        assert dict(dataset.labels) == labels, dataset.labels

    return act


def _special_labels(make):
    """Put something else in place of the table of labels."""

    def act(root: Path) -> None:
        copy_archive(root)
        make(root / 'labels.csv')
        open_small(root)

    return act


def _splits(train: bytes | str, val: bytes | str = '000003\n', **kwargs):
    """Write lists of splits, and open the archive."""

    def act(root: Path) -> None:
        copy_archive(root)
        for name, content in (('train', train), ('val', val)):
            raw = content.encode() if isinstance(content, str) else content
            (root / f'{name}.txt').write_bytes(raw)
        open_small(root, split_files='{split}.txt', **kwargs)

    return act


def _picture(name: str, make):
    """Put a picture among those of a class."""

    def act(root: Path) -> None:
        write_image_folders(root, count=4)
        path = root / 'Forest' / name
        path.unlink(missing_ok=True)
        make(path)
        read_small(root)

    return act


def _array(make):
    """Open an array."""

    def act(root: Path) -> None:
        make(root / 'a.npy')
        open_array(root / 'a.npy')

    return act


def _class_mask(make):
    """Read a mask of classes."""

    def act(root: Path) -> None:
        make(root / 'mask.png')
        read_mask(root / 'mask.png', (8, 8), range(3), root / 'image.tif')

    return act


_HUGE_ARRAY = b'\x93NUMPY\x01\x00v\x00' + (
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }".ljust(117) + b'\n'
)
_TABLE = 'location,label\n000000,A\n000001,B\n000002,A\n000003,B\n'
_NUMBERS = {f'{number:06d}': number % 2 for number in range(4)}
_AUX = (
    '<PAMDataset><SRS>EPSG:4326</SRS><PAMRasterBand band="1"><NoDataValue>60</NoDataValue>'
    '<Scale>3</Scale><Offset>7</Offset></PAMRasterBand></PAMDataset>'
)

FAULTS: list[Fault] = [
    *(
        Fault(
            f'F1 {kind} cut to {number}/12',
            _truncated(number / 12, **profile),
            (_PATH,),
            'fetch it',
        )
        for kind, profile in _PROFILES.items()
        for number in range(12)
    ),
    *(
        Fault(f'F3 {kind}', _replaced(make), (_PATH, said), remedy)
        for kind, make, said, remedy in (
            ('no byte', lambda path: path.touch(), 'GeoTIFF', 'fetch it'),
            (
                'a page',
                lambda path: path.write_text('<!DOCTYPE html><html>404</html>'),
                'GeoTIFF',
                'fetch it',
            ),
            (
                'text',
                lambda path: path.write_text('version https://git-lfs.github.com/spec/v1'),
                'GeoTIFF',
                'fetch it',
            ),
            ('zeros', lambda path: path.write_bytes(bytes(1000)), 'GeoTIFF', 'fetch it'),
            ('a folder', lambda path: path.mkdir(), 'not a regular file', 'remove it'),
            ('a pipe', lambda path: os.mkfifo(path), 'not a regular file', 'remove it'),
            ('a socket', _socket, 'not a regular file', 'remove it'),
            (
                'a device',
                lambda path: path.symlink_to('/dev/zero'),
                'not a regular file',
                'remove it',
            ),
            (
                'a broken link',
                lambda path: path.symlink_to('nowhere.tif'),
                'broken link',
                'nowhere.tif',
            ),
            ('a link to itself', lambda path: path.symlink_to(path.name), 'broken link', 'remove'),
            (
                'a link to a folder',
                lambda path: path.symlink_to('..'),
                'not a regular file',
                'remove it',
            ),
            (
                'a link to a pipe',
                lambda path: (os.mkfifo(path.with_name('pipe')), path.symlink_to('pipe')),
                'not a regular file',
                'remove it',
            ),
        )
    ),
    Fault('F3 a link to a band', _replaced(lambda path: path.symlink_to('B8.tif')), error=None),
    Fault('F4 unreadable root', _unreadable('.'), ('tree',), 'permission denied', PermissionError),
    Fault(
        'F4 unreadable location',
        _unreadable('000001'),
        ('000001',),
        'permission denied',
        PermissionError,
    ),
    Fault(
        'F4 unreadable date',
        _unreadable(f'000001/{DATES[0]}'),
        (DATES[0],),
        'permission denied',
        PermissionError,
    ),
    Fault(
        'F4 date that may not be entered',
        _unreadable(f'000001/{DATES[0]}', 0o644),
        (DATES[0],),
        'permission denied',
    ),
    Fault('F4 unreadable band', _unreadable(_PATH), (_PATH,), 'permission denied'),
    Fault(
        'F4 first band of a location',
        _unreadable('000000/20180410/B1.tif'),
        ('B1.tif',),
        'permission denied',
    ),
    *(
        Fault(f'F5 {kind}', _root(make), ('archive', said), '<location>', error)
        for kind, make, said, error in (
            ('missing', lambda root: None, 'does not exist', FileNotFoundError),
            ('empty', lambda root: (root / 'archive').mkdir(), 'no file', ValueError),
            ('a file', lambda root: (root / 'archive').touch(), 'is a file', FileNotFoundError),
            (
                'hidden files alone',
                lambda root: copy_archive(root / 'archive' / '.hidden'),
                'no file',
                ValueError,
            ),
            (
                'a link to nowhere',
                lambda root: (root / 'archive').symlink_to('x'),
                'does not exist',
                FileNotFoundError,
            ),
            ('a pipe', lambda root: os.mkfifo(root / 'archive'), 'is a file', FileNotFoundError),
            (
                'empty locations',
                lambda root: [(root / 'archive' / str(n)).mkdir(parents=True) for n in range(3)],
                'no file',
                ValueError,
            ),
            (
                'empty dates',
                lambda root: (root / 'archive' / '000000' / DATES[0]).mkdir(parents=True),
                'no file',
                ValueError,
            ),
            (
                'text alone',
                lambda root: ((root / 'archive').mkdir(), (root / 'archive' / 'a.txt').touch()),
                'a.txt',
                ValueError,
            ),
            (
                'a date too high',
                lambda root: (
                    copy_archive(root / 'tree')
                    and (root / 'tree' / '000000').rename(root / 'archive')
                ),
                'put them',
                ValueError,
            ),
            (
                'a folder too high',
                lambda root: copy_archive(root / 'archive' / 'x' / 'y'),
                'set root',
                ValueError,
            ),
        )
        if kind not in ('a date too high', 'a folder too high')
    ),
    *(
        Fault(f'F6 {name} at level {level}', _stray(name, is_folder, level), error=None)
        for name, is_folder, levels in (
            ('.ipynb_checkpoints', True, (0, 1, 2)),
            ('__MACOSX', True, (0, 1)),
            ('._B4.tif', False, (2,)),
            ('.B5.tif', False, (2,)),
            ('Thumbs.db', False, (0, 1, 2)),
            ('desktop.ini', False, (0, 2)),
            ('B4.tif.aux.xml', False, (2,)),
            ('lost+found', True, (0,)),
            ('notes', True, (1,)),
            ('B4.tif.part', False, (2,)),
        )
        for level in levels
    ),
    Fault('F7 a file vanished', _vanished, ('B11.tif', '000003'), 'is missing'),
    Fault('F7 a folder vanished', _vanished_folder, ('000003', 'B2.tif'), 'is missing'),
    Fault('F7 a file was cut', _shrunk, ('B11.tif', '000003'), 'fetch it'),
    *(
        Fault(f'F8 {kind}', _named(name), error=None)
        for kind, name in (
            ('letters', 'Zürich 東京 ñ'),
            ('spaces', ' a  b '),
            ('250 characters', 'x' * 250),
            ('quotes', 'a"b\'c'),
            ('percent', '%s{0}%%'),
            ('brackets', '[a]*?'),
            ('a comma', 'a,b'),
            ('a dash', '-x'),
            ('a number', '2'),
            ('emoji', '\U0001f6f0'),
        )
    ),
    *(
        Fault(f'F8 {kind} that is no text', _bytes_name(level), (r'\xff',), 'rename it')
        for level, kind in enumerate(('location', 'date'))
    ),
    *(
        Fault(
            f'F9 {side} px of {dtype}',
            _sparse(side, dtype=dtype),
            (_PATH, f'{side} x {side}'),
            'cut it',
        )
        for side, dtype in (
            (60000, 'uint8'),
            (12001, 'uint8'),
            (12000, 'uint16'),
            (5000, 'uint8'),
            (30000, 'float64'),
        )
    ),
    Fault(
        'F9 12000 px everywhere',
        _sparse(12000, dtype='uint16', everywhere=True),
        ('000000', '12000 x 12000'),
        'cut it',
    ),
    *(
        Fault(f'F10 {driver}', _replaced(_other_format(driver)), (_PATH,), 'GeoTIFF')
        for driver in (
            'PNG',
            'JPEG',
            'netCDF',
            'HFA',
            'ENVI',
            'GPKG',
            'JP2OpenJPEG',
            'PCIDSK',
            'BMP',
        )
        if driver in rasterio.drivers.raster_driver_extensions().values()
        and driver in ('HFA', 'PCIDSK', 'BMP')
    ),
    Fault('F10 VRT', _replaced(_virtual), (_PATH,), 'GeoTIFF'),
    *(
        Fault(f'F10 {form} by Pillow', _replaced(_image(form)), (_PATH,), 'GeoTIFF')
        for form in ('PNG', 'JPEG', 'GIF', 'BMP', 'WEBP')
    ),
    *(
        Fault(f'F11 {name}', _beside(name, content), error=None)
        for name, content in (
            ('B4.tif.aux.xml', _AUX),
            ('B4.tfw', '1\n0\n0\n-1\n7\n7\n'),
            ('B4.wld', '1\n0\n0\n-1\n7\n7\n'),
            ('B4.prj', 'GEOGCS["x"]'),
            ('B4.aux', 'x'),
            ('B4.IMD', 'BEGIN_GROUP = x'),
            ('B4.RPB', 'x'),
            ('B4.tif.vrt', '<VRTDataset/>'),
        )
    ),
    Fault('F11 B4.tif.msk', _external_mask, error=None),
    Fault('F11 B4.tif.ovr', _overview, error=None),
    # Labels
    *(
        Fault(f'R2 labels: {kind}', _labels(content), ('labels.csv', *named), remedy)
        for kind, content, named, remedy in (
            ('no byte', '', (), 'add'),
            ('no column', '\n', (), 'add'),
            ('no location', 'label\nA\n', ('location',), 'add it'),
            ('no label', 'location\n000000\n', ('label',), 'add it'),
            ('other names', 'name,class\n000000,A\n', ('label', 'location'), 'add'),
            ('upper case', 'Location,Label\n000000,A\n', ('label', 'location'), 'add'),
            ('semicolons', 'location;label\n000000;A\n', ('label', 'location'), 'add'),
            ('an unknown location', _TABLE + '000009,A\n', ('000009', 'line 6'), 'correct'),
            ('numbers for names', 'location,label\n0,A\n1,B\n', ("'0'",), 'folders'),
            ('a path', _TABLE + '../../etc/passwd,A\n', ('../../etc/passwd', 'line 6'), 'correct'),
            ('an absolute path', _TABLE + '/etc/passwd,A\n', ('/etc/passwd', 'line 6'), 'correct'),
            ('a date', _TABLE + '000000/20180410,A\n', ('000000/20180410', 'line 6'), 'correct'),
            ('NUL in a name', _TABLE + '0000\x0000,A\n', (r'\x00', 'line 6'), 'correct'),
            (
                'NUL in a label',
                'location,label\n000000,A\x00\n000001,B\n',
                (r'\x00', 'line 2'),
                'correct',
            ),
            ('a location twice', _TABLE + '000000,A\n', ('000000', 'twice'), 'remove line 6'),
            (
                'a column twice',
                'location,label,label\n000000,A,B\n',
                ('label', 'twice'),
                'remove one',
            ),
            (
                'locations twice',
                'location,location,label\n000000,000001,B\n',
                ('location', 'twice'),
                'remove one',
            ),
            ('more cells than columns', 'location,label\n000000,A,B\n', ('line 2',), 'correct'),
            ('fewer cells than columns', 'location,label\n000000\n', ('line 2',), 'correct'),
            ('an empty location', 'location,label\n,A\n', ('line 2',), 'correct'),
            (
                'Latin-1',
                'location,label\n000000,Zürich\n'.encode('latin-1'),
                ('UTF-8', '0xfc'),
                'save it',
            ),
            ('UTF-16', _TABLE.encode('utf-16'), ('UTF-8',), 'save it'),
            ('UTF-16 without a mark', _TABLE.encode('utf-16-le'), ('line 1',), 'correct'),
            ('UTF-32', _TABLE.encode('utf-32'), ('UTF-8',), 'save it'),
            ('a zip archive', b'PK\x03\x04\x14\x00\xff\xfe', ('UTF-8',), 'save it'),
            ('an open quote', 'location,label\n000000,"A\n000001,B\n', ('line 2',), 'correct'),
        )
    ),
    *(
        Fault(f'R2 labels: {kind}', _special_labels(make), ('labels.csv',), remedy)
        for kind, make, remedy in (
            ('a pipe', lambda path: os.mkfifo(path), 'not a regular file'),
            ('a broken link', lambda path: path.symlink_to('nowhere'), 'broken link'),
        )
    ),
    *(
        Fault(f'R2 labels: {kind}', _labels_read(content, classes, labels), error=None)
        for kind, content, classes, labels in (
            ('plain', _TABLE, ['A', 'B'], _NUMBERS),
            ('a mark first', '\ufeff' + _TABLE, ['A', 'B'], _NUMBERS),
            ('other line ends', _TABLE.replace('\n', '\r\n'), ['A', 'B'], _NUMBERS),
            ('quotes', _TABLE.replace('A', '"A"'), ['A', 'B'], _NUMBERS),
            ('empty lines', _TABLE.replace('\n', '\n\n'), ['A', 'B'], _NUMBERS),
            ('more columns', _TABLE.replace('\n', ',x\n'), ['A', 'B'], _NUMBERS),
            *(
                (
                    f'a class {name}',
                    _TABLE.replace('A', name),
                    sorted([name, 'B']),
                    {place: (number + (name > 'B')) % 2 for place, number in _NUMBERS.items()},
                )
                for name in (
                    'NA',
                    'None',
                    'nan',
                    'NaN',
                    'null',
                    'N/A',
                    'n/a',
                    '<NA>',
                    '-',
                    '0',
                    '1.0',
                    'True',
                    '#N/A',
                )
            ),
            (
                'a location without',
                'location,label\n000000,A\n000001,\n000002,B\n',
                ['A', 'B'],
                {'000000': 0, '000002': 1},
            ),
        )
    ),
    # Splits
    *(
        Fault(f'F18 splits: {kind}', _splits(*content), ('.txt', *named), remedy)
        for kind, content, named, remedy in (
            (
                'a path',
                ('000000\n000001\n../../etc/passwd\n',),
                ('../../etc/passwd',),
                "on_missing='drop'",
            ),
            ('an absolute path', ('000000\n/etc/passwd\n',), ('/etc/passwd',), "on_missing='drop'"),
            ('NUL', ('000000\n0000\x0001\n',), (r'\x00',), "on_missing='drop'"),
            ('an unknown name', ('000000\n000009\n',), ('000009',), "on_missing='drop'"),
            ('no text', (b'000000\n\xff\xfe\n',), (r'\xff',), "on_missing='drop'"),
            ('UTF-16', ('000000\n'.encode('utf-16'),), (r'\xff',), "on_missing='drop'"),
            ('nothing', ('',), ('train.txt',), 'no location'),
            ('empty lines', ('\n\n \n',), ('train.txt',), 'no location'),
        )
    ),
    Fault('F18 splits: other line ends', _splits('000000\r\n000001\r\n'), error=None),
    Fault('F18 splits: a mark first', _splits('\ufeff000000\n000001\n'), error=None),
    Fault(
        'F18 splits: no list',
        lambda root: open_small(copy_archive(root), split_files='{split}.txt'),
        ('train.txt',),
        'correct split_files',
        FileNotFoundError,
    ),
    Fault(
        'F18 splits: no place for the split',
        lambda root: open_small(copy_archive(root), split_files='train.txt'),
        ('train.txt',),
        '{split}',
    ),
    Fault('F19 a root that is read only', _read_only, error=None),
    # Pictures, masks and arrays
    *(
        Fault(
            f'F3 picture: {kind}',
            _picture('Forest_0.png', make),
            # Others are of another size than the first.
            ('Forest_1.png' if 'size' in kind else 'Forest_0.png',),
            remedy,
        )
        for kind, make, remedy in (
            ('no byte', lambda path: path.touch(), 'fetch it'),
            ('text', lambda path: path.write_text('hello'), 'fetch it'),
            ('GIF', _image('GIF'), 'fetch it'),
            ('TIFF', _image('TIFF'), 'fetch it'),
            ('grey', _image('PNG'), 'convert it'),
            (
                'transparent',
                lambda path: Image.new('RGBA', (32, 32), (1, 2, 3, 4)).save(path),
                'transparent',
            ),
            (
                'of 16 bits',
                lambda path: Image.fromarray(np.ones((32, 32), 'uint16')).save(path),
                'convert it',
            ),
            ('CMYK', lambda path: Image.new('CMYK', (32, 32)).save(path, 'JPEG'), 'convert it'),
            (
                'of another size',
                lambda path: Image.effect_noise((30, 32), 9).convert('RGB').save(path),
                'set size',
            ),
            (
                'of one colour',
                lambda path: Image.new('RGB', (32, 32), (7, 7, 7)).save(path),
                "on_invalid='drop'",
            ),
            ('a pipe', lambda path: os.mkfifo(path), 'not a regular file'),
            ('a broken link', lambda path: path.symlink_to('nowhere'), 'broken link'),
        )
    ),
    *(
        Fault(f'F3 mask: {kind}', _class_mask(make), ('mask.png',), remedy)
        for kind, make, remedy in (
            ('missing', lambda path: None, 'missing'),
            ('no byte', lambda path: path.touch(), 'fetch it'),
            ('JPEG', _image('JPEG'), 'fetch it'),
            ('of another size', lambda path: Image.new('L', (8, 9)).save(path), 'fetch both'),
            (
                'of 16 bits',
                lambda path: Image.fromarray(np.ones((8, 8), 'uint16')).save(path),
                'uint8',
            ),
            (
                'of an unknown class',
                lambda path: Image.new('L', (8, 8), 7).save(path),
                'correct the mask',
            ),
            ('a broken link', lambda path: path.symlink_to('nowhere'), 'broken link'),
        )
    ),
    *(
        Fault(f'F3 array: {kind}', _array(make), ('a.npy',), remedy)
        for kind, make, remedy in (
            ('missing', lambda path: None, 'missing'),
            ('no byte', lambda path: path.touch(), 'fetch it'),
            (
                'objects',
                lambda path: np.save(path, np.array([{}, None]), allow_pickle=True),
                'fetch it',
            ),
            ('text', lambda path: np.save(path, np.array(['a'])), 'fetch it'),
            (
                'an archive',
                lambda path: (
                    np.savez(path.with_name('b'), a=1) or path.with_name('b.npz').rename(path)
                ),
                'fetch it',
            ),
            ('cut', lambda path: (np.save(path, np.ones(100)), os.truncate(path, 300)), 'fetch it'),
            ('a huge header', lambda path: path.write_bytes(_HUGE_ARRAY), 'fetch it'),
            ('a pipe', lambda path: os.mkfifo(path), 'not a regular file'),
        )
    ),
]
