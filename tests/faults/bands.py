# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: bands that are missing, doubled, misnamed or permuted."""

import shutil
from pathlib import Path

import numpy as np
import torch

from torchgeo_saco.bands import LANDSAT_8_9, SENTINEL1, SENTINEL2_L1C, band_name, band_names
from torchgeo_saco.transforms import SelectBands, SemanticGroups

from ..data.small_archive import band_file, copy_archive, open_small, read_small, rewrite
from .fault import Fault


def _without(*missing: tuple[str, int, int], **kwargs):
    """Remove bands, given with location and date."""

    def act(root: Path) -> None:
        copy_archive(root)
        for band, location, date in missing:
            band_file(root, band, location, date).unlink()
        open_small(root, **kwargs)

    return act


def _with_twin(band: str, twin: str):
    """Store a band under two names."""

    def act(root: Path) -> None:
        copy_archive(root)
        shutil.copy(band_file(root, band), band_file(root, band).with_name(twin))
        open_small(root)

    return act


def _ask_for(bands, **kwargs):
    """Ask for bands."""
    return lambda root: open_small(copy_archive(root), bands=bands, **kwargs)


def _spelled(spelling, sensor, name: str):
    """A spelling that is read as a band."""

    def act(root: Path) -> None:
        assert band_name(spelling, sensor) == name

    return act


def _group(bands, present=('B02', 'B03', 'B04', 'B08')):
    """Define a group of one's own."""
    return lambda root: SemanticGroups(present, {'mine': bands})


def _substituted(root: Path) -> None:
    """SeCo has no B10; the group that needs it has B09 in place of it."""
    groups = SemanticGroups(tuple(band for band in _ALL if band != 'B10'))
    assert groups.groups[-1].bands == ('B07', 'B08', 'B09') and not groups.skipped


def _skipped_group(root: Path) -> None:
    """A published group that cannot be formed is skipped, and said with the reason."""
    groups = SemanticGroups(('B02', 'B03', 'B04'))
    assert [group.name for group in groups.groups] == ['natural_color']
    assert ('urban', 'the image lacks B12, B11') in groups.skipped


def _channels(count: int):
    """Give an image of another number of channels than bands are named."""
    select = SelectBands(('B02', 'B03', 'B04'), ('B04',))
    return lambda root: select(torch.zeros(1, count, 8, 8))


def _stored_as(image: np.ndarray):
    """Store several bands where one is expected."""

    def act(root: Path) -> None:
        rewrite(band_file(copy_archive(root)), image)
        read_small(root)

    return act


def _drops_incomplete(root: Path) -> None:
    """What lacks a band is left out on request, and told."""
    copy_archive(root)
    band_file(root).unlink()
    datamodule = open_small(root, on_missing='drop')
    assert datamodule.predict_dataset.skipped == ['000000/20180410 lacks B04']
    assert len(datamodule.predict_dataset) == 7


def _permuted(root: Path) -> None:
    """Bands asked for in another order are read in that order."""
    copy_archive(root)
    one = open_small(root, bands=('B2', 'B4', 'B11')).predict_dataset[0]['image']
    other = open_small(root, bands=('B11', 'B2', 'B4')).predict_dataset[0]['image']
    assert torch.equal(one[:, [2, 0, 1]], other)


_ALL = tuple(SENTINEL2_L1C.bands)

_MULTIBAND = {
    'two bands': np.ones((2, 12, 12), 'uint8'),
    'RGB': np.ones((3, 12, 12), 'uint8'),
    'RGBA': np.ones((4, 12, 12), 'uint8'),
    'all bands': np.ones((13, 12, 12), 'uint8'),
}

_SPELLINGS = ('B4', 'b4', 'b04', 'B004', '4', 'Band4', 'Band 4', 'band_4', 'SR_B4', ' B04 ', 'B_4')
_RED_EDGE = ('B8A', 'b8a', 'B08A', 'Band 8A', '8A')

