# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the datamodule of seasonal archives."""

import shutil

import pytest
import torch

from torchgeo_saco.archives.packing import pack_archive
from torchgeo_saco.datamodules import SeasonalDataModule, seasonal

from ..data.archives import write_archive, write_labels, write_radar_archive


def module(root, **arguments):
    data = SeasonalDataModule(root=root, **({'batch_size': 4} | arguments))
    data.prepare_data()
    data.setup('fit')
    return data


def names(dataset):
    return {location.name for location in dataset.locations}


def test_places_are_split_not_images(archive):
    data = module(archive, val_fraction=0.4)
    train, val = names(data.train_dataset), names(data.val_dataset)
    assert (len(train), len(val)) == (4, 2)
    assert not train & val
    assert names(module(archive, val_fraction=0.4).val_dataset) == val


def test_at_least_one_location_is_held_out(archive):
    assert len(names(module(archive, val_fraction=0.01).val_dataset)) == 1
    assert len(module(archive, val_fraction=0).val_dataset) == 0


def test_bands_and_classes_are_known_after_setup(archive):
    data = SeasonalDataModule(root=archive, batch_size=4, bands=['B4', 'B3', 'B2'])
    assert data.bands is None
    data.setup('fit')
    assert data.bands == ('B04', 'B03', 'B02')
    assert data.classes == ['field', 'town']


def test_training_batches_are_seeded_whole_and_complete(archive):
    data = module(archive, batch_size=6)
    loader = data.train_dataloader()
    batches = list(loader)
    assert len(batches) == 20 // 6
    assert all(batch['image'].shape == (6, 2, 12, 36, 36) for batch in batches)
    again = list(data.train_dataloader())
    assert all(torch.equal(a['date'], b['date']) for a, b in zip(batches, again, strict=True))
    loader.sampler.set_epoch(1)
    assert not torch.equal(next(iter(loader))['date'], batches[0]['date'])


def test_validation_keeps_the_last_batch(archive):
    data = module(archive, batch_size=3, val_fraction=0.4)
    assert sum(len(batch['image']) for batch in data.val_dataloader()) == 8


def test_integers_travel_and_become_reflectance_on_the_device(archive):
    data = module(archive)
    batch = next(iter(data.train_dataloader()))
    assert batch['image'].dtype == torch.uint8
    after = data.on_after_batch_transfer(batch, 0)
    assert torch.allclose(after['image'], batch['image'].float() / 255)
    assert batch['image'].dtype == torch.uint8


def test_unit_and_offset_are_passed_on(tmp_path):
    write_archive(tmp_path, bands=['B4'], dtype='uint16', size=6)
    data = module(tmp_path, unit=5000, offset=-1000)
    image = torch.tensor([1000, 6000], dtype=torch.int32)
    batch = data.on_after_batch_transfer({'image': image}, 0)
    assert batch['image'].tolist() == [0, 1]


def test_probe_loaders_hold_labelled_single_dates(archive):
    bank, held_out = module(archive, val_fraction=0.4).probe_dataloaders(2)
    bank, held_out = (list(loader) for loader in (bank, held_out))
    assert sum(len(batch['label']) for batch in bank) == 8
    assert sum(len(batch['label']) for batch in held_out) == 4
    dates = torch.cat([batch['date'] for batch in held_out]).flatten().tolist()
    # Spread evenly over the four dates of each location.
    assert dates == [20180715, 20190720] * 2


def test_probe_leaves_out_locations_without_a_label(tmp_path):
    write_archive(tmp_path, bands=['B4'], size=6)
    write_labels(tmp_path, ['a', 'b', 'a'])
    bank, held_out = module(tmp_path, val_fraction=0.5).probe_dataloaders(9)
    labels = torch.cat([batch['label'] for loader in (bank, held_out) for batch in loader])
    assert len(labels) == 12
    assert (labels >= 0).all()


def test_probe_without_labels(tmp_path):
    write_archive(tmp_path, bands=['B4'], size=6)
    with pytest.raises(ValueError, match=r'has no labels; add labels\.csv with columns'):
        module(tmp_path).probe_dataloaders()


