# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the tables in docs/interop.md: ours and TorchGeo's, both ways."""

import kornia.augmentation as K
import numpy as np
import pytest
import timm
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from rasterio.transform import from_origin
from torch.utils.data import DataLoader
from torchgeo import tasks as stock
from torchgeo.datamodules import BigEarthNetDataModule, EuroSATDataModule
from torchgeo.datasets import EuroSAT, RasterDataset, stack_samples
from torchgeo.samplers import RandomPatchSampler

from torchgeo_saco import tasks
from torchgeo_saco.datamodules import OSCDTilesDataModule, PASTISFoldsDataModule, SeasonalDataModule
from torchgeo_saco.datamodules import oscd as oscd_module
from torchgeo_saco.models.weights import create_backbone
from torchgeo_saco.transforms import LocalBinaryPattern, SemanticGroups

from .data.archives import write_tif
from .data.benchmark_trees import write_oscd, write_pastis
from .data.scenes import S2_BANDS, write_bigearthnet, write_eurosat
from .data.stock import SECO_BANDS, seco, ssl4eo, ssl4eo_bands
from .data.tasks import trainer

SMALL = {'model': 'test_resnet', 'size': 16, 'queue_size': 8, 'output_dim': 8, 'hidden_dims': [16]}
FAST = {'fast_dev_run': True}


def fit(folder, task, datamodule, **arguments):
    trainer(folder, **(FAST | arguments)).fit(task, datamodule=datamodule)


# TorchGeo's datamodules in our tasks.
@pytest.mark.slow
@pytest.mark.parametrize(
    ('method', 'seasons'),
    [('MoCo', 1), ('MoCo', 2), ('SACo', 2), ('SACo', 3), ('SeCo', 3), ('SeCo', 4)],
)
def test_seasonal_contrast_of_torchgeo(tmp_path, monkeypatch, method, seasons):
    datamodule = seco(tmp_path / 'data', monkeypatch, seasons)
    task = getattr(tasks, method)(
        bands=SECO_BANDS, sensor='sentinel2_l2a', groups=['natural_color', 'near_infrared'],
        texture=False, **SMALL,
    )  # fmt: skip
    fit(tmp_path, task, datamodule)


@pytest.mark.parametrize(
    ('split', 'sensor', 'options'),
    [
        ('s2c', 'sentinel2_l1c', {'groups': ['natural_color']}),
        ('s2a', 'sentinel2_l2a', {'groups': None}),
        ('s1', 'sentinel1', {'input_bands': ['VV', 'VH']}),
    ],
)
@pytest.mark.filterwarnings('ignore:features have collapsed')
@pytest.mark.parametrize('seasons', [1, 2])
def test_ssl4eo_of_torchgeo(tmp_path, monkeypatch, split, sensor, options, seasons):
    datamodule = ssl4eo(tmp_path / 'data', monkeypatch, split, seasons)
    method = tasks.MoCo if seasons == 1 else tasks.SACo
    options = {'texture': False} | options
    fit(tmp_path, method(bands=ssl4eo_bands(split), sensor=sensor, **options, **SMALL), datamodule)


@pytest.mark.parametrize(
    ('method', 'bands', 'message'),
    [
        ('SACo', SECO_BANDS, 'data.dict_kwargs.seasons'),
        ('CACo', SECO_BANDS, 'train on SeasonalDataModule with item=years'),
        ('MoCo', SECO_BANDS[:3], 'image has 4 channels, which are no whole dates of the 3 bands'),
    ],
)
def test_torchgeo_datamodules_that_do_not_suffice(tmp_path, monkeypatch, method, bands, message):
    datamodule = seco(tmp_path / 'data', monkeypatch, 1)
    task = getattr(tasks, method)(
        bands=bands, sensor='sentinel2_l2a', groups=['natural_color'], texture=False, **SMALL
    )
    with pytest.raises(ValueError, match=message):
        fit(tmp_path, task, datamodule)


class BandFiles(RasterDataset):
    """A scene of one file a band."""

    filename_glob = 'B02.tif'
    filename_regex = r'^(?P<band>B\w\w)\.tif$'
    separate_files = True
    all_bands = ('B02', 'B03', 'B04')


