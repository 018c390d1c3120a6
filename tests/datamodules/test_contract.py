# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Contract of the datamodules of benchmarks; a new one is a row of tests/data/datamodules.py."""

from math import isnan

import pytest
import torch
from matplotlib.figure import Figure
from torchgeo.datasets import DatasetNotFoundError

from torchgeo_saco import datamodules
from torchgeo_saco.bands import SENSORS
from torchgeo_saco.datamodules.benchmark import IGNORED, SPLITS, BenchmarkDataModule

from ..data.datamodules import BENCHMARKS
from ..data.tasks import trainer


@pytest.fixture(scope='module', params=BENCHMARKS)
def benchmark(request, tmp_path_factory):
    """A row, and its tree. Not to be changed."""
    row = BENCHMARKS[request.param]
    return row, row.write(tmp_path_factory.mktemp(request.param))


def made(benchmark, **arguments):
    """The datamodule with all splits."""
    row, tree = benchmark
    data = row.datamodule(tree, **({'batch_size': 2} | row.arguments | arguments))
    data.prepare_data()
    for stage in ('fit', 'test'):
        data.setup(stage)
    return data


def datasets(data):
    return [getattr(data, f'{split}_dataset') for split in SPLITS]


def test_every_datamodule_has_a_row():
    exported = [getattr(datamodules, name) for name in datamodules.__all__]
    found = {item for item in exported if issubclass(item, BenchmarkDataModule)}
    rows = {row.datamodule for row in BENCHMARKS.values()}
    assert found - {BenchmarkDataModule} == rows


@pytest.mark.slow
def test_no_image_is_in_two_splits(benchmark):
    seen = [
        {sample['image'].numpy().tobytes() for sample in part} for part in datasets(made(benchmark))
    ]
    assert all(seen)
    assert sum(map(len, seen)) == len(set.union(*seen))


def test_a_sample_is_the_same_twice(benchmark):
    first, second = made(benchmark), made(benchmark)
    for one, other in zip(datasets(first), datasets(second), strict=True):
        for key, value in one[0].items():
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(other[0][key])), key


def test_bands_are_named_and_selected_in_any_spelling(benchmark):
    whole = made(benchmark)
    assert whole.bands == whole.all_bands
    assert set(whole.bands) <= set(SENSORS[whole.sensor].bands)
    first, last = whole.bands[0], whole.bands[-1]
    part = made(benchmark, bands=[last.lower().replace('b0', 'b'), first])
    assert part.bands == (last, first)
    image, chosen = (data.test_dataset[0]['image'] for data in (whole, part))
    assert image.shape[-3] == len(whole.bands)
    assert torch.equal(chosen, image[..., [-1, 0], :, :])
    with pytest.raises(ValueError, match="no band 'X99'"):
        made(benchmark, bands=['X99'])


def test_stored_numbers_become_reflectance_on_the_device_alone(benchmark):
    data = made(benchmark)
    batch = next(iter(data.test_dataloader()))
    after = data.on_after_batch_transfer(batch, 0)
    stored, image = batch['image'], after['image']
    assert not stored.is_floating_point()
    assert image.dtype == torch.float32
    unit = data.unit or {torch.uint8: 255}.get(stored.dtype, 10_000)
    assert torch.allclose(image, stored.float() / unit)
    assert all(after[key] is batch[key] for key in batch if key != 'image')


def test_targets_are_classes_that_have_names(benchmark):
    data = made(benchmark)
    assert len(set(data.classes)) == len(data.classes) > 1
    for dataset in datasets(data):
        for sample in dataset:
            target = sample.get('mask', sample.get('label'))
            assert target.dtype == torch.int64
            known = target[target != IGNORED]
            assert known.numel()
            assert 0 <= known.min() <= known.max() < len(data.classes)


@pytest.mark.parametrize('split', [pytest.param('train', marks=pytest.mark.slow), 'val', 'test'])
def test_ordered_loader_gives_every_sample_in_order(benchmark, split):
    data = made(benchmark)
    dataset = getattr(data, f'{split}_dataset')
    batches = [batch['image'] for batch in data.ordered_dataloader(split)]
    images = [image for batch in batches for image in batch]
    assert len(images) == len(dataset)
    for image, sample in zip(images, dataset, strict=True):
        # Series are filled up to the longest of a batch.
        assert torch.equal(image[: len(sample['image'])], sample['image'])


def test_a_sample_is_plotted(benchmark):
    data = made(benchmark)
    figure = data.plot(data.val_dataset[0], suptitle='a title')
    assert isinstance(figure, Figure)
    assert figure.get_suptitle() == 'a title'


def test_missing_data_are_told(benchmark, tmp_path):
    row, _ = benchmark
    with pytest.raises(DatasetNotFoundError):
        row.datamodule(tmp_path / 'nowhere', **row.arguments).setup('fit')


@pytest.mark.slow
def test_its_task_trains_on_it_and_is_tested(benchmark, tmp_path):
    row, _ = benchmark
    task = row.task(
        model='test_resnet', groups=['natural_color'], texture=False, **row.task_arguments
    )
    runner = trainer(tmp_path, limit_train_batches=2, limit_val_batches=1, limit_test_batches=2)
    data = made(benchmark)
    runner.fit(task, data)
    (scores,) = runner.test(task, data, verbose=False)
    assert tuple(task.hparams['bands']) == data.bands
    assert list(task.labels) == list(data.classes)
    counted = {name: value for name, value in scores.items() if 'Overall' in name or 'F1' in name}
    assert counted
    assert all(0 <= value <= 1 for value in counted.values() if not isnan(value))
