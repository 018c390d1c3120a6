# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of ``torchgeo-saco export``."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import timm
import torch
import torchvision
from rasterio.transform import from_origin
from safetensors.torch import load_file
from torchgeo.models import ResNet18_Weights, resnet18
from torchgeo.tasks.utils import extract_backbone

from torchgeo_saco import cli
from torchgeo_saco.bands import SENTINEL2_L2A
from torchgeo_saco.models import load_encoder
from torchgeo_saco.models.export.command import _check, _load, _smallest, _write_backbone, export
from torchgeo_saco.models.export.graph import run_onnx, trace_encoder, write_onnx
from torchgeo_saco.models.load import EncoderConfig
from torchgeo_saco.transforms import local_binary_pattern

from ...data.weights import write_checkpoint

PAGE = Path(__file__).parents[3] / 'docs' / 'export.md'
BANDS = ['B02', 'B03', 'B04', 'B08']

#: Textures of few neighbours, which are quickly traced.
QUICK = {'texture_points': 4, 'texture_radius': 1.0}


def refused(capsys, *words):
    """What a command that cannot run says."""
    with pytest.raises(SystemExit) as stop:
        cli.main(['export', *map(str, words)])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said.count('\n') == 1
    return said


@pytest.fixture(scope='module')
def exported(tmp_path_factory):
    """Folder of a small encoder with a texture, with 8-bit integers, and its checkpoint."""
    root = tmp_path_factory.mktemp('export')
    path, _ = write_checkpoint(root / 'last.ckpt', **QUICK)
    folder = root / 'encoder'
    cli.main(['export', '--weights', path, '--output', str(folder), '--int8', 'true',
              '--data', 'Noise.', '--license', 'mit'])  # fmt: skip
    return folder, path


@pytest.fixture(scope='module')
def encoder(exported):
    """The encoder of the checkpoint."""
    return load_encoder(BANDS, weights=exported[1]).encoder.eval()


@pytest.mark.slow
@pytest.mark.parametrize('shape', [(1, 8, 9), (3, 33, 40), (2, 64, 64)])
def test_onnx_gives_the_embeddings_of_pytorch(exported, encoder, shape):
    image = torch.rand(shape[0], len(BANDS), *shape[1:])
    with torch.no_grad():
        expected = encoder(image).numpy()
    np.testing.assert_allclose(run_onnx(exported[0] / 'encoder.onnx', image), expected, atol=1e-4)


@pytest.mark.slow
def test_program_of_torch_export_gives_the_same(exported, encoder):
    program = torch.export.load(exported[0] / 'encoder.pt2').module()
    for shape in ((1, 4, 33, 40), (3, 4, 64, 48)):
        image = torch.rand(shape)
        with torch.no_grad():
            torch.testing.assert_close(program(image), encoder(image), atol=1e-5, rtol=0)


@pytest.mark.slow
def test_8_bit_integers_are_smaller_and_point_the_same_way(exported, encoder):
    whole, small = (exported[0] / f'encoder{kind}.onnx' for kind in ('', '.int8'))
    assert small.stat().st_size < whole.stat().st_size / 2
    image = torch.rand(2, 4, 64, 64)
    with torch.no_grad():
        cosine = torch.cosine_similarity(torch.from_numpy(run_onnx(small, image)), encoder(image))
    assert (cosine > 0.98).all() and (cosine < 1).any()


@pytest.mark.slow
def test_timm_and_torchgeo_load_the_backbone(exported, encoder):
    folder, _ = exported
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = encoder.backbone(images)
        theirs = timm.create_model(f'local-dir:{folder}', pretrained=True).eval()
        torch.testing.assert_close(theirs(images), expected)
    name, state = extract_backbone(str(folder / 'encoder.ckpt'))
    assert name == 'test_resnet'
    known = encoder.backbone.state_dict()
    assert state.keys() == known.keys() == load_file(folder / 'model.safetensors').keys()
    assert all(torch.equal(state[key], known[key]) for key in known)


@pytest.mark.slow
def test_the_checkpoint_is_the_whole_encoder(exported, encoder):
    again = load_encoder(BANDS, weights=str(exported[0] / 'encoder.ckpt'))
    assert not again.unfitted and again.encoder.names == encoder.names
    image = torch.rand(1, 4, 24, 24)
    with torch.no_grad():
        assert torch.equal(again.encoder.eval()(image), encoder(image))


