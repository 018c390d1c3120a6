# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of runs that pre-train, and of the comparison of methods."""

import copy
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from torch import nn
from torchgeo.tasks import BYOL

from tests.data.archives import write_archive, write_labels
from tests.data.layouts import write_image_folders
from torchgeo_saco import evaluation
from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.evaluation import Settings, execute_run, plan_runs, runs
from torchgeo_saco.evaluation.features import embeddings, fit_exact_statistics
from torchgeo_saco.evaluation.settings import merge_configs, read_settings
from torchgeo_saco.tasks import MoCo, SACo

TASKS = 'torchgeo_saco.tasks.'
CONFIGS = Path(__file__).parents[2] / 'configs'
NORMS = nn.BatchNorm1d | nn.BatchNorm2d
FIRST = 'model.conv1.0.weight'


@pytest.fixture(scope='module')
def places(tmp_path_factory):
    """Ten locations x 6 dates in two years, with the bands of the groups. Not to be changed."""
    dates = ('20180410', '20180715', '20181005', '20190412', '20190720', '20191003')
    bands = ('B2', 'B3', 'B4', 'B8', 'B11', 'B12')
    root = write_archive(tmp_path_factory.mktemp('places'), 10, dates, bands, size=16)
    write_labels(root, ['field', 'town', 'lake'] * 3 + ['town'])
    return root


@pytest.fixture
def spec(places):
    """A benchmark of pre-training that takes seconds."""
    arguments = {'model': 'test_resnet', 'size': 16, 'queue_size': 6, 'projector_norm': True}
    return {
        'model': {'init_args': {**arguments, 'groups': ['natural_color'], 'texture': False}},
        'data': {
            'class_path': 'torchgeo_saco.datamodules.SeasonalDataModule',
            'init_args': {'root': str(places), 'batch_size': 4, 'val_fraction': 0.3, 'cache': True},
        },
        'trainer': {'max_steps': 2, 'accelerator': 'cpu', 'limit_val_batches': 0},
        'panels': [],
    }


MOCO = {'class_path': 'torchgeo_saco.tasks.MoCo'}
UNTRAINED = {**MOCO, 'trainer': {'max_steps': 0}}


def run(spec, encoder=MOCO, seed=0):
    (planned,) = plan_runs(Settings('out', [seed], {'x': encoder}, {'places': spec}))
    return planned


@pytest.fixture
def fitted(monkeypatch):
    """Tasks that were trained, as they were then, and the steps they made."""
    tasks = []
    fit = Trainer.fit

    def kept(trainer, task, datamodule):
        fit(trainer, task, datamodule=datamodule)
        tasks.append((trainer.global_step, copy.deepcopy(task.state_dict()), task))

    monkeypatch.setattr(Trainer, 'fit', kept)
    return tasks


def loaded(places, **arguments):
    """A task of random weights that knows its bands, and its datamodule."""
    datamodule = SeasonalDataModule('folder', str(places), val_fraction=0.3, batch_size=5)
    datamodule.setup('fit')
    given = {'model': 'test_resnet', 'size': 16, 'queue_size': 6, 'projector_norm': True}
    task = MoCo(**{**given, 'bands': datamodule.bands, **arguments})
    return task, datamodule


@pytest.mark.slow
def test_a_method_is_trained_tested_and_probed(spec, fitted):
    result = execute_run(run(spec))
    assert [steps for steps, _, _ in fitted] == [2]
    metrics = result.metrics
    assert {'test_alignment', 'test_uniformity', 'linear_C'} <= set(metrics)
    assert {'knn5_OverallAccuracy', 'linear_OverallAccuracy', 'knn5_Accuracy_town'} <= set(metrics)
    # Three of ten locations are held out; of the other seven, one is to choose the strength on.
    assert (metrics['images_train'], metrics['images_test']) == (36, 18)
    assert result.classes == ('field', 'lake', 'town')
    assert result.panels == []
    assert result.confusion is None


