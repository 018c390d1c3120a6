# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: locations and dates that are missing, doubled or disagree."""

import logging
import shutil
from pathlib import Path

import numpy as np
import torch

from torchgeo_saco.datasets import SeasonalArchive

from ..data.archives import write_labels
from ..data.small_archive import DATES, copy_archive, open_small
from .fault import Fault

_LIGHTNING = ('lightning.pytorch', 'pytorch_lightning')


def _open(change=None, **kwargs):
    """Change an archive, and open it."""

    def act(root: Path) -> None:
        copy_archive(root)
        if change is not None:
            change(root)
        open_small(root, **kwargs)

    return act


def _without_date(root: Path) -> None:
    """Remove one of two dates."""
    shutil.rmtree(root / '000001' / DATES[1])


def _dates(**kwargs):
    """Ask for a number of dates, or an order."""
    return _open(**kwargs)


def _renamed(name: str, **kwargs):
    """Give a date another name."""

    def change(root: Path) -> None:
        (root / '000001' / DATES[1]).rename(root / '000001' / name)

    return _open(change, **kwargs)


def _kept_locations(count: int, **kwargs):
    """Leave some locations."""

    def change(root: Path) -> None:
        for location in range(count, 4):
            shutil.rmtree(root / f'{location:06d}')

    return _open(change, **kwargs)


def _copied_date(name: str):
    """Store a date a second time under another name."""

    def change(root: Path) -> None:
        shutil.copytree(root / '000001' / DATES[1], root / '000001' / name)

    return _open(change)


def _index(index):
    """Ask for an item that is not there."""
    return lambda root: SeasonalArchive(copy_archive(root))[index]


def _same_item(index, other):
    """Two ways to ask for one item."""

    def act(root: Path) -> None:
        dataset = SeasonalArchive(copy_archive(root))
        assert torch.equal(dataset[index]['image'], dataset[other]['image'])

    return act


def _sorted_by_date(root: Path) -> None:
    """Names of several forms are put in order of their dates."""
    copy_archive(root)
    (root / '000000' / DATES[1]).rename(root / '000000' / '2019-07-15')
    (root / '000000' / DATES[0]).rename(root / '000000' / 'S2A_MSIL1C_20180410T103021')
    days = SeasonalArchive(root).locations[0].days
    assert [day.year for day in days] == [2018, 2019]


def _listed_splits(train: str, val: str, **kwargs):
    """Write lists of splits."""

    def change(root: Path) -> None:
        (root / 'train.txt').write_text(train)
        (root / 'val.txt').write_text(val)

    return _open(change, split_files='{split}.txt', **kwargs)


def _class_missing(train: str, val: str, absent: str, where: str):
    """A class that is in no location of a split is said."""

    def act(root: Path) -> None:
        copy_archive(root)
        write_labels(root, 'ABAB')
        (root / 'train.txt').write_text(train)
        (root / 'val.txt').write_text(val)
        said: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: said.append(record.getMessage())
        # Lightning names it by the one or the other.
        logs = [logging.getLogger(f'{name}.utilities.rank_zero') for name in _LIGHTNING]
        for log in logs:
            log.addHandler(handler)
        try:
            open_small(root, split_files='{split}.txt')
        finally:
            for log in logs:
                log.removeHandler(handler)
        assert f'1 of 2 classes are in no location of the {where} split: {absent}' in said, said

    return act


