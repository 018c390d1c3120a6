# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of packed archives: the same samples, whatever happened on the way."""

import importlib
import pickle
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import torch
from affine import Affine
from torch.utils.data import DataLoader

from torchgeo_saco.archives.packing import archive as packing
from torchgeo_saco.archives.packing import pack_archive, verify_store
from torchgeo_saco.archives.packing.shards import ShardPacker
from torchgeo_saco.archives.store import StoreError
from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.datasets import SeasonalArchive
from torchgeo_saco.io.raster import BandFileError
from torchgeo_saco.samplers.order import EpochIndex

from ...data.archives import DATES, write_archive, write_labels, write_tif

#: So that the 24 scenes of the archive lie in 5 shards, and locations lie across two.
SHARD_BYTES = 5 * 12 * 36 * 36


def pack(root, output, **arguments):
    return pack_archive(root, output, progress=False, **({'shard_bytes': SHARD_BYTES} | arguments))


@pytest.fixture(scope='module')
def store(archive, tmp_path_factory):
    """The archive of all tests, packed. Not to be changed."""
    output = tmp_path_factory.mktemp('packed') / 'archive.zarr'
    report = pack(archive, output)
    assert (report.scenes, report.present, report.skipped) == (24, 0, ())
    assert report.size == sum(path.stat().st_size for path in output.glob('images/c/*/0/0/0'))
    return output


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob('*'))
        if path.is_file()
    }


def assert_same_samples(first, second):
    """All items of two epochs are equal, bit for bit."""
    assert len(first) == len(second) > 0
    assert (first.bands, first.shape, first.dtype) == (second.bands, second.shape, second.dtype)
    assert (first.classes, first.labels) == (second.classes, second.labels)
    assert first.location_index == second.location_index
    for item in range(len(first)):
        one, other = (data[EpochIndex(item, item % 2)] for data in (first, second))
        assert one.keys() == other.keys()
        for name in one:
            assert one[name].dtype == other[name].dtype
            assert torch.equal(one[name], other[name])


@pytest.mark.parametrize(
    'arguments',
    [
        {},
        {'dates': 3},
        {'dates': 2, 'other_dates': 'same_year'},
        {'dates': 2, 'other_dates': 'other_year', 'bands': ['B12', 'b8a', 'B02']},
        {'dates': 4, 'item': 'location', 'bands': ['B04']},
        {'dates': 2, 'item': 'years', 'size': 12},
        {
            'dates': 1,
            'item': 'years',
            'same_season': False,
            'size': 7,
            'bands': ['B09', 'B3', 'B01'],
        },
        {'dates': 2, 'item': 'years', 'year_rule': 'halves', 'cache': True},
    ],
)
def test_packed_and_unpacked_give_the_same_samples(archive, store, arguments):
    assert_same_samples(SeasonalArchive(archive, **arguments), SeasonalArchive(store, **arguments))


@pytest.mark.parametrize('dtype', ['uint16', 'float32'])
def test_archives_of_other_types(tmp_path, dtype):
    write_archive(tmp_path / 'tree', locations=3, bands=['B4', 'B8', 'B11', 'B9'], dtype=dtype)
    pack(tmp_path / 'tree', tmp_path / 'store')
    trees = (
        SeasonalArchive(tmp_path / 'tree', dates=2),
        SeasonalArchive(tmp_path / 'store', dates=2),
    )
    assert_same_samples(*trees)


def test_previews(tmp_path):
    generator = np.random.default_rng(0)
    for place in 'ab':
        for date in DATES:
            image = generator.integers(0, 255, (3, 8, 8), 'uint8')
            write_tif(tmp_path / 'tree' / place / f'{date}T1.tif', image)
    pack(tmp_path / 'tree', tmp_path / 'store', previews=True, bands=['B', 'R'])
    options = {'previews': True, 'bands': ['R']}
    assert_same_samples(
        SeasonalArchive(tmp_path / 'tree', **options),
        SeasonalArchive(tmp_path / 'store', **options),
    )
    with pytest.raises(ValueError, match='holds 3-band previews; set previews=True'):
        SeasonalArchive(tmp_path / 'store')


