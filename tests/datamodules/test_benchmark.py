# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of what the datamodules of all benchmarks share."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torchgeo.datasets import NonGeoDataset

from torchgeo_saco.datamodules import BenchmarkDataModule, benchmark
from torchgeo_saco.datamodules.benchmark import SPLITS, apply_symmetry
from torchgeo_saco.datasets.features import Features
from torchgeo_saco.samplers.order import EpochOrder

SIZES = {'train': 10, 'val': 5, 'test': 3}


class Numbers(NonGeoDataset):
    """Images of which no two of the eight symmetries are equal, and masks that equal them."""

    def __init__(self, size, mask=True):
        self.size = size
        self.mask = mask

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        pixels = torch.arange(9).reshape(3, 3) + 10 * index
        sample = {'image': pixels.to(torch.uint16).expand(2, 3, 3), 'label': torch.tensor(index)}
        return {**sample, 'mask': pixels} if self.mask else sample

    def plot(self, sample, suptitle=None):
        return self.size, suptitle


def features(size):
    """Features of earlier, of series with one date more each."""
    return Features(
        [
            {'features_0': torch.full((index + 1, 2), index + 1.0), 'label': torch.tensor(index)}
            for index in range(size)
        ]
    )


class Plain(BenchmarkDataModule):
    sample = 'numbers'
    classes = ('a', 'b')
    images = Numbers
    sizes = SIZES
    obtained = 0

    sensor = 'sentinel2_l2a'
    all_bands = ('b4', 'B8')
    unit = 100

    def __init__(self, **arguments):
        super().__init__(**({'batch_size': 4} | arguments))
        self.made = []

    def make_dataset(self, split):
        self.made.append(split)
        return self.images(self.sizes[split])

    def obtain(self):
        self.obtained += 1