@pytest.mark.parametrize(
    ('labels', 'val_fraction', 'message'),
    [('half', 0.3, 'labels no location of the'), ('all', 0.0, 'no location is held out')],
)
def test_images_that_cannot_judge_are_refused_before_training(
    labels, val_fraction, message, spec, fitted, tmp_path
):
    root = write_archive(tmp_path, 6, bands=('B2', 'B3', 'B4'), size=16)
    write_labels(root, ['field', 'town'] * 3)
    if labels == 'half':
        # None of the first quarter by hash, which is the split val.
        data = SeasonalDataModule(root=root, batch_size=4, val_fraction=val_fraction)
        data.setup('fit')
        names = {
            data.predict_dataset.locations[int(batch['location'][0])].name
            for batch in data.ordered_dataloader('val')
        }
        lines = (root / 'labels.csv').read_text().splitlines()
        kept = [line for line in lines if line.split(',')[0] not in names]
        (root / 'labels.csv').write_text('\n'.join(kept) + '\n')
    spec['data']['init_args'] |= {'root': str(root), 'val_fraction': val_fraction}
    with pytest.raises(ValueError, match=message):
        execute_run(run(spec))
    assert not fitted


def test_features_are_those_of_the_net_in_the_order_of_the_archive(places):
    task, datamodule = loaded(places)
    task.eval()
    with torch.inference_mode():
        features, labels, locations = embeddings(task, datamodule, 'test')
        held_out = datamodule.val_dataset
        expected = [
            task(held_out.read_scene(location, scene)[None].float() / 255)
            for location in held_out.locations
            for scene in range(6)
        ]
    torch.testing.assert_close(features, torch.cat(expected))
    assert [len(set(locations.tolist())), len(locations)] == [3, 18]
    assert labels.tolist() == [
        held_out.labels[location.name] for location in held_out.locations for _ in range(6)
    ]


@pytest.mark.slow
def test_a_run_is_a_function_of_its_seed(spec, fitted):
    first, again, other = (execute_run(run(spec, seed=seed)).metrics for seed in (3, 3, 4))
    assert first == again
    assert first['test_uniformity'] != other['test_uniformity']
    weights = [state[FIRST] for _, state, _ in fitted]
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=0)
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.slow
def test_the_net_of_a_seed_starts_equal_trained_or_not(spec, fitted):
    execute_run(run(spec, UNTRAINED, seed=5))
    execute_run(run(spec, {**MOCO, 'init_args': {'lr': 0.0}}, seed=5))
    (_, untrained, _), (_, still, _) = fitted
    torch.testing.assert_close(untrained[FIRST], still[FIRST], rtol=0, atol=0)


@pytest.mark.parametrize('trainer', [{'max_steps': 0}, {'max_epochs': 0}])
def test_an_untrained_net_has_statistics_of_images_and_the_weights_it_started_with(
    trainer, spec, fitted
):
    metrics = execute_run(run(spec, {**MOCO, 'trainer': trainer})).metrics
    ((steps, before, task),) = fitted
    assert steps == 0
    assert metrics['knn5_OverallAccuracy'] >= 0
    parameters = dict(task.named_parameters())
    for name, value in before.items():
        if name in parameters:
            torch.testing.assert_close(parameters[name], value, rtol=0, atol=0)
    assert before['model.bn1.running_mean'].eq(0).all()
    assert task.model.bn1.running_mean.ne(0).all()
    online = [task.inputs, task.model, task.projector]
    for layer in (layer for part in online for layer in part.modules()):
        if isinstance(layer, NORMS):
            assert layer.running_mean.ne(0).any()
            assert not layer.training


@pytest.mark.slow
def test_a_trained_net_has_exact_statistics_and_its_weights(spec, fitted):
    execute_run(run(spec))
    ((_, before, task),) = fitted
    for name, value in task.named_parameters():
        torch.testing.assert_close(value.data, before[name], rtol=0, atol=0)
    _, datamodule = loaded(spec['data']['init_args']['root'])
    images = torch.cat([
        datamodule.on_after_batch_transfer(batch, 0)['image'][:, 0]
        for batch in datamodule.ordered_dataloader('train')
    ])  # fmt: skip
    pixels = task.inputs.unnormalized(images).transpose(0, 2).flatten(1)
    torch.testing.assert_close(task.inputs.standardize.running_mean, pixels.mean(1))
    assert not torch.equal(before['model.bn1.running_mean'], task.model.bn1.running_mean)


