# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of embedding maps."""

import datetime
import json
import resource
import subprocess
import sys

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from rasterio.errors import NotGeoreferencedWarning

from torchgeo_saco.archives.packing import pack_archive
from torchgeo_saco.archives.rasters import ProductError, open_scene
from torchgeo_saco.embeddings import map as maps
from torchgeo_saco.embeddings.command import embed
from torchgeo_saco.embeddings.encoding import NamedWeights, TileEncoder
from torchgeo_saco.embeddings.tiles import TileGrid
from torchgeo_saco.io.lock import exclusive
from torchgeo_saco.models import load_encoder

from ..data.archives import write_tif
from ..data.products import ORIGIN, landsat_bands, scene_bands, write_landsat, write_safe
from ..data.weights import write_checkpoint
from .conftest import BANDS, NORTH_UP


def write_map(trained, root, output, **arguments):
    """The map of a scene: its values, and the open file's profile and tags."""
    embed(trained[0], str(root), str(output), **({'progress': False, 'device': 'cpu'} | arguments))
    with rasterio.open(output) as file:
        return file.read(), file.profile, json.loads(file.tags()['torchgeo_saco']), file.scales


def tile_embedding(task, image, row, column, tile=16):
    """Embedding of one tile by the task itself."""
    part = torch.from_numpy(image[:, row : row + tile, column : column + tile].astype('float32'))
    with torch.no_grad():
        return task(part[None] / 10000)[0].numpy()


def test_every_cell_is_the_embedding_of_its_tile(trained, scene, tmp_path):
    root, image = scene()
    found, profile, tags, _ = write_map(trained, root, tmp_path / 'map.tif', batch_size=5)
    assert found.shape[1:] == (7, 6)
    assert profile['dtype'] == 'float32'
    assert (tags['tile'], tags['stride'], tags['metres_per_cell']) == (16, 8, 80.0)
    for cell in [(0, 0), (3, 2), (6, 5), (0, 5)]:
        # Around the centre of the cell, and inside of the scene.
        row, column = (
            min(max(8 * number - 4, 0), side - 16)
            for number, side in zip(cell, image.shape[1:], strict=True)
        )
        wanted = tile_embedding(trained[1], image, row, column)
        np.testing.assert_allclose(found[:, *cell], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    'transform',
    [NORTH_UP, NORTH_UP @ Affine.rotation(30), Affine(10, 0, 500000, 0, 10, 5600000)],
    ids=['north up', 'rotated', 'south up'],
)
def test_cells_lie_where_their_pixels_lie(trained, scene, tmp_path, transform):
    root, _ = scene(transform=transform)
    _, profile, tags, _ = write_map(trained, root, tmp_path / 'map.tif')
    assert profile['crs'].to_epsg() == 32631
    np.testing.assert_allclose(profile['transform'], transform @ Affine.scale(8), atol=1e-9)
    assert tags['metres_per_pixel'] == pytest.approx(10)


def test_products_are_embedded_as_they_lie(trained, tmp_path):
    bands = {band: scene_bands(0)[band] for band in BANDS}
    folder = write_safe(tmp_path, datetime.date(2022, 5, 4), bands)
    found, profile, tags, _ = write_map(trained, folder, tmp_path / 'map.tif')
    image = np.stack([bands[band] for band in BANDS]).astype('float32') - 1000
    wanted = tile_embedding(trained[1], image, 12, 20)
    np.testing.assert_allclose(found[:, 2, 3], wanted, rtol=1e-4, atol=1e-5)
    assert (tags['date'], tags['unit'], tags['offset']) == ('2022-05-04', 10000, -1000)
    assert tuple(profile['transform'][i] for i in (2, 5)) == ORIGIN
    scene = write_landsat(tmp_path, datetime.date(2021, 6, 3), landsat_bands(0))
    found, _, tags, _ = write_map(trained, tmp_path / scene, tmp_path / 'landsat.tif')
    assert np.isfinite(found).all() and tags['sensor'] == 'landsat_8_9'


def test_no_georeference_is_kept_so(trained, scene, tmp_path):
    with pytest.warns(NotGeoreferencedWarning):
        root, _ = scene(transform=None, crs=None)
    with pytest.warns(NotGeoreferencedWarning):
        _, profile, tags, _ = write_map(trained, root, tmp_path / 'map.tif')
    assert profile['crs'] is None and tags['metres_per_cell'] is None