def test_probe_without_held_out_locations(archive):
    with pytest.raises(ValueError, match='no location is held out; set val_fraction above 0'):
        module(archive, val_fraction=0).probe_dataloaders()


def test_probe_without_a_labelled_location_held_out(tmp_path):
    write_archive(tmp_path, bands=['B4'], size=6)
    data = module(tmp_path, val_fraction=0.2)
    held_out = next(iter(names(data.val_dataset)))
    rows = [f'{i:06d},a' for i in range(6) if f'{i:06d}' != held_out]
    (tmp_path / 'labels.csv').write_text('\n'.join(['location,label', *rows]))
    with pytest.raises(ValueError, match=r'labels\.csv labels no held-out location; add some'):
        module(tmp_path, val_fraction=0.2).probe_dataloaders()


def test_nothing_held_out_is_no_loader(archive):
    assert module(archive, val_fraction=0).val_dataloader() == []


def test_floats_that_are_no_reflectance(tmp_path):
    write_archive(tmp_path, bands=['B4'], dtype='float32', size=6)
    with pytest.raises(
        ValueError, match=r'holds floats such as .* in band B04, which is no reflectance'
    ):
        module(tmp_path)
    assert module(tmp_path, unit=10000).bands == ('B04',)


def test_files_that_are_no_band_are_named(tmp_path, caplog):
    write_archive(tmp_path, bands=['B4', 'B8B'], size=6)
    with caplog.at_level('INFO'):
        module(tmp_path)
    assert 'passed over, for no band of Sentinel-2 L1C has such a name: B8B.tif' in caplog.text


@pytest.mark.slow
def test_many_files_are_better_packed(archive, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(seasonal, '_MANY_FILES', 287)
    pack_archive(archive, tmp_path / 'store.zarr', progress=False)
    with caplog.at_level('INFO'):
        module(archive)
    assert caplog.text.count('read from 288 files: a worker reads 4 to 9 times as fast') == 1
    caplog.clear()
    with caplog.at_level('INFO'):
        module(archive, cache=True)
        module(tmp_path / 'store.zarr')
    assert 'files: a worker' not in caplog.text


def test_plot(archive):
    data = SeasonalDataModule(root=archive, batch_size=4)
    assert data.plot({}) is None
    data.setup('fit')
    assert len(data.plot(data.val_dataset[0]).axes) == 2


def test_prediction_visits_every_date_once(archive):
    data = SeasonalDataModule(root=archive, batch_size=5)
    data.setup('predict')
    dates = [batch['date'] for batch in data.predict_dataloader()]
    assert torch.cat(dates).shape == (24, 1)


def test_what_was_left_out_is_said(tmp_path, caplog):
    write_archive(tmp_path, bands=['B4'], size=6)
    (tmp_path / '000003' / '20180410T103021_20190415T103025_T31UFS' / 'B4.tif').unlink()
    with caplog.at_level('INFO'):
        module(tmp_path, dates=4, on_missing='drop')
    assert 'skipped: 000003 has 3 of 4 dates' in caplog.text
    assert '4 locations to train on, 1 held out' in caplog.text


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'batch_size': 1}, 'batch_size must be at least 2, got 1'),
        ({'batch_size': 64}, r'batch_size=64 is larger than the 20 training items .* at most 20'),
        ({'val_fraction': 1.0}, r'val_fraction must be at least 0 and below 1, got 1\.0'),
        (
            {'val_fraction': 0.9},
            r'has 6 locations, 5 of them held out; contrasting needs at least 2',
        ),
        ({'archive': 'moon'}, r"unknown archive 'moon'; choose one of folder, sample"),
        ({'download': True}, r"archive 'folder' cannot be downloaded; set download to false"),
        ({'archive': 'caco', 'download': True}, r'set download to false .*zenodo\.org'),
        ({'unit': -1.0}, r'unit must be .*, got -1\.0'),
        ({'bands': ['B4', 'B99']}, "no band 'B99'"),
        ({'dates': 9}, r'000000 has 4 of 9 dates'),
    ],
)
def test_wrong_argument(archive, wrong, message):
    with pytest.raises(ValueError, match=message):
        module(archive, **wrong)