@pytest.mark.slow
def test_the_card_says_what_the_encoder_takes(exported):
    folder, _ = exported
    card = (folder / 'README.md').read_text()
    facts = json.loads((folder / 'config.json').read_text())['torchgeo_saco']
    assert card.startswith('---\nlicense: mit\n')
    for text in ('B02, B03, B04, B08', 'natural_color (B04 B03 B02)', 'Noise.', 'This was run'):
        assert text in card
    assert facts['bands'] == BANDS and facts['size'] == 16 and facts['check']['difference'] < 1e-4
    assert facts['groups']['near_infrared'] == ['B08', 'B04', 'B03']
    # Nothing of the machine that it was made on.
    for path in folder.iterdir():
        assert str(folder.parent).encode() not in path.read_bytes()
        assert b'site-packages' not in path.read_bytes()


@pytest.mark.slow
def test_the_snippet_of_the_card_runs_without_this_package(exported):
    folder, _ = exported
    snippet = re.search(r'```python\n(.*?)```', (folder / 'README.md').read_text(), re.DOTALL)[1]
    lines = f'import sys\nsys.modules["torch"] = sys.modules["torchgeo_saco"] = None\n{snippet}'
    run = subprocess.run(  # noqa: S603
        [sys.executable, '-c', lines], cwd=folder, capture_output=True, text=True, check=True
    )
    assert run.stdout.startswith('(2, 96) ') and float(run.stdout.split()[-1]) < 1e-4


@pytest.mark.slow
def test_the_snippet_of_the_page_embeds_rasters(exported, encoder, tmp_path):
    snippet = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.DOTALL)[-1]
    scene = tmp_path / 'scene'
    scene.mkdir()
    generator = np.random.default_rng(0)
    images = {}
    for band in BANDS:
        # B08 is twice as coarse.
        side = 64 if band == 'B08' else 128
        images[band] = generator.integers(0, 4000, (side, side)).astype('uint16')
        profile = {'driver': 'GTiff', 'width': side, 'height': side, 'count': 1, 'dtype': 'uint16'}
        transform = from_origin(0, 0, 1280 / side, 1280 / side)
        with rasterio.open(
            scene / f'{band}.tif', 'w', crs='EPSG:32633', transform=transform, **profile
        ) as file:
            file.write(images[band], 1)
    lines = snippet.replace("'encoder'", repr(str(exported[0]))).replace(
        "'scene'", repr(str(scene))
    )
    found = {}
    exec(lines, found)  # noqa: S102
    assert found['embeddings'].shape == (4, 96)
    tile = torch.from_numpy(found['image'][:, :64, 64:128])[None]
    fine = images['B02'][:64, 64:128].astype('float32') / 10000
    np.testing.assert_allclose(tile[0, 0].numpy(), fine, rtol=1e-6)
    with torch.no_grad():
        np.testing.assert_allclose(found['embeddings'][1:2], encoder(tile).numpy(), atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('histograms', [False, True])
def test_all_groups_with_texture(tmp_path, histograms):
    bands = list(SENTINEL2_L2A.bands)
    config = load_encoder(bands, 'sentinel2_l2a', 'test_resnet').config.to_dict()
    encoder = EncoderConfig(**(config | {'texture_histograms': histograms})).encoder().eval()
    assert len(encoder.names) == 14
    write_onnx(trace_encoder(encoder, len(bands), None), tmp_path / 'encoder.onnx')
    image = torch.rand(2, len(bands), 40, 48)
    # Flat ground and digital numbers of equal value decide by exact zeros.
    image[0, :, 10:20] = 0.1
    image[1] = (image[1] * 20).round() / 10000
    with torch.no_grad():
        expected = encoder(image).numpy()
    np.testing.assert_allclose(run_onnx(tmp_path / 'encoder.onnx', image), expected, atol=1e-4)


@pytest.mark.slow
def test_a_transformer_is_exported_at_the_size_of_its_views(tmp_path):
    encoder = load_encoder(BANDS, 'sentinel2_l2a', 'test_vit', None, ['natural_color'], False)
    graph = trace_encoder(encoder.encoder.eval(), len(BANDS), 48)
    assert graph[1:] == (48, 48)
    write_onnx(graph, tmp_path / 'encoder.onnx')
    image = torch.rand(3, len(BANDS), 48, 48)
    with torch.no_grad():
        expected = encoder.encoder(image).numpy()
    np.testing.assert_allclose(run_onnx(tmp_path / 'encoder.onnx', image), expected, atol=1e-4)


@pytest.mark.slow
def test_a_transformer_is_exported_without_onnx_runtime(tmp_path, capsys, monkeypatch):
    path, _ = write_checkpoint(tmp_path / 'last.ckpt', model='test_vit', size=48, texture=False)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, 'onnxruntime', None)
        cli.main(['export', '--weights', path, '--output', str(tmp_path / 'out')])
    assert 'was not run, for onnxruntime is not installed' in capsys.readouterr().out
    card = (tmp_path / 'out' / 'README.md').read_text()
    assert '- size: 48 x 48 px, any number of images; it was trained on views of 48 x 48 px' in card
    assert 'This was not run at the export' in card
    facts = json.loads((tmp_path / 'out' / 'config.json').read_text())['torchgeo_saco']
    assert (facts['fixed_side'], facts['least_side'], facts['check']) == (48, 48, None)
    example = np.load(tmp_path / 'out' / 'example.npz')
    image = torch.from_numpy(example['reflectance'])
    found = run_onnx(tmp_path / 'out' / 'encoder.onnx', image)
    np.testing.assert_allclose(found, example['embedding'], atol=1e-4)


