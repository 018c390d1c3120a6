# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import pytest
import torch
from torch.utils.data import DataLoader, default_collate

from torchgeo_saco.archives.packing import pack_archive
from torchgeo_saco.datasets import SeasonalArchive
from torchgeo_saco.io.raster import BandFileError
from torchgeo_saco.samplers.collate import Batch, collate
from torchgeo_saco.samplers.order import EpochIndex


@pytest.fixture(scope='module', params=['tree', 'store'])
def root(request, archive, tmp_path_factory):
    if request.param == 'tree':
        return archive
    pytest.importorskip('google_crc32c')
    store = tmp_path_factory.mktemp('batches') / 'archive.zarr'
    pack_archive(archive, store, progress=False)
    return store


def equal(first, second):
    assert first.keys() == second.keys()
    for name in first:
        assert first[name].dtype == second[name].dtype, name
        assert torch.equal(first[name], second[name]), name


@pytest.mark.parametrize(
    'options', [{'dates': 2}, {'dates': 2, 'item': 'years'}, {'bands': ['B12', 'B04'], 'size': 20}]
)
def test_a_batch_is_its_samples_put_together(root, options):
    dataset = SeasonalArchive(root, **options)
    draws = [EpochIndex(3, 5), EpochIndex(0, 2), EpochIndex(len(dataset) - 1, 0), EpochIndex(3, 5)]
    samples = dataset.__getitems__(draws)
    for sample, draw in zip(samples, draws, strict=True):
        equal(sample, dataset[draw])
    equal(collate(samples), default_collate([dataset[draw] for draw in draws]))


def test_images_of_a_batch_are_not_copied(root):
    samples = SeasonalArchive(root, dates=2).__getitems__([0, 1])
    assert isinstance(samples, Batch)
    image = collate(samples)['image']
    assert image.data_ptr() == samples[0]['image'].data_ptr()
    assert image[1].data_ptr() == samples[1]['image'].data_ptr()


def test_a_batch_that_was_changed_is_what_it_has_become(root):
    dataset = SeasonalArchive(root, dates=2)
    shorter, turned = dataset.__getitems__([0, 1, 2]), dataset.__getitems__([0, 1, 2])
    shorter.pop()
    turned.reverse()
    equal(collate(shorter), default_collate([dataset[0], dataset[1]]))
    equal(collate(turned), default_collate([dataset[2], dataset[1], dataset[0]]))
    assert dataset.__getitems__([]) == []


@pytest.mark.parametrize('options', [{'cache': True}, {'transforms': dict}])
def test_what_must_be_copied_is(root, options):
    dataset = SeasonalArchive(root, dates=2, **options)
    samples = dataset.__getitems__([4, 1])
    assert not isinstance(samples, Batch)
    equal(collate(samples), default_collate([dataset[4], dataset[1]]))


def test_workers_share_the_images_they_read(root):
    dataset = SeasonalArchive(root, dates=2)
    order = [5, 1, 4, 2, 0]
    loader = DataLoader(dataset, 2, sampler=order, num_workers=1, collate_fn=collate)
    batches = list(loader)
    assert all(batch['image'].is_shared() for batch in batches)
    for batch, chosen in zip(batches, ([5, 1], [4, 2], [0]), strict=True):
        equal(batch, default_collate([dataset[item] for item in chosen]))


def test_an_index_out_of_range_is_refused(root):
    dataset = SeasonalArchive(root)
    with pytest.raises(IndexError, match=f'item {len(dataset)}'):
        dataset.__getitems__([0, len(dataset)])


def test_a_damaged_scene_of_a_batch_is_named(archive, tmp_path):
    pytest.importorskip('google_crc32c')
    store = tmp_path / 'archive.zarr'
    pack_archive(archive, store, progress=False)
    dataset = SeasonalArchive(store)
    location = dataset.locations[2]
    (shard,) = (path for path in (store / 'images' / 'c').rglob('*') if path.is_file())
    content = bytearray(shard.read_bytes())
    scenes = sum(len(other.days) for other in list(dataset.locations)[:2])
    content[scenes * (dataset[0]['image'].numel() + 4)] ^= 1
    shard.write_bytes(content)
    with pytest.raises(BandFileError, match=f'{location.name}/{location.scenes[0].name}'):
        dataset.__getitems__([0, scenes, 1])
