# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the transforms within Kornia's containers and TorchGeo's tasks and datamodules."""

import copy
import math
import pickle

import kornia
import kornia.augmentation as K
import numpy as np
import pytest
import rasterio
import torch
from lightning.pytorch import Trainer
from packaging.version import Version
from rasterio.transform import from_origin
from torch.utils.data import DataLoader, Dataset
from torchgeo.datamodules import EuroSATDataModule
from torchgeo.datasets import EuroSAT
from torchgeo.tasks import MoCo

from torchgeo_saco.transforms import (
    LBPHistogram,
    LocalBinaryPattern,
    SelectBands,
    SemanticGroups,
    local_binary_pattern,
)

BANDS = ['B01', 'B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B09', 'B11', 'B12']

# Four groups, so that they have as many channels as the image has bands
FOUR_GROUPS = ['natural_color', 'near_infrared', 'urban', 'agriculture']

BOX = torch.tensor([[1.0, 2.0], [6.0, 2.0], [6.0, 7.0], [1.0, 7.0]])

TRANSFORMS = [
    SelectBands(BANDS, ['B04', 'B03', 'B02']),
    SemanticGroups(BANDS),
    SemanticGroups(BANDS, flatten=True),
    LocalBinaryPattern(8, 1.0),
    LocalBinaryPattern(8, 1.0, normalize=True),
    LBPHistogram(8, 1.0),
]


def identify(transform):
    return f'{type(transform).__name__}{"-flat" * getattr(transform, "flatten", False)}'


