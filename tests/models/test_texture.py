# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of features of texture from histograms of codes."""

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from skimage.feature import local_binary_pattern

from torchgeo_saco.bands import SENTINEL2_L2A
from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.embeddings.encoding import NamedWeights, TileEncoder
from torchgeo_saco.models import fit_input_statistics, load_encoder
from torchgeo_saco.models.texture import TextureFeatures
from torchgeo_saco.tasks import GroupClassification, GroupSegmentation, MoCo, SACo, SeCo

from ..data.pretraining import BANDS, IMAGE, LOCATION, fit, same, small

FEW = {'groups': ['natural_color', 'urban'], 'texture': True, 'texture_histograms': True}
PAIRS = {'urban': ('B12', 'B11', 'B04'), 'natural_color': ('B04', 'B03', 'B02')}
NUMBERS = torch.randint(0, 255, (4, 12, 24, 20), generator=torch.Generator().manual_seed(0))


def texture(**arguments):
    torch.manual_seed(0)
    return TextureFeatures(BANDS, PAIRS, 16, 'sentinel2_l2a', **arguments)


def test_what_is_counted_is_what_scikit_image_counts():
    module = texture().eval()
    seen = []
    module.standardize.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    module(NUMBERS.float())
    histograms = seen[0].square().reshape(4, 2, 3, 18)
    for image, counted in zip(NUMBERS.numpy(), histograms, strict=True):
        for of, group in zip(PAIRS.values(), counted, strict=True):
            for band, found in zip(of, group, strict=True):
                codes = local_binary_pattern(image[BANDS.index(band)], 16, 2, 'uniform')
                wanted = np.bincount(codes.astype(int).ravel(), minlength=18) / codes.size
                np.testing.assert_allclose(found, wanted, atol=3 / codes.size)


def test_a_texture_depends_on_its_bands_alone():
    module = texture().eval()
    before = module(NUMBERS.float())
    changed = NUMBERS.float()
    changed[:, BANDS.index('B02')] = changed[:, BANDS.index('B02')].sort(1).values
    changed[:, BANDS.index('B08')] = 0
    after = module(changed)
    assert before.shape == (4, 2, 16)
    torch.testing.assert_close(after[:, 0], before[:, 0])
    assert not torch.allclose(after[:, 1], before[:, 1])


def test_gain_leaves_the_features():
    module = texture().eval()
    torch.testing.assert_close(module(NUMBERS.float()), module(2 * NUMBERS.float()))


def test_chosen_textures_are_those_of_all():
    module = texture().eval()
    torch.testing.assert_close(module(NUMBERS.float(), [1]), module(NUMBERS.float())[:, 1:])


@pytest.mark.parametrize('method', [MoCo, SACo, SeCo])
def test_textures_follow_the_groups(method):
    task = small(method, **FEW)
    names = ['natural_color', 'urban', 'natural_color_texture', 'urban_texture']
    assert task.encoder.names == names
    assert task.inputs.names == names[:2]
    assert task.objective(IMAGE, LOCATION).query.shape[2] == 4
    assert task.forward_groups(IMAGE[:, 0]).shape == (4, 4, task.model.num_features)
    for query, key in zip(
        task.texture.parameters(), task.texture_momentum.parameters(), strict=True
    ):
        assert torch.equal(query, key)
        assert query.requires_grad
        assert not key.requires_grad


def test_the_perceptron_is_trained_and_its_key_follows(archive, tmp_path):
    task = small(SACo, bands=None, momentum=0.5, **FEW)
    started = []
    task.on_train_start = lambda: started.append(
        {name: value.clone() for name, value in task.state_dict().items()}
    )
    fit(task, archive, tmp_path)
    before, after = started[0], task.state_dict()
    for part in ('texture', 'texture_momentum'):
        name = f'{part}.perceptron.0.weight'
        assert not torch.equal(before[name], after[name])