def test_windows_of_a_window(archive, tmp_path):
    pack(archive, tmp_path / 'store', size=21, bands=['B4', 'B11'])
    for size in (21, 19, 1):
        assert_same_samples(
            SeasonalArchive(archive, size=size, bands=['B4', 'B11']),
            SeasonalArchive(tmp_path / 'store', size=size),
        )
    with pytest.raises(ValueError, match=r'packed with size=21, whose middle .* by an even number'):
        SeasonalArchive(tmp_path / 'store', size=20)
    with pytest.raises(ValueError, match='images of 21 x 21 px, too small for a window of size=23'):
        SeasonalArchive(tmp_path / 'store', size=23)


def test_parts_and_locations(archive, store):
    tree, packed = (SeasonalArchive(root, dates=2) for root in (archive, store))
    for data in (tree, packed):
        part = data.subset(['000005', '000003'], 1, 'location')
        assert [place.name for place in part.locations] == ['000003', '000005']
        assert part.locations[-1].name == '000005'
        assert [part[i]['location'].item() for i in range(2)] == [3, 5]
        assert part.location_index == {'000003': 3, '000005': 5}
        assert len(part.subset(['000001'])) == 0
    for one, other in zip(tree.locations, packed.locations, strict=True):
        assert [scene[:2] for scene in one.scenes] == [scene[:2] for scene in other.scenes]
        assert one.days == other.days
        assert tree.footprint(one).equals_exact(packed.footprint(other), 0)
        assert torch.equal(tree.read_scene(one, 2), packed.read_scene(other, 2))


def test_datamodule_splits_alike(archive, store, caplog):
    parts = []
    for root in (archive, store):
        data = SeasonalDataModule(root=root, batch_size=2, val_fraction=0.4, dates=2)
        data.setup('fit')
        parts.append(
            [data.train_dataset, data.val_dataset, data.predict_dataset]
            + [loader.dataset for loader in data.probe_dataloaders()]
            + [data.ordered_dataloader(split).dataset for split in ('train', 'val', 'test')]
        )
    for one, other in zip(*parts, strict=True):
        assert_same_samples(one, other)


def test_places_without_a_scene_stay_in_the_split(tmp_path):
    write_archive(tmp_path / 'tree', locations=9, bands=['B4'], size=6)
    write_labels(tmp_path / 'tree', ['a', 'b', 'c'] * 3)
    for place in (1, 4, 6):
        for folder in (tmp_path / 'tree' / f'{place:06d}').glob('*'):
            shutil.rmtree(folder)
    with pytest.raises(ValueError, match=r'is incomplete: 000001 has 0 of 1 dates'):
        pack(tmp_path / 'tree', tmp_path / 'store')
    report = pack(tmp_path / 'tree', tmp_path / 'store', on_missing='drop')
    assert len(report.skipped) == 3
    names = []
    for root in ('tree', 'store'):
        data = SeasonalDataModule(
            root=tmp_path / root, batch_size=2, val_fraction=0.5, on_missing='drop'
        )
        data.setup('fit')
        names.append(data.val_dataset.locations.names.to_pylist())
        assert data.train_dataset.classes == ['a', 'b', 'c']
    assert names[0] == names[1]
    with pytest.raises(ValueError, match=r'is incomplete: 000001 has 0 of 1 dates; 000004 has'):
        SeasonalArchive(tmp_path / 'store')
    assert SeasonalArchive(tmp_path / 'store', on_missing='drop').skipped[-1] == (
        '000006 has 0 of 1 dates'
    )


def test_tables_are_of_others_too(archive, store):
    places = gpd.read_parquet(store / 'locations.parquet')
    assert places.crs == 'OGC:CRS84'
    assert places['location'].tolist() == [f'{i:06d}' for i in range(6)]
    assert places['label'].tolist() == ['field', 'town'] * 3
    assert places['scenes'].tolist() == [4] * 6
    assert Affine(*places['transform'][0]) == Affine(10, 0, 500000, 0, -10, 5600000)
    assert 'UTM zone 31N' in places['crs'][0]
    scenes = pd.read_parquet(store / 'scenes.parquet')
    folders = sorted(path.relative_to(archive) for path in archive.glob('*/*'))
    assert [Path(row.location, row.scene) for row in scenes.itertuples()] == folders
    assert [f'{row.date:%Y%m%d}' for row in scenes.itertuples()] == list(DATES) * 6


