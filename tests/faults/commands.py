# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: commands and configurations that cannot run."""

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import yaml
from matplotlib import pyplot as plt
from shapely.geometry import Point

from torchgeo_saco import cli
from torchgeo_saco.evaluation.command import evaluate
from torchgeo_saco.evaluation.results import Result
from torchgeo_saco.evaluation.settings import Settings, read_settings
from torchgeo_saco.io.files import require_folder, write_file
from torchgeo_saco.io.raster import write_tiled
from torchgeo_saco.io.tables import write_table
from torchgeo_saco.locations.fetching.grid import square_around
from torchgeo_saco.locations.fetching.items import band_files, rank_scenes
from torchgeo_saco.locations.fetching.points import DateWindow
from torchgeo_saco.plots import write_figure

from .fault import Fault
from .limits import full_disk, ordinary_user


def run(*words: str) -> None:
    """Run our command line as from a terminal."""
    given, sys.argv = sys.argv, ['torchgeo-saco']
    try:
        cli.main(list(words))
    finally:
        sys.argv = given


#: A configuration that a fault changes in one place.
_FIT: dict[str, Any] = {
    'model': {
        'class_path': 'torchgeo_saco.tasks.SACo',
        'init_args': {'model': 'test_resnet', 'size': 16, 'queue_size': 8},
    },
    'data': {
        'class_path': 'torchgeo_saco.datamodules.SeasonalDataModule',
        'init_args': {'root': 'absent', 'batch_size': 2},
    },
    'trainer': {'accelerator': 'cpu', 'max_steps': 1, 'logger': False},
}


def fit(change: dict[str, Any], folder: Path) -> None:
    """Train by a configuration that differs in some places, named by dots."""
    config = json.loads(json.dumps(_FIT))
    config['trainer']['default_root_dir'] = str(folder)
    config['data']['init_args']['root'] = str(folder / 'absent')
    for place, value in change.items():
        part = config
        *path, last = place.split('.')
        for name in path:
            part = part.setdefault(name, {})
        part[last] = value
    (folder / 'fit.yaml').write_text(yaml.safe_dump(config))
    run('fit', f'--config={folder / "fit.yaml"}')


def fit_text(content: bytes, folder: Path) -> None:
    """Train by a file of a configuration."""
    (folder / 'fit.yaml').write_bytes(content)
    run('fit', f'--config={folder / "fit.yaml"}')


_M, _D = 'model.init_args', 'data.init_args'