@pytest.mark.filterwarnings('ignore:You defined a `validation_step`')
def test_raster_dataset_of_torchgeo_in_pre_training(tmp_path):
    place = {'crs': 'EPSG:32631', 'transform': from_origin(600000, 5000040, 10, 10)}
    for number, band in enumerate(BandFiles.all_bands):
        image = np.random.default_rng(number).integers(1, 4000, (64, 64)).astype('uint16')
        write_tif(tmp_path / 'scene' / f'{band}.tif', image, **place)
    dataset = BandFiles(
        tmp_path / 'scene', transforms=lambda sample: {'image': sample['image'] / 10000}
    )
    sampler = RandomPatchSampler(dataset, size=32, length=8)
    loader = DataLoader(dataset, 4, sampler=sampler, collate_fn=stack_samples)
    task = tasks.MoCo(bands=dataset.all_bands, groups=['natural_color'], texture=False, **SMALL)
    trainer(tmp_path, max_steps=2).fit(task, loader)
    assert task.global_step == 2


@pytest.mark.filterwarnings('ignore:No positive samples')
@pytest.mark.parametrize(
    ('module', 'write', 'arguments', 'options'),
    [
        (
            EuroSATDataModule, write_eurosat, {'bands': EuroSAT.all_band_names},
            {'bands': EuroSAT.all_band_names, 'num_classes': 10},
        ),
        (
            BigEarthNetDataModule, write_bigearthnet, {'bands': 's2', 'num_classes': 19},
            {'bands': S2_BANDS, 'sensor': 'sentinel2_l2a', 'task': 'multilabel', 'loss': 'bce',
             'num_classes': 19},
        ),
    ],
    ids=['EuroSAT', 'BigEarthNet'],
)  # fmt: skip
def test_labelled_scenes_of_torchgeo_in_our_classification(
    tmp_path, module, write, arguments, options
):
    datamodule = module(batch_size=2, root=write(tmp_path / 'data'), **arguments)
    task = tasks.GroupClassification(model='test_resnet', groups=['natural_color'], **options)
    with pytest.warns(UserWarning, match='see that images are reflectance'):
        fit(tmp_path, task, datamodule)


def test_two_images_under_keys_are_two_dates():
    first, second = torch.rand(2, 2, 4, 16, 16)
    task = tasks.MoCo(bands=SECO_BANDS, groups=['natural_color'], **SMALL)
    joined = task.images({'image1': first, 'image2': second})
    assert torch.equal(joined, torch.stack([first, second], 1))
    with pytest.raises(ValueError, match='no image, but mask; give the images under the key image'):
        task.images({'mask': first})


# Our datamodules in TorchGeo's tasks.
STOCK = {
    'MoCo': {'size': 32, 'memory_bank_size': 8},
    'SimCLR': {'size': 32},
    'BYOL': {},
    'MAE': {'model': 'test_vit', 'size': 160, 'decoder_dim': 32},
}


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', STOCK)
def test_seasonal_archive_in_pre_training_of_torchgeo(archive, tmp_path, name):
    datamodule = SeasonalDataModule(
        root=archive, bands=['B4', 'B3', 'B2'], dates=1, time_axis=False, batch_size=4
    )
    arguments = {'model': 'test_resnet', 'in_channels': 3} | STOCK[name]
    fit(tmp_path, getattr(stock, name)(**arguments), datamodule)


@pytest.mark.filterwarnings('ignore')
def test_groups_as_augmentation_of_torchgeo(tmp_path, monkeypatch):
    datamodule = seco(tmp_path / 'data', monkeypatch, 1)
    datamodule.train_aug = K.AugmentationSequential(
        SemanticGroups(SECO_BANDS, ['natural_color', 'near_infrared'], flatten=True),
        LocalBinaryPattern(normalize=True),
        data_keys=None,
    )
    seen = []
    task = stock.MoCo('test_resnet', in_channels=6, memory_bank_size=8, size=16)
    task.augmentation1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    fit(tmp_path, task, datamodule)
    assert seen[0][1] == 6


def test_no_time_axis_is_for_one_date(archive):
    datamodule = SeasonalDataModule(root=archive, time_axis=False, batch_size=4)
    with pytest.raises(ValueError, match='one date without an axis, got dates=2, item=date; set d'):
        datamodule.setup('fit')