def test_measures_without_labels_and_the_scores_of_each_image(spec, tmp_path):
    result = execute_run(run(spec))
    metrics, scores = result.metrics, result.image_scores
    assert 1 <= metrics['effective_rank'] <= 18
    assert 0 < metrics['nce_over_chance'] < 3
    # Three locations of six dates.
    assert [len(set(result.locations.tolist())), len(result.locations)] == [3, 18]
    for name in ('knn5_OverallAccuracy', 'linear_OverallAccuracy', 'same_location_auc'):
        assert scores[name].mean() == pytest.approx(metrics[name], abs=1e-6)
    result.save(tmp_path, {})
    kept = evaluation.Result.load(tmp_path)
    assert kept.locations.tolist() == result.locations.tolist()
    assert {name: array.tolist() for name, array in kept.image_scores.items()} == {
        name: array.tolist() for name, array in scores.items()
    }


def test_features_beside_histograms_are_judged_if_asked_for(spec):
    spec['metrics'] = ['knn5_OverallAccuracy', 'fused_linear_OverallAccuracy']
    spec['model'] = {}
    statistics, both = (
        execute_run(run(spec, {'class_path': f'torchgeo_saco.evaluation.{name}'})).metrics
        for name in ('ImageStatistics', 'ColorAndTexture')
    )
    names = {name.removeprefix('fused_') for name in statistics if name.startswith('fused_')}
    assert {'knn5_OverallAccuracy', 'linear_OverallAccuracy', 'linear_Accuracy_town'} <= names
    assert {name: statistics[f'fused_{name}'] for name in names} == pytest.approx(
        {name: both[name] for name in names}, nan_ok=True
    )