class Recorder(LightningModule):
    """Keeps the batches that arrive at the task."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen = {'train': [], 'val': [], 'test': [], 'predict': []}

    def training_step(self, batch):
        self.seen['train'].append(batch)
        return self.layer(torch.zeros(1, 1)).sum()

    def validation_step(self, batch):
        self.seen['val'].append(batch)

    def test_step(self, batch):
        self.seen['test'].append(batch)

    def predict_step(self, batch):
        self.seen['predict'].append(batch)
        return batch['label']

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(epochs=1, **arguments):
    return Trainer(
        accelerator='cpu',
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **arguments,
    )


def fitted(data, epochs=1):
    task = Recorder()
    trainer(epochs).fit(task, datamodule=data)
    return task.seen


def turned_on(rank):
    """Symmetries of the first batch in one of several processes."""
    data = Plain(augment=True)
    loop = SimpleNamespace(total_batch_idx=-1)
    data.trainer = SimpleNamespace(training=True, fit_loop=loop, global_rank=rank)
    image = torch.arange(9, dtype=torch.int16).reshape(3, 3).expand(20, 2, 3, 3)
    return [symmetry(i * 100) for i in data.on_after_batch_transfer({'image': image}, 0)['image']]


def labels(batches):
    return [batch['label'].tolist() for batch in batches]


def symmetry(image):
    """Number of the symmetry that an image of the dataset was turned by."""
    upright = (torch.arange(9.0).reshape(3, 3) + image.round().min()).expand_as(image)
    matches = [
        number
        for number in range(8)
        if torch.equal(apply_symmetry(upright[None], torch.tensor([number]))[0], image.round())
    ]
    assert len(matches) == 1
    return matches[0]


def test_names_of_the_parts():
    assert SPLITS == ('train', 'val', 'test')


def test_bands_are_canonical():
    assert Plain().bands == ('B04', 'B08')


@pytest.mark.parametrize(
    ('stage', 'made'),
    [('fit', ['train', 'val']), ('validate', ['val']), ('test', ['test']), ('predict', ['test'])],
)
def test_a_stage_makes_the_datasets_it_needs_once(stage, made):
    data = Plain()
    data.setup(stage)
    data.setup(stage)
    assert data.made == made


@pytest.mark.parametrize('split', SPLITS)
def test_empty_split(split):
    data = Plain()
    data.sizes = SIZES | {split: 0}
    with pytest.raises(ValueError, match=f"data has no image in split '{split}'"):
        data.setup('test' if split == 'test' else 'fit')


def test_training_order_depends_on_seed_and_epoch_alone():
    data = Plain()
    seen = labels(fitted(data, epochs=2)['train'])
    expected = []
    for epoch in range(2):
        order = EpochOrder(10)
        order.set_epoch(epoch)
        items = list(order)
        expected += [items[:4], items[4:8]]
    assert seen == expected
    assert labels(fitted(Plain(), epochs=2)['train']) == seen


@pytest.mark.parametrize(
    ('batch_size', 'sizes'), [(4, [4, 4]), (5, [5, 5]), (9, [9]), (10, [10]), (11, [10])]
)
def test_last_batch_is_dropped_in_training_unless_it_is_the_only_one(batch_size, sizes):
    data = Plain(batch_size=batch_size)
    data.setup('fit')
    assert [len(batch['label']) for batch in data.train_dataloader()] == sizes


def test_evaluation_sees_every_image_once_in_order():
    data = Plain()
    seen = fitted(data)
    task = Recorder()
    trainer().test(task, datamodule=data, verbose=False)
    trainer().predict(task, datamodule=data)
    assert labels(seen['val']) == [[0, 1, 2, 3], [4]]
    assert labels(task.seen['test']) == labels(task.seen['predict']) == [[0, 1, 2]]


@pytest.mark.parametrize('split', SPLITS)
def test_ordered_loader_sees_every_image_once(split):
    data = Plain()
    data.setup('fit')
    data.setup('test')
    seen = torch.cat([batch['label'] for batch in data.ordered_dataloader(split)])
    assert seen.tolist() == list(range(SIZES[split]))


def test_integers_become_reflectance_on_the_device():
    data = Plain()
    data.setup('test')
    batch = next(iter(data.test_dataloader()))
    assert batch['image'].dtype == torch.uint16
    after = data.on_after_batch_transfer(batch, 0)
    assert after['image'].dtype == torch.float32
    assert torch.equal(after['image'], batch['image'].float() / 100)
    assert torch.equal(after['mask'], batch['mask'])
    # The batch given is left as it was.
    assert batch['image'].dtype == torch.uint16


def test_unit_follows_from_the_type_unless_given():
    image = torch.tensor([[255]], dtype=torch.uint8)

    class Typed(Plain):
        unit = None

    assert Typed().on_after_batch_transfer({'image': image}, 0)['image'] == 1


def test_features_pass_as_they_are():
    data = Plain(augment=True, num_workers=2)
    for split in ('train', 'val'):
        data.cache_features(split, features(SIZES[split]), owner=data)
    seen = fitted(data)
    assert data.train_dataloader().num_workers == 0
    assert labels(seen['val']) == [[0, 1, 2, 3], [4]]
    for batch in seen['train'] + seen['val']:
        longest = int(batch['label'].max()) + 1
        assert batch['features_0'].shape == (len(batch['label']), longest, 2)
        # A series of n dates holds n in each, and 0 where it is padded.
        assert torch.equal(batch['features_0'].sum((1, 2)), 2.0 * (batch['label'] + 1) ** 2)


def test_image_and_mask_are_turned_alike_in_training_alone():
    data = Plain(augment=True)
    seen = fitted(data, epochs=20)
    drawn = set()
    for batch in seen['train']:
        pixels = batch['image'] * 100
        assert torch.allclose(pixels, batch['mask'][:, None].expand_as(pixels).float())
        drawn |= {symmetry(image) for image in pixels}
    assert drawn == set(range(8))
    for batch in seen['val']:
        assert {symmetry(image) for image in batch['image'] * 100} == {0}


def test_turns_differ_between_batches_and_not_between_runs():
    runs = []
    for _ in range(2):
        batches = fitted(Plain(augment=True, batch_size=10), epochs=6)['train']
        runs.append([[symmetry(image) for image in b['image'] * 100] for b in batches])
    assert runs[0] == runs[1]
    assert len(set(map(tuple, runs[0]))) == 6


def test_turns_leave_the_generator_as_it_was():
    state = torch.random.get_rng_state()
    turned_on(rank=0)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_turns_differ_between_processes():
    assert turned_on(rank=0) == turned_on(rank=0) != turned_on(rank=1)


def test_images_without_a_mask_are_turned_too():
    data = Plain(augment=True)
    data.images = lambda size: Numbers(size, mask=False)
    batches = fitted(data, epochs=5)['train']
    assert len({symmetry(image) for batch in batches for image in batch['image'] * 100}) > 4
    assert 'mask' not in batches[0]


def test_without_augmentation_training_images_stay_upright():
    for batch in fitted(Plain(), epochs=3)['train']:
        assert {symmetry(image) for image in batch['image'] * 100} == {0}


def test_the_eight_symmetries_differ():
    image = torch.arange(4).reshape(1, 2, 2).expand(8, 2, 2)
    results = apply_symmetry(image, torch.arange(8))
    expected = [
        [[0, 1], [2, 3]],
        [[1, 3], [0, 2]],
        [[3, 2], [1, 0]],
        [[2, 0], [3, 1]],
        [[1, 0], [3, 2]],
        [[0, 2], [1, 3]],
        [[2, 3], [0, 1]],
        [[3, 1], [2, 0]],
    ]
    assert results.tolist() == expected


def test_series_are_turned_as_single_images_are():
    images = torch.rand(8, 3, 2, 5, 5)
    results = apply_symmetry(images, torch.arange(8))
    assert torch.equal(results[:, 1, 1], apply_symmetry(images[:, 1, 1], torch.arange(8)))


def test_sample_is_generated(monkeypatch):
    calls = []
    monkeypatch.setattr(benchmark, 'generate_sample_benchmark', lambda *args: calls.append(args))
    data = Plain(root='there', archive='sample', download=True)
    data.prepare_data()
    assert calls == [('numbers', 'there')]
    assert data.obtained == 0


def test_published_data_are_obtained(monkeypatch):
    monkeypatch.delattr(benchmark, 'generate_sample_benchmark')
    data = Plain(download=True)
    data.prepare_data()
    assert data.obtained == 1


@pytest.mark.parametrize('archive', ['official', 'sample'])
def test_nothing_is_obtained_unasked(archive, monkeypatch):
    monkeypatch.delattr(benchmark, 'generate_sample_benchmark')
    data = Plain(archive=archive)
    data.prepare_data()
    assert data.obtained == 0


def test_plot_of_the_first_split_that_is_there():
    data = Plain()
    assert data.plot({}) is None
    data.setup('test')
    assert data.plot({}, suptitle='above') == (3, 'above')
    data.setup('fit')
    assert data.plot({}) == (5, None)


def test_workers_and_memory_of_the_loaders():
    data = Plain(num_workers=2, pin_memory=True)
    data.setup('fit')
    loader = data.train_dataloader()
    assert (loader.num_workers, loader.pin_memory, loader.persistent_workers) == (2, True, True)


@pytest.mark.parametrize(
    ('wrong', 'message'),
    [
        ({'archive': 'moon'}, "archive must be one of official, sample, got 'moon'"),
        ({'batch_size': 0}, 'batch_size must be at least 1, got 0'),
        ({'bands': ['B10']}, "Sentinel-2 L2A has no band 'B10'"),
    ],
)
def test_wrong_argument(wrong, message):
    with pytest.raises(ValueError, match=message):
        Plain(**wrong)