@pytest.mark.slow
def test_wrong_embeddings_are_found(exported, encoder, tmp_path):
    image = torch.rand(1, len(BANDS), 32, 32)
    with torch.no_grad():
        embedding = encoder(image)
    assert _check(exported[0], [(image, embedding)], False)['difference'] < 1e-4
    with pytest.raises(
        ValueError, match=r'encoder\.onnx gives embeddings that differ .* update onnx'
    ):
        _check(exported[0], [(image, embedding + 0.1)], False)
    # One that is not a number differs too.
    with pytest.raises(ValueError, match='gives embeddings that differ from those of PyTorch'):
        _check(exported[0], [(image, embedding * torch.nan)], False)
    shutil.copy(exported[0] / 'encoder.onnx', tmp_path)
    with pytest.raises(ValueError, match=r'the snippet of the card failed .*example\.npz.* repair'):
        _check(tmp_path, [(image, embedding)], False)


@pytest.mark.slow
def test_a_part_that_onnx_has_no_operator_for(tmp_path):
    class Eigenvalues(torch.nn.Module):
        backbone = None

        def forward(self, image):
            return torch.linalg.eigvalsh(image @ image.mT).mean((1, 2))

    graph = trace_encoder(Eigenvalues(), 2, None)
    with pytest.raises(ValueError, match=r'as ONNX \([^\x1b]*linalg_eigh[^\x1b]*\); choose'):
        write_onnx(graph, tmp_path / 'a.onnx')
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize('points, radius', [(16, 2.0), (8, 1.0)])
def test_codes_are_identical(tmp_path, points, radius):
    class Codes(torch.nn.Module):
        backbone = None

        def forward(self, image):
            return local_binary_pattern(image, points, radius)

    write_onnx(trace_encoder(Codes(), 2, None), tmp_path / 'codes.onnx')
    image = torch.rand(2, 2, 50, 70)
    image[1] = (image[1] * 10).round() / 10000
    image[0, 0, 20:30] = 0.1
    image[0, 1, 5, 5] = torch.nan
    np.testing.assert_array_equal(
        run_onnx(tmp_path / 'codes.onnx', image),
        local_binary_pattern(image, points, radius).numpy(),
    )


def test_torchvision_loads_a_resnet(tmp_path):
    backbone = timm.create_model('resnet18', num_classes=0).eval()
    names = _write_backbone(backbone, EncoderConfig('resnet18', BANDS, 'sentinel2_l1c'), tmp_path)
    assert names == ['timm', 'torchgeo', 'torchvision']
    state = load_file(tmp_path / 'model.safetensors')
    images = torch.rand(1, 3, 32, 32)
    theirs = torchvision.models.resnet18()
    theirs.fc = torch.nn.Identity()
    theirs.load_state_dict(state)
    torchgeo = resnet18(num_classes=0)
    torchgeo.load_state_dict(state)
    with torch.no_grad():
        for model in (theirs.eval(), torchgeo.eval()):
            torch.testing.assert_close(model(images), backbone(images))