@pytest.mark.slow
def test_images_that_lack_half_of_their_groups_are_judged_if_asked_for(spec, places):
    spec['metrics'] = ['halved_knn5_OverallAccuracy']
    assert math.isnan(execute_run(run(spec)).metrics['halved_knn5_OverallAccuracy'])
    # A result without the score does not stand for one with it.
    keys = [
        run({**spec, 'metrics': metrics}).key
        for metrics in ([], ['knn5_OverallAccuracy'], ['halved_x'], ['fused_x'])
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    # Two groups of the same bands: half of them, with their textures, say as much as both.
    bands = ['B04', 'B03', 'B02']
    spec['model']['init_args'] |= {'groups': {'one': bands, 'other': bands}}
    for texture, histograms in ((False, False), (True, False), (True, True)):
        spec['model']['init_args'] |= {'texture': texture, 'texture_histograms': histograms}
        metrics = execute_run(run(spec)).metrics
        assert metrics['halved_knn5_OverallAccuracy'] == pytest.approx(
            metrics['knn5_OverallAccuracy']
        )


@pytest.mark.slow
def test_series_are_judged_without_labels(spec, tmp_path):
    dates = ('20180410', '20180715', '20181005')
    root = write_archive(tmp_path, 8, dates, ('B2', 'B3', 'B4'), size=16)
    spec['data']['init_args']['root'] = str(root)
    with pytest.raises(
        ValueError, match=r'knn5_OverallAccuracy needs labels, and .* has none; add'
    ):
        execute_run(run({**spec, 'metrics': ['knn5_OverallAccuracy']}))
    result = execute_run(run(spec))
    assert 0 <= result.metrics['same_location_auc'] <= 1
    assert result.metrics['effective_rank'] >= 1
    assert not any('knn' in name for name in result.metrics)
    assert set(result.image_scores) == {'same_location_auc'}
    assert len(result.locations) == len(result.image_scores['same_location_auc']) > 0
    # One date of a location says nothing.
    spec['data']['init_args']['dates'] = 1
    spec['data']['init_args']['root'] = str(
        write_archive(tmp_path / 'single', 8, dates[:1], ('B2', 'B3', 'B4'), size=16)
    )
    with pytest.raises(ValueError, match='neither labels nor several dates of a location judge'):
        execute_run(run(spec))


@pytest.mark.slow
@pytest.mark.parametrize('name', ['ImageStatistics', 'LBPHistograms', 'ColorAndTexture'])
def test_features_of_images_are_judged_without_training(name, spec, fitted):
    spec['model'] = {}
    encoder = {'class_path': f'torchgeo_saco.evaluation.{name}', 'init_args': {}}
    metrics = execute_run(run(spec, encoder)).metrics
    assert not fitted
    assert {'knn5_OverallAccuracy', 'linear_OverallAccuracy', 'same_location_auc'} <= set(metrics)
    assert math.isnan(metrics['nce_over_chance'])


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:MoCo v2 only uses 2 layers')
@pytest.mark.parametrize('name', ['MoCo', 'SimCLR', 'BYOL'])
def test_tasks_of_torchgeo_are_trained_and_probed(name, spec, fitted):
    spec['model'] = {}
    spec['data']['init_args'] |= {'time_axis': False, 'dates': 1, 'bands': ['B02', 'B03', 'B04']}
    arguments = {'model': 'resnet18', 'in_channels': 3}
    arguments |= {} if name == 'BYOL' else {'size': 32}
    if name == 'MoCo':
        arguments |= {'version': 2, 'memory_bank_size': 16}
    encoder = {'class_path': f'torchgeo.tasks.{name}', 'init_args': arguments}
    metrics = execute_run(run(spec, encoder)).metrics
    assert [steps for steps, _, _ in fitted] == [2]
    assert {'knn5_OverallAccuracy', 'linear_OverallAccuracy', 'effective_rank'} <= set(metrics)


def test_calibrated_projections_have_zero_mean_and_unit_variance(places):
    task, datamodule = loaded(places, groups=['natural_color', 'urban'])
    datamodule.batch_size = 36
    task.train()
    fit_exact_statistics(task, datamodule, trained=False)
    assert task.training
    assert task.model.bn1.momentum == 0.1
    (batch,) = datamodule.ordered_dataloader('train')
    image = datamodule.on_after_batch_transfer(batch, 0)['image'][:, 0]
    task.eval()
    with torch.no_grad():
        groups = task.inputs(image).movedim(2, 0).flatten(1)
        projections = task.query(image).flatten(0, 2)
    torch.testing.assert_close(groups.mean(1), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(groups.std(1), torch.ones(3), rtol=0, atol=1e-3)
    # Layer upon layer the variance of a batch, a little smaller than that of all, makes a
    # difference.
    torch.testing.assert_close(projections.mean(0), torch.zeros(128), rtol=0, atol=0.05)
    torch.testing.assert_close(projections.std(0), torch.ones(128), rtol=0, atol=0.05)


def test_statistics_are_of_images_in_random_order(places):
    # Two classes that differ in brightness: a batch of one class spreads less than the images.
    task, datamodule = loaded(places)
    datamodule.batch_size = 6
    orders = [
        torch.cat(
            [batch['location'] for batch in datamodule.ordered_dataloader('train', shuffled=on)]
        )
        for on in (False, True, True)
    ]
    assert torch.equal(orders[0], orders[0].sort().values)
    assert torch.equal(orders[1], orders[2])
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(orders[0], orders[1].sort().values)
    asked, loader = [], datamodule.ordered_dataloader
    datamodule.ordered_dataloader = lambda *args, **more: (
        asked.append(more) or loader(*args, **more)
    )
    fit_exact_statistics(task, datamodule, trained=False)
    assert len(asked) > 1
    assert all(more == {'shuffled': True} for more in asked)


def test_byol_is_judged_by_its_backbone_and_not_by_its_predictor():
    task = BYOL(model='resnet18', in_channels=6).eval()
    images = torch.rand(2, 6, 32, 32)
    split = SimpleNamespace(
        classes=['a'],
        ordered_dataloader=lambda split: [{'image': images, 'label': torch.zeros(2)}],
        transfer_batch_to_device=lambda batch, device, number: batch,
        on_after_batch_transfer=lambda batch, number: batch,
    )
    with torch.no_grad():
        found = embeddings(task, split, 'test').features
        net = task.model.backbone.model
        wanted = net.forward_head(net.forward_features(images))
    torch.testing.assert_close(found, wanted)


def test_calibration_does_not_depend_on_the_order_of_batches_nor_on_one_left_over(places):
    means = []
    for size in (36, 35):
        torch.manual_seed(0)
        task, datamodule = loaded(places)
        datamodule.batch_size = size
        fit_exact_statistics(task, datamodule, trained=False)
        means.append(task.inputs.standardize.running_mean)
    torch.testing.assert_close(*means)


def test_initial_weights_keep_the_statistics_they_bring(places, tmp_path):
    source, _ = loaded(places)
    with torch.no_grad():
        source.model.bn1.running_mean.fill_(0.25)
    torch.save(source.model.state_dict(), tmp_path / 'start.pt')
    task, datamodule = loaded(places, weights=str(tmp_path / 'start.pt'))
    fit_exact_statistics(task, datamodule, trained=False)
    assert task.model.bn1.running_mean.eq(0.25).all()
    assert task.inputs.standardize.running_mean.ne(0).any()


def test_a_task_without_groups_is_not_calibrated(places):
    _, datamodule = loaded(places)
    with pytest.raises(ValueError, match='the groups are unknown; set bands of the task'):
        task = SACo(model='test_resnet', size=16, queue_size=6)
        fit_exact_statistics(task, datamodule, trained=False)


def test_a_typo_of_an_encoder_is_named_with_what_was_meant(spec):
    wrong = {**MOCO, 'init_args': {'temporel': True}}
    with pytest.raises(evaluation.SettingsError, match=(
        r"^encoder x on benchmark places: .*'temporel' is not accepted; did you mean 'temporal'"
    )):  # fmt: skip
        run(spec, wrong)


@pytest.fixture
def settings(places, tmp_path, monkeypatch):
    """Reads a comparison, made small: its data, net and steps are those of a test."""
    monkeypatch.chdir(CONFIGS.parent)
    small = {
        'model': {'init_args': {'model': 'test_resnet', 'size': 16, 'queue_size': 6}},
        'data': {
            'init_args': {
                'archive': 'folder',
                'root': str(places),
                'download': False,
                'batch_size': 4,
            }
        },
        'trainer': {'max_steps': 1, 'accelerator': 'cpu'},
    }

    def read(name):
        given = yaml.safe_load((CONFIGS / f'{name}.yaml').read_text())
        for encoder in given['encoders'].values():
            arguments = encoder.get('data', {}).get('init_args', {})
            arguments.pop('batch_size', None)
        given['benchmarks'] = merge_configs(given['benchmarks'], {'sample': small})
        path = tmp_path / f'{name}.yaml'
        path.write_text(yaml.safe_dump(given, sort_keys=False))
        return read_settings([f'--config={path}', '--seeds=[0]', f'--output={tmp_path / name}'])

    return read


@pytest.mark.slow
@pytest.mark.parametrize(('name', 'rows'), [('compare', 21), ('ablation', 19)])
def test_every_row_runs_and_is_judged_on_the_same_images(name, rows, settings, tmp_path):
    report = evaluation.evaluate(settings(name))
    assert len(report.results) == rows
    text = (tmp_path / name / 'results.md').read_text()
    assert '| encoder | knn5 OverallAccuracy | linear OverallAccuracy | ' in text
    assert 'Not comparable' not in text
    assert all(f'| {run.encoder} | ' in text for run, _ in report.results)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'lists', 'rows'),
    [('eurosat_rgb', 'eurosat_rgb', 10), ('ablation_eurosat_rgb', 'eurosat_rgb_tenth', 12)],
)
def test_every_row_of_eurosat_runs(name, lists, rows, tmp_path, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    images = write_image_folders(tmp_path / 'images', count=12)
    for split, numbers in {'train': range(6), 'val': range(6, 9), 'test': range(9, 12)}.items():
        lines = [f'{label}_{n}.jpg\n' for label in ('Forest', 'River') for n in numbers]
        (images / f'{lists}-{split}.txt').write_text(''.join(lines))
    given = yaml.safe_load((CONFIGS / f'{name}.yaml').read_text())
    for encoder in given['encoders'].values():
        if encoder.get('trainer', {}).get('max_steps'):
            del encoder['trainer']
        if 'init_args' in encoder:
            encoder['init_args']['model'] = 'test_resnet'
    ((benchmark, parts),) = given['benchmarks'].items()
    small = {
        'model': {'init_args': {'model': 'test_resnet', 'size': 16, 'queue_size': 8}},
        'data': {'init_args': {'root': str(images), 'batch_size': 4}},
        'trainer': {'max_steps': 1, 'accelerator': 'cpu'},
    }
    given['benchmarks'][benchmark] = merge_configs(parts, small)
    path = tmp_path / f'{name}.yaml'
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    report = evaluation.evaluate(
        read_settings([f'--config={path}', '--seeds=[0]', f'--output={tmp_path / "out"}'])
    )
    assert len(report.results) == len(given['encoders']) == rows
    asked = {name for name in parts['metrics'] if 'Accuracy' in name}
    assert {'knn5_OverallAccuracy', 'linear_OverallAccuracy'} <= asked
    for _, result in report.results:
        assert all(result.metrics[name] >= 0 for name in asked)


@pytest.mark.slow
@pytest.mark.parametrize('names', ['compare', 'ablation', 'compare series', 'ablation series'])
def test_rows_differ_in_their_method_alone(names, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    files = [f'--config=configs/{name}.yaml' for name in names.split()]
    planned = plan_runs(read_settings(files))
    assert {run.seed for run in planned} >= {0, 1, 2}
    assert {run.synthetic for run in planned} == {'series' not in names}
    # The others have no argument that ours could share.
    planned = [run for run in planned if run.parts.model.class_path.startswith(TASKS)]
    assert len({run.encoder for run in planned}) >= 6
    spoken = {
        'groups', 'texture', 'temporal', 'alignment_weight', 'change_aware', 'contrast_groups',
        'group_dropout', 'texture_histograms', 'augment_query', 'temperature', 'queue_size',
    }  # fmt: skip
    shared, data, steps = [], [], set()
    for each in planned:
        model = each.parts.model
        names = set(model.init_args.keys()) - spoken - {'squared_ratio', 'ratio_decay', 'bands'}
        shared.append({key: model.init_args[key] for key in names})
        data.append({key: value for key, value in each.parts.data.init_args.items()
                     if key not in ('dates', 'item', 'batch_size', 'bands')})  # fmt: skip
        years = 2 if each.parts.data.init_args.item == 'years' else 1
        # Images that ask, in a step.
        assert years * each.parts.data.init_args.batch_size == 32
        if each.encoder.startswith('random'):
            assert each.parts.trainer.max_steps == 0
        else:
            steps.add(each.parts.trainer.max_steps)
    assert len(steps) == 1
    assert all(arguments == shared[0] for arguments in shared)
    assert all(arguments == data[0] for arguments in data)
    bands = {run.encoder: str(run.parts.data.init_args.bands) for run in planned}
    assert bands.pop('all groups of all bands', 'None') == 'None'
    assert len(set(bands.values())) == 1 and 'None' not in bands.values()


def test_fewer_training_images_than_neighbours_vote_all(spec, monkeypatch):
    monkeypatch.setattr(runs, '_NEIGHBOURS', 1000)
    spec['model'] = {}
    statistics = {'class_path': 'torchgeo_saco.evaluation.ImageStatistics'}
    accuracy = execute_run(run(spec, statistics)).metrics['knn1000_OverallAccuracy']
    assert 0 < accuracy < 1