FAULTS: list[Fault] = [
    Fault(
        'S1 a date missing',
        _open(_without_date, dates=2),
        ('000001', '1 of 2 dates'),
        "on_missing='drop'",
    ),
    Fault(
        'S1 a date missing, left out', _open(_without_date, dates=2, on_missing='drop'), error=None
    ),
    Fault('S1 more dates than there are', _open(dates=3), ('000000', '2 of 3 dates'), 'fewer'),
    *(
        Fault(f'S2 dates={dates!r}', _open(dates=dates), ('dates', repr(dates)), 'at least 1')
        for dates in (0, -1, 1.5, '2', None, float('nan'), True, np.float32(2))
    ),
    Fault('S2 a thousand dates', _open(dates=1000), ('2 of 1000 dates',), 'fewer'),
    *(
        Fault(f'S2 {name}={value!r}', _open(**{name: value}), (name, repr(value)), 'must be one of')
        for name, value in (
            ('item', 'dates'),
            ('item', None),
            ('other_dates', 'both'),
            ('year_rule', 'thirds'),
            ('on_missing', 'skip'),
            ('on_invalid', 'skip'),
            ('resampling', 'linear'),
        )
    ),
    Fault('S2 unknown layout', _open(layout='seco'), ("'seco'",), 'must be one of'),
    Fault('S2 unknown sensor', _open(sensor='sentinel3'), ("'sentinel3'",), 'choose one of'),
    Fault('S2 unknown archive', _open(archive='seco'), ("'seco'",), 'choose one of'),
    Fault(
        'S3 one year alone',
        _open(_without_date, item='years'),
        ('000001', 'two years'),
        "on_missing='drop'",
    ),
    Fault(
        'S3 too few in each year',
        _open(item='years', dates=2),
        ('000000', 'two years of 2'),
        'fewer',
    ),
    Fault('S3 two years', _open(item='years', dates=1), error=None),
    Fault(
        'S3 one year in halves',
        _open(_without_date, item='years', year_rule='halves'),
        ('000001',),
        "on_missing='drop'",
    ),
    *(
        Fault(f'S4 {kind}', _renamed(name), ('000001', name), remedy)
        for kind, name, remedy in (
            ('no date', 'summer', 'name the folder by date'),
            ('an impossible month', '20191315', 'name the folder by date'),
            ('an impossible day', '20190230', 'name the folder by date'),
            ('a year alone', '2019', 'name the folder by date'),
            ('mixed separators', '2019-07_15', 'name the folder by date'),
            ('two digits of the year', '190715', 'name the folder by date'),
            ('day first', '15-07-2019', 'name the folder by date'),
        )
    ),
    *(
        Fault(f'S4 {kind}', _renamed(name), error=None)
        for kind, name in (
            ('hyphens', '2019-07-15'),
            ('underscores', '2019_07_15'),
            ('a product', 'S2B_MSIL1C_20190715T103021_N0208_R108_T31UFS'),
            ('hours', '20190715T1030'),
            ('a leap day', '20200229'),
        )
    ),
    *(
        Fault(
            f'S4 the same day as {name}',
            _copied_date(name),
            ('000001', DATES[1], name),
            'remove one',
        )
        for name in ('2019-07-15', '20190715T103021', 'S2A_20190715')
    ),
    Fault('S4 order of dates', _sorted_by_date, error=None),
    Fault('S5 no location', _kept_locations(0), ('root',), 'no file', ValueError),
    Fault('S5 one location', _kept_locations(1), ('1 location',), 'add locations'),
    Fault(
        'S5 two locations',
        _kept_locations(2),
        ('2 locations', '1 of them held out'),
        'lower val_fraction',
    ),
    Fault('S5 two locations, none held out', _kept_locations(2, val_fraction=0), error=None),
    Fault(
        'S5 fewer items than a batch', _open(batch_size=64), ('64', '6'), 'batch_size to at most 6'
    ),
    *(
        Fault(
            f'S5 batch of {size}', _open(batch_size=size), ('batch_size', f'{size}'), 'at least 2'
        )
        for size in (1, 0, -4)
    ),
    *(
        Fault(
            f'S5 val_fraction={share}',
            _open(val_fraction=share),
            ('val_fraction', f'{share}'),
            'below 1',
        )
        for share in (1, -0.1, 2, float('nan'))
    ),
    *(
        Fault(f'S6 item {index}', _index(index), (str(index), '8 items'), 'item', IndexError)
        for index in (8, -9, 1000, 2**63)
    ),
    *(
        Fault(f'S6 item {index!r} is {other}', _same_item(index, other), error=None)
        for index, other in ((-1, 7), (np.int64(3), 3), (-8, 0), (np.uint8(7), 7))
    ),
    Fault(
        'S7 a class missing in validation',
        _class_missing('000000\n000001\n', '000002\n', 'B', 'val'),
        error=None,
    ),
    Fault(
        'S7 a class missing in training',
        _class_missing('000000\n000002\n', '000001\n000003\n', 'B', 'train'),
        error=None,
    ),
    Fault(
        'S8 a location in both',
        _listed_splits('000000\n000001\n000002\n', '000002\n'),
        ('val.txt', '000002', 'train'),
        'remove it',
    ),
    Fault(
        'S8 a file of a location in both',
        _listed_splits('000000\n000001\n', '000001/x.tif\n000001\n'),
        ('val.txt', '000001'),
        'remove it',
    ),
    Fault(
        'S8 a location twice in one',
        _listed_splits('000000\n000001\n000001\n', '000003\n'),
        error=None,
    ),
]
