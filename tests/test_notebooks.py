# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Laws of the notebooks as they are stored, and of the tile that they run on."""

import re
from pathlib import Path

import nbformat
import numpy as np
import pytest

from torchgeo_saco.datasets import SeasonalArchive

FOLDER = Path(__file__).parents[1] / 'notebooks'
TILE = FOLDER / 'data'
NOTEBOOKS = sorted(FOLDER.glob('*.ipynb'))

#: Of a file of a notebook, and of all shipped data, in bytes.
LARGEST, LARGEST_DATA = 1_000_000, 4_000_000

#: Beginnings of paths of some machine.
ABSOLUTE = re.compile(r'(?<![\w.:/])/(?:home|Users|root|work|tmp|var|opt|usr|mnt|data)/|[A-Z]:\\')


def texts(notebook):
    """Sources and outputs of a notebook, but pictures."""
    for cell in notebook.cells:
        yield cell.source
        for output in cell.get('outputs', []):
            yield output.get('text', '')
            data = output.get('data', {})
            yield from (str(data[kind]) for kind in data if not kind.startswith('image/'))


def test_there_are_five():
    assert [path.name[:2] for path in NOTEBOOKS] == ['1_', '2_', '3_', '4_', '5_']


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_as_it_ran(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == 'code']
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    kinds = {output.output_type for output in outputs}
    assert kinds <= {'stream', 'display_data', 'execute_result'}
    assert not [o.text for o in outputs if o.output_type == 'stream' and o.name == 'stderr']
    assert any('image/png' in output.get('data', {}) for output in outputs)
    assert path.stat().st_size < LARGEST


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_names_no_path_of_a_machine(path):
    found = [text for text in texts(nbformat.read(path, 4)) if ABSOLUTE.search(text)]
    assert not found


def test_absolute_paths_are_found():
    for text in ('in /home/me/x.tif', '/root/map.tif: 3 cells', 'C:\\x', "root='/data/x'"):
        assert ABSOLUTE.search(text)
    for text in ('../data/sample', 'https://x.org/data/', 'data/README.md', 'root/data/x'):
        assert not ABSOLUTE.search(text)


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_links_lead_somewhere(path):
    for text in texts(nbformat.read(path, 4)):
        for link in re.findall(r'\]\(([^)#:]+\.(?:md|ipynb))\)', text):
            assert (FOLDER / link).is_file(), link


def test_readme_names_every_notebook():
    readme = (FOLDER.parent / 'README.md').read_text()
    assert [path.name for path in NOTEBOOKS if f'(notebooks/{path.name})' not in readme] == []


def test_tile_is_small_and_says_its_licence():
    assert sum(p.stat().st_size for p in TILE.rglob('*') if p.is_file()) < LARGEST_DATA
    readme = (TILE / 'README.md').read_text()
    for words in ('CC-BY-4.0', '2211.07044', 'modified Copernicus Sentinel data 2020', 'Changes'):
        assert words in readme


def test_tile_is_read_in_its_layout_and_as_rasters():
    tile = SeasonalArchive(TILE / 'ssl4eo_s12', dates=2, item='location')
    assert (tile.sensor_name, tile.shape, len(tile.bands)) == ('sentinel2_l2a', (264, 264), 12)
    (location,) = tile.locations
    assert [f'{day}' for day in location.days] == ['2020-06-04', '2020-08-13']
    cells = SeasonalArchive(
        TILE / 'ssl4eo_s12', dates=2, item='location', layout='rasters', sensor='sentinel2_l2a',
        size=32, on_missing='drop',
    )  # fmt: skip
    assert cells.bands == tile.bands
    assert len(cells) == 49
    # A cell is a part of the tile, to the pixel of the finest bands.
    band = tile.bands.index('B02')
    whole = tile.read_scene(location, 0)[band].numpy()
    cell = cells.read_scene(cells.locations[0], 0)[band].numpy()
    places = np.lib.stride_tricks.sliding_window_view(whole, (32, 32))
    assert (places == cell).all((2, 3)).sum() == 1