@pytest.mark.slow
def test_a_checkpoint_brings_its_textures(archive, tmp_path):
    task = small(SACo, bands=None, **FEW)
    _, path = fit(task, archive, tmp_path)
    restored = SACo.load_from_checkpoint(path, weights_only=True)
    assert same(restored.state_dict(), task.state_dict())
    image = IMAGE[:, 0]
    loaded = load_encoder(BANDS, 'sentinel2_l1c', weights=path)
    task.eval(), loaded.encoder.eval()
    torch.testing.assert_close(
        loaded.encoder.forward_groups(image), task.encoder.forward_groups(image)
    )
    # Without the bands of urban.
    fewer = load_encoder(['B02', 'B03', 'B04'], 'sentinel2_l1c', weights=path).encoder.eval()
    assert fewer.names == ['natural_color', 'natural_color_texture']
    rgb = [BANDS.index(band) for band in ('B02', 'B03', 'B04')]
    torch.testing.assert_close(
        fewer.forward_groups(image[:, rgb]), task.encoder.forward_groups(image)[:, [0, 2]]
    )
    tiles = TileEncoder(loaded, NamedWeights.parse(path))
    assert tiles.groups == task.encoder.names
    torch.testing.assert_close(tiles(image), task.encoder.forward_groups(image))


def test_downstream_tasks_take_them_or_say_that_they_have_no_maps(archive, tmp_path, caplog):
    _, path = fit(small(SACo, bands=None, **FEW), archive, tmp_path)
    arguments = {
        'weights': path, 'model': None, 'bands': list(BANDS), 'num_classes': 3,
        'sensor': 'sentinel2_l1c',
    }  # fmt: skip
    classifier = GroupClassification(**arguments)
    assert classifier.model.encoder.names[2:] == ['natural_color_texture', 'urban_texture']
    assert classifier(IMAGE[:, 0]).shape == (4, 3)
    with caplog.at_level('INFO'):
        segmenter = GroupSegmentation(**arguments, decoder='linear')
    assert 'skipped: natural_color_texture, urban_texture, since histograms of' in caplog.text
    assert segmenter(IMAGE[:, :1]).shape == (4, 3, 36, 36)
    # Its own checkpoint asks for none.
    content = {'state_dict': segmenter.state_dict(), 'hyper_parameters': dict(segmenter.hparams)}
    segmenter.on_save_checkpoint(content)
    torch.save(content, tmp_path / 'segmenter.ckpt')
    loaded = load_encoder(BANDS, 'sentinel2_l1c', weights=str(tmp_path / 'segmenter.ckpt'))
    assert loaded.encoder.names == ['natural_color', 'urban']


def test_statistics_of_the_perceptron_are_fitted_too():
    task = small(SACo, **FEW)
    fit_input_statistics(task.encoder, lambda: [IMAGE[:, 0]], backbone=True)
    counted = _counted(task.texture.eval(), IMAGE[:, 0])
    torch.testing.assert_close(task.texture.standardize.running_mean, counted.mean(0))
    assert task.texture.perceptron[1].running_mean.ne(0).all()


def _counted(module, image):
    """What the first layer of the module sees."""
    seen = []
    hook = module.standardize.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    module(image)
    hook.remove()
    return seen[0]


def test_groups_left_out_may_be_textures():
    task = small(SACo, group_dropout=0.5, **FEW)
    torch.manual_seed(0)
    for _ in range(8):
        chosen = task._draw_groups()
        # Else a weight would have no gradient in a step, which several devices do not allow.
        assert min(chosen) < 2 <= max(chosen)
        torch.manual_seed(1)
        torch.testing.assert_close(
            task.eval().encoder.forward_groups(IMAGE[:, 0], chosen),
            task.encoder.forward_groups(IMAGE[:, 0])[:, chosen],
        )
        task.train()


def test_other_bands_keep_what_was_trained(archive, tmp_path):
    task = small(MoCo, bands=None, **FEW)
    fit(task, archive, tmp_path)
    weight = task.texture.perceptron[0].weight.clone()
    task.configure_bands(list(reversed(SENTINEL2_L2A.bands)), task.hparams['sensor'])
    assert torch.equal(task.texture.perceptron[0].weight, weight)
    data = SeasonalDataModule(root=archive, batch_size=4)
    Trainer(accelerator='cpu', logger=False, enable_checkpointing=False).validate(
        task, data, verbose=False
    )


def test_wrong_arguments():
    with pytest.raises(ValueError, match='texture_histograms are of groups; leave out input_bands'):
        small(MoCo, input_bands=['B04', 'B03', 'B02'], texture_histograms=True)
    with pytest.raises(ValueError, match='texture is asked of urbane, which is no group here'):
        small(MoCo, groups=None, texture=['urbane'], texture_histograms=True)
    assert small(MoCo, groups=None, texture=False, texture_histograms=True).texture is None