def test_georeference_of_a_window(archive, tmp_path):
    pack(archive, tmp_path / 'store', size=12, bands=['B1', 'B4'])
    places = gpd.read_parquet(tmp_path / 'store' / 'locations.parquet')
    assert Affine(*places['transform'][5]) == Affine(10, 0, 500120, 0, -10, 5599880)


@pytest.mark.slow
def test_xarray_opens_a_store(store):
    xarray = pytest.importorskip('xarray')
    images = xarray.open_zarr(store)['images']
    assert images.dims == ('scene', 'band', 'y', 'x')
    assert images.attrs['bands'][:2] == ['B01', 'B02']


@pytest.mark.parametrize('workers', [0, 2])
def test_loaders_give_the_same(store, workers):
    data = SeasonalArchive(store, dates=2)
    expected = [data[i] for i in range(len(data))]
    batches = list(DataLoader(data, batch_size=5, num_workers=workers))
    for name in expected[0]:
        found = torch.cat([batch[name] for batch in batches])
        assert torch.equal(found, torch.stack([sample[name] for sample in expected]))


@pytest.fixture
def write_index(monkeypatch):
    """Writer of a store without images, of the benchmarks."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3] / 'benchmarks'))
    return importlib.import_module('store_index').write_index


def test_what_travels_to_processes_is_small(tmp_path, write_index):
    data = SeasonalArchive(write_index(tmp_path / 'store', 10_000, classes=3), dates=2)
    part = data.part(np.arange(0, 10_000, 2))
    assert len(part) == 25_000
    content = pickle.dumps(part)
    # Three numbers of 4 bytes a location.
    assert len(content) < 12 * 5000 + 5000
    again = pickle.loads(content)  # noqa: S301
    assert len(again) == 25_000
    assert again.locations[77].name == part.locations[77].name == '000154'
    assert again.label_numbers.tolist() == [i % 3 for i in range(0, 10_000, 2)]


def test_a_flipped_byte_is_an_error_that_names_the_scene(store, tmp_path):
    copied = tmp_path / 'copy.zarr'
    shutil.copytree(store, copied)
    assert verify_store(copied) == 24
    path = copied / 'images/c/2/0/0/0'
    content = bytearray(path.read_bytes())
    content[3 * (12 * 36 * 36 + 4) + 100] ^= 1
    path.write_bytes(content)
    # The 14th scene: the second of the fourth location.
    message = rf'copy\.zarr is damaged at 000003/{DATES[1]}T.*: the checksum in images/c/2/0/0/0'
    with pytest.raises(BandFileError, match=message):
        SeasonalArchive(copied)[13]
    with pytest.raises(StoreError, match=message):
        verify_store(copied)
    SeasonalArchive(copied)[12]


@pytest.mark.parametrize('table', ['locations.parquet', 'scenes.parquet'])
def test_damaged_tables(store, tmp_path, table):
    copied = tmp_path / 'copy.zarr'
    shutil.copytree(store, copied)
    path = copied / table
    whole = path.read_bytes()
    for content in (b'', whole[:100], whole[:-1], whole[:40] + b'\xff\xff' + whole[42:]):
        path.write_bytes(content)
        with pytest.raises(StoreError, match=rf'{table} cannot be read'):
            verify_store(copied)
    path.unlink()
    with pytest.raises(StoreError, match=rf'{table} cannot be read .*No such file'):
        SeasonalArchive(copied)


def test_tables_of_another_store(store, tmp_path, write_index):
    copied = tmp_path / 'copy.zarr'
    shutil.copytree(store, copied)
    write_index(tmp_path / 'other', 6, 3)
    for table in ('locations.parquet', 'scenes.parquet'):
        shutil.copy(tmp_path / 'other' / table, copied)
    with pytest.raises(
        StoreError, match=r'locations\.parquet was changed after packing, .* SHA-256'
    ):
        SeasonalArchive(copied)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'sensor': 'sentinel2_l2a'}, r'holds bands of sentinel2_l1c; set sensor=sentinel2_l1c'),
        ({'resampling': 'nearest'}, r'was packed with resampling=bilinear; set that'),
        ({'previews': True}, r'holds bands, no previews; set previews=False'),
        ({'bands': ['B10']}, r'has no file of band B10; it has B01, B02'),
        (
            {'bands': ['B12', 'B01']},
            r'holds B12, B01 on the grid of B02, B03, B04, B08 alone; read one of these as well',
        ),
        ({'bands': ['B99']}, r"no band 'B99'"),
        ({'dates': 5}, r'is incomplete: 000000 has 4 of 5 dates; .* ask for fewer'),
        ({'dates': 3, 'item': 'years', 'on_missing': 'drop'}, r'000000 has dates 2 in 2018, 2 in'),
    ],
)
def test_what_a_store_cannot_give(store, arguments, message):
    with pytest.raises(ValueError, match=message):
        SeasonalArchive(store, **arguments)


def test_nodata_that_was_let_pass(tmp_path):
    image = np.full((6, 6), 5, 'uint8')
    image[0, :2] = 0
    for date in DATES:
        write_tif(tmp_path / 'tree/a' / date / 'B4.tif', image, nodata=0)
    with pytest.raises(BandFileError, match=r'B4\.tif has 5\.6% nodata'):
        pack(tmp_path / 'tree', tmp_path / 'store')
    pack(tmp_path / 'tree', tmp_path / 'store', max_nodata=0.1)
    with pytest.raises(ValueError, match=r'packed with max_nodata=0\.1; set at least that'):
        SeasonalArchive(tmp_path / 'store')
    options = {'max_nodata': 0.1}
    assert_same_samples(
        SeasonalArchive(tmp_path / 'tree', **options),
        SeasonalArchive(tmp_path / 'store', **options),
    )


class KilledError(BaseException):
    """The end of a run."""


# Shards are all alike; what completes the store is tried step by step.
@pytest.mark.parametrize(
    'step',
    [
        *(0, 30, 60, 68, 75),
        *(
            pytest.param(step, marks=pytest.mark.slow)
            for step in [*range(6, 60, 6), *range(60, 77)]
            if step not in (30, 60, 68, 75)
        ),
    ],
)
def test_a_run_that_was_ended_is_continued_to_the_same_store(
    archive, store, tmp_path, monkeypatch, step
):
    output = tmp_path / 'store'
    steps = iter(range(step))

    def stop(function):
        def stopping(*args, **options):
            if next(steps, None) is None:
                raise KilledError
            return function(*args, **options)

        return stopping

    # All by which something appears on the disk.
    with monkeypatch.context() as patch:
        for name in ('replace', 'fsync', 'mkdir'):
            patch.setattr(f'os.{name}', stop(getattr(packing.shutil.os, name)))
        patch.setattr(packing, 'write_tables', stop(packing.write_tables))
        patch.setattr(packing.shutil, 'rmtree', stop(shutil.rmtree))
        ended = True
        try:
            pack(archive, output)
            ended = False
        except KilledError:
            if (output / 'zarr.json').exists():
                assert verify_store(output) == 24
            else:
                with pytest.raises((FileNotFoundError, ValueError)):
                    SeasonalArchive(output)
    assert ended == (step < 77)
    whole = {
        path: path.stat().st_mtime_ns
        for path in output.glob('images/c/*/0/0/0')
        if (output / '.packing' / f'{path.parts[-4]}.json').exists()
    }
    report = pack(archive, output)
    assert report.scenes == 24
    assert files(output) == files(store)
    # What was whole was not written again.
    assert all(path.stat().st_mtime_ns == time for path, time in whole.items())


@pytest.mark.slow
def test_killed_process_leaves_no_store(archive, store, tmp_path):
    output = tmp_path / 'store'
    code = (
        'import os, signal, sys\n'
        'from torchgeo_saco.archives.packing import pack_archive\n'
        'from torchgeo_saco.archives.packing.shards import ShardPacker\n'
        'ground = ShardPacker._ground\n'
        'def end(self, location):\n'
        '    if location.name == "000003":\n'
        '        os.kill(os.getpid(), signal.SIGKILL)\n'
        '    return ground(self, location)\n'
        'ShardPacker._ground = end\n'
        f'pack_archive(sys.argv[1], sys.argv[2], shard_bytes={SHARD_BYTES}, progress=False)\n'
    )
    command = [sys.executable, '-c', code, archive, output]
    ended = subprocess.run(command, check=False)  # noqa: S603
    assert ended.returncode == -signal.SIGKILL
    assert sorted(path.name for path in (output / 'images/c').iterdir()) == ['0', '1']
    with pytest.raises(StoreError, match='is not complete; give the same torchgeo-saco pack'):
        SeasonalArchive(output)
    assert pack(archive, output).present == 10
    assert files(output) == files(store)


@pytest.mark.slow
def test_processes_pack_the_same(archive, store, tmp_path):
    assert pack(archive, tmp_path / 'store', workers=2).scenes == 24
    assert files(tmp_path / 'store') == files(store)


def test_error_of_a_file_ends_the_run_and_is_mended(archive, tmp_path, store):
    shutil.copytree(archive, tmp_path / 'tree')
    broken = next((tmp_path / 'tree' / '000003').glob(f'{DATES[2]}*')) / 'B8.tif'
    content = broken.read_bytes()
    broken.write_bytes(content[:300])
    with pytest.raises(BandFileError, match=r'000003/.*/B8\.tif cannot be read as a GeoTIFF'):
        pack(tmp_path / 'tree', tmp_path / 'store')
    broken.write_bytes(content)
    assert pack(tmp_path / 'tree', tmp_path / 'store').present == 10
    assert files(tmp_path / 'store') == files(store)


def test_complete_store_is_left_alone(archive, store, monkeypatch):
    monkeypatch.setattr(ShardPacker, 'pack', None)
    report = pack(archive, store)
    assert (report.present, report.scenes) == (24, 24)


@pytest.mark.parametrize('complete', [True, False])
@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'size': 12}, r'holds a store of shape .*, size None, but .*, size 12 is asked for; name'),
        ({'resampling': 'nearest'}, 'a store of resampling bilinear, but resampling nearest is'),
        ({'bands': ['B4']}, r"a store of bands \['B01', "),
    ],
)
def test_store_of_other_arguments(archive, store, tmp_path, arguments, message, complete):
    output = tmp_path / 'store'
    shutil.copytree(store, output)
    if not complete:
        (output / '.packing').mkdir()
        (output / 'zarr.json').rename(output / '.packing' / 'arguments.json')
    before = files(output)
    with pytest.raises(ValueError, match=message):
        pack(archive, output, **arguments)
    assert files(output) == before


def test_store_of_other_locations(store, tmp_path):
    write_archive(tmp_path / 'tree', locations=6, seed=1, dates=('20180411', *DATES[1:]))
    with pytest.raises(ValueError, match='holds a store of other locations, scenes or labels'):
        pack(tmp_path / 'tree', store)


def test_output_that_holds_something_else(archive, store, tmp_path):
    (tmp_path / 'notes.txt').touch()
    with pytest.raises(ValueError, match=r'holds notes\.txt, which was not packed by this'):
        pack(archive, tmp_path)
    with pytest.raises(ValueError, match=r'notes\.txt is a file; name another output'):
        pack(archive, tmp_path / 'notes.txt')
    with pytest.raises(ValueError, match='is a store already; give the folder of its locations'):
        pack(store, tmp_path / 'new')
    (tmp_path / 'zarr.json').write_text('{"attributes": {}}')
    with pytest.raises(ValueError, match=r'zarr\.json was not written by this command, or is dam'):
        pack(archive, tmp_path)


def test_output_that_is_no_location_for_a_store(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r's3://bucket/x\.zarr is a URL; pack into a folder, and'):
        pack(archive, 's3://bucket/x.zarr')
    with pytest.raises(ValueError, match=r'inner\.zarr lies within .*, where it would count as a'):
        pack(archive, Path(archive) / 'inner.zarr')
    assert not list(tmp_path.iterdir())
    assert not (Path(archive) / 'inner.zarr').exists()


def test_disk_that_is_too_small(archive, tmp_path, monkeypatch):
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(packing.shutil, 'disk_usage', lambda path: usage(9, 9, 300_000))
    with pytest.raises(
        OSError, match=r'needs 0\.40\d MB more, and its disk has 0\.3 MB free; make'
    ):
        pack(archive, tmp_path / 'store')
    assert not (tmp_path / 'store' / 'images').exists()


def test_one_run_at_a_time(archive, tmp_path):
    from filelock import FileLock

    (tmp_path / 'store' / '.packing').mkdir(parents=True)
    with (
        FileLock(tmp_path / 'store' / '.packing' / 'lock'),
        pytest.raises(ValueError, match=r'another run packs into .* now; wait for it'),
    ):
        pack(archive, tmp_path / 'store')


@pytest.mark.parametrize('wrong', [{'workers': 0}, {'shard_bytes': 0}])
def test_wrong_argument(archive, tmp_path, wrong):
    with pytest.raises(ValueError, match='must be at least 1, got 0'):
        pack(archive, tmp_path / 'store', **wrong)


def test_places_without_georeference(tmp_path):
    image = np.ones((6, 6), 'uint8')
    path = tmp_path / 'tree/a' / DATES[0] / 'B4.tif'
    with pytest.warns(match='no geotransform'):
        write_tif(path, image, crs=None, transform=Affine.identity())
    pack(tmp_path / 'tree', tmp_path / 'store')
    data = SeasonalArchive(tmp_path / 'store')
    assert data.footprint(data.locations[0]) is None


def test_rasters_are_not_packed(tmp_path):
    (tmp_path / 'rasters').mkdir()
    with pytest.raises(ValueError, match='train on it as it lies'):
        pack_archive(tmp_path / 'rasters', tmp_path / 'store', layout='rasters')


def test_dates_without_usable_values_are_not_packed(tmp_path):
    tree = write_archive(tmp_path / 'tree', locations=3, bands=['B4', 'B8'], size=6)
    for path in sorted((tree / '000001').glob(f'{DATES[1]}*/*.tif')):
        write_tif(path, np.zeros((6, 6), 'uint8'))
    with pytest.raises(BandFileError, match=rf'000001/{DATES[1]}.* every pixel of every band is 0'):
        pack(tree, tmp_path / 'other')
    report = pack(tree, tmp_path / 'store', on_invalid='drop')
    assert (report.scenes, len(report.skipped)) == (11, 1)
    store = SeasonalArchive(tmp_path / 'store', on_invalid='error')
    kept = SeasonalArchive(tree, on_invalid='drop')
    assert_same_samples(store, kept)


def test_empty_images_of_an_older_store_are_refused(tmp_path, monkeypatch):
    tree = write_archive(tmp_path / 'tree', locations=1, bands=['B4', 'B8'], size=6)
    for path in sorted((tree / '000000').glob(f'{DATES[1]}*/*.tif')):
        write_tif(path, np.zeros((6, 6), 'uint8'))
    monkeypatch.setattr('torchgeo_saco.archives.geotiff.require_content', lambda *_: None)
    pack(tree, tmp_path / 'store')
    data = SeasonalArchive(tmp_path / 'store')
    assert data[0]['image'].shape == (1, 2, 6, 6)
    for bands in (None, ['B8', 'B4']):
        data = SeasonalArchive(tmp_path / 'store', bands)
        with pytest.raises(BandFileError, match=r'000000/2018.* of .*store is empty: .* pack the'):
            data[1]


def test_a_run_that_was_ended_at_its_last_step_is_tidied_up(archive, store, tmp_path):
    output = tmp_path / 'store'
    shutil.copytree(store, output)
    (output / '.packing').mkdir()
    (output / '.packing' / '0.json').write_text('{}')
    times = {path: path.stat().st_mtime_ns for path in output.rglob('*') if path.is_file()}
    report = pack(archive, output)
    assert (report.present, report.scenes) == (24, 24)
    assert files(output) == files(store)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items() if path.exists())


def test_locations_of_the_archive_are_none_of_its_store(archive, store):
    tree, packed = SeasonalArchive(archive), SeasonalArchive(store)
    place = tree.locations[1]
    message = f'000001 is of another archive than {store}'
    for call in (packed.footprint, packed.source.crs, lambda place: packed.read_scene(place, 0)):
        with pytest.raises(ValueError, match=message):
            call(place)
    with pytest.raises(ValueError, match=f'{store} has no locations of several labels'):
        packed.source.multi_hot(packed.locations[1])


def test_a_damaged_scene_is_named_by_its_date_where_names_are_lost(store, tmp_path):
    copied = tmp_path / 'copy.zarr'
    shutil.copytree(store, copied)
    data = SeasonalArchive(copied)
    path = copied / 'images/c/2/0/0/0'
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    (copied / 'scenes.parquet').write_bytes(b'')
    # The 11th scene is the third of the third location.
    with pytest.raises(StoreError, match=r'copy\.zarr is damaged at 000002 of 2019-04-12: the che'):
        data[10]
