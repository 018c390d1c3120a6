# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""``torchgeo-saco export``."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn

from ... import __version__
from ...bands import band_names, known_sensor
from ...io.checkpoint import read_checkpoint, write_checkpoint
from ...io.files import file_sha256, require_folder, writing
from ...runtime.extras import import_extra
from ..encoder import Encoder
from ..load import EncoderConfig, LoadedEncoder, load_encoder, stored_config
from ..weights import known_weights
from .card import SECTION, SNIPPET, model_card, timm_config, unit_text
from .graph import Graph, run_onnx, trace_encoder, write_int8, write_onnx
from .hub import push_folder
from .scores import measured_scores

# Embeddings of ONNX Runtime and PyTorch differ by less, relative to the largest number.
_TOLERANCE = 1e-4


def export(
    weights: str,
    output: str,
    sensor: str | None = None,
    bands: list[str] | None = None,
    int8: bool = False,
    results: str | None = None,
    encoder: str | None = None,
    data: str | None = None,
    license: str | None = None,
    push: str | None = None,
) -> None:
    r"""Write an encoder as a folder that is used without this package: ONNX, safetensors, a card.

    The whole encoder is in it, groups, textures and scaling too: reflectance in, embedding out.
    Needs the extra export, and --push the extra hub.

    For example:

      torchgeo-saco export --weights logs/saco/version_0/checkpoints/last.ckpt --output encoder/

    Args:
        weights: Checkpoint, or name of a weight.
        output: New folder.
        sensor: Sensor, of a checkpoint of two, or where other bands are named; by default that of
            training.
        bands: Channels of the images, in order; by default those of training that the encoder sees.
        int8: Whether to write the encoder with weights of 8-bit integers too.
        results: The results.csv that torchgeo-saco evaluate wrote of these weights; the card shows
            its scores.
        encoder: Name of the encoder in it, where several have these weights.
        data: What the weights were trained on, in a sentence for the card.
        license: Licence of the weights, an SPDX identifier such as mit.
        push: Repository of a hub to upload the folder to, owner/name.

    Raises:
        ValueError: If the weights do not fit the bands or bring no statistics of them, the backbone
            cannot be exported, the results are not of these weights, or the hub refuses.
        ImportError: If a package is missing.
        OSError: If the folder exists or cannot be written.
    """
    folder = Path(output).expanduser().absolute()
    if folder.exists():
        raise FileExistsError(f'{folder} exists; name another folder or remove it')
    import_extra('onnx', 'export', 'export')
    import_extra('onnxscript', 'export', 'export')
    if int8:
        import_extra('onnxruntime', 'export', 'int8')
    if push is not None:
        import_extra('huggingface_hub', 'hub', '--push')
    if encoder is not None and results is None:
        raise ValueError('encoder names a row of results; set results too, or leave out encoder')
    scores = [] if results is None else measured_scores(results, weights, encoder)
    loaded = _load(weights, sensor, bands)
    arguments = _arguments(weights)
    published = {} if os.path.isfile(weights) else known_weights(weights).meta
    facts = _facts(loaded, weights, arguments)
    facts |= {
        'data': data or published.get('dataset'),
        'license': license or published.get('license'),
        'scores': [score._asdict() for score in scores],
    }
    require_folder(folder.parent)
    partial = Path(tempfile.mkdtemp(prefix=f'.{folder.name}.partial-', dir=folder.parent))
    try:
        with writing(folder, partial):
            _write_files(partial, loaded, facts, arguments, int8)
            text = model_card(facts, scores)
            (partial / 'README.md').write_text(text, encoding='utf-8')
            partial.chmod(0o755)
            os.rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    for line in _lines(folder, facts, loaded):
        sys.stdout.write(f'{line}\n')
    if push is not None:
        sys.stdout.write(f'pushed to {push_folder(folder, push)}\n')


def _load(weights: str, sensor: str | None, bands: list[str] | None) -> LoadedEncoder:
    """Load the encoder of the bands that it sees, and refuse one without statistics of them."""
    if sensor is not None:
        known_sensor(sensor)
    trained = stored_config(weights, sensor)
    if trained is None and os.path.isfile(weights):
        raise ValueError(
            f'{weights} is no encoder of this package, so its bands and their statistics are not '
            'known; give a checkpoint of a pre-training, or one that torchgeo-saco convert writes'
        )
    if trained is not None:
        sensor = sensor or trained.sensor
        known = trained.bands
    else:
        named = known_weights(weights).meta.get('bands')
        sensor = sensor or ('rgb' if named is None else 'sentinel2_l1c')
        known = list(band_names(named or list(known_sensor('rgb').bands), sensor))
    loaded = load_encoder(bands or known, sensor, weights=weights)
    if bands is None:
        used = {band for of in loaded.encoder.inputs.channels.values() for band in of}
        loaded = load_encoder([b for b in known if b in used], sensor, weights=weights)
    if loaded.unfitted:
        raise ValueError(
            f'{weights} brings no statistics of {", ".join(loaded.unfitted)}, which are taken of '
            'images elsewhere; train on these bands, or name those of training by bands and sensor'
        )
    loaded.encoder.eval()
    return loaded