def test_a_map_is_cloud_optimized(trained, scene, tmp_path):
    write_map(trained, scene()[0], tmp_path / 'map.tif')
    with rasterio.open(tmp_path / 'map.tif') as file:
        assert file.tags(ns='IMAGE_STRUCTURE')['LAYOUT'] == 'COG'
        assert file.descriptions[:2] == ('embedding_000', 'embedding_001')
    assert [path.name for path in tmp_path.iterdir() if path.name[0] == '.'] == []


def test_tiles_that_lack_pixels_have_no_embedding(trained, scene, tmp_path):
    root, _ = scene(shape=(48, 48), holes=[(slice(0, 24), slice(0, 48))], nodata=0)
    found, profile, *_ = write_map(trained, root, tmp_path / 'a.tif', stride=16)
    np.testing.assert_array_equal(np.isnan(found[0]).all(1), [True, True, False])
    assert np.isnan(profile['nodata'])
    half, *_ = write_map(trained, root, tmp_path / 'b.tif', stride=16, max_nodata=0.5)
    np.testing.assert_array_equal(np.isnan(half[0]).all(1), [True, False, False])
    small, profile, _, scales = write_map(
        trained, root, tmp_path / 'c.tif', stride=16, max_nodata=0.5, dtype='int8'
    )
    assert profile['nodata'] == -128
    decoded = np.where(small == -128, np.nan, small * np.array(scales)[:, None, None])
    np.testing.assert_array_equal(np.isnan(decoded), np.isnan(half))
    largest = np.nanmax(np.abs(half), axis=(1, 2), keepdims=True)
    assert (np.nan_to_num(np.abs(decoded - half)) <= 0.51 * largest / 127 + 1e-7).all()


def test_blocks_without_data_are_empty_cells(trained, scene, tmp_path, monkeypatch):
    root, _ = scene(holes=[(slice(0, 30), slice(0, 44))], nodata=0)
    whole, *_ = write_map(trained, root, tmp_path / 'whole.tif')
    monkeypatch.setattr('torchgeo_saco.embeddings.tiles._BLOCK', 24)
    found, *_ = write_map(trained, root, tmp_path / 'map.tif')
    # The first two rows of cells are a block, and no tile of the first four is whole.
    np.testing.assert_array_equal(np.isnan(found[0]).all(1), [True] * 5 + [False] * 2)
    np.testing.assert_allclose(found, whole, rtol=1e-4, atol=1e-5)


def test_reflectance_as_floats_gives_the_same_map(trained, scene, tmp_path):
    root, image = scene()
    stored, *_ = write_map(trained, root, tmp_path / 'a.tif', stride=16)
    for band, values in zip(BANDS, image, strict=True):
        write_tif(tmp_path / 'floats' / f'{band}.tif', values.astype('float32') / 10000)
        write_tif(tmp_path / 'numbers' / f'{band}.tif', values.astype('float32'))
    found, *_ = write_map(trained, tmp_path / 'floats', tmp_path / 'b.tif', stride=16)
    np.testing.assert_allclose(found, stored, rtol=1e-4, atol=1e-5)
    numbers = tmp_path / 'numbers'
    with pytest.raises(
        ValueError, match=r'numbers holds floats up to \d+, which is no reflectance'
    ):
        write_map(trained, numbers, tmp_path / 'c.tif')
    assert not (tmp_path / 'c.tif').exists()


def test_radar_is_embedded_in_decibel(tmp_path):
    radar = write_checkpoint(
        tmp_path / 'last.ckpt', ('VV', 'VH'), sensor='sentinel1', groups=['dual_polarization'],
        texture=False,
    )  # fmt: skip
    decibel = np.random.default_rng(0).uniform(-28, 2, (2, 40, 40)).astype('float32')
    for band, values in zip(('VV', 'VH'), decibel, strict=True):
        write_tif(tmp_path / 'scene' / f'{band}.tif', values)
        write_tif(tmp_path / 'powers' / f'{band}.tif', 10 ** (values / 10))
    found, _, tags, _ = write_map(radar, tmp_path / 'scene', tmp_path / 'map.tif')
    scaled = ((decibel + 25) / 25).clip(0, 1)
    wanted = tile_embedding(radar[1], 10000 * scaled, 12, 20)
    np.testing.assert_allclose(found[:, 2, 3], wanted, rtol=1e-4, atol=1e-5)
    assert tags['sensor'] == 'sentinel1' and tags['bands'] == ['VV', 'VH']
    with pytest.raises(
        ValueError, match=r'powers holds numbers from .* no backscatter in dB; conv'
    ):
        write_map(radar, tmp_path / 'powers', tmp_path / 'other.tif')