def test_torchvision_calls_other_nets_otherwise(tmp_path):
    backbone = timm.create_model('efficientnet_b0', num_classes=0)
    config = EncoderConfig('efficientnet_b0.ra_in1k', BANDS, 'sentinel2_l1c')
    assert _write_backbone(backbone, config, tmp_path) == ['timm', 'torchgeo']
    with pytest.raises(RuntimeError, match='Missing key'):
        torchvision.models.efficientnet_b0().load_state_dict(
            load_file(tmp_path / 'model.safetensors')
        )


@pytest.mark.parametrize('least, found', [(1, 8), (12, 16), (16, 16), (33, 64)])
def test_smallest_image_that_an_encoder_takes(least, found):
    def encoder(image):
        if min(image.shape[-2:]) < least:
            raise ValueError('too small')
        return image.mean((2, 3))

    images = torch.rand(2, 4, 64, 64)
    image, embedding = _smallest(encoder, images)
    assert image.shape[2] == found and torch.equal(image[0], images[0, :, :found, : found + 4])
    assert torch.equal(embedding, encoder(image))


def test_an_encoder_that_takes_no_image():
    def encoder(image):
        raise RuntimeError('no kernel')

    with pytest.raises(RuntimeError, match='no kernel'):
        _smallest(encoder, torch.rand(2, 4, 64, 64))


@pytest.mark.parametrize('named', [True, False])
def test_published_weights_are_exported_for_their_bands(tmp_path, monkeypatch, named):
    backbone = timm.create_model('resnet18', num_classes=0)
    torch.save(backbone.state_dict(), tmp_path / 'weights.pth')
    digest = hashlib.sha256((tmp_path / 'weights.pth').read_bytes()).hexdigest()[:8]
    path = (tmp_path / 'weights.pth').rename(tmp_path / f'resnet18-{digest}.pth')
    monkeypatch.setattr(ResNet18_Weights.SENTINEL2_RGB_SECO.value, 'url', path.as_uri())
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'hub'))
    bands = ['B02', 'B03', 'B04'] if named else ['B04', 'B03', 'B02']
    loaded = _load('ResNet18_Weights.SENTINEL2_RGB_SECO', None, bands if named else None)
    assert (loaded.config.sensor, loaded.config.bands) == ('sentinel2_l1c', bands)
    assert not loaded.encoder.training
    assert torch.equal(loaded.encoder.backbone.conv1.weight, backbone.conv1.weight)


def test_refusals_come_before_the_work(tmp_path, capsys, monkeypatch):
    path, _ = write_checkpoint(tmp_path / 'last.ckpt')
    output = tmp_path / 'out'
    words = ['--weights', path, '--output']
    assert 'exists; name another folder' in refused(capsys, *words, tmp_path)
    said = refused(capsys, *words, output, '--bands', '[B02,B03]')
    assert 'form none of these groups; read more bands' in said
    assert 'set results too' in refused(capsys, *words, output, '--encoder', 'ours')
    assert "unknown sensor 'sentinel3'" in refused(capsys, *words, output, '--sensor', 'sentinel3')
    said = refused(capsys, '--weights', tmp_path / 'no.ckpt', '--output', output)
    assert 'neither a file nor the name' in said
    # Other bands have statistics of their own.
    said = refused(
        capsys, *words, output, '--sensor', 'landsat_8_9', '--bands', '[B02,B03,B04,B05]'
    )
    assert 'brings no statistics of near_infrared' in said
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / 'plain.pth')
    said = refused(capsys, '--weights', tmp_path / 'plain.pth', '--output', output)
    assert 'is no encoder of this package' in said
    monkeypatch.setitem(sys.modules, 'onnxscript', None)
    said = refused(capsys, *words, output)
    assert (
        "needs the package onnxscript; install it by: pip install 'torchgeo_saco[export]'" in said
    )
    assert not output.exists() and not list(tmp_path.glob('.out*'))


def test_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    path, _ = write_checkpoint(tmp_path / 'last.ckpt', **QUICK)

    def fail(*arguments, **options):
        raise RuntimeError('no kernel\nmore')

    monkeypatch.setattr(torch.export, 'export', fail)
    with pytest.raises(ValueError, match=r'test_resnet cannot be exported \(no kernel\)'):
        export(path, str(tmp_path / 'out'))
    assert [p.name for p in tmp_path.iterdir()] == ['last.ckpt']