@pytest.mark.parametrize('method', ['MoCo'])
def test_no_time_axis_serves_our_tasks_as_well(archive, tmp_path, method):
    datamodule = SeasonalDataModule(root=archive, dates=1, time_axis=False, batch_size=4)
    fit(tmp_path, getattr(tasks, method)(groups=['natural_color'], **SMALL), datamodule)
    sample = datamodule.train_dataset[0]
    assert sample['image'].shape == (12, 36, 36)
    assert sample['date'].ndim == 0
    assert datamodule.plot(sample) is not None


OSCD = {'in_channels': 4, 'backbone': 'resnet18', 'ignore_index': -1}


@pytest.mark.slow
@pytest.mark.parametrize(
    'arguments',
    [
        {'model': 'fcsiamdiff', 'task': 'multiclass', 'num_classes': 2, 'loss': 'ce'},
        {'model': 'fcsiamdiff', 'task': 'binary', 'loss': 'focal'},
        {'model': 'unet', 'task': 'binary', 'loss': 'focal'},
    ],
)
def test_oscd_in_change_detection_of_torchgeo(tmp_path, arguments):
    datamodule = oscd(tmp_path, mask_channel=True)
    fit(tmp_path, stock.ChangeDetection(**(OSCD | arguments)), datamodule)


@pytest.mark.parametrize('arguments', [{'loss': 'bce'}, {'loss': 'focal', 'ignore_index': None}])
def test_ignored_pixels_that_a_stock_loss_would_count(tmp_path, arguments):
    task = stock.ChangeDetection(**(OSCD | {'model': 'fcsiamdiff', 'task': 'binary'} | arguments))
    with pytest.raises(ValueError, match=r'set model.init_args.ignore_index to -1 and loss'):
        fit(tmp_path, task, oscd(tmp_path, mask_channel=True))


def test_logger_that_change_detection_of_torchgeo_cannot_draw_in(tmp_path):
    arguments = {'model': 'fcsiamdiff', 'task': 'binary', 'loss': 'focal'}
    task = stock.ChangeDetection(**(OSCD | arguments))
    run = trainer(
        tmp_path, logger=TensorBoardLogger(tmp_path), limit_train_batches=1, limit_val_batches=1,
        log_every_n_steps=1,
    )  # fmt: skip
    datamodule = oscd(tmp_path, mask_channel=True)
    if oscd_module._draws_series():
        run.fit(task, datamodule=datamodule)
    else:
        with pytest.raises(ValueError, match=r'cannot draw .* set trainer.logger to lightning'):
            run.fit(task, datamodule=datamodule)


def oscd(folder, **arguments):
    root = write_oscd(folder / 'oscd')
    bands = ['B02', 'B03', 'B04', 'B08']
    return OSCDTilesDataModule(root=root, bands=bands, size=64, batch_size=2, **arguments)


def test_masks_with_a_channel_in_our_task(tmp_path):
    task = tasks.GroupChangeDetection(model='test_resnet', groups=['natural_color'], texture=False)
    fit(tmp_path, task, oscd(tmp_path, mask_channel=True))


def pastis(folder, **arguments):
    root = write_pastis(folder / 'pastis')
    bands = ['B02', 'B03', 'B04', 'B08']
    return PASTISFoldsDataModule(root=root, bands=bands, batch_size=2, **arguments)


@pytest.mark.slow
@pytest.mark.parametrize('dates', [None, 1])
def test_pastis_in_segmentation_of_torchgeo(tmp_path, dates):
    task = stock.SemanticSegmentation(
        backbone='resnet18', in_channels=4, task='multiclass', num_classes=20, loss='ce'
    )
    fit(tmp_path, task, pastis(tmp_path, dates=dates, time_axis=False))


def test_series_in_segmentation_of_torchgeo(tmp_path):
    task = stock.SemanticSegmentation(
        backbone='resnet18', in_channels=4, task='multiclass', num_classes=20, loss='ce'
    )
    with pytest.raises(ValueError, match=r'set data.init_args.time_axis to false for the mean'):
        fit(tmp_path, task, pastis(tmp_path))


def test_series_in_spatiotemporal_segmentation_of_torchgeo(tmp_path):
    task = stock.SpatioTemporalSegmentation(
        model='convlstm', in_channels=4, task='multiclass', num_classes=20, loss='ce',
        hidden_dim=4, kernel_size=3, num_layers=1,
    )  # fmt: skip
    fit(tmp_path, task, pastis(tmp_path, dates=2))