def test_blocks_hold_every_cell_once():
    grid = TileGrid((1300, 700), 64, 24)
    seen = np.zeros(grid.cells, int)
    for block in grid.blocks():
        seen[block.row : block.row + block.rows, block.column : block.column + block.columns] += 1
        top, left, height, width = block.window
        assert top >= 0 and left >= 0 and top + height <= 1300 and left + width <= 700
        assert max(height, width) <= 640
        for row, column in block.tiles:
            assert 0 <= row <= height - 64 and 0 <= column <= width - 64
    assert (seen == 1).all()


class Killed(BaseException):
    """In place of a signal."""


def test_a_killed_run_goes_on(trained, scene, tmp_path, monkeypatch):
    monkeypatch.setattr('torchgeo_saco.embeddings.tiles._BLOCK', 24)
    root, _ = scene()
    whole, *_ = write_map(trained, root, tmp_path / 'whole.tif')
    embed_block, calls = maps._embed_block, []

    def limited(most):
        def call(*arguments):
            if len(calls) == most:
                raise Killed
            calls.append(1)
            return embed_block(*arguments)

        calls.clear()
        monkeypatch.setattr(maps, '_embed_block', call)

    limited(5)
    output = tmp_path / 'map.tif'
    with pytest.raises(Killed):
        write_map(trained, root, output)
    assert not output.exists()
    # A block of which only a part was written.
    with open(tmp_path / '.map.cells', 'ab') as file:
        file.write(b'half a block')
    limited(None)
    again, *_ = write_map(trained, root, output)
    np.testing.assert_array_equal(again, whole)
    resumed = len(calls)
    limited(5)
    other = tmp_path / 'other.tif'
    with pytest.raises(Killed):
        write_map(trained, root, other)
    limited(None)
    write_map(trained, root, other, offset=-100.0)
    assert len(calls) == resumed + 5


def test_two_runs_do_not_write_one_map(trained, scene, tmp_path):
    root, _ = scene()
    output = tmp_path / 'map.tif'
    with (
        exclusive(tmp_path / '.map.tif.lock', ''),
        pytest.raises(ValueError, match=r'another run writes .*map\.tif; wait'),
    ):
        write_map(trained, root, output)
    write_map(trained, root, output)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['map.tif', 'scene']


def test_a_full_disk_is_said_and_leaves_no_map(trained, scene, tmp_path):
    root, _ = scene(shape=(90, 90))
    output = tmp_path / 'map.tif'
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (1000, 60_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            with pytest.raises(OSError, match=r'cannot be written.*make room'):
                write_map(trained, root, output)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert not output.exists()
    write_map(trained, root, output)


def test_what_cannot_work_is_refused(trained, scene, archive, tmp_path):
    root, _ = scene()
    tif, table = tmp_path / 'map.tif', tmp_path / 'table.parquet'
    with pytest.raises(ValueError, match=r'scene is a scene.*end in \.tif'):
        write_map(trained, root, table)
    with pytest.raises(ValueError, match=r'is an archive.*end in \.parquet'):
        write_map(trained, archive, tif)
    with pytest.raises(ValueError, match='must end in'):
        write_map(trained, root, tmp_path / 'map.png')
    with pytest.raises(ValueError, match='set tile to at most 44'):
        write_map(trained, root, tif, tile=64)
    with pytest.raises(ValueError, match='stride=20 is more than tile=16'):
        write_map(trained, root, tif, stride=20)
    with pytest.raises(ValueError, match='float32 or int8'):
        write_map(trained, root, tif, dtype='float16')
    with pytest.raises(ValueError, match='form none of these groups'):
        write_map(trained, root, tif, bands=['B08'])
    with pytest.raises(ValueError, match='embedded whole; leave out stride'):
        write_map(trained, archive, table, stride=4)
    tif.touch()
    with pytest.raises(FileExistsError):
        write_map(trained, root, tif)


def test_a_map_refuses_what_is_of_tables(trained, scene, archive, tmp_path):
    root, _ = scene()
    tif = tmp_path / 'map.tif'
    with pytest.raises(ValueError, match='a map holds the embedding alone; leave out groups'):
        write_map(trained, root, tif, groups=True)
    pack_archive(archive, tmp_path / 'store.zarr', progress=False)
    with pytest.raises(ValueError, match=r'store\.zarr is an archive.*let output end in \.parquet'):
        write_map(trained, tmp_path / 'store.zarr', tif)
    with pytest.raises(
        ValueError, match=r'map\.tif cannot be written; make the folder .*/absent f'
    ):
        write_map(trained, root, tmp_path / 'absent' / 'map.tif')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ProductError, match='empty holds no raster that is read'):
        write_map(trained, tmp_path / 'empty', tif)
    assert not tif.exists()