def test_missing_archive(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere does not exist; set root'):
        module(tmp_path / 'nowhere')


@pytest.mark.slow
def test_split_stays_the_same_whatever_is_left_out(tmp_path):
    dates = ('20180301', '20180601', '20190301', '20190601')
    write_archive(tmp_path, locations=16, bands=['B4'], size=6, dates=dates)
    for location in range(0, 16, 3):
        for folder in (tmp_path / f'{location:06d}').glob('2019*'):
            (folder / 'B4.tif').unlink()
            folder.rmdir()
    held_out = []
    for item in ('date', 'years'):
        data = SeasonalDataModule(
            root=tmp_path, batch_size=2, val_fraction=0.4, item=item, on_missing='drop'
        )
        data.setup('fit')
        assert data.locations == (16 if item == 'date' else 10)
        held_out.append({location.name for location in data.val_dataset.locations})
    assert held_out[1] < held_out[0]
    assert len(held_out[0]) == 6


def test_ordered_images_of_all_splits(archive):
    data = SeasonalDataModule(root=archive, batch_size=4, val_fraction=0.3, item='years')
    data.setup('fit')
    places = {}
    for split in ('train', 'val', 'test'):
        batches = list(data.ordered_dataloader(split))
        assert batches[0]['image'].shape[1:] == (1, 12, 36, 36)
        places[split] = {int(n) for batch in batches for n in batch['location']}
        assert sum(len(batch['label']) for batch in batches) == 4 * len(places[split])
    assert [len(places[split]) for split in ('train', 'val', 'test')] == [3, 1, 2]
    assert not places['train'] & places['val']
    assert not (places['train'] | places['val']) & places['test']


def test_ordered_images_need_labels(tmp_path):
    write_archive(tmp_path, bands=['B4'], size=6)
    data = SeasonalDataModule(root=tmp_path, batch_size=2)
    with pytest.raises(ValueError, match='call setup first'):
        data.ordered_dataloader('train')
    data.setup('fit')
    with pytest.raises(
        ValueError, match=r'labels\.csv labels no location of the train split; add some'
    ):
        data.ordered_dataloader('train')
    batches = list(data.ordered_dataloader('test', labelled=False))
    assert 'label' not in batches[0]
    assert sum(len(batch['location']) for batch in batches) == len(
        data.val_dataset.part(range(len(data.val_dataset.locations)), 1, 'date')
    )


def test_another_location_is_held_out_where_that_one_is_left_out(archive, tmp_path):
    root = shutil.copytree(archive, tmp_path / 'copy')
    (first,) = names(module(archive, val_fraction=0.01).val_dataset)
    for scene in list((root / first).iterdir())[1:]:
        shutil.rmtree(scene)
    data = module(root, val_fraction=0.01, item='years', on_missing='drop')
    assert data.locations == 5
    (second,) = names(data.val_dataset)
    assert second != first


def test_of_many_reasons_the_first_hundred_are_said(tmp_path, caplog):
    write_archive(tmp_path, locations=105, bands=['B4'], size=6, dates=('20180410',))
    later = write_archive(tmp_path / 'later', 3, bands=['B4'], size=6, dates=('20190410',))
    for location in later.iterdir():
        shutil.copytree(location, tmp_path / location.name, dirs_exist_ok=True)
    shutil.rmtree(later)
    with caplog.at_level('INFO'):
        module(tmp_path, batch_size=2, dates=2, on_missing='drop')
    skipped = [record.message for record in caplog.records if 'skipped: ' in record.message]
    assert len(skipped) == 101
    assert skipped[-1] == 'skipped: 2 more'


def test_nothing_is_known_before_setup(archive):
    data = SeasonalDataModule(root=archive, batch_size=4)
    assert data.identity == {}
    data.setup('fit')
    assert data.identity['bands']


def test_radar_has_no_offset(tmp_path):
    root = write_radar_archive(tmp_path, 3, size=8)
    with pytest.raises(ValueError, match='holds backscatter, which has no offset; leave it out'):
        module(root, bands=['VV', 'VH'], sensor='sentinel1', offset=10, batch_size=2)