def test_image_of_pastis_is_the_mean_of_its_dates(tmp_path):
    series, mean = (pastis(tmp_path / 'x', time_axis=axis) for axis in (True, False))
    images = []
    for datamodule in (series, mean):
        datamodule.setup('fit')
        images.append(datamodule.train_dataset[0]['image'])
    assert torch.equal(images[0].float().mean(0), images[1])
    assert mean.plot(mean.train_dataset[0]).axes[0].get_title() == 'mean of the dates'


# Tensors in our downstream tasks, and what they refuse.
TASKS = {
    'GroupClassification': ((2, 4, 32, 32), (2, 3)),
    'GroupSegmentation': ((2, 4, 32, 32), (2, 3, 32, 32)),
    'GroupChangeDetection': ((2, 2, 4, 32, 32), (2, 2, 32, 32)),
}


def downstream(name, **arguments):
    options = {'model': 'test_resnet', 'groups': ['natural_color'], 'texture': False}
    return getattr(tasks, name)(
        bands=['B02', 'B03', 'B04', 'B08'],
        num_classes=2 if name == 'GroupChangeDetection' else 3,
        **(options | arguments),
    ).eval()


@pytest.mark.parametrize('name', TASKS)
def test_forward_takes_a_tensor(name):
    task = downstream(name)
    shape, scores = TASKS[name]
    image = torch.rand(shape)
    assert task(image).shape == scores
    assert torch.equal(task(image), task({'image': image}))


@pytest.mark.parametrize(
    ('name', 'image', 'message'),
    [
        ('GroupClassification', torch.rand(2, 1, 4, 32, 32), r'takes images \(B C H W\), got \(2,'),
        ('GroupClassification', torch.rand(4, 32, 32), r'takes images \(B C H W\), got \(4,'),
        ('GroupSegmentation', torch.rand(2, 2, 2, 4, 32, 32), r'\(B C H W\) or \(B T C H W\), got'),
        ('GroupChangeDetection', torch.rand(2, 4, 32, 32), r'takes images \(B 2 C H W\), got'),
        ('GroupClassification', torch.zeros(2, 4, 32, 32).short(), 'image holds int16, and t'),
        ('GroupClassification', torch.rand(2, 3, 32, 32), 'image has 3 channels where the bands'),
    ],
)  # fmt: skip
def test_images_of_other_axes_are_refused(name, image, message):
    with pytest.raises(ValueError, match=message):
        downstream(name)(image)


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (torch.zeros(4, 4, 16, 16).int(), 'image holds int32, and the encoder takes reflectance'),
        (torch.rand(4, 16, 16), r'image must be \(B, T, 4, H, W\) or'),
        (torch.rand(4, 6, 16, 16), 'image has 6 channels, which are no whole dates of the 4 bands'),
    ],
)
def test_images_of_other_axes_are_refused_in_pre_training(image, message):
    task = tasks.MoCo(bands=SECO_BANDS, groups=['natural_color'], **SMALL)
    with pytest.raises(ValueError, match=message):
        task.images({'image': image})


# Backbones of fixed size.
@pytest.mark.slow
@pytest.mark.parametrize(
    ('model', 'size'),
    [
        ('vit_tiny_patch16_224', 64),
        ('swin_tiny_patch4_window7_224', 48),
        ('swinv2_tiny_window8_256', 64),
    ],
)
def test_transformers_at_the_size_of_the_view(archive, tmp_path, model, size):
    datamodule = SeasonalDataModule(root=archive, bands=['B4', 'B3', 'B2'], batch_size=2)
    arguments = SMALL | {'model': model, 'size': size, 'groups': ['natural_color']}
    task = tasks.MoCo(**arguments)
    fit(tmp_path, task, datamodule)
    # Tensors are those of the published net, so weights go both ways.
    published = timm.create_model(model, num_classes=0).state_dict()
    ours = task.model.state_dict()
    assert {name: part.shape for name, part in ours.items()} == {
        name: part.shape for name, part in published.items()
    }


@pytest.mark.parametrize(
    ('model', 'size', 'message'),
    [
        ('vit_tiny_patch16_224', 50, r'50 x 50 px \(Input height \(50\) should be divisible by p'),
        ('pit_ti_224', 64, 'pit_ti_224 does not take images of 64 x 64 px .* give it 224 x 224 px'),
    ],
)
def test_transformers_at_sizes_they_do_not_take(model, size, message):
    task = tasks.MoCo(
        bands=SECO_BANDS, groups=['natural_color'], **(SMALL | {'model': model, 'size': size})
    )
    with pytest.raises(ValueError, match=message):
        task(torch.rand(2, 4, 64, 64))


