# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""What an exported folder says of itself: ``config.json`` and ``README.md``."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...bands import known_sensor
from .graph import INPUT
from .scores import Score

#: Name of the package in ``config.json``, below which its own facts are.
SECTION = 'torchgeo_saco'

_RADAR = 'backscatter in dB, scaled: (dB + 25) / 25, clipped to 0-1'
_REFLECTANCE = 'reflectance, 0-1: (stored number + offset) / unit'
_SURFACE = (
    ' (of Sentinel-2: unit 10000, and offset -1000 since processing baseline 04.00 unless the '
    'provider has undone it)'
)

#: The snippet of the model card; it is run in the folder.
SNIPPET = """\
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession('encoder.onnx')
example = np.load('example.npz')
(embedding,) = session.run(None, {'reflectance': example['reflectance']})  # float32 (B, C, H, W)
print(embedding.shape, np.abs(embedding - example['embedding']).max())
"""


def unit_text(sensor: str) -> str:
    """Say what the numbers of an image are.

    Args:
        sensor: A key of :data:`torchgeo_saco.bands.SENSORS`.

    Returns:
        The text.
    """
    if sensor == 'sentinel1':
        return _RADAR
    if sensor == 'sentinel1_2':
        return f'{_REFLECTANCE}{_SURFACE}; VV and VH: {_RADAR}'
    return _REFLECTANCE + (_SURFACE if sensor.startswith('sentinel2') else '')


def timm_config(backbone: Any, model: str, channels: int) -> dict[str, Any]:
    """Arguments by which timm makes the backbone again from the folder.

    Args:
        backbone: The backbone.
        model: Its name in timm.
        channels: Channels that it takes.

    Returns:
        What timm looks for in ``config.json``.
    """
    known = backbone.pretrained_cfg
    kept = ('input_size', 'fixed_input_size', 'first_conv', 'classifier', 'pool_size')
    # Images are standardized before.
    scaling = {'mean': [0.0] * channels, 'std': [1.0] * channels}
    return {
        'architecture': model.split('.')[0],
        'num_classes': 0,
        'num_features': int(backbone.num_features),
        'model_args': {'in_chans': channels},
        'pretrained_cfg': {name: known[name] for name in kept if name in known} | scaling,
    }


def model_card(facts: Mapping[str, Any], scores: Sequence[Score]) -> str:
    """Write the model card.

    Args:
        facts: The facts of ``config.json``.
        scores: Scores that were measured.

    Returns:
        Markdown with front matter.
    """
    sensor = known_sensor(facts['sensor']).name
    lines = ['---', *_front_matter(facts), '---', '', f'# {facts["model"]} for {sensor}', '']
    lines += [
        f'Encoder of images: {facts["channels"]} bands in, {facts["dimensions"]} numbers out.',
        'Groups of bands, textures and scaling are inside.',
        '',
        '## Input',
        '',
        f'`{INPUT}`: float32, (B, {facts["channels"]}, H, W), channels in this order:',
        '',
        ', '.join(facts['bands']),
        '',
        f'- sensor: {sensor}',
        f'- unit: {facts["unit"]}',
        f'- size: {_sizes(facts)}',
        *_group_lines(facts),
        '',
        '## Files',
        '',
        '| file | bytes | |',
        '|---|---|---|',
        *(f'| {name} | {size} | {_FILES[name]} |' for name, size in facts['files'].items()),
        '',
        '## Use',
        '',
        '```python',
        *SNIPPET.splitlines(),
        '```',
        '',
        _run_text(facts),
        '',
        '## Data',
        '',
        facts['data'] or 'What it was trained on was not stated at the export.',
        *([f'It was trained by {facts["method"]}.'] if facts['method'] else []),
        '',
        '## Measured',
        '',
        *_score_lines(facts, scores),
        '',
        '## Limits',
        '',
        *_limits(facts),
        '',
        '## Licence',
        '',
        facts['license'] or 'Not stated at the export; ask whoever made it before you pass it on.',
        '',
    ]
    return '\n'.join(lines)