FAULTS: list[Fault] = [
    Fault(
        'B1 one missing', _without(('B4', 2, 1)), ('000002/20190715', 'B04'), "on_missing='drop'"
    ),
    Fault(
        'B1 several missing in one report',
        _without(('B4', 0, 0), ('B11', 1, 1), ('B1', 3, 0)),
        ('000000/20180410 lacks B04', '000001/20190715 lacks B11', '000003/20180410 lacks B01'),
        'Complete it',
    ),
    Fault('B1 left out on request', _drops_incomplete, error=None),
    Fault(
        'B1 missing everywhere', _ask_for(('B4', 'B12')), ('B12', 'it has B01, B02, B04, B08, B11')
    ),
    *(
        Fault(f'B2 group with {band}', _group(('B04', 'B03', band), bands), ('mine', band), remedy)
        for band, bands, remedy in (
            ('B12', ('B02', 'B03', 'B04'), 'lacks'),
            ('B99', ('B02', 'B03', 'B04'), 'did you mean'),
            ('VV', ('B02', 'B03', 'B04'), 'did you mean'),
        )
    ),
    Fault('B2 B09 for B10 and said', _substituted, error=None),
    Fault('B2 skipped and said', _skipped_group, error=None),
    Fault(
        'B2 none can be formed', lambda root: SemanticGroups(('B01', 'B02')), ('B01, B02',), 'lacks'
    ),
    *(
        Fault(
            f'B7 {count} channels for 3 bands',
            _channels(count),
            ('B02, B03, B04', f'{count}'),
            'name the bands',
        )
        for count in (1, 2, 4, 13)
    ),
    *(
        Fault(f'B10 {kind}', _group(bands), ('mine', *named), remedy)
        for kind, bands, named, remedy in (
            ('no band', (), (), 'list at least one'),
            ('one band', ('B04',), ('1',), 'needs three bands'),
            ('two bands', ('B04', 'B03'), ('2',), 'needs three bands'),
            ('four bands', ('B04', 'B03', 'B02', 'B08'), ('4',), 'needs three bands'),
            ('a band twice', ('B04', 'B03', 'B4'), ('B04',), 'remove one'),
            ('one text', 'B04', ("'B04'",), 'list of names'),
            ('a number', 4, ('4',), 'list of names'),
            ('nothing', None, ('None',), 'list of names'),
        )
    ),
    *(
        Fault(
            f'B10 groups={groups!r}',
            lambda root, groups=groups: SemanticGroups(_ALL, groups),
            named,
            remedy,
        )
        for groups, named, remedy in (
            ((), ('empty',), 'leave it out'),
            ({}, ('empty',), 'leave it out'),
            ('urban', ("'urban'",), 'list or a mapping'),
            (('urban', 'urban'), ("'urban'",), 'remove one'),
            (('Urban',), ("'Urban'", "'urban'"), 'did you mean'),
            ((3,), ('3',), 'named by text'),
        )
    ),
    *(
        Fault(
            f'B3 {one!r} and {other!r}',
            _ask_for(('B2', one, 'B8', other)),
            ('B04', 'position 1', 'position 3'),
            'remove one',
        )
        for one, other in (('B04', 'B04'), ('B4', 'B04'), ('b4', 'Band 4'), ('4', 'SR_B4'))
    ),
    *(
        Fault(f'B4 {spelling!r} is B04', _spelled(spelling, 'sentinel2_l1c', 'B04'), error=None)
        for spelling in _SPELLINGS
    ),
    *(
        Fault(f'B4 {spelling!r} is B8A', _spelled(spelling, 'sentinel2_l1c', 'B8A'), error=None)
        for spelling in _RED_EDGE
    ),
    *(
        Fault(f'B4 {spelling!r}', _ask_for((spelling,)), (repr(spelling), close), 'did you mean')
        for spelling, close in (
            ('B13', 'B1'),
            ('B044', 'B04'),
            ('', 'B'),
            ('VV', 'B'),
            ('NIR', 'B'),
            ('B4.tif', 'B04'),
            ('B4A', 'B'),
            ('B-', 'B'),
            ('B8B', 'B8A'),
            ('B\uff14\uff14', 'B'),
            ('red edge', 'B'),
        )
    ),
    *(
        Fault(f'B4 {spelling!r}', _ask_for((spelling,)), (repr(spelling),), 'named by text')
        for spelling in (4, 4.0, None, True, ('B04',))
    ),
    Fault('B4 one text', _ask_for('B04'), ("'B04'",), 'list of names'),
    Fault('B4 a number', _ask_for(4), ('4',), 'list of names'),
    Fault('B4 no band', _ask_for(()), ('bands is empty',), 'list at least one'),
    Fault(
        'B4 band of another sensor',
        lambda root: band_names(('B12',), LANDSAT_8_9),
        ('Landsat 8/9', 'B12'),
        'did you mean',
    ),
    Fault(
        'B4 optical band of a radar',
        lambda root: band_names(('B04',), SENTINEL1),
        ('Sentinel-1', 'B04'),
        'VV, VH',
    ),
    *(
        Fault(f'{kind} {twin}', _with_twin(band, twin), (f'{band}.tif', twin, '20180410'), 'remove')
        for kind, band, twin in (
            ('B5', 'B4', 'B04.tif'),
            ('B5', 'B4', 'Band4.tif'),
            ('B5', 'B4', 'SR_B4.tif'),
            ('B9', 'B4', 'b4.tif'),
            ('B9', 'B4', 'B4.TIF'),
            ('B9', 'B4', 'B4.tiff'),
        )
    ),
    Fault('B6 another order', _permuted, error=None),
    *(
        Fault(f'B8 {kind}', _stored_as(image), ('B4.tif', str(len(image))), 'store one band')
        for kind, image in _MULTIBAND.items()
    ),
]