@pytest.mark.slow
@pytest.mark.parametrize('model', ['test_vit', 'swin_tiny_patch4_window7_224'])
def test_transformers_group_by_group(model):
    # Without BatchNorm nothing but memory differs.
    whole, parts = (
        tasks.SACo(
            bands=SECO_BANDS,
            texture=False,
            checkpoint_groups=checkpoint_groups,
            **(SMALL | {'model': model, 'size': 64}),
        )
        for checkpoint_groups in (False, True)
    )
    parts.load_state_dict(whole.state_dict())
    image = torch.rand(2, len(SECO_BANDS), 64, 64)
    # Dropped paths are drawn anew in every call.
    features = [task.eval().encoder(image) for task in (whole, parts)]
    torch.testing.assert_close(*features)
    for output in features:
        output.square().mean().backward()
    for one, other in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize('model', ['test_vit', 'swin_tiny_patch4_window7_224'])
def test_transformers_compile_to_one_graph(model):
    torch.compiler.reset()
    backbone = create_backbone(model).eval()
    compiled = torch.compile(backbone, fullgraph=True, backend='eager')
    for size in (64, 96):
        images = torch.rand(2, 3, size, size)
        torch.testing.assert_close(compiled(images), backbone(images))


@pytest.mark.parametrize(
    ('model', 'decoder', 'works'),
    [
        ('test_vit', 'linear', True),
        ('test_vit', 'unet', False),
        ('swin_tiny_patch4_window7_224', 'unet', True),
        ('swin_tiny_patch4_window7_224', 'linear', True),
    ],
)
def test_transformers_in_segmentation(model, decoder, works):
    if works:
        task = downstream('GroupSegmentation', model=model, decoder=decoder)
        assert task(torch.rand(1, 4, 64, 64)).shape == (1, 3, 64, 64)
    else:
        with pytest.raises(ValueError, match='maps of one size; set decoder to linear'):
            downstream('GroupSegmentation', model=model, decoder=decoder)


@pytest.mark.parametrize(
    ('model', 'weights', 'message'),
    [
        ('resnet18', 'Swin_V2_B_Weights.SENTINEL2_MI_MS_SATLAS', 'of swin_v2_b, which is no model'),
        ('resnet18', 'ResNet50_Weights.SENTINEL2_RGB_MOCO', '.* set model to resnet50'),
    ],
)
def test_weights_of_another_net(model, weights, message):
    with pytest.raises(ValueError, match=message):
        create_backbone(model, weights)


# Our checkpoints in TorchGeo's tasks.
@pytest.fixture(scope='module')
def checkpoint(archive, tmp_path_factory):
    """Checkpoint of one step of MoCo, and the weights in it."""
    folder = tmp_path_factory.mktemp('checkpoint')
    datamodule = SeasonalDataModule(root=archive, bands=['B4', 'B3', 'B2'], batch_size=4)
    task = tasks.MoCo(**(SMALL | {'model': 'resnet18', 'groups': ['natural_color']}))
    run = trainer(folder, max_steps=1, limit_val_batches=0)
    run.fit(task, datamodule=datamodule)
    run.save_checkpoint(folder / 'last.ckpt')
    return str(folder / 'last.ckpt'), task.model.state_dict()


@pytest.mark.parametrize(
    ('name', 'arguments'),
    [
        ('Classification', {'model': 'resnet18', 'num_classes': 2}),
        ('Regression', {'model': 'resnet18'}),
        ('SemanticSegmentation', {'model': 'unet', 'backbone': 'resnet18', 'num_classes': 2}),
        ('ChangeDetection', {'model': 'fcsiamdiff', 'backbone': 'resnet18'}),
    ],
)
def test_our_checkpoint_in_tasks_of_torchgeo(checkpoint, name, arguments):
    path, weights = checkpoint
    loaded = getattr(stock, name)(weights=path, in_channels=3, **arguments).model
    found = getattr(loaded, 'encoder', loaded).state_dict()
    for key, weight in weights.items():
        torch.testing.assert_close(found[key], weight)