#: What is changed, what must be named, and what must be said of it.
_CONFIGURATIONS: dict[str, tuple[dict[str, Any], tuple[str, ...], str]] = {
    'U1 misspelt argument of the model': (
        {f'{_M}.temprature': 0.1}, ('temprature',), "did you mean 'temperature'",
    ),
    'U1 misspelt argument of the data': (
        {f'{_D}.batchsize': 4}, ('batchsize',), "did you mean 'batch_size'",
    ),
    'U1 misspelt argument of the trainer': (
        {'trainer.max_epoch': 4}, ('max_epoch',), "did you mean 'max_epochs'",
    ),
    'U2 misspelt argument of the archive': (
        {f'{_D}.on_mising': 'drop'}, ('on_mising',), "did you mean 'on_missing'",
    ),
    'U1 misspelt class': (
        {'model.class_path': 'torchgeo_saco.tasks.SACO'}, ('SACO',), "did you mean 'SACo'",
    ),
    'U1 misspelt datamodule': (
        {'data.class_path': 'torchgeo_saco.datamodules.SeasonalDatamodule'},
        ('SeasonalDatamodule',), "did you mean 'SeasonalDataModule'",
    ),
    'C9 class that is no task': ({'model.class_path': 'os.system'}, ('os.system',), 'BaseTask'),
    'C9 class that is a datamodule': (
        {'model.class_path': 'torchgeo_saco.datamodules.SeasonalDataModule'},
        ('SeasonalDataModule',), 'BaseTask',
    ),
    'U1 text for a number': ({f'{_M}.queue_size': 'many'}, ('queue_size',), 'int'),
    'U1 number for a list': ({f'{_M}.milestones': 3}, ('milestones', '3'), 'Sequence'),
    'U1 list for a number': ({f'{_D}.batch_size': [2]}, ('batch_size',), 'int'),
    'R3 null batch': ({f'{_D}.batch_size': None}, ('batch_size', 'None'), 'whole number'),
    'R3 null size': ({f'{_M}.size': None}, ('size', 'None'), 'must be'),
    'R3 null weight decay': ({f'{_M}.weight_decay': None}, ('weight_decay', 'None'), 'must be'),
    'R3 negative batch': ({f'{_D}.batch_size': -1}, ('batch_size', '-1'), 'must be'),
    'R3 negative queue': ({f'{_M}.queue_size': -4}, ('queue_size', '-4'), 'must be'),
    'R3 negative workers': ({f'{_D}.num_workers': -1}, ('num_workers', '-1'), 'must be'),
    'R2 rotation nan': ({f'{_M}.rotation': float('nan')}, ('rotation', 'nan'), 'must be'),
    'R2 rotation negative': ({f'{_M}.rotation': -3.0}, ('rotation', '-3'), 'must be'),
    'R2 alignment_weight -1': ({f'{_M}.alignment_weight': -1.0}, ('alignment_weight',), 'must be'),
    'R2 sgd_momentum 2': ({f'{_M}.sgd_momentum': 2.0}, ('sgd_momentum', '2'), 'must be'),
    'R2 unit 1e-30': ({f'{_D}.unit': 1e-30}, ('unit', '1e-30'), 'must be'),
    'R2 offset 1e30': ({f'{_D}.offset': 1e30}, ('offset', '1e+30'), 'must be'),
    'R3 unknown backbone': ({f'{_M}.model': 'resnet1818'}, ('resnet1818',), 'choose one such as'),
    'B4 unknown input band': ({f'{_M}.input_bands': ['B04', 'B13'], f'{_M}.bands': ['B04']},
                              ('B13',), ''),
    'B4 unknown band of the task': ({f'{_M}.bands': ['B02', 'B99']}, ('B99',), ''),
    'B10 unknown group': ({f'{_M}.groups': ['natural_colour'], f'{_M}.bands': ['B04']},
                          ('natural_colour',), 'natural_color'),
    'B10 group of two bands': (
        {f'{_M}.groups': {'own': ['B04', 'B03']}, f'{_M}.bands': ['B04', 'B03', 'B02']},
        ('own',), 'three bands',
    ),
    'B10 no groups': ({f'{_M}.groups': [], f'{_M}.bands': ['B04', 'B03', 'B02']}, ('groups',), ''),
    'R3 buried: root is absent': ({}, ('absent does not exist',), 'set root to'),
    'R3 buried: callback': (
        {'trainer.callbacks': [{'class_path': 'torchgeo_saco.callbacks.KNNProbe',
                                'init_args': {'k': 0}}]},
        ('k must be', '0'), 'at least 1',
    ),
    'R3 buried: writer': (
        {'trainer.callbacks': [{'class_path': 'torchgeo_saco.callbacks.EmbeddingWriter',
                                'init_args': {'output': 'table.csv'}}]},
        ('table.csv',), 'must end in .parquet',
    ),
    'U5 a GPU where there is none': ({'trainer.accelerator': 'cuda'}, ('error: ',), 'CUDA'),
    'U5 a strategy of GPUs': ({'trainer.strategy': 'fsdp'}, ('error: The strategy `fsdp`',), 'GPU'),
    'U5 devices -3': ({'trainer.devices': -3}, ('error: `devices`',), 'an int > 0'),
    'U5 accumulation 0': (
        {'trainer.accumulate_grad_batches': 0}, ('accumulate_grad_batches', '0'), 'at least 1'
    ),
    'U5 accumulation -2': (
        {'trainer.accumulate_grad_batches': -2}, ('accumulate_grad_batches', '-2'), 'at least 1'
    ),
    'U5 clipping by NaN': (
        {'trainer.gradient_clip_val': float('nan')}, ('gradient_clip_val', 'nan'), 'finite'
    ),
    'U5 precision bf16-true': (
        {'trainer.precision': 'bf16-true'}, ('precision bf16-true',), 'bf16-mixed'
    ),
}  # fmt: skip

_TEXTS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    'U1 no YAML': (b'model: [', ('fit.yaml',)),
    'U1 YAML that is a list': (b'- model\n- data\n', ('fit.yaml',)),
    'U1 YAML of another encoding': ('model: "\u00e9"'.encode('utf-16'), ('fit.yaml',)),
    'U1 YAML with a part of its own': (b'modle: {}\n', ('fit.model',)),
}

