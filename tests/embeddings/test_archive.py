# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of tables of archives, by the command and by ``torchgeo predict``."""

import datetime
import shutil

import numpy as np
import pytest
import rasterio
import shapely
import torch
from lightning.pytorch import Trainer
from torchgeo.datasets import (
    ClayEmbeddings,
    EarthIndexEmbeddings,
    GoogleSatelliteEmbedding,
    MajorTOMEmbeddings,
    RasterDataset,
)

from torchgeo_saco.archives.packing import pack_archive
from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.datasets import SeasonalArchive
from torchgeo_saco.embeddings import EmbeddingWriter, read_embeddings, vectors
from torchgeo_saco.embeddings import archive as archives
from torchgeo_saco.embeddings.command import embed
from torchgeo_saco.embeddings.encoding import NamedWeights, TileEncoder
from torchgeo_saco.models import load_encoder
from torchgeo_saco.transforms import Reflectance

from ..data.archives import ALL_BANDS, write_archive, write_tif
from ..data.layouts import write_image_folders
from ..data.products import scene_bands, write_safe
from ..data.weights import write_checkpoint


def write_table(trained, root, output, **arguments):
    embed(trained[0], str(root), str(output), **({'progress': False, 'device': 'cpu'} | arguments))
    return read_embeddings(output)


