# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Mutants of sound files, each used as a user would in a process of limited time and memory.

``python -m tests.faults.fuzz [--count N] [KIND...]`` counts what was refused by a sentence of the
package, what was used as it is, and what crashed, hung, took too much memory, or ended in the words
of a library.
"""

import argparse
import os
import resource
import shutil
import signal
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import torchgeo_saco
from torchgeo_saco.archives.packing import pack_archive, verify_store
from torchgeo_saco.datasets import SeasonalArchive
from torchgeo_saco.evaluation.settings import read_settings
from torchgeo_saco.io.configs import find_config
from torchgeo_saco.io.downloads import extract_archive
from torchgeo_saco.models import load_encoder

from ..data.archives import write_archive, write_tif

_PACKAGE = str(Path(torchgeo_saco.__file__).parent)

#: Seconds of processor time, and of waiting, for a busy machine; bytes over those of the parent.
_TIME, _WAIT, _MEMORY = 5, 120, 2 << 30

# What text is replaced by.
_NASTY = (
    'null', '-1', '0', '.nan', '.inf', '1e999', '[]', '{}', "''", '!!python/name:os.system', '*x',
    '&x [*x]', '"\\0"', '99999999999999999999', '../../etc/passwd', 'true', '2020-13-45', '- -',
    '? x', '%', '\t', '\ufeff', '{' * 500, '[' * 3000,
)  # fmt: skip


class Kind(NamedTuple):
    """A kind of file."""

    #: Mutants that are tried.
    count: int

    #: Makes sound files in a folder; those are mutated in turn.
    make: Callable[[Path], Sequence[Path]]

    #: Uses the folder and the file that was mutated.
    use: Callable[[Path, Path], object]


def _make_tree(folder: Path) -> list[Path]:
    """GeoTIFFs of all ways in which they are stored."""
    tree = write_archive(folder / 'tree', 1, ('20180410', '20190412'), ('B2', 'B3'), 48, 'uint16')
    forms = (
        {}, {'compress': 'lzw', 'predictor': 2}, {'compress': 'deflate', 'tiled': True,
         'blockxsize': 16, 'blockysize': 16}, {'compress': 'zstd', 'nodata': 0},
    )  # fmt: skip
    paths = sorted(tree.rglob('*.tif'))
    image = np.random.default_rng(0).integers(1, 5000, (48, 48)).astype('uint16')
    for path, form in zip(paths, forms, strict=True):
        write_tif(path, image, **form)
    return paths


def _use_tree(folder: Path, path: Path) -> None:
    data = SeasonalArchive(folder / 'tree', dates=2)
    data[0]
    data.footprint(data.locations[0])


def _make_archives(folder: Path) -> list[Path]:
    contents = {f'tree/{number}.txt': os.urandom(200) + bytes(300) for number in range(6)}
    paths = [folder / name for name in ('data.zip', 'data.tar', 'data.tar.gz', 'data.tar.xz')]
    with zipfile.ZipFile(paths[0], 'w', zipfile.ZIP_DEFLATED) as file:
        for name, content in contents.items():
            file.writestr(name, content)
    extract_archive(paths[:1], folder / 'source')
    for path, mode in zip(paths[1:], ('w', 'w:gz', 'w:xz'), strict=True):
        with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
            file.add(folder / 'source' / 'tree', 'tree')
    return paths


def _use_archive(folder: Path, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as within:
        extract_archive([path], Path(within) / 'root')


def _make_checkpoint(folder: Path) -> list[Path]:
    from ..data.resumed import trained

    dates = ('20180210', '20180410', '20180715', '20190212', '20190412', '20190720')
    tree = write_archive(folder / 'tree', 6, dates, ('B2', 'B3', 'B4'), 16)
    trained(tree, folder / 'run', epochs=1)
    path = shutil.copy(folder / 'run' / 'last.ckpt', folder / 'last.ckpt')
    shutil.rmtree(folder / 'run')
    return [Path(path)]


def _use_checkpoint(folder: Path, path: Path) -> None:
    load_encoder(['B02', 'B03', 'B04'], weights=str(path))


def _make_store(folder: Path) -> list[Path]:
    dates = ('20180410', '20190412', '20190720')
    write_archive(folder / 'tree', 4, dates, ('B2', 'B3', 'B4'), 8)
    pack_archive(folder / 'tree', folder / 'store', shard_bytes=3 * 3 * 64, progress=False)
    return sorted(path for path in (folder / 'store').rglob('*') if path.is_file())


def _use_store(folder: Path, path: Path) -> None:
    data = SeasonalArchive(folder / 'store', dates=2)
    for item in range(len(data)):
        data[item]
    for location in data.locations:
        data.footprint(location)
    verify_store(folder / 'store')


def _make_yaml(folder: Path) -> list[Path]:
    return [Path(shutil.copy(find_config('compare.yaml'), folder / 'compare.yaml'))]


def _use_yaml(folder: Path, path: Path) -> None:
    read_settings(['--config', str(path)])


KINDS = {
    'geotiff': Kind(1000, _make_tree, _use_tree),
    'archive': Kind(200, _make_archives, _use_archive),
    'checkpoint': Kind(200, _make_checkpoint, _use_checkpoint),
    'store': Kind(200, _make_store, _use_store),
    'yaml': Kind(200, _make_yaml, _use_yaml),
}


def mutate(content: bytes, generator: np.random.Generator, text: bool = False) -> bytes:
    """Change some bytes of a file.

    Args:
        content: The sound file.
        generator: Chooses how and where.
        text: Whether it is text, whose words are changed as well.

    Returns:
        The mutant, which differs.
    """
    changed = bytearray(content)
    for _ in range(int(generator.integers(1, 4))):
        # Headers lie at either end.
        end = max(1, len(changed))
        near = [int(generator.integers(end)), int(generator.integers(min(end, 400)))]
        start = int(generator.choice([*near, max(0, end - 1 - near[1])]))
        length = int(generator.choice([1, 2, 4, 8, 64, 512]))
        stop = min(end, start + length)
        way = int(generator.integers(9 if text else 7))
        if way == 0:
            bit = 1 << int(generator.integers(8))
            changed[start:stop] = bytes(byte ^ bit for byte in changed[start:stop])
        elif way == 1:
            changed[start:stop] = generator.bytes(stop - start)
        elif way == 2:
            changed[start:stop] = bytes(stop - start)
        elif way == 3:
            changed[start:stop] = b'\xff' * (stop - start)
        elif way == 4:
            del changed[start:]
        elif way == 5:
            del changed[start:stop]
        elif way == 6:
            changed[start:start] = changed[start:stop]
        else:
            lines = changed.decode('utf-8', 'replace').split('\n')
            number = int(generator.integers(len(lines)))
            word = _NASTY[int(generator.integers(len(_NASTY)))]
            key, colon, _ = lines[number].partition(':')
            lines[number] = f'{key}{colon} {word}' if way == 7 else ' ' * (length % 5) + word
            changed = bytearray('\n'.join(lines).encode())
    return bytes(changed) if bytes(changed) != content else content[:-1]


def outcome(use: Callable[[], object]) -> str:
    """How the use of a mutant ends: 'used', 'refused', or what went wrong, with the reason."""
    read, write = os.pipe()
    held = _resident()
    child = os.fork()
    if not child:
        os.close(read)
        _be_child(use, write)
    os.close(write)
    end, status, used = time.monotonic() + _WAIT, 0, None
    while used is None:
        number, status, usage = os.wait4(child, os.WNOHANG)
        if number:
            used = usage
        elif time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            _, status, used = os.wait4(child, 0)
            status = -1
        else:
            time.sleep(0.002)
    with os.fdopen(read, errors='replace') as pipe:
        said = pipe.read()
    if status == -1 or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU):
        return f'hung: more than {_TIME} s'
    if os.WIFSIGNALED(status):
        return f'crashed: signal {os.WTERMSIG(status)}'
    if used.ru_maxrss * 1024 - held > _MEMORY:
        return 'memory: more than 2 GiB'
    return said or 'crashed: no word'


def _resident() -> int:
    """Bytes of memory that this process holds."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def _be_child(use: Callable[[], object], write: int) -> None:
    """Use a mutant, and say in one line how it went."""
    resource.setrlimit(resource.RLIMIT_CPU, (_TIME, _TIME + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            use()
        said = 'used'
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it is told
        where = traceback.extract_tb(error.__traceback__)[-1].filename
        message = str(error)
        ours = where.startswith(_PACKAGE) and isinstance(error, ValueError | OSError)
        if ours and message.strip() and '\n' not in message:
            said = f'refused: {message}'
        else:
            said = f'library: {type(error).__name__}: {" ".join(message.split())} ({where})'
    os.write(write, said.encode('utf-8', 'replace')[:4000])
    os._exit(0)


def run(name: str, count: int | None = None, seed: int = 0) -> tuple[Counter[str], list[str]]:
    """Try mutants of a kind of file.

    Args:
        name: A key of :data:`KINDS`.
        count: Mutants, or None for as many as its kind says.
        seed: Chooses the mutants.

    Returns:
        How often each outcome was met, and what went wrong, with the number of the mutant.
    """
    kind = KINDS[name]
    counts: Counter[str] = Counter()
    wrong = []
    with tempfile.TemporaryDirectory(prefix='fuzz') as within:
        folder = Path(within) / 'root'
        folder.mkdir()
        paths = list(kind.make(folder))
        sound = [path.read_bytes() for path in paths]
        ended = outcome(partial(kind.use, folder, paths[0]))
        if ended != 'used':
            raise RuntimeError(f'{name}: the sound files are not used: {ended}')
        for number in range(kind.count if count is None else count):
            generator = np.random.default_rng((seed, number))
            which = number % len(paths)
            paths[which].write_bytes(mutate(sound[which], generator, name == 'yaml'))
            ended = outcome(partial(kind.use, folder, paths[which]))
            paths[which].write_bytes(sound[which])
            counts[ended.partition(':')[0]] += 1
            if not ended.startswith(('used', 'refused')):
                wrong.append(f'{name} {number} ({paths[which].name}): {ended}')
            if os.listdir(within) != ['root']:
                raise RuntimeError(f'{name} {number} wrote outside of its folder')
    return counts, wrong


def main() -> None:
    """Try mutants of all kinds, or of those named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('kinds', nargs='*', metavar='KIND')
    parser.add_argument('--count', type=int, help='mutants of each kind')
    parser.add_argument('--seed', type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    failed = 0
    for name in arguments.kinds or KINDS:
        counts, wrong = run(name, arguments.count, arguments.seed)
        failed += len(wrong)
        for line in wrong:
            print(line[:600])
        print(f'{name}: {sum(counts.values())} mutants: ' + ', '.join(
            f'{count} {ended}' for ended, count in sorted(counts.items())
        ), flush=True)  # fmt: skip
    sys.exit(failed > 0)


if __name__ == '__main__':
    main()