each_transform = pytest.mark.parametrize('transform', TRANSFORMS, ids=identify)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Containers write ``keepdim`` into their members."""
    for transform in TRANSFORMS:
        monkeypatch.setattr(transform, 'keepdim', True)


def image(*leading, dtype=torch.float32):
    return torch.randint(2**15, (*leading, len(BANDS), 9, 10)).to(dtype)


def sample(*leading):
    return {
        'image': image(*leading),
        'mask': torch.randint(-1, 300, (*leading, 9, 10)),
        'label': torch.arange(math.prod(leading)),
        'location': torch.arange(math.prod(leading)) + 2**40,
        'date': ['2019-01-01'],
        'bbox': BOX.expand(*leading, 1, 4, 2),
        'keypoints': BOX.expand(*leading, 4, 2),
    }


@each_transform
@pytest.mark.parametrize('keepdim', [None, True])
@pytest.mark.parametrize('leading', [(), (2,)])
def test_container_keeps_the_rank(transform, leading, keepdim):
    x = image(*leading)
    container = K.AugmentationSequential(transform, data_keys=['input'], keepdim=keepdim)
    assert torch.equal(container(x), transform(x))


@each_transform
def test_without_keepdim_an_image_gets_a_batch_axis(transform):
    x = image()
    container = K.AugmentationSequential(transform, data_keys=['input'], keepdim=False)
    assert torch.equal(container(x)[0], copy.deepcopy(transform)(x[None])[0])
    assert container(x).shape[0] == 1
    assert container(image(2)).ndim == transform(image(2)).ndim


@each_transform
@pytest.mark.parametrize('keepdim', [None, True, False])
@pytest.mark.parametrize('leading', [(), (2,)])
def test_samples_change_in_their_image_alone(transform, leading, keepdim):
    batch = sample(*leading)
    if not leading:
        # Kornia gives these a batch axis of their own.
        del batch['bbox'], batch['keypoints']
    before = copy.deepcopy(batch)
    container = K.AugmentationSequential(transform, data_keys=None, keepdim=keepdim)
    after = container(batch)
    expected = transform(before['image'])
    assert torch.equal(after.pop('image'), expected)
    assert after.pop('date') == before['date']
    for key, value in after.items():
        assert torch.equal(value, before[key])
        assert value.dtype == before[key].dtype
    assert torch.equal(batch['image'], before['image'])


@each_transform
def test_series_in_a_video_container(transform):
    x = image(2, 3)
    expected = transform(x)
    assert torch.equal(K.VideoSequential(transform)(x), expected)
    video = K.AugmentationSequential(K.VideoSequential(transform), data_keys=['input'])
    assert torch.equal(video(x), expected)
    still = K.VideoSequential(K.RandomHorizontalFlip(p=0.0))
    beside = K.AugmentationSequential(still, transform, data_keys=['input'])
    assert torch.equal(beside(x), expected)


@each_transform
def test_samples_of_series_in_a_video_container(transform):
    batch = sample(2, 3)
    before = copy.deepcopy(batch)
    after = K.AugmentationSequential(K.VideoSequential(transform), data_keys=None)(batch)
    assert torch.equal(after.pop('image'), transform(before['image']))
    assert after.pop('date') == before['date']
    for key, value in after.items():
        assert torch.equal(value.view(before[key].shape), before[key])


@each_transform
def test_series_need_a_video_container(transform):
    # Documented in ImageTransform. Kornia may lift it, and then the table there is to change.
    container = K.AugmentationSequential(transform, data_keys=['input'])
    with pytest.raises(RuntimeError, match='input shape expected to be in'):
        container(image(2, 3))


@each_transform
@pytest.mark.parametrize('leading', [(), (2,), (2, 3)])
def test_plain_sequence_takes_any_image(transform, leading):
    x = image(*leading)
    assert torch.equal(torch.nn.Sequential(transform)(x), transform(x))


@each_transform
def test_other_augmentations_go_before(transform):
    x = image(2)
    flip = K.RandomHorizontalFlip(p=1.0)
    container = K.AugmentationSequential(flip, transform, data_keys=['input'])
    assert torch.equal(container(x), transform(x.flip(-1)))
    # The transform adds no motion of its own.
    assert torch.equal(container.transform_matrix, flip.transform_matrix)
    assert transform.p == 1
    matrix = torch.eye(3).expand(2, 3, 3)
    assert torch.equal(transform.transform_matrix, matrix)


def test_flat_groups_go_before_other_augmentations():
    x = image(2)
    container = K.AugmentationSequential(
        SemanticGroups(BANDS, flatten=True), K.RandomVerticalFlip(p=1.0), data_keys=['input']
    )
    assert torch.equal(container(x), SemanticGroups(BANDS, flatten=True)(x).flip(-2))


def test_no_matrix_before_the_first_image():
    assert SelectBands(BANDS, ['B04']).transform_matrix is None


@each_transform
@pytest.mark.parametrize('dtype', [torch.uint8, torch.int16, torch.uint16, torch.int32])
def test_stored_integers_pass_the_container(transform, dtype):
    x = image(2).remainder(256).to(dtype)
    container = K.AugmentationSequential(transform, data_keys=None)
    assert torch.equal(container({'image': x})['image'], transform(x))
    assert transform(x).device == x.device


@each_transform
def test_same_under_autocast(transform):
    x = image(2)
    container = K.AugmentationSequential(transform, data_keys=['input'])
    with torch.autocast('cpu', dtype=torch.bfloat16):
        found = container(x)
    assert found.dtype == torch.float32
    assert torch.equal(found, transform(x))


@pytest.mark.slow
@pytest.mark.skipif(
    Version(kornia.__version__) < Version('0.9'), reason='Kornia traces its container since 0.9'
)
@each_transform
def test_container_compiles_to_one_graph(transform):
    torch.compiler.reset()
    container = K.AugmentationSequential(transform, data_keys=['input'])
    compiled = torch.compile(container, fullgraph=True, backend='eager')
    for x in (image(2), image(3)):
        assert torch.equal(compiled(x), transform(x))


@each_transform
def test_moves_to_another_device(transform):
    x = image(2).to('meta')
    moved = copy.deepcopy(transform).to('meta')
    assert moved(x).device.type == 'meta'
    # A datamodule moves batches, not its augmentations.
    assert transform(x).shape == transform(image(2)).shape


@each_transform
def test_copies_are_equal(transform):
    x = image(2)
    for copied in (pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)):  # noqa: S301
        assert torch.equal(copied(x), transform(x))
        assert repr(copied) == repr(transform)
    assert not transform.state_dict()


@each_transform
@pytest.mark.parametrize('shape', [(), (12,), (12, 9)])
def test_what_is_no_image_is_refused(transform, shape):
    with pytest.raises(ValueError, match=r'image must be \(\.\.\., C, H, W\), got shape'):
        transform(torch.zeros(shape))


class Patches(Dataset):
    """A few random patches."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return {'image': torch.randint(2**14, (12, 32, 32), generator=generator).float()}


def fit(task, data):
    trainer = Trainer(
        accelerator='cpu',
        fast_dev_run=2,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, data)
    return trainer.callback_metrics['train_loss']


def moco(in_channels, augmentation):
    return MoCo(
        model='resnet18',
        in_channels=in_channels,
        version=2,
        layers=2,
        hidden_dim=16,
        output_dim=8,
        lr=0.01,
        temperature=0.07,
        memory_bank_size=8,
        size=32,
        augmentation1=augmentation,
        augmentation2=augmentation,
    )


# Lightning 2.6 uses a class that PyTorch 2.15 deprecates, and advises on loaders.
lightning = pytest.mark.filterwarnings(
    'ignore:.*LeafSpec.*',
    'ignore:.*does not have many workers.*',
    'ignore:.*have no `val_dataloader`.*',
)