_COMMANDS: dict[str, tuple[list[str], tuple[str, ...], str]] = {
    'embed without weights': (['embed', '--root=x', '--output=x.tif'], ('weights',), ''),
    'embed misspelt': (
        ['embed', '--weigths=random', '--root=x', '--output=x.tif'], ('weigths',), 'weights',
    ),
    'embed to another ending': (
        ['embed', '--weights=random', '--root=x', '--output=x.csv'], ('x.csv',), 'must end in',
    ),
    'embed tile 0': (
        ['embed', '--weights=random', '--root=x', '--output=x.tif', '--tile=0'],
        ('tile', '0'), 'at least 1',
    ),
    'embed max_nodata nan': (
        ['embed', '--weights=random', '--root=x', '--output=x.tif', '--max_nodata=nan'],
        ('max_nodata', 'nan'), 'float',
    ),
    'embed text for a number': (
        ['embed', '--weights=random', '--root=x', '--output=x.tif', '--batch_size=many'],
        ('batch_size', 'many'), 'int',
    ),
    'changes pairs 0': (
        ['changes', '--weights=random', '--root=x', '--output=x.gpkg', '--pairs=0'],
        ('pairs', '0'), 'at least 1',
    ),
    'sample count 0': (['sample', '--output=x.geojson', '--count=0'], ('count', '0'), 'must be'),
    'sample spread nan': (
        ['sample', '--output=x.geojson', '--spread_km=nan'], ('spread_km', 'nan'), 'float',
    ),
    'sample to another ending': (['sample', '--output=x.txt'], ('x.txt',), 'must end in'),
    'sample unknown method': (
        ['sample', '--output=x.geojson', '--method=gauss'], ('gauss',), 'gaussian',
    ),
    'pack workers 0': (['pack', '--root=x', '--output=y', '--workers=0'], ('workers',), 'must be'),
    'pack absent folder': (['pack', '--root=absent', '--output=y'], ('absent',), 'root'),
    'map of an absent table': (
        ['map', '--embeddings=absent.parquet', '--output=x.html'], ('absent.parquet',), '',
    ),
    'map to another ending': (
        ['map', '--embeddings=absent.parquet', '--output=x.pdf'], ('x.pdf',), 'must end in',
    ),
    'pixel-changes to another ending': (
        ['pixel-changes', '--images=[a, b]', '--output=x.png'], ('x.png',), 'must end in .tif',
    ),
    'fetch without points': (['fetch', '--root=x', '--catalogue=http://h'], ('points',), ''),
    'fetch of absent points': (
        ['fetch', '--points=absent.geojson', '--root=x', '--catalogue=http://127.0.0.1:1'],
        ('absent.geojson',), 'name the file',
    ),
    'fetch max_cloud 200': (
        ['fetch', '--points=p.geojson', '--root=x', '--catalogue=http://127.0.0.1:1',
         '--max_cloud=200'], ('max_cloud', '200'), 'from 0 to 100',
    ),
    'evaluate absent file': (['evaluate', '--config=absent.yaml'], ('absent.yaml',), ''),
    'evaluate unknown part': (['evaluate', '--sedes=[0]'], ('sedes',), ''),
    'evaluate value missing': (['evaluate', '--seeds'], ('--seeds',), 'lacks a value'),
    'evaluate negative seeds': (
        ['evaluate', '--seeds=[-1]', '--encoders.a.model=x', '--benchmarks.b.data=x'],
        ('seeds', '-1'), 'not negative',
    ),
    'evaluate without encoders': (['evaluate', '--seeds=[0]'], ('encoders',), 'name at least one'),
}  # fmt: skip


