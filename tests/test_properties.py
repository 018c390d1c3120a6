# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Laws that hold for all inputs, on inputs that Hypothesis makes up."""

from collections import deque

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from torchgeo_saco.archives.store import StoreDescription, StoredImages, read_listing, write_tables
from torchgeo_saco.archives.store.description import read_description
from torchgeo_saco.archives.store.files import LocalFiles
from torchgeo_saco.archives.store.shards import write_shard
from torchgeo_saco.bands import SENSORS, band_name, band_names
from torchgeo_saco.embeddings.tiles import TileGrid
from torchgeo_saco.models.change import ChangeEstimate
from torchgeo_saco.models.momentum import KeyQueue
from torchgeo_saco.samplers import order as orders
from torchgeo_saco.samplers.order import EpochOrder, EvaluationOrder

# The same examples at every run, whatever the machine is busy with.
few = settings(max_examples=25, derandomize=True, deadline=None, database=None)


@few
@given(size=st.integers(1, 17), batches=st.lists(st.integers(0, 20), max_size=6))
def test_a_queue_is_a_deque(size, batches):
    # Rows T6 to T8 of the catalogue: any batch, also larger than the queue; nothing is made up.
    queue, expected = KeyQueue(size, 3), deque(maxlen=size)
    generator = torch.Generator().manual_seed(size)
    number = 0
    for batch in batches:
        keys = torch.nn.functional.normalize(torch.randn(batch, 3, generator=generator), dim=1)
        locations = torch.arange(number, number + batch)
        number += batch
        queue.enqueue(keys, locations)
        expected.extend(zip(locations.tolist(), keys, strict=True))
        kept, excluded = queue.negatives(torch.tensor([-2]))
        held = {int(queue.locations[i]): kept[i] for i in range(size) if not excluded[0, i]}
        assert held.keys() == {location for location, _ in expected}
        for location, key in expected:
            torch.testing.assert_close(held[location], key)
        start = int(queue.pointer)
        around = [*range(start, size), *range(start)]
        in_order = [int(queue.locations[i]) for i in around if queue.locations[i] >= 0]
        assert in_order == [location for location, _ in expected]


@few
@given(sensor=st.sampled_from(sorted(SENSORS)), data=st.data())
def test_names_of_bands_are_normalised_once(sensor, data):
    bands = list(SENSORS[sensor].bands)
    band = data.draw(st.sampled_from(bands))
    spelled = data.draw(st.sampled_from([band, band.lower(), f' {band}', f'SR_{band}']))
    name = band_name(spelled, sensor)
    assert name == band == band_name(name, sensor)
    some = data.draw(st.lists(st.sampled_from(bands), min_size=1, unique=True))
    assert band_names([band.lower() for band in some], sensor) == tuple(some)


@pytest.mark.slow
@few
@given(text=st.text(max_size=8), sensor=st.sampled_from(sorted(SENSORS)))
def test_any_text_is_a_band_or_refused_by_name(text, sensor):
    try:
        name = band_name(text, sensor)
    except ValueError as error:
        assert repr(text) in str(error)
    else:
        assert name in SENSORS[sensor].bands
        assert band_name(name, sensor) == name


@few
@given(size=st.integers(0, 60), processes=st.integers(1, 5), epoch=st.integers(0, 1000))
def test_an_epoch_visits_each_item_once(size, processes, epoch):
    seen = {'train': [], 'evaluate': []}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orders, 'world_size', lambda: processes)
        for rank in range(processes):
            patch.setattr(orders, 'process_rank', lambda rank=rank: rank)
            part = EpochOrder(size)
            part.set_epoch(epoch)
            seen['train'] += list(part)
            seen['evaluate'] += list(EvaluationOrder(size))
    assert len(set(seen['train'])) == len(seen['train']) == size // processes * processes
    assert set(seen['train']) <= set(range(size))
    assert sorted(seen['evaluate']) == list(range(size))