_FILES = {
    'model.safetensors': 'backbone, in the names of timm, see names in config.json',
    'encoder.ckpt': 'whole encoder, for TorchGeo tasks and torchgeo_saco',
    'encoder.onnx': 'whole encoder, ONNX, float32',
    'encoder.int8.onnx': 'whole encoder, ONNX, weights of 8-bit integers',
    'encoder.pt2': 'whole encoder, torch.export',
    'example.npz': 'random images and their embeddings, to check a runtime by',
}


def _front_matter(facts: Mapping[str, Any]) -> list[str]:
    """Lines that hubs read."""
    lines = [f'license: {facts["license"]}'] if facts['license'] else []
    return [
        *lines,
        'library_name: timm',
        'pipeline_tag: image-feature-extraction',
        'tags:',
        *(f'- {tag}' for tag in ('remote-sensing', 'multispectral', 'torchgeo', 'onnx')),
    ]


def _sizes(facts: Mapping[str, Any]) -> str:
    """Say which sizes of images there may be."""
    trained = facts['size']
    text = f'; it was trained on views of {trained} x {trained} px' if trained else ''
    if facts['fixed_side'] is not None:
        return f'{facts["fixed_side"]} x {facts["fixed_side"]} px, any number of images{text}'
    least, traced = facts['least_side'], facts['least_side_pt2']
    return (
        f'any from {least} x {least} px on (`encoder.pt2`: from {traced} x {traced} px), any '
        f'number of images{text}'
    )


def _group_lines(facts: Mapping[str, Any]) -> list[str]:
    """Say what the backbone sees."""
    if facts['groups'] is None:
        return [f'- the backbone sees one image of {", ".join(facts["input_bands"])}']
    groups = [f'{name} ({" ".join(of)})' for name, of in facts['groups'].items()]
    lines = [f'- groups, whose features are averaged: {", ".join(groups)}']
    if facts['texture']:
        kind = 'histograms' if facts['texture_histograms'] else 'images'
        lines.append(
            f'- textures, local binary patterns of {facts["texture_points"]} points at radius '
            f'{facts["texture_radius"]:g} px as {kind} of codes: {", ".join(facts["texture"])}'
        )
    return lines


def _run_text(facts: Mapping[str, Any]) -> str:
    """Say whether the snippet was run, and what it found."""
    check = facts['check']
    if check is None:
        return 'This was not run at the export, for ONNX Runtime was not there.'
    text = (
        f'This was run at the export, by ONNX Runtime {check["onnxruntime"]}: embeddings differ '
        f'from those of PyTorch by at most {check["difference"]:.1e}.'
    )
    if 'int8_cosine' in check:
        text += (
            f' Those of `encoder.int8.onnx` have a cosine of at least {check["int8_cosine"]:.4f} '
            'with them, on random images.'
        )
    return text


def _score_lines(facts: Mapping[str, Any], scores: Sequence[Score]) -> list[str]:
    """Table of what was measured."""
    if not scores:
        return ['Nothing was measured of these weights at the export.']
    lines = ['| benchmark | score | mean | standard deviation | seeds |', '|---|---|---|---|---|']
    for score in scores:
        spread = '' if score.deviation is None else f'{score.deviation:.4g}'
        lines.append(
            f'| {score.benchmark} | {score.metric} | {score.mean:.4g} | {spread} | {score.seeds} |'
        )
    return [*lines, '', 'By `torchgeo-saco evaluate`, over seeds of the probe or fine-tuning.']


def _limits(facts: Mapping[str, Any]) -> list[str]:
    """Say what is not to be expected."""
    lines = [
        '- Bands in another order or unit give meaningless embeddings without an error.',
        '- Images of another resolution than that of training are seen at another scale.',
        '- A pixel without data (NaN) makes the embedding of its image NaN.',
        '- Clouds are embedded as they are.',
    ]
    if facts['texture']:
        lines.append('- Pixels outside of an image count as 0 in its textures.')
    if 'encoder.int8.onnx' in facts['files']:
        lines.append('- 8-bit integers change embeddings; do not mix them with those in float32.')
    return lines