def _in(folder: Path, words: list[str]) -> None:
    """Run a command in a folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        run(*words)
    finally:
        os.chdir(before)


def _table() -> gpd.GeoDataFrame:
    numbers = np.random.default_rng(0).random((400, 2))
    return gpd.GeoDataFrame(
        {'a': [f'{x:.15f}' for x, _ in numbers]},
        geometry=[Point(*pair) for pair in numbers],
        crs='EPSG:4326',
    )


_NOISE = np.random.default_rng(0).integers(0, 255, (2, 128, 128)).astype('uint8')

_RESULT = Result({'a': 1.0}, 1.0, ('a',), None, None, [], {})

#: Writers, each of a file in a folder.
_WRITERS: dict[str, tuple[str, Any]] = {
    'bytes': ('run.json', lambda path: write_file(path, bytes(5000))),
    'tiles': ('tiles.tif', lambda path: write_tiled(path, _NOISE)),
    'parquet': ('table.parquet', lambda path: write_table(_table(), path)),
    'geojson': ('table.geojson', lambda path: write_table(_table(), path)),
    'geopackage': ('table.gpkg', lambda path: write_table(_table(), path)),
    'figure': ('plot.png', lambda path: write_figure(plt.figure(), path)),
    'result': (
        'result',
        lambda path: Result({'a': 1.0}, 1.0, ['a'], [], None, [], {}).save(path, {}),
    ),
}


def _on_full_disk(write: Any, name: str, folder: Path) -> None:
    """Write on a disk that is full, after which nothing must lie there."""
    try:
        with full_disk(100):
            write(folder / name)
    finally:
        # A result is there once its last file is.
        left = [p.name for p in folder.rglob('*') if p.is_file() and p.name != 'arrays.npz']
        assert not left, left


def _where_denied(write: Any, name: str, folder: Path) -> None:
    """Write to a folder that may be read alone."""
    closed = folder / 'closed'
    closed.mkdir()
    closed.chmod(0o555)
    with ordinary_user():
        write(closed / name)


def _below_a_file(write: Any, name: str, folder: Path) -> None:
    """Write below what is a file."""
    (folder / 'file').write_text('in the way')
    write(folder / 'file' / name)


def _evaluate_to_a_file(folder: Path) -> None:
    (folder / 'report').write_text('a report of mine')
    try:
        evaluate(_settings(str(folder / 'report')))
    finally:
        assert (folder / 'report').read_text() == 'a report of mine'


def _settings(output: str) -> Settings:
    return read_settings([
        f'--output={output}', '--seeds=[0]', '--encoders.a.model=test_resnet',
        '--benchmarks.b.model.class_path=torchgeo_saco.tasks.GroupClassification',
        '--benchmarks.b.data.class_path=torchgeo_saco.datamodules.EuroSATBandsDataModule',
        '--benchmarks.b.trainer.max_steps=1',
    ])  # fmt: skip


_WINDOW = DateWindow(*(np.datetime64(day).astype(object) for day in ('2020-06-01', '2020-06-30')))

_ITEM: dict[str, Any] = {
    'id': 'S2A_31UFS_20200612',
    'properties': {'datetime': '2020-06-12T10:00:00Z', 'eo:cloud_cover': 1.0,
                   's2:processing_baseline': '03.00'},
    'geometry': None,
    'assets': {'B04': {'href': 'https://host/B04.tif'}},
}  # fmt: skip

#: Changes of a STAC item, and what is said of it.
_ITEMS: dict[str, tuple[dict[str, Any], str]] = {
    'without id': ({'id': ...}, 'an item without id is none'),
    'id null': ({'id': None}, 'an item without id is none'),
    'id a number': ({'id': 7}, 'has no id'),
    'without assets': ({'assets': ...}, 'has no mapping assets'),
    'assets null': ({'assets': None}, 'has no mapping assets'),
    'assets a list': ({'assets': [1]}, 'has no mapping assets'),
    'asset a text': ({'assets': {'B04': 'x'}}, 'asset B04 without href'),
    'asset without href': ({'assets': {'B04': {}}}, 'asset B04 without href'),
    'href a number': ({'assets': {'B04': {'href': 3}}}, 'asset B04 without href'),
    'bands a number': ({'assets': {'B04': {'href': 'https://h/x', 'eo:bands': 3}}}, 'eo:bands'),
    'bands of texts': ({'assets': {'B04': {'href': 'https://h/x', 'bands': ['red']}}}, 'bands'),
    'without properties': ({'properties': ...}, 'has no mapping properties'),
    'properties null': ({'properties': None}, 'has no mapping properties'),
    'properties a list': ({'properties': []}, 'has no mapping properties'),
    'no time': ({'properties': {'eo:cloud_cover': 1.0}}, 'has no time of acquisition'),
    'time no time': ({'properties': {'datetime': 'June'}}, 'has no time of acquisition'),
    'time a number': ({'properties': {'datetime': 5}}, 'has no time of acquisition'),
    'cloud a text': (
        {'properties': {'datetime': '2020-06-12T10:00:00Z', 'eo:cloud_cover': 'few'}},
        'how cloudy',
    ),
    'cloud nan': (
        {'properties': {'datetime': '2020-06-12T10:00:00Z', 'eo:cloud_cover': float('nan')}},
        'how cloudy',
    ),
    'geometry a text': ({'geometry': 'here'}, 'no GeoJSON'),
    'geometry a list': ({'geometry': [1, 2]}, 'no GeoJSON'),
    'geometry of no type': ({'geometry': {'coordinates': [1, 2]}}, 'no GeoJSON'),
    'geometry of another type': ({'geometry': {'type': 'Blob', 'coordinates': []}}, 'no GeoJSON'),
}


def _changed(change: dict[str, Any]) -> dict[str, Any]:
    item = _ITEM | change
    return {name: value for name, value in item.items() if value is not ...}


def _rank(item: Any, said: str, folder: Path) -> None:
    """An item that is not sound is left out, and it is said why."""
    square = square_around(3.0, 50.0, 600)
    found, reasons = rank_scenes([item, _ITEM], _WINDOW, square, 10.0)
    assert [scene.id for scene in found] == [_ITEM['id']]
    assert len(reasons) == 1 and said in reasons[0], reasons


def _scale(part: dict[str, Any], folder: Path) -> None:
    asset = {'href': 'https://host/B04.tif'} | part
    properties = {'datetime': '2020-06-12T10:00:00Z'}
    band_files(_ITEM | {'properties': properties, 'assets': {'B04': asset}}, ['B04'])


FAULTS: list[Fault] = [
    *[
        Fault(name, partial(fit, change), names, remedy, SystemExit)
        for name, (change, names, remedy) in _CONFIGURATIONS.items()
    ],
    *[
        Fault(name, partial(fit_text, content), names, error=SystemExit)
        for name, (content, names) in _TEXTS.items()
    ],
    *[
        Fault(f'U1 {name}', lambda root, words=words: _in(root, words), names, remedy, SystemExit)
        for name, (words, names, remedy) in _COMMANDS.items()
    ],
    *[
        Fault(
            f'R3 full disk: {kind}',
            partial(_on_full_disk, write, name),
            names=(name.split('.')[0],),
            remedy='make room',
            error=OSError,
        )
        for kind, (name, write) in _WRITERS.items()
    ],
    *[
        Fault(
            f'R3 folder that may not be written to: {kind}',
            partial(_where_denied, write, name),
            names=(name.split('.')[0], 'closed'),
            remedy='name another folder',
            error=OSError,
        )
        for kind, (name, write) in _WRITERS.items()
    ],
    *[
        Fault(
            f'R3 folder that is a file: {kind}',
            partial(_below_a_file, write, name),
            names=(name.split('.')[0],),
            remedy='name another',
            error=OSError,
        )
        for kind, (name, write) in _WRITERS.items()
    ],
    Fault(
        'R3 evaluate to a file',
        _evaluate_to_a_file,
        names=('report',),
        remedy='name another',
        error=OSError,
    ),
    Fault(
        'R3 evaluate to a folder that may not be written to',
        partial(_where_denied, require_folder, ''),
        names=('closed',),
        remedy='name another folder',
        error=OSError,
    ),
    *[
        Fault(f'R3 STAC item: {name}', partial(_rank, _changed(change), said), error=None)
        for name, (change, said) in _ITEMS.items()
    ],
    *[
        Fault(f'R3 STAC item: {item!r}', partial(_rank, item, 'an item without id'), error=None)
        for item in (None, 'text', 5, [])
    ],
    *[
        Fault(
            f'R3 STAC {name} {value!r}',
            partial(_scale, {name: value}),
            names=(repr(value),),
            remedy='numbers',
        )
        for name in ('raster:scale', 'raster:offset')
        for value in ('much', float('nan'), float('inf'))
    ],
    *[
        Fault(
            f'R3 STAC raster:scale {value}',
            partial(_scale, {'raster:scale': value}),
            names=(str(value),),
            remedy='numbers',
        )
        for value in (0.0, -1.0)
    ],
]