@lightning
def test_moco_of_torchgeo_trains_on_textures_of_groups():
    augmentation = K.AugmentationSequential(
        K.RandomHorizontalFlip(),
        SemanticGroups(BANDS, FOUR_GROUPS, flatten=True),
        LocalBinaryPattern(normalize=True),
        data_keys=['input'],
    )
    x = Patches()[0]['image'][None]
    assert augmentation(x).shape == (1, 12, 32, 32)
    assert augmentation(x).max() <= 1
    loss = fit(moco(12, augmentation), DataLoader(Patches(), batch_size=2))
    assert loss.isfinite()
    assert loss > 0


def write_eurosat(root):
    """EuroSAT tree with two images of two classes in every split."""
    folder = root / EuroSAT.base_dir
    for number, split in enumerate(EuroSAT.splits):
        names = []
        for label in ('Forest', 'River'):
            for index in (1, 2):
                name = f'{label}_{10 * number + index}'
                names.append(f'{name}.jpg')
                (folder / label).mkdir(parents=True, exist_ok=True)
                write_tile(folder / label / f'{name}.tif', seed=len(names))
        (root / EuroSAT.split_filenames[split]).write_text('\n'.join(names))
    return root


def write_tile(path, seed):
    tile = np.random.default_rng(seed).integers(0, 4000, (13, 64, 64)).astype(np.uint16)
    profile = {'driver': 'GTiff', 'count': 13, 'height': 64, 'width': 64, 'dtype': 'uint16'}
    location = {'crs': 'EPSG:32632', 'transform': from_origin(5e5, 5e6, 10, 10)}
    with rasterio.open(path, 'w', **profile, **location) as file:
        file.write(tile)


@pytest.fixture(scope='module')
def eurosat(tmp_path_factory):
    return write_eurosat(tmp_path_factory.mktemp('eurosat'))


class OnDevice(EuroSATDataModule):
    """EuroSAT with the augmentation of a test."""

    def __init__(self, root, augmentation):
        super().__init__(batch_size=4, root=root, download=False, checksum=False)
        self.train_aug = augmentation


class Stage:
    """What the datamodule asks of a trainer."""

    training = True
    validating = sanity_checking = testing = predicting = False
    limit_train_batches = 1.0
    overfit_batches = 0.0


def augmented(datamodule):
    datamodule.setup('fit')
    datamodule.trainer = Stage()
    batch = next(iter(DataLoader(datamodule.train_dataset, batch_size=4)))
    return batch, datamodule.on_after_batch_transfer(copy.deepcopy(batch), 0)


@pytest.mark.parametrize('keepdim', [None, True, False])
def test_eurosat_datamodule_gives_groups(eurosat, keepdim):
    groups = SemanticGroups(EuroSAT.all_band_names)
    augmentation = K.AugmentationSequential(groups, data_keys=None, keepdim=keepdim)
    batch, after = augmented(OnDevice(eurosat, augmentation))
    assert after['image'].shape == (4, 7, 3, 64, 64)
    # B04, B03 and B02 of the files, and B07, B08 and B10
    assert torch.equal(after['image'][:, 0], batch['image'][:, [3, 2, 1]])
    assert torch.equal(after['image'][:, 6], batch['image'][:, [6, 7, 9]])
    assert torch.equal(after['label'], batch['label'])
    assert sorted(after['label'].tolist()) == [0, 0, 1, 1]


def test_eurosat_datamodule_gives_textures_of_groups(eurosat):
    augmentation = K.AugmentationSequential(
        SelectBands(EuroSAT.all_band_names, BANDS),
        SemanticGroups(BANDS, ['urban']),
        LocalBinaryPattern(),
        data_keys=None,
        keepdim=True,
    )
    batch, after = augmented(OnDevice(eurosat, augmentation))
    expected = local_binary_pattern(batch['image'][:, [11, 10, 3]])
    assert torch.equal(after['image'][:, 0], expected)
    assert torch.equal(after['label'], batch['label'])


def test_eurosat_datamodule_gives_histograms(eurosat):
    augmentation = K.AugmentationSequential(LBPHistogram(), data_keys=None, keepdim=True)
    _, after = augmented(OnDevice(eurosat, augmentation))
    assert after['image'].shape == (4, 13, 18)
    torch.testing.assert_close(after['image'].sum(-1), torch.ones(4, 13))


@lightning
def test_moco_of_torchgeo_trains_on_groups_of_an_eurosat_datamodule(eurosat):
    groups = SemanticGroups(EuroSAT.all_band_names, flatten=True)
    on_device = K.AugmentationSequential(
        groups, K.RandomCrop((32, 32)), data_keys=None, keepdim=True
    )
    in_task = K.AugmentationSequential(LocalBinaryPattern(normalize=True), data_keys=['input'])
    task = moco(3 * len(groups.groups), in_task)
    loss = fit(task, OnDevice(eurosat, on_device))
    assert loss.isfinite()
    assert loss > 0
