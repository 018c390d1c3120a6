# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Every command of the documentation runs, or says here why it does not."""

import re
import shlex
import shutil
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from torchgeo.main import main as torchgeo

from torchgeo_saco import cli
from torchgeo_saco.synthesis.benchmarks.pastis import PASTISTree
from torchgeo_saco.synthesis.benchmarks.sen12ms import SEN12MSTree
from torchgeo_saco.synthesis.publication import publish

from .data.archives import write_archive, write_tif
from .data.layouts import write_bigearthnet_patches, write_image_folders, write_ssl4eo
from .data.pages import PAGES, ROOT, commands, name
from .data.products import scene_bands, write_safe
from .data.published import seco_content, trunk
from .data.scenes import write_classes

#: Beginnings of commands that are not run here, and why.
ELSEWHERE = {
    'pip install': 'installs packages',
    'python3 -m venv': 'makes an environment',
    '. .venv': 'enters it',
    'tensorboard --logdir': 'serves until it is stopped',
    'make report': 'takes half an hour; tests/configs/test_downstream.py',
    'python -m tests.faults': 'takes minutes; tests/faults/test_faults.py',
    'torchgeo-saco evaluate --config compare.yaml': (
        'takes hours; tests/evaluation/test_pretraining.py'
    ),
    'torchgeo-saco evaluate --config ablation.yaml': (
        'takes an hour; tests/evaluation/test_pretraining.py'
    ),
    'torchgeo-saco evaluate --config ablation_eurosat_rgb.yaml': (
        'needs EuroSAT RGB; tests/evaluation/test_pretraining.py'
    ),
    'torchgeo-bench': 'an optional runner; tests/evaluation/test_bench.py',
    'torchgeo-saco evaluate --protocol torchgeo --weights last.ckpt --root data/sample/eurosat': (
        'generates the whole sample; tests/evaluation/test_protocol.py'
    ),
    'torchgeo-saco fit --config trainer.yaml --config pretrain/seco.yaml --config data/seco_100k': (
        'downloads; tests/test_cli.py'
    ),
    'torchgeo-saco fit --config downstream/eurosat_linear.yaml --model.init_args.weights SeCo': (
        'downloads; tests/models/published/test_registry.py'
    ),
    'torchgeo-saco export --weights last.ckpt --output pushed': (
        'needs a hub; tests/models/export/test_hub.py'
    ),
    'torchgeo-saco convert dual.pth': 'tests/models/published/test_command.py',
    'torchgeo-saco sample': 'reads files of others; tests/locations/sampling/test_command.py',
    'torchgeo-saco fetch': 'needs the network; tests/locations/fetching/test_command.py',
    'export AWS': 'has no keys; tests/archives/store/test_files.py',
    'torchgeo fit ...': 'is abridged; tests/archives/packing/test_archive.py',
    'torchgeo fit --config ...': 'is abridged; tests/runtime/test_distributed.py',
    'torchrun': 'needs two machines; tests/runtime/test_launchers.py',
    'srun': 'needs SLURM; tests/runtime/test_launchers.py',
}

#: What makes a training short enough for a test; everything else is what the page says.
SHORT = [
    '--trainer.max_epochs=1', '--trainer.limit_train_batches=2', '--trainer.limit_val_batches=1',
    '--trainer.accelerator=cpu', '--trainer.num_sanity_val_steps=0',
    '--data.init_args.batch_size=4', '--data.init_args.num_workers=0',
    '--model.init_args.model=test_resnet',
]  # fmt: skip
PRETRAIN = ['--model.init_args.weights=null', '--model.init_args.size=16']
QUEUE = ['--model.init_args.queue_size=6']
READ = ['--data.init_args.download=false']

#: Sides of images and cells that are as small as the files here.
SIDES = {'data/ssl4eo_s12.yaml': 12, 'data/rasters.yaml': 16}

BANDS = ('B02', 'B03', 'B04', 'B08', 'B11', 'B12')

pytestmark = [
    # https://github.com/omni-us/jsonargparse: options that a later class does not know.
    pytest.mark.filterwarnings('ignore:.*discard init_args.*'),
    pytest.mark.filterwarnings('ignore:.*You are using the plain ModelCheckpoint.*'),
    # Without a GPU.
    pytest.mark.filterwarnings('ignore:.*pin_memory.*'),
    # Of a run that goes on in another folder.
    pytest.mark.filterwarnings('ignore:The dirpath has changed.*'),
]


def reason(words: list[str]) -> str | None:
    """Why a command is not run here."""
    text = ' '.join(words)
    return next((ELSEWHERE[start] for start in ELSEWHERE if text.startswith(start)), None)