@few
@given(
    height=st.integers(1, 700),
    width=st.integers(1, 90),
    tile=st.integers(1, 64),
    stride=st.integers(1, 64),
)
def test_cells_of_a_map_cover_the_scene(height, width, tile, stride):
    tile = min(tile, height, width)
    grid = TileGrid((height, width), tile, stride)
    rows, columns = grid.cells
    assert (rows - 1) * stride < height <= rows * stride
    assert (columns - 1) * stride < width <= columns * stride
    visits = np.zeros((rows, columns), int)
    for block in grid.blocks():
        visits[block.row : block.row + block.rows, block.column : block.column + block.columns] += 1
        top, left, high, wide = block.window
        assert top >= 0 <= left and top + high <= height and left + wide <= width
        for cell, first in enumerate(block.tops):
            assert top + first == grid.start(block.row + cell, 0)
            assert 0 <= first <= high - tile
        for cell, first in enumerate(block.lefts):
            assert left + first == grid.start(block.column + cell, 1)
            assert 0 <= first <= wide - tile
    assert (visits == 1).all()
    if stride <= tile:
        covered = np.zeros(height, bool)
        for row in range(rows):
            covered[grid.start(row, 0) :][:tile] = True
        assert covered.all()


@few
@given(
    steps=st.lists(
        st.lists(st.tuples(st.integers(0, 4), st.floats(0.125, 50, width=32)), max_size=5),
        max_size=6,
    ),
    decay=st.sampled_from([0.0, 0.5, 0.8]),
)
def test_change_is_a_running_mean(steps, decay):
    estimate, expected = ChangeEstimate(5, 1, decay), {}
    for step in steps:
        location = torch.tensor([number for number, _ in step], dtype=torch.long)
        ratio = torch.tensor([value for _, value in step])[:, None].reshape(-1, 1)
        estimate.update(location, ratio)
        for number in {number for number, _ in step}:
            mean = np.mean([value for other, value in step if other == number])
            before = expected.get(number, mean)
            expected[number] = decay * before + (1 - decay) * mean
        found = estimate.ratio[:, 0].numpy()
        assert set(np.flatnonzero(~np.isnan(found))) == set(expected)
        for number, value in expected.items():
            assert found[number] == pytest.approx(value, rel=1e-4)
    estimate.decide()
    decided = estimate.changed.clone()
    assert set(decided.unique().tolist()) <= {-1, 0, 1}
    assert ((decided == -1) == estimate.ratio.isnan()).all()
    estimate.decide()
    assert torch.equal(decided, estimate.changed)


@few
@given(
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=5).filter(sum),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)),
    dtype=st.sampled_from(['uint8', 'uint16', 'int16', 'float32']),
    shard=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_a_store_gives_back_what_was_written(tmp_path_factory, counts, shape, dtype, shard, seed):
    folder = tmp_path_factory.mktemp('store')
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 200, (sum(counts), *shape)).astype(dtype)
    bands = ('B02', 'B03', 'B04')[: shape[0]]
    description = StoreDescription('sentinel2_l1c', bands, dtype, images.shape, shard)
    checksums = []
    for number in range(description.shards):
        path = folder / description.shard_name(number)
        path.parent.mkdir(parents=True)
        checksums += write_shard(path, images[number * shard : (number + 1) * shard], shard)
    names = [f'place {number}' for number in range(len(counts))]
    days = np.concatenate(
        [np.datetime64('2018-01-01') + np.sort(generator.integers(0, 900, n)) for n in counts]
    )
    digests = write_tables(folder, names, counts, days, checksums)
    written = StoreDescription(**(vars(description) | {'tables': digests}))
    for name, content in written.metadata().items():
        (folder / name).write_bytes(content)
    files = LocalFiles(folder)
    found = read_description(files)
    assert found == written
    listing = read_listing(files, len(images), found.tables)
    assert listing.names.to_pylist() == names
    assert np.diff(listing.first).tolist() == counts
    assert np.array_equal(listing.days.astype('datetime64[D]'), days)
    rows = generator.permutation(len(images))
    read = np.empty_like(images)
    StoredImages(files, found, listing).fill(rows.tolist(), list(read))
    assert np.array_equal(read, images[rows])
