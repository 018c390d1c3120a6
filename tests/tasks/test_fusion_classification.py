# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the classification by one or two modalities."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from torchgeo_saco.models import load_encoder
from torchgeo_saco.tasks import DualSimCLR, FusionClassification
from torchgeo_saco.transforms import Backscatter

from ..data.tasks import BANDS, Memory, Samples

S1 = ('VV', 'VH')


class Pairs(Memory):
    """Samples of Sentinel-1 and Sentinel-2 in memory."""

    def __init__(self, samples, modalities=('s2', 's1'), multilabel=False, **arguments):
        super().__init__(samples, **arguments)
        self.kind = {'multilabel': multilabel}
        bands = {'s2': BANDS, 's1': S1}
        sensors = {'s2': 'sentinel2_l2a', 's1': 'sentinel1'}
        self.modality_bands = {name: bands[name] for name in modalities}
        self.modality_sensors = {name: sensors[name] for name in modalities}
        self.scales['s1'] = Backscatter()

    def make_dataset(self, split):
        # Images to test on are others, so that nothing is learned by heart.
        return Samples(self.samples if split == 'train' else pairs(seed=1, **self.kind))


def pairs(count=24, multilabel=False, seed=0):
    """Optical images tell a first bit of the class, radar images a second one."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for number in range(count):
        first, second = number % 2, number // 2 % 2
        image = torch.randint(200, 1500, (4, 16, 16), generator=generator) + 4000 * first
        decibel = torch.randn(2, 16, 16, generator=generator) - 18 + 10 * second
        label = torch.tensor([first, second]) if multilabel else torch.tensor(first + 2 * second)
        samples.append({'image': image.to(torch.int16), 's1': decibel, 'label': label})
    return samples


CLASSES = ('neither', 'bright', 'rough', 'both')


def small(**arguments):
    torch.manual_seed(0)
    return FusionClassification(**({'model': 'test_resnet', 'lr': 0.05} | arguments))


def trainer(folder, **arguments):
    options = {
        'max_epochs': 20, 'accelerator': 'cpu', 'logger': False, 'enable_progress_bar': False,
        'enable_model_summary': False, 'enable_checkpointing': False, 'num_sanity_val_steps': 0,
        'log_every_n_steps': 1,
    }  # fmt: skip
    return Trainer(default_root_dir=folder, **(options | arguments))


def scores_of(task, folder, samples=None, **arguments):
    samples = pairs() if samples is None else samples
    data = Pairs(samples, classes=CLASSES, **arguments)
    run = trainer(folder)
    run.fit(task, data)
    return run.test(task, data, verbose=False)[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ('arguments', 'accuracy'),
    [
        # Each sensor alone tells one of two bits.
        ({'modalities': ['s2']}, 0.5),
        ({'modalities': ['s1']}, 0.5),
        ({}, 1.0),
        ({'early_fusion': True}, 1.0),
        ({'groups': None, 'texture': ['natural_color'], 'modalities': ['s2']}, 0.5),
    ],
    ids=['s2', 's1', 'late', 'early', 'groups'],
)
def test_each_modality_tells_what_it_sees(arguments, accuracy, tmp_path):
    scores = scores_of(small(**arguments), tmp_path)
    assert scores['test_OverallAccuracy'] == pytest.approx(accuracy, abs=0.2)
    assert scores['test_AverageAccuracy'] == pytest.approx(accuracy, abs=0.2)


@pytest.mark.slow
def test_all_weights_are_trained_if_not_frozen(tmp_path):
    task = small(freeze_backbone=False, lr=1e-3)
    scores = scores_of(task, tmp_path)
    assert scores['test_OverallAccuracy'] > 0.8
    fresh = small(freeze_backbone=False)
    fresh._bands_of(Pairs(pairs(), classes=CLASSES))
    for encoder in task.model.encoders:
        assert all(weight.requires_grad for weight in encoder.backbone.parameters())


@pytest.mark.slow
def test_several_labels_are_scored_by_micro_and_macro_f1(tmp_path):
    task = small(task='multilabel', loss='bce')
    data = Pairs(pairs(multilabel=True), multilabel=True, classes=('bright', 'rough'))
    run = trainer(tmp_path)
    run.fit(task, data)
    (scores,) = run.test(task, data, verbose=False)
    assert scores['test_OverallF1Score'] > 0.9
    assert scores['test_AverageF1Score'] > 0.9


@pytest.mark.slow
def test_a_modality_that_is_missing_counts_as_its_mean(tmp_path):
    task = small(modality_dropout=0.5).eval()
    scores_of(task, tmp_path)
    data = Pairs(pairs(), classes=CLASSES)
    data.setup('test')
    batch = data.on_after_batch_transfer(next(iter(data.test_dataloader())), 0)
    task.eval()
    both = task.features(batch)
    for number, name in enumerate(('image', 's1')):
        alone = {key: value for key, value in batch.items() if key != name}
        features = task.features(alone)
        assert features[number].shape == (len(alone['label']), 0)
        assert torch.equal(features[1 - number], both[1 - number])
        # Its mean over the training images makes the same scores.
        mean = task.model.norms[number].running_mean.expand_as(both[number])
        parts = [mean if i == number else both[i] for i in range(2)]
        torch.testing.assert_close(
            task.model.scores(features, alone),
            task.model.scores(parts, batch),
            atol=1e-4,
            rtol=1e-4,
        )
        prediction = task.predict_step(alone, 0)
        assert prediction['modalities'].tolist() == [[i != number for i in range(2)]] * len(
            alone['label']
        )
        # What is left tells its bit.
        bit = 1 - number
        right = (prediction['prediction'] >> bit) % 2 == (batch['label'] >> bit) % 2
        assert right.float().mean() == 1
        embedding = task.embed(alone)
        width = task.model.widths['s2']
        assert embedding[:, width * number : width * (number + 1)].eq(0).all()
    with pytest.raises(ValueError, match='the batch has no image of s2 or s1, but label'):
        task({'label': batch['label']})
    task.train()
    with pytest.raises(ValueError, match=r'training needs images of s2, s1, got s2; leave'):
        task.training_step({'image': batch['image'], 'label': batch['label']}, 0)


def test_weights_of_both_encoders_come_from_one_checkpoint(tmp_path):
    torch.manual_seed(3)
    dual = DualSimCLR(
        'test_resnet', list(BANDS), bands=list(BANDS), sensor='sentinel2_l2a', second_bands=list(S1)
    )
    run = trainer(tmp_path)
    run.strategy.connect(dual)
    path = str(tmp_path / 'dual.ckpt')
    run.save_checkpoint(path, weights_only=True)
    task = small(model=None, weights=path, num_classes=4, labels=CLASSES)
    task._bands_of(Pairs(pairs(), classes=CLASSES))
    task.configure_bands(*task._joined_bands())
    for encoder, backbone in zip(
        task.model.encoders, (dual.model, dual.second_backbone), strict=True
    ):
        for name, value in backbone.state_dict().items():
            assert torch.equal(encoder.backbone.state_dict()[name], value)
    # That of this task gives either encoder too.
    run.strategy.connect(task)
    run.save_checkpoint(tmp_path / 'fusion.ckpt', weights_only=True)
    for bands, sensor, encoder in (
        (list(BANDS), 'sentinel2_l2a', task.model.encoders[0]),
        (list(S1), 'sentinel1', task.model.encoders[1]),
    ):
        loaded = load_encoder(bands, sensor, weights=str(tmp_path / 'fusion.ckpt'))
        image = torch.rand(2, len(bands), 16, 16)
        torch.testing.assert_close(loaded.encoder.eval()(image), encoder.eval()(image))
    assert load_encoder(S1, 'sentinel1', weights=path).config.input_bands == list(S1)


@pytest.mark.parametrize('arguments', [{}, {'modalities': ['s1']}, {'early_fusion': True}])
def test_a_checkpoint_makes_the_task_again(arguments, tmp_path):
    task = small(**arguments)
    data = Pairs(pairs(), classes=CLASSES)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(task, data)
    path = tmp_path / 'last.ckpt'
    run.save_checkpoint(path)
    state = torch.load(path, weights_only=True)['state_dict']
    assert {key.split('.')[0] for key in state} <= {'model', 'statistics_fitted'}
    again = FusionClassification.load_from_checkpoint(path, weights_only=True).eval()
    data.setup('test')
    batch = data.on_after_batch_transfer(data.collate_fn(pairs(4)), 0)
    torch.testing.assert_close(again(batch), task.eval()(batch))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'modalities': []}, 'modalities are one or two of s2 and s1'),
        ({'modalities': ['s1', 's1']}, 'modalities are one or two of s2 and s1'),
        ({'modalities': ['s1'], 'early_fusion': True}, 'early_fusion joins two modalities'),
        ({'modality_dropout': 1.0}, 'modality_dropout must be at least 0 and below 1'),
        ({'modality_dropout': 0.5, 'norm': False}, 'set norm to true'),
        ({'early_fusion': True, 'weights': True}, 'early_fusion takes the bands of both sensors'),
        ({'early_fusion': True, 'groups': ['urban']}, 'early_fusion takes the bands of both'),
        ({'fusion': 'concat'}, "got fusion='concat'; leave it out"),
        ({'modalities': ['s1'], 'modality_dropout': 0.5}, 'leaves out one of two encoders'),
        ({'bands': ['B02'], 'num_classes': 2}, 'set modality_bands of the task in place of bands'),
        ({'task': 'multilabel'}, "goes with loss 'bce' alone"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)


def test_data_of_one_modality_are_refused_where_two_are_asked_for(tmp_path):
    data = Pairs(pairs(), modalities=['s2'], classes=CLASSES)
    with pytest.raises(ValueError, match='the data have no modality s1, but s2; set modalities of'):
        trainer(tmp_path).fit(small(), data)


@pytest.mark.slow
def test_a_test_on_one_modality_says_so(tmp_path):
    task = small(modality_dropout=0.5)
    scores_of(task, tmp_path)
    optical = [{key: each[key] for key in ('image', 'label')} for each in pairs(40, seed=2)]
    data = Pairs(optical, modalities=['s2'], classes=CLASSES)
    data.make_dataset = lambda split: Samples(optical)
    (scores,) = trainer(tmp_path).test(task, data, verbose=False)
    assert 0.3 < scores['test_OverallAccuracy'] < 0.8
    (first, *_) = trainer(tmp_path).predict(task, data)
    assert first['modalities'].unique(dim=0).tolist() == [[True, False]]


@pytest.mark.slow
def test_bands_in_another_order_are_refused_of_either_modality(tmp_path):
    task = small()
    scores_of(task, tmp_path)
    for name in ('s2', 's1'):
        data = Pairs(pairs(), classes=CLASSES)
        data.modality_bands[name] = data.modality_bands[name][::-1]
        with pytest.raises(ValueError, match=r'was built for the bands .* the data have'):
            trainer(tmp_path).test(task, data, verbose=False)


def test_an_image_without_numbers_is_no_missing_modality():
    task = small(num_classes=4)
    task._bands_of(Pairs(pairs(), classes=CLASSES))
    task.configure_bands(*task._joined_bands())
    batch = {'image': torch.rand(2, 4, 16, 16), 's1': torch.rand(2, 2, 16, 16)}
    batch['s1'][0, 0, 0, 0] = torch.nan
    scores = task.eval()(batch)
    assert scores[0].isnan().all()
    assert scores[1].isfinite().all()


def test_what_is_left_out_is_a_function_of_the_step(tmp_path):
    weights = []
    for count in range(2):
        task = small(modality_dropout=0.5)
        # Whatever else draws from the generator.
        task.on_train_batch_start = lambda *_, count=count: [torch.rand(count + 1), None][1]
        run = trainer(tmp_path, max_epochs=2)
        run.fit(task, Pairs(pairs(), classes=CLASSES))
        weights.append(task.model.linear.weight.detach().clone())
    assert torch.equal(*weights)


def test_images_on_two_grids_are_refused_by_early_fusion(tmp_path):
    samples = pairs()
    for sample in samples:
        sample['s1'] = sample['s1'][..., :8]
    data = Pairs(samples, classes=CLASSES)
    with pytest.raises(ValueError, match='early fusion needs images of s2 and s1 on one grid'):
        trainer(tmp_path).fit(small(early_fusion=True), data)


def test_modality_dropout_leaves_one_of_two_out():
    task = small(modality_dropout=0.9, num_classes=4)
    task._bands_of(Pairs(pairs(), classes=CLASSES))
    task.configure_bands(*task._joined_bands())
    model = task.model.train()
    width = model.widths['s2']
    seen = []
    model.linear.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    features = [torch.randn(200, width) for _ in range(2)]
    model.scores(features, {})
    gone = np.array(
        [seen[0][:, :width].eq(0).all(1).numpy(), seen[0][:, width:].eq(0).all(1).numpy()]
    )
    assert not gone.all(0).any()
    assert 0.8 < gone.any(0).mean() < 0.97
    assert 0.3 < gone[0].sum() / gone.sum() < 0.7
    model.eval().scores(features, {})
    assert not seen[1].eq(0).all(1).any()


KNOWN = {
    'modality_bands': {'s2': list(BANDS), 's1': list(S1)},
    'modality_sensors': {'s2': 'sentinel2_l2a', 's1': 'sentinel1'},
    'num_classes': 4,
}


def test_bands_that_are_given_build_the_task_without_data():
    task, batch = small(**KNOWN).eval(), {'image': torch.rand(2, 4, 16, 16)}
    assert task(batch | {'s1': torch.rand(2, 2, 16, 16)}).shape == (2, 4)
    assert torch.equal(task.features(batch)[0], task.model.features(batch['image'])[0])
    with pytest.raises(
        ValueError, match=r'images of s1 must be \(B, 2, H, W\) with the bands VV, VH, got \(2, 4,'
    ):
        task({'s1': batch['image']})


def test_data_that_do_not_name_their_modalities(tmp_path):
    data = Memory(pairs(), classes=CLASSES)
    with pytest.raises(ValueError, match=r'does not name the bands .* or set modality_bands'):
        trainer(tmp_path).fit(small(), data)


@pytest.mark.slow
@pytest.mark.parametrize('arguments', [{}, {'early_fusion': True}, {'modalities': ['s1']}])
def test_a_checkpoint_brings_all_encoders(arguments, tmp_path):
    task, data = small(**arguments), Pairs(pairs(), classes=CLASSES)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(task, data)
    run.save_checkpoint(tmp_path / 'last.ckpt')
    again = FusionClassification.load_from_checkpoint(tmp_path / 'last.ckpt').eval()
    batch = data.on_after_batch_transfer(next(iter(data.val_dataloader())), 0)
    assert torch.equal(again(batch), task.eval()(batch))