def to_run(page: Path) -> list[list[str]]:
    """Commands of a page that are run here."""
    return [words for words in commands(page) if reason(words) is None]


def test_each_reason_is_of_a_command_and_names_tests_that_exist():
    given = [' '.join(words) for page in PAGES for words in commands(page)]
    for start, why in ELSEWHERE.items():
        assert any(text.startswith(start) for text in given), start
        for path in re.findall(r'tests/\S+\.py', why):
            assert (ROOT / path).is_file(), path


def write_scene(folder: Path, bands=BANDS) -> None:
    """One file a band."""
    random = np.random.default_rng(0)
    for band in bands:
        image = random.integers(500, 4000, (96, 80)).astype('uint16')
        write_tif(folder / f'{band}.tif', image, transform=Affine(10, 0, 5e5, 0, -10, 56e5))


def write_stacks(folder: Path) -> None:
    """Scenes of two dates, as stacks of bands; those of Landsat have no names."""
    random = np.random.default_rng(0)
    ground = random.integers(1000, 4000, (6, 64, 64)).astype('uint16')
    for stem in ('2019-06-12', '2021-06-21', '1990', '2001'):
        noise = random.integers(0, 300, ground.shape).astype('uint16')
        write_tif(folder / f'{stem}.tif', ground + noise, nodata=0)
        if len(stem) > 4:
            with rasterio.open(folder / f'{stem}.tif', 'r+') as file:
                file.descriptions = BANDS


def write_workspace(folder: Path) -> None:
    """What the pages take to be there, where they take it to be."""
    (folder / 'configs').symlink_to(ROOT / 'configs')
    (folder / 'notebooks').symlink_to(ROOT / 'notebooks')
    days = ('20180310', '20180612', '20180915', '20190309', '20190614', '20190911')
    write_archive(folder / 'my/images', locations=8, dates=days)
    for copy in ('my/archive', 'data/sample/seasonal'):
        shutil.copytree(folder / 'my/images', folder / copy)
    write_scene(folder / 'scene')
    write_stacks(folder)
    for number, day in enumerate(days[:2]):
        write_safe(folder / 'scenes', datetime.strptime(day, '%Y%m%d').date(), scene_bands(number))
    write_ssl4eo(folder / 'ssl4eo_s12', ('s2c', 's2a'), locations=6)
    write_bigearthnet_patches(folder / 'BigEarthNet-v1.0', 6)
    write_image_folders(folder / 'EuroSAT_RGB')
    patches = publish(SEN12MSTree(0, 32, 5).tree(), folder / 'SEN12MS', 1, False)
    (folder / 'data/sample_benchmarks').mkdir()
    shutil.copytree(patches, folder / 'data/sample_benchmarks/sen12ms')
    publish(PASTISTree(0, 1, (2, 3)).tree(), folder / 'data/sample_benchmarks/pastis', 1, False)
    write_classes(folder / 'data/eurosat')
    torch.save(seco_content(trunk()), folder / 'best_classification_model.pth')


def run(words: list[str]) -> None:
    """Run a command as from a terminal, a training for two steps."""
    program, *words = words
    main = {'torchgeo': torchgeo, 'torchgeo-saco': cli.main}[program]
    text = ' '.join(words)
    if words[0] == 'predict':
        words = [*words, *READ]
    if words[0] == 'fit' and 'help' not in text:
        words = [*words, *SHORT, *READ]
        words += [f'--data.init_args.size={side}' for name, side in SIDES.items() if name in text]
        if 'downstream' not in text:
            words += PRETRAIN + ([] if 'paired' in text else QUEUE)
    try:
        main(words)
    except SystemExit as end:
        assert end.code in (0, None), text


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    """Folder with all of it, and the checkpoint of a short run. Not to be changed."""
    folder = tmp_path_factory.mktemp('workspace')
    write_workspace(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, 'argv', ['torchgeo'])
        run(['torchgeo-saco', 'fit', '--config', 'saco.yaml'])
    (last,) = folder.glob('logs/saco/version_0/checkpoints/last.ckpt')
    for stem in ('last', 'lr_0.01', 'lr_0.03', 'lr_0.1'):
        shutil.copy(last, folder / f'{stem}.ckpt')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run(shlex.split('torchgeo-saco embed --weights last.ckpt --root scene --tile 32 '
                        '--output embeddings.tif'))  # fmt: skip
    return folder


@pytest.mark.slow
@pytest.mark.parametrize('page', [page for page in PAGES if to_run(page)], ids=name)
def test_commands_run(page, workspace, tmp_path, monkeypatch):
    folder = tmp_path / 'copy'
    shutil.copytree(workspace, folder, symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, 'argv', ['torchgeo'])
    for words in to_run(page):
        run(words)
    assert to_run(page)