def _arguments(weights: str) -> dict[str, Any]:
    """Arguments of the task that trained a checkpoint."""
    found = read_checkpoint(weights).get('hyper_parameters') if os.path.isfile(weights) else None
    return found if isinstance(found, dict) else {}


def _facts(loaded: LoadedEncoder, weights: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What is known of an encoder before anything is written."""
    config, encoder = loaded.config, loaded.encoder
    digest = file_sha256(weights) if os.path.isfile(weights) else None
    return {
        'version': __version__,
        # Of a path, no more than the name.
        'weights': os.path.basename(weights) if digest else weights,
        'sha256': digest,
        'method': str(arguments.get('_class_path', '')).rpartition('.')[2] or None,
        'model': config.model,
        'sensor': config.sensor,
        'bands': list(config.bands),
        'channels': len(config.bands),
        'unit': unit_text(config.sensor),
        'groups': config.groups,
        'input_bands': config.input_bands,
        'skipped': [f'{group.name}: {group.reason}' for group in loaded.skipped],
        'substitutions': loaded.substitutions(),
        'texture': config.texture or [],
        'texture_histograms': config.texture_histograms,
        'texture_points': config.texture_points,
        'texture_radius': config.texture_radius,
        'scaling': config.scaling,
        'dimensions': encoder.num_features * encoder.fusion.widening,
        'size': arguments.get('size'),
    }


def _write_files(
    folder: Path,
    loaded: LoadedEncoder,
    facts: dict[str, Any],
    arguments: dict[str, Any],
    int8: bool,
) -> None:
    """Write all but the card, and add to the facts what is found."""
    encoder, config = loaded.encoder, loaded.config
    graph = trace_encoder(encoder, len(config.bands), facts['size'])
    facts |= {'least_side_pt2': graph.least, 'fixed_side': graph.most}
    facts['names'] = _write_backbone(encoder.backbone, config, folder)
    _write_encoder(encoder, config, arguments, folder / 'encoder.ckpt')
    torch.export.save(graph.program, folder / 'encoder.pt2')
    write_onnx(graph, folder / 'encoder.onnx')
    if int8:
        write_int8(folder / 'encoder.onnx', folder / 'encoder.int8.onnx')
    images, embedding = _example(encoder, graph, config)
    np.savez(folder / 'example.npz', reflectance=images.numpy(), embedding=embedding.numpy())
    pairs = [(images, embedding)]
    if graph.most is None:
        pairs.append(_smallest(encoder, images))
    facts['least_side'] = min(pairs[-1][0].shape[-2:])
    facts['check'] = _check(folder, pairs, int8)
    channels = 3 if config.groups is not None else len(config.input_bands or config.bands)
    names = ('model.safetensors', 'encoder.ckpt', 'encoder.onnx', 'encoder.int8.onnx',
             'encoder.pt2', 'example.npz')  # fmt: skip
    paths = [folder / name for name in names]
    facts['files'] = {path.name: path.stat().st_size for path in paths if path.exists()}
    content = timm_config(encoder.backbone, config.model, channels) | {SECTION: facts}
    # Infinity is no number of JSON.
    text = json.dumps(_finite(content), indent=2, allow_nan=False)
    (folder / 'config.json').write_text(text + '\n', encoding='utf-8')


def _write_backbone(backbone: nn.Module, config: EncoderConfig, folder: Path) -> list[str]:
    """Write the backbone; the libraries whose names its tensors have."""
    from safetensors.torch import save_file

    state = {name: value.contiguous() for name, value in backbone.state_dict().items()}
    path = folder / 'model.safetensors'
    save_file(state, path, {'format': 'pt', 'architecture': config.model})
    path.chmod(0o644)
    # The functions of torchgeo.models make nets of timm.
    names = ['timm', 'torchgeo']
    model = config.model.split('.')[0]
    if model in torchvision.models.list_models(module=torchvision.models):
        with torch.device('meta'):
            theirs = torchvision.models.get_model(model, weights=None).state_dict()
        shapes = {name: value.shape for name, value in theirs.items() if name[:3] != 'fc.'}
        first = 'conv1.weight'
        if {k: v.shape for k, v in state.items() if k != first} == {
            k: v for k, v in shapes.items() if k != first
        }:
            names.append('torchvision')
    return names


def _write_encoder(
    encoder: Encoder, config: EncoderConfig, arguments: dict[str, Any], path: Path
) -> None:
    """Write the encoder as a checkpoint of this package, which stock TorchGeo tasks take."""
    parts = {'model.': encoder.backbone, 'inputs.': encoder.inputs, 'texture.': encoder.texture}
    state: dict[str, Tensor] = {
        f'{prefix}{name}': value
        for prefix, module in parts.items()
        if module is not None
        for name, value in module.state_dict().items()
    }
    kept: dict[str, Any] = {
        name: arguments[name] for name in ('size', '_class_path') if name in arguments
    }
    kept |= {'model': config.model, 'sensor': config.sensor, 'bands': config.bands}
    write_checkpoint(
        {'state_dict': state, 'hyper_parameters': kept | {'encoder': config.to_dict()}}, path
    )


@torch.no_grad()
def _example(encoder: Encoder, graph: Graph, config: EncoderConfig) -> tuple[Tensor, Tensor]:
    """Random images with structure at several scales, and their embeddings."""
    side = graph.most or max(graph.least, 64)
    generator = torch.Generator().manual_seed(0)
    shape = (2, len(config.bands), side, side)
    images = 0.3 * torch.rand(shape, generator=generator).cumsum(-1) / side
    images += 0.1 * torch.rand(shape, generator=generator)
    return images, encoder(images)


@torch.no_grad()
def _smallest(encoder: Encoder, images: Tensor) -> tuple[Tensor, Tensor]:
    """One image as small as the encoder takes it, in steps of two, and its embedding."""
    side = 8
    while True:
        image = images[:1, :, :side, : side + 4].contiguous()
        try:
            return image, encoder(image)
        except (RuntimeError, ValueError):
            if side >= images.shape[-1]:
                raise
        side *= 2


def _check(folder: Path, pairs: list[tuple[Tensor, Tensor]], int8: bool) -> dict[str, Any] | None:
    """Run what was written on images with known embeddings; None without ONNX Runtime."""
    if find_spec('onnxruntime') is None:
        return None
    path = folder / 'encoder.onnx'
    images, embedding = pairs[0]
    difference = max(float(np.abs(run_onnx(path, i) - e.numpy()).max()) for i, e in pairs)
    if not difference <= _TOLERANCE * max(1.0, float(embedding.abs().max())):
        raise ValueError(
            f'{path.name} gives embeddings that differ from those of PyTorch by {difference:.1e}; '
            'update onnx, onnxscript and onnxruntime, and export again'
        )
    # As a reader would.
    run = subprocess.run(  # noqa: S603
        [sys.executable, '-c', SNIPPET], cwd=folder, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise ValueError(
            f'the snippet of the card failed ({run.stderr.strip().splitlines()[-1]}); repair '
            'onnxruntime, or remove it to export without a check'
        )
    check: dict[str, Any] = {'onnxruntime': version('onnxruntime'), 'difference': difference}
    if int8:
        rounded = torch.from_numpy(run_onnx(folder / 'encoder.int8.onnx', images))
        cosine = nn.functional.cosine_similarity(rounded, embedding).min()
        check['int8_cosine'] = float(cosine)
    return check


def _finite(value: Any) -> Any:
    """A value with None in place of numbers that JSON has not."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _lines(folder: Path, facts: dict[str, Any], loaded: LoadedEncoder) -> list[str]:
    """What the command says in the end."""
    lines = [f'skipped: group {group.name}, since {group.reason}' for group in loaded.skipped]
    lines += loaded.substitutions()
    lines += [f'{name}: {size:,} bytes' for name, size in facts['files'].items()]
    check = facts['check']
    if check is None:
        lines.append('the snippet of README.md was not run, for onnxruntime is not installed')
    else:
        lines.append(
            'the snippet of README.md was run; embeddings of ONNX Runtime and PyTorch differ by at '
            f'most {check["difference"]:.1e}'
        )
        if 'int8_cosine' in check:
            lines.append(f'cosine of 8-bit and float embeddings: {check["int8_cosine"]:.4f}')
    names = ', '.join(facts['bands'])
    lines.append(f'{folder}: (B, {facts["channels"]}, H, W) of {names} -> {facts["dimensions"]}')
    return lines