def predicted(task, root, output, **arguments):
    data = SeasonalDataModule(root=root, batch_size=5, bands=list(task.bands), **arguments)
    trainer = Trainer(accelerator='cpu', logger=False, callbacks=[EmbeddingWriter(str(output))],
                      enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    trainer.predict(task, data, return_predictions=False)
    return read_embeddings(output)


def test_every_date_is_embedded_as_the_task_does(trained, archive, tmp_path):
    table = write_table(trained, archive, tmp_path / 'a.parquet', groups=True, dtype='float32')
    dataset = SeasonalArchive(archive, list(trained[1].bands))
    assert len(table) == len(dataset) == 24
    for row in (0, 7, 23):
        sample = dataset[row]
        image = Reflectance()(sample['image'])
        with torch.no_grad():
            groups = trained[1].forward_groups(image)[0]
        place = dataset.locations[int(sample['location'])]
        assert table.location[row] == place.name
        assert table.date[row].replace('-', '') == str(int(sample['date'][0]))
        assert table.geometry[row].equals(dataset.footprint(place))
        np.testing.assert_allclose(vectors(table)[row], groups.mean(0), rtol=1e-4, atol=1e-5)
        for name, wanted in zip(trained[1].inputs.names, groups, strict=True):
            found = vectors(table, f'embedding_{name}')[row]
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert set(table['crs']) == {'EPSG:32631'}
    assert table.attrs['provenance']['bands'] == ['B02', 'B03', 'B04', 'B08']


def test_a_packed_archive_gives_the_same_table(trained, archive, tmp_path):
    pack_archive(archive, tmp_path / 'store.zarr', progress=False)
    packed = write_table(trained, tmp_path / 'store.zarr', tmp_path / 'a.parquet')
    plain = write_table(trained, archive, tmp_path / 'b.parquet')
    for column in ('location', 'date', 'crs'):
        assert packed[column].equals(plain[column])
    assert packed.geometry.notna().all()
    np.testing.assert_array_equal(vectors(packed), vectors(plain))


@pytest.mark.slow
def test_a_killed_run_goes_on(trained, archive, tmp_path, monkeypatch, capsys):
    whole = write_table(trained, archive, tmp_path / 'whole.parquet')
    monkeypatch.setattr(archives, '_PART', 5)
    with monkeypatch.context() as patch:
        calls = []

        def failing(image, size):
            calls.append(1)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return image

        patch.setattr(archives, 'resized', failing)
        with pytest.raises(KeyboardInterrupt):
            write_table(trained, archive, tmp_path / 'a.parquet', tile=36)
    assert not (tmp_path / 'a.parquet').exists()
    table = write_table(trained, archive, tmp_path / 'a.parquet', tile=36)
    assert '15 rows were embedded by a run before' in capsys.readouterr().out
    assert table.location.equals(whole.location) and table.date.equals(whole.date)
    fresh = write_table(trained, archive, tmp_path / 'b.parquet', tile=36)
    np.testing.assert_allclose(vectors(table), vectors(fresh), atol=1e-3)


def test_predict_writes_the_same_table(trained, archive, tmp_path):
    found = predicted(trained[1], archive, tmp_path / 'a.parquet')
    wanted = write_table(trained, archive, tmp_path / 'b.parquet', batch_size=5)
    assert found.drop(columns='embedding').equals(wanted.drop(columns='embedding'))
    np.testing.assert_allclose(vectors(found), vectors(wanted), atol=2e-3)
    with pytest.raises(FileExistsError):
        predicted(trained[1], archive, tmp_path / 'a.parquet')


@pytest.mark.slow
def test_cells_of_rasters_are_embedded_in_the_scale_of_their_product(trained, tmp_path):
    bands = {band: scene_bands(0)[band] for band in ('B02', 'B03', 'B04', 'B08')}
    root = tmp_path / 'products'
    write_safe(root, datetime.date(2022, 5, 4), bands, level='1C')
    cells = {'layout': 'rasters', 'size': 16}
    table = write_table(trained, root, tmp_path / 'a.parquet', dtype='float32', **cells)
    dataset = SeasonalArchive(root, list(trained[1].bands), **cells)
    assert len(table) == len(dataset) > 3
    with torch.no_grad():
        wanted = trained[1]((dataset[2]['image'].float() - 1000) / 10000)
    np.testing.assert_allclose(vectors(table)[2], wanted[0], rtol=1e-4, atol=1e-5)
    by_predict = predicted(trained[1], root, tmp_path / 'b.parquet', **cells)
    # The callback writes float16 as default.
    np.testing.assert_allclose(vectors(by_predict), vectors(table), rtol=1e-2, atol=1e-3)
    with pytest.raises(ValueError, match='a scene takes no layout'):
        write_table(trained, root, tmp_path / 'map.tif', layout='rasters')


def test_rules_of_training_do_not_apply_to_predict(trained, tmp_path):
    root = write_archive(tmp_path / 'one', locations=1, dates=('20200101',))
    assert len(predicted(trained[1], root, tmp_path / 'a.parquet', dates=2)) == 1
    missing = {'split_files': str(tmp_path / 'no-{split}.txt')}
    assert len(predicted(trained[1], root, tmp_path / 'b.parquet', **missing)) == 1
    data = SeasonalDataModule(root=root, item='years')
    data.setup('predict')
    with pytest.raises(ValueError):
        data.setup('fit')
    assert len(write_table(trained, root, tmp_path / 'c.parquet')) == 1


def test_predictions_without_embeddings_are_refused(tmp_path):
    writer = EmbeddingWriter(str(tmp_path / 'a.parquet'))
    writer._parts = object()
    for prediction in ({'label': torch.zeros(3)}, torch.zeros(3), [1]):
        with pytest.raises(ValueError, match='needs predictions with an embedding'):
            writer.write_on_batch_end(None, None, prediction, None, {}, 0, 0)
    with pytest.raises(ValueError, match='must end in'):
        EmbeddingWriter('a.csv')


def test_undated_images_have_no_date(trained, tmp_path):
    bands = np.random.default_rng(0).integers(0, 4000, (13, 16, 16)).astype('uint16')
    for name in ('Forest', 'River'):
        write_tif(tmp_path / 'EuroSAT' / name / f'{name}_1.tif', bands)
    table = write_table(trained, tmp_path / 'EuroSAT', tmp_path / 'a.parquet')
    assert len(table) == 2 and table.date.isna().all()


@pytest.mark.slow
def test_torchgeo_reads_tables_and_maps(trained, archive, scene, tmp_path):
    write_table(trained, archive, tmp_path / 'a.parquet')
    table = read_embeddings(tmp_path / 'a.parquet')
    dataset = ClayEmbeddings(tmp_path / 'a.parquet')
    assert len(dataset) == 24
    np.testing.assert_array_equal(dataset[7]['embedding'].float(), vectors(table)[7])
    assert dataset[7]['x'] == pytest.approx(table.geometry[7].centroid.x)
    folder = tmp_path / '2020'
    folder.mkdir()
    embed(trained[0], str(scene()[0]), str(folder / 'map.tif'), progress=False)
    with rasterio.open(folder / 'map.tif') as file:
        whole = file.read()
    everything = RasterDataset(str(folder))
    image = everything[everything.bounds]['image']
    np.testing.assert_array_equal(image, whole)
    # Google's embeddings have 64 numbers, so of others it reads as many.
    google = GoogleSatelliteEmbedding(str(folder))
    np.testing.assert_array_equal(google[google.bounds]['image'], whole[:64])


def test_torchgeo_reads_tables_whose_columns_are_renamed(trained, archive, tmp_path):
    table = write_table(trained, archive, tmp_path / 'a.parquet')
    centres = table.set_geometry(shapely.centroid(table.geometry.values), crs=table.crs)
    centres.to_parquet(tmp_path / 'earth_index.parquet')
    sample = EarthIndexEmbeddings(tmp_path / 'earth_index.parquet')[3]
    assert sample['x'] == pytest.approx(centres.geometry[3].x)
    np.testing.assert_array_equal(sample['embedding'].float(), vectors(table)[3])
    named = centres.assign(
        timestamp=centres.date, centre_lon=centres.geometry.x, centre_lat=centres.geometry.y
    )
    named.to_parquet(tmp_path / 'major_tom.parquet')
    sample = MajorTOMEmbeddings(tmp_path / 'major_tom.parquet')[3]
    np.testing.assert_array_equal(sample['embedding'].float(), vectors(table)[3])


def test_statistics_that_weights_do_not_bring_are_those_of_the_archive(archive):
    bands = ['B02', 'B03', 'B04', 'B08']
    loaded = load_encoder(
        bands, 'sentinel2_l2a', 'test_resnet', groups=['natural_color'], texture=False
    )
    encoder = TileEncoder(loaded, NamedWeights.parse('random'), 'cpu')
    dataset = SeasonalArchive(archive, bands)
    archives.fit_to_archive(encoder, dataset, Reflectance(), None)
    images = np.stack([dataset[row]['image'][0] for row in range(24)]).astype('float64') / 255
    red_green_blue = images[:, [2, 1, 0]]
    found = encoder.encoder.inputs.standardize
    np.testing.assert_allclose(found.running_mean, red_green_blue.mean((0, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(found.running_var, red_green_blue.var((0, 2, 3)), rtol=1e-3)


def test_images_in_red_green_and_blue_have_no_size_on_the_ground(tmp_path, capsys):
    root = write_image_folders(tmp_path / 'images', count=2)
    colors = write_checkpoint(tmp_path / 'last.ckpt', ('R', 'G', 'B'), sensor='rgb',
                              groups=['natural_color'], texture=False)  # fmt: skip
    table = write_table(colors, root, tmp_path / 'a.parquet', dtype='float32')
    assert 'm a pixel' not in capsys.readouterr().out
    provenance = table.attrs['provenance']
    assert provenance['sensor'] == 'rgb' and provenance['metres_per_pixel'] is None
    assert table.geometry.isna().all() and len(table) == 4
    image = torch.tensor([100, 10, 7])[:, None, None].expand(1, 3, 16, 16) / 255
    with torch.no_grad():
        wanted = colors[1](image)[0]
    row = table.index[table.location.str.contains('River_1')][0]
    np.testing.assert_allclose(vectors(table)[row], wanted, rtol=1e-3, atol=1e-4)


def test_what_is_left_out_is_said(trained, tmp_path, capsys):
    root = write_archive(tmp_path / 'a', 23, ('20200101',), ('B2', 'B3', 'B4'), size=64)
    for number in range(22):
        next(root.glob(f'{number:06d}/*/B4.tif')).unlink()
    table = write_table(trained, root, tmp_path / 'a.parquet', tile=7)
    assert table.location.tolist() == ['000022']
    said = capsys.readouterr().out
    assert 'skipped: group near_infrared, since the images lack some of B08, B04, B03' in said
    assert 'images of 64 x 64 px are resized to 7 x 7 px, as --tile asks' in said
    assert 'a large image as one vector says little; the map of a scene embeds it tile by' in said
    # A line for each date, and one for each location that has none left.
    assert said.count('lacks B04\n') == 10 and said.endswith('skipped: 24 more\n')


def test_bands_that_are_missing_are_said(trained, tmp_path):
    root = write_archive(tmp_path / 'a', 2, bands=ALL_BANDS[:1])
    with pytest.raises(ValueError, match='form none of these groups; read more bands'):
        write_table(trained, root, tmp_path / 'a.parquet')
    shutil.rmtree(root)
    with pytest.raises(FileNotFoundError):
        write_table(trained, root, tmp_path / 'a.parquet')


@pytest.mark.slow
def test_dates_without_usable_values_are_left_out(trained, tmp_path):
    root = write_archive(tmp_path / 'archive', locations=2, size=36)
    spoiled = sorted((root / '000001').iterdir())[2]
    for path in spoiled.glob('*.tif'):
        with rasterio.open(path) as file:
            write_tif(path, np.zeros(file.shape, 'uint8'), transform=file.transform)
    with pytest.raises(ValueError, match='every pixel of every band is 0; remove it, or set on_in'):
        write_table(trained, root, tmp_path / 'a.parquet')
    table = write_table(trained, root, tmp_path / 'b.parquet', on_invalid='drop')
    assert len(table) == 7
    assert '2019-04-12' not in set(table.date[table.location == '000001'])
