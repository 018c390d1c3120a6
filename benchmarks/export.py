# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Embedding by ONNX Runtime and by a graph of torch.export, against PyTorch.

    python benchmarks/export.py

Exports the encoders of ``benchmarks/embed.py`` by ``torchgeo-saco export`` and embeds a batch of
random tiles with each of the files in turn, on as many threads as PyTorch has.
"""

import contextlib
import io
import json
import tempfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import reporting
import torch
from embed import ENCODERS, TILE, write_checkpoint

from torchgeo_saco.models import load_encoder
from torchgeo_saco.models.export.command import export

BATCH = 16


def main() -> None:
    """Measure, print and write."""
    options = reporting.parser(__doc__).parse_args()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options)


def measure(folder: Path, options: Namespace) -> None:
    """Times of all files, and of PyTorch."""
    rows, targets = [], []
    batch = 2 if options.quick else BATCH
    for name, groups in ENCODERS.items():
        weights = write_checkpoint(folder / f'{len(rows)}.ckpt', groups)
        output = folder / f'encoder{len(rows)}'
        with contextlib.redirect_stdout(io.StringIO()):
            export(weights, str(output), int8=True)
        calls = ways(output, batch)
        times: dict[str, list[float]] = {way: [] for way in calls}
        for _ in range(2 if options.quick else 7):
            for way, call in calls.items():
                times[way] += reporting.seconds(call, repeats=1)
        for way, taken in times.items():
            ratio, spread = reporting.ratios(times['PyTorch'], taken)
            tile = 1000 * sorted(taken)[len(taken) // 2] / batch
            rows.append({'encoder': name, 'way': way, 'ms a tile': tile, 'times as fast': ratio})
            if way == 'ONNX Runtime':
                target = f'{way}: {name}'
                targets.append(reporting.Target(target, 'PyTorch', ratio, 1.0, spread=spread))
    reporting.report('export', options, rows, targets, tile=TILE, batch=batch)


def ways(folder: Path, batch: int) -> dict[str, Callable[[], object]]:
    """A call for each way to embed one batch.

    Args:
        folder: What was exported.
        batch: Number of images.
    """
    facts = json.loads((folder / 'config.json').read_text())['torchgeo_saco']
    loaded = load_encoder(facts['bands'], facts['sensor'], weights=folder / 'encoder.ckpt')
    encoder = loaded.encoder.eval().requires_grad_(False)
    graph = torch.export.load(folder / 'encoder.pt2').module()
    image = torch.rand(batch, len(facts['bands']), TILE, TILE)
    calls: dict[str, Callable[[], object]] = {
        'PyTorch': lambda: encoder(image),
        'torch.export': lambda: graph(image),
    }
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    for way, name in (('ONNX Runtime', 'encoder'), ('ONNX Runtime, int8', 'encoder.int8')):
        session = onnxruntime.InferenceSession(folder / f'{name}.onnx', options)
        calls[way] = lambda session=session: session.run(None, {'reflectance': image.numpy()})
    return calls


if __name__ == '__main__':
    main()