@pytest.fixture
def random_encoder():
    """A small encoder that brings no statistics."""
    groups = ['natural_color', 'near_infrared']
    loaded = load_encoder(BANDS, 'sentinel2_l2a', 'test_resnet', groups=groups, texture=False)
    return TileEncoder(loaded, NamedWeights.parse('random'), 'cpu')


def test_statistics_come_from_tiles_without_missing_pixels(random_encoder, scene):
    root, image = scene((48, 48), holes=[(slice(0, 3), slice(0, 48))], nodata=0)
    with open_scene(root, list(BANDS)) as opened:
        maps.fit_to_scene(random_encoder, opened, TileGrid(opened.shape, 16, 16))
    # Tiles part the scene; those of the first row have a hole.
    wanted = image[[2, 1, 0, 3, 2, 1], 16:] / 10000
    found = random_encoder.encoder.inputs.standardize
    np.testing.assert_allclose(found.running_mean, wanted.mean((1, 2)), rtol=1e-4)
    np.testing.assert_allclose(found.running_var, wanted.var((1, 2)), rtol=1e-3)


def test_a_scene_of_holes_brings_no_statistics(random_encoder, scene):
    root, _ = scene((48, 48), holes=[(slice(0, 48, 16), slice(0, 48))], nodata=0)
    with open_scene(root, list(BANDS)) as opened, pytest.raises(
        ValueError,
        match=r'scene has no tile without missing .* natural_color, near_infrared from; give',
    ):  # fmt: skip
        maps.fit_to_scene(random_encoder, opened, TileGrid(opened.shape, 16, 16))


@pytest.mark.slow
def test_other_weights_take_statistics_of_the_scene(scene, tmp_path):
    root, _ = scene()
    arguments = {'progress': False, 'tile': 16, 'stride': 16, 'device': 'cpu'}
    embed('random', str(root), str(tmp_path / 'map.tif'), **arguments)
    with rasterio.open(tmp_path / 'map.tif') as file:
        tags, found = json.loads(file.tags()['torchgeo_saco']), file.read()
    assert tags['fitted'] == tags['groups'] and tags['weights'] == 'random'
    assert np.isfinite(found).all() and found.std() > 0


def test_one_image_of_bands_in_place_of_groups(scene, tmp_path):
    root, image = scene()
    path, task = write_checkpoint(
        tmp_path / 'last.ckpt', BANDS, groups=None, texture=False, input_bands=['B08', 'B02']
    )
    found, _, tags, _ = write_map((path, task), root, tmp_path / 'map.tif')
    assert tags['bands'] == ['B02', 'B08'] and tags['groups'] == ['bands']
    wanted = tile_embedding(task, image, 12, 20)
    np.testing.assert_allclose(found[:, 2, 3], wanted, rtol=1e-4, atol=1e-5)


#: Prints the most memory that this process had; getrusage would tell that of the test, too.
PEAK = """
import sys
from pathlib import Path
from torchgeo_saco.embeddings.command import embed
embed(sys.argv[1], sys.argv[2], sys.argv[3], progress=False, device='cpu', tile=64, stride=32)
print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='Linux tells the peak of memory')
def test_memory_does_not_grow_with_the_scene(trained, scene, tmp_path):
    peaks = []
    for side in (1536, 3072):
        root, _ = scene(shape=(side, side), tiled=True, blockxsize=256, blockysize=256)
        arguments = [trained[0], str(root), str(tmp_path / f'{side}.tif')]
        command = [sys.executable, '-c', PEAK, *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
        peaks.append(int(done.stdout.splitlines()[-1]))
    assert peaks[1] < 1.1 * peaks[0], peaks


def test_a_major_tom_cell_keeps_its_place(trained, real_data, tmp_path):
    root = real_data / 'major_tom' / 'S2L2A' / '199U' / '199U_1099R'
    if not root.is_dir():
        pytest.skip('no Major TOM cell')
    output = tmp_path / 'map.tif'
    found, profile, tags, _ = write_map(trained, root, output, tile=64, stride=64)
    (band,) = root.glob('*/B02.tif')
    with rasterio.open(band) as file:
        assert profile['transform'] == file.transform @ Affine.scale(64)
        assert profile['crs'] == file.crs
    assert tags['date'] == '2020-02-23' and tags['sensor'] == 'sentinel2_l2a'
    assert tuple(tags['bands']) == BANDS and np.isfinite(found).all()
