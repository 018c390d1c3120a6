# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Faults: checkpoints that are torn, foreign, hostile or of another run."""

import contextlib
import io
import os
import pickle
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn, TrainerStatus
from torch import nn

from torchgeo_saco.change.command import restored_task
from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.io.checkpoint import (
    AtomicCheckpointIO,
    CheckpointError,
    install_checkpoint_io,
    read_checkpoint,
    write_checkpoint,
)
from torchgeo_saco.io.files import WriteError
from torchgeo_saco.models import load_encoder
from torchgeo_saco.tasks import CACo, GroupClassification, MoCo, SACo, SeCo

from ..data.archives import write_archive
from ..data.folders import process_folder
from ..data.pretraining import small
from .fault import Fault
from .limits import full_disk, ordinary_user

_BANDS = ('B02', 'B03', 'B04')
_DATA: dict[str, Any] = {'batch_size': 2, 'dates': 2, 'val_fraction': 0.25}
_DATES = ('20180410', '20180715', '20181020', '20190412', '20190720', '20191022')


# Made by whichever process needs it first, for all.
_FOLDER = process_folder()


def _base() -> Path:
    """Folder with an archive, and checkpoints of trainings on it."""
    done = _FOLDER / 'base'
    if done.exists():
        return done
    folder = _FOLDER / 'begun'
    write_archive(folder / 'archive', locations=6, dates=_DATES, bands=('B2', 'B3', 'B4'), size=16)
    for method, options in ((MoCo, {}), (CACo, {'item': 'years', 'dates': 3})):
        trainer, task, data = _attached(folder / 'archive', method, data=options)
        trainer.fit(task, data)
        trainer.save_checkpoint(folder / f'{method.__name__}.ckpt')
    return folder.rename(done)


def _attached(root: Path, method: Any, trainer: Any = None, data: Any = None, **arguments: Any):
    """Trainer, task and datamodule, set up to train."""
    quiet = {
        'logger': False, 'enable_checkpointing': False, 'enable_progress_bar': False,
        'enable_model_summary': False, 'accelerator': 'cpu', 'max_epochs': 1, 'max_steps': 2,
    }  # fmt: skip
    run = Trainer(default_root_dir=root, **(quiet | (trainer or {})))
    task = small(method, **({'bands': None} | arguments))
    module = SeasonalDataModule(root=root, **(_DATA | (data or {})))
    run.state.fn, run.state.status = TrainerFn.FITTING, TrainerStatus.RUNNING
    run._data_connector.attach_data(task, datamodule=module)
    run.strategy.connect(task)
    return run, task, module


def _resume(path: Path, root: Path | None = None, method: Any = MoCo, **options: Any) -> None:
    """Go on from a checkpoint as a trainer does, up to the first step."""
    trainer, task, data = _attached(root or _base() / 'archive', method, **options)
    install_checkpoint_io(trainer)
    trainer._checkpoint_connector._ckpt_path = str(path)
    data.setup('fit')
    task.setup('fit')
    content = trainer.strategy.load_checkpoint(path)
    task.on_load_checkpoint(content)
    trainer.strategy.load_model_state_dict(content)


def _mine(root: Path, method: Any = MoCo) -> Path:
    """A copy of the checkpoint."""
    return Path(shutil.copy(_base() / f'{method.__name__}.ckpt', root / 'bad.ckpt'))


def _changed(root: Path, change: Callable[[dict[str, Any]], object], method: Any = MoCo) -> Path:
    """A checkpoint whose content was changed by somebody who can write one."""
    path = _mine(root, method)
    content = read_checkpoint(path)
    change(content)
    write_checkpoint(content, path)
    return path


def _encoder(path: Path) -> None:
    load_encoder(_BANDS, weights=str(path))


#: What reads a checkpoint.
_USES: dict[str, Callable[[Path], object]] = {
    'read': read_checkpoint,
    'ckpt_path': _resume,
    'changes': lambda path: restored_task(str(path)),
}


def _spoilt(root: Path, spoil: Callable[[bytes], bytes], use: Callable[[Path], object]) -> None:
    path = _mine(root)
    path.write_bytes(spoil(path.read_bytes()))
    use(path)


def _flipped(content: bytes, place: float) -> bytes:
    """The content with one byte changed; places from 0 to 1, or bytes from the end."""
    position = int(place * len(content)) if place >= 0 else len(content) + int(place)
    other = bytearray(content)
    other[position] ^= 0x10
    return bytes(other)


class _Payload:
    """Runs something when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def _payloads(marker: Path) -> dict[str, Any]:
    import subprocess

    return {
        'os.system': _Payload(os.system, f'touch {marker}'),
        'eval': _Payload(eval, f'open({str(marker)!r}, "w")'),
        'exec': _Payload(exec, f'open({str(marker)!r}, "w")'),
        'Popen': _Payload(subprocess.Popen, ['touch', str(marker)]),
        'open': _Payload(open, str(marker), 'w'),
        'torch.load': _Payload(torch.load, str(marker)),
        'getattr': _Payload(getattr, '', 'upper'),
        'module': nn.Linear(2, 2),
        'path': Path('a'),
        'number': np.float64(1),
    }


def _hostile(root: Path, name: str, use: Callable[[Path], object]) -> None:
    marker = root / 'ran'
    path = root / 'bad.ckpt'
    content = dict(read_checkpoint(_base() / 'MoCo.ckpt'))
    torch.save(content | {'optimizer_states': _payloads(marker)[name]}, path)
    try:
        use(path)
    finally:
        assert not marker.exists()


def _file(root: Path, content: bytes, use: Callable[[Path], object]) -> None:
    (root / 'bad.ckpt').write_bytes(content)
    use(root / 'bad.ckpt')


def _zipped(compression: int, name: str = 'archive/data.pkl', size: int = 1000) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', compression) as archive:
        archive.writestr(name, bytes(size))
    return buffer.getvalue()


def _bomb(root: Path, use: Callable[[Path], object]) -> None:
    """A checkpoint of some kilobytes that would take a gigabyte."""
    whole = read_checkpoint(_base() / 'MoCo.ckpt')
    buffer = io.BytesIO()
    torch.save(whole | {'more': torch.zeros(1 << 26)}, buffer)
    with (
        zipfile.ZipFile(buffer) as stored,
        zipfile.ZipFile(root / 'bad.ckpt', 'w', zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in stored.infolist():
            packed.writestr(member.filename, stored.read(member))
    use(root / 'bad.ckpt')


def _fifo(root: Path) -> None:
    os.mkfifo(root / 'bad.ckpt')
    read_checkpoint(root / 'bad.ckpt')


def _link(root: Path) -> None:
    (root / 'bad.ckpt').symlink_to(root / 'gone')
    read_checkpoint(root / 'bad.ckpt')


@contextlib.contextmanager
def _nobody(folder: Path) -> Iterator[None]:
    """Act as a user who may not write to a folder."""
    folder.chmod(0o555)
    try:
        with ordinary_user():
            yield
    finally:
        folder.chmod(0o755)


def _save(root: Path, around: Any) -> None:
    """Replace a checkpoint where that fails; it must stay as it was, and nothing beside it."""
    folder = root / 'runs'
    folder.mkdir()
    root.chmod(0o755)
    path = folder / 'last.ckpt'
    AtomicCheckpointIO().save_checkpoint({'state_dict': {'a': torch.ones(2)}}, path)
    before = path.read_bytes()
    try:
        with around:
            AtomicCheckpointIO().save_checkpoint({'state_dict': {'a': torch.ones(9999)}}, path)
    finally:
        assert path.read_bytes() == before
        assert [p.name for p in folder.iterdir()] == ['last.ckpt']


def _saved_anew(root: Path) -> None:
    path = root / 'removed' / 'last.ckpt'
    AtomicCheckpointIO().save_checkpoint({'state_dict': {}, 'n': 1}, path)
    shutil.rmtree(root / 'removed')
    AtomicCheckpointIO().save_checkpoint({'state_dict': {}, 'n': 2}, path)
    assert read_checkpoint(path)['n'] == 2


def _without_temporary_folder(root: Path) -> None:
    kept, tempfile.tempdir = tempfile.tempdir, str(root / 'none')
    try:
        AtomicCheckpointIO().save_checkpoint({'n': 1}, root / 'last.ckpt')
    finally:
        tempfile.tempdir = kept
    assert torch.load(root / 'last.ckpt', weights_only=True)['n'] == 1


def _orphans(root: Path) -> None:
    """Those of dead processes go, those of living ones and other files stay."""
    dead = os.fork()
    if not dead:
        os._exit(0)
    os.waitpid(dead, 0)
    stay = [f'.last.partial-{os.getppid()}.ckpt', '.a.partial-x.ckpt', f'.a.partial-{dead}.tif']
    for name in (*stay, f'.last.partial-{dead}.ckpt', f'.e.partial-{os.getpid()}.ckpt'):
        (root / name).touch()
    AtomicCheckpointIO().save_checkpoint({'n': 1}, root / 'last.ckpt')
    assert {path.name for path in root.iterdir()} == {'last.ckpt', *stay}


def _plugin(root: Path) -> None:
    from lightning.pytorch.plugins import AsyncCheckpointIO, TorchCheckpointIO

    class Own(TorchCheckpointIO):
        """A user's."""

    for plugin, kind in ((Own(), Own), (AsyncCheckpointIO(), AsyncCheckpointIO)):
        trainer = Trainer(logger=False, accelerator='cpu', plugins=[plugin], barebones=True)
        install_checkpoint_io(trainer)
        assert type(trainer.strategy.checkpoint_io) is kind
    assert isinstance(trainer.strategy.checkpoint_io.checkpoint_io, AtomicCheckpointIO)


def _set(place: str, name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content[place][name] = value

    return change


def _archive(root: Path, change: Callable[[Path], object]) -> Path:
    """The archive, changed."""
    copy = root / 'archive'
    shutil.copytree(_base() / 'archive', copy, copy_function=os.link)
    change(copy)
    return copy


def _seeded(root: Path) -> None:
    kept = os.environ.get('PL_GLOBAL_SEED')
    os.environ['PL_GLOBAL_SEED'] = '5'
    try:
        _resume(_mine(root))
    finally:
        os.environ.pop('PL_GLOBAL_SEED')
        if kept is not None:
            os.environ['PL_GLOBAL_SEED'] = kept


def _remote(root: Path) -> None:
    AtomicCheckpointIO().load_checkpoint('https://example.org/last.ckpt')


def _finite(root: Path, name: str, value: float) -> None:
    task = small(CACo)
    task.state_dict()[name].view(-1)[0] = value
    task.on_save_checkpoint({'state_dict': task.state_dict()})


_REMEDIES = {'lr': 0.5, 'temperature': 0.2, 'momentum': 0.9, 'size': 12, 'weight_decay': 0.1}

#: What is given otherwise when a training goes on, and what the refusal names.
_DIFFERENT: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    'batch size': ({'data': {'batch_size': 3}}, ('batch_size 2 then and 3 now',)),
    'held-out share': ({'data': {'val_fraction': 0.5}}, ('training_locations',)),
    'item': ({'data': {'item': 'location'}}, ('item date then and location now',)),
    'dates': ({'data': {'dates': 3}}, ('dates 2 then and 3 now',)),
    'other dates': ({'data': {'other_dates': 'same_year'}}, ('same_year',)),
    'unit': ({'data': {'unit': 200.0}}, ('unit', '200.0 now')),
    'offset': ({'data': {'offset': -10.0}}, ('offset', '-10.0 now')),
    'size read': ({'data': {'size': 14}}, ('shape', '[14, 14] now')),
    'bands permuted': ({'data': {'bands': ['B04', 'B02', 'B03']}}, ('bands',)),
    'precision': ({'trainer': {'precision': '64-true'}}, ('precision 32-true then',)),
    'accumulation': ({'trainer': {'accumulate_grad_batches': 2}}, ('accumulate_grad_batches 1',)),
    'clipping': ({'trainer': {'gradient_clip_val': 1.0}}, ('gradient_clip_val', '1.0 now')),
    'batches of an epoch': ({'trainer': {'limit_train_batches': 3}}, ('limit_train_batches',)),
    'groups': ({'groups': {'mine': ['B02', 'B03', 'B04']}}, ('groups',)),
    'texture': ({'texture': True}, ('texture False then and True now',)),
    'queue': ({'queue_size': 6}, ('queue_size 12 then and 6 now',)),
    'temporal': ({'temporal': True}, ('temporal False then and True now',)),
    'width': ({'output_dim': 4}, ('output_dim 8 then and 4 now',)),
    'optimizer': ({'optimizer': 'adam'}, ('optimizer sgd then and adam now',)),
    'milestones': ({'milestones': [0.5]}, ('milestones',)),
    'backbone': ({'model': 'resnet18'}, ('model test_resnet then and resnet18 now',)),
} | {name: ({name: value}, (f'{value} now',)) for name, value in _REMEDIES.items()}

_AGREE: dict[str, dict[str, Any]] = {
    'workers': {'data': {'num_workers': 1}},
    'compilation': {'compile': True},
    'steps': {'trainer': {'max_steps': 5}},
    'epochs': {'trainer': {'max_epochs': 9}},
    'archive in memory': {'data': {'cache': True}},
}

_HPARAMS: dict[str, Any] = {
    'hf-hub': 'hf-hub:timm/resnet18.a1_in1k',
    'local-dir': 'local-dir:/etc',
    'timm': 'timm/resnet18.a1_in1k',
    'unknown': 'resnet1800',
    'number': 18,
    'path': '../../etc/passwd',
}

_OTHER_FILES: dict[str, bytes] = {
    'empty': b'',
    'page': b'<html>not found</html>',
    'picture': b'GIF89a' + bytes(99),
    'safetensors': (2).to_bytes(8, 'little') + b'{}',
    'numpy': b'\x93NUMPY' + bytes(99),
    'tar': b'data.pkl' + bytes(1016),
    'code': pickle.dumps(_Payload(print, 'ran')),
    'zip': _zipped(zipfile.ZIP_STORED, 'readme.txt'),
    'zip of zeros': _zipped(zipfile.ZIP_STORED),
    'hdf5': b'\x89HDF\r\n\x1a\n' + bytes(99),
    'list': pickle.dumps([1, 2]),
    'one byte': b'P',
    'end of an archive': b'PK\x05\x06' + bytes(18),
}

_SHARES = (0, 0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.99999)
_PLACES = (0, 0.0005, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99, -1, -60, -65, -80, -90)


def _renamed(root: Path) -> None:
    (root / '000001').rename(root / '0000015')


FAULTS: list[Fault] = [
    *(
        Fault(
            f'C5 cut to {share} by {name}',
            lambda root, s=share, u=use: _spoilt(root, lambda c: c[: int(s * len(c))], u),
            ('bad.ckpt',),
            error=CheckpointError,
        )
        for name, use in _USES.items()
        for share in _SHARES
    ),
    *(
        Fault(
            f'R2 byte {place} flipped by {name}',
            lambda root, p=place, u=use: _spoilt(root, lambda c: _flipped(c, p), u),
            ('bad.ckpt',),
            error=CheckpointError,
        )
        for name, use in _USES.items()
        for place in _PLACES
    ),
    *(
        Fault(
            f'C5 bytes appended {count}',
            lambda root, n=count: _spoilt(root, lambda c: c + bytes(n), read_checkpoint),
            ('bad.ckpt',),
            error=CheckpointError,
        )
        for count in (1, 22, 4096)
    ),
    *(
        Fault(
            f'C5 {kind} by {name}',
            lambda root, c=content, u=use: _file(root, c, u),
            ('bad.ckpt',),
            error=CheckpointError,
        )
        for name, use in _USES.items()
        for kind, content in _OTHER_FILES.items()
    ),
    *(
        Fault(
            f'C4 {payload} by {name}',
            lambda root, p=payload, u=use: _hostile(root, p, u),
            ('bad.ckpt', 'could run code'),
            'save its state_dict alone',
            CheckpointError,
        )
        for name, use in _USES.items()
        for payload in _payloads(Path())
    ),
    *(
        Fault(
            f'C6 gigabyte packed by {name}',
            lambda root, u=use: _bomb(root, u),
            ('bad.ckpt', 'says that it holds more'),
            'write it again',
            CheckpointError,
        )
        for name, use in _USES.items()
    ),
    *(
        Fault(f'C5 {name}', act, ('bad.ckpt',), 'give the path of a checkpoint', CheckpointError)
        for name, act in {
            'FIFO': _fifo,
            'broken link': _link,
            'missing': lambda root: read_checkpoint(root / 'bad.ckpt'),
            'folder': lambda root: (
                (root / 'bad.ckpt').mkdir(), read_checkpoint(root / 'bad.ckpt')
            ),
        }.items()
    ),
    Fault(
        'C5 remote', _remote, ('https://example.org/last.ckpt',), 'copy it here', CheckpointError
    ),
    *(
        Fault(
            f'R3 model {kind} by {use}',
            lambda root, v=value, u=act: u(_changed(root, _set('hyper_parameters', 'model', v))),
            (str(value),),
            error=ValueError,
        )
        for kind, value in _HPARAMS.items()
        for use, act in (('changes', _USES['changes']), ('encoder', _encoder))
    ),
    *(
        Fault(
            f'C5 without {key}',
            lambda root, k=key: _resume(_changed(root, lambda c: c.pop(k))),
            ('bad.ckpt', 'trained on' if key == 'run' else f'has no {key}'),
            'as weights',
            CheckpointError,
        )
        for key in ('state_dict', 'pytorch-lightning_version', 'loops', 'optimizer_states',
                    'lr_schedulers', 'run')
    ),
    *(
        Fault(
            f'R2 {method.__name__} goes on from MoCo',
            lambda root, m=method, d=data: _resume(_mine(root), method=m, data=d),
            ('bad.ckpt', 'of MoCo', method.__name__),
            'as weights',
            CheckpointError,
        )
        for method, data in ((SACo, {}), (SeCo, {'item': 'location', 'dates': 3}),
                             (CACo, {'item': 'years', 'dates': 3}))
    ),
    Fault(
        'C5 of no task',
        lambda root: _resume(_changed(root, lambda c: c.pop('task'))),
        ('bad.ckpt', 'of no task'),
        'as weights',
        CheckpointError,
    ),
    Fault(
        'C5 of a downstream task',
        lambda root: GroupClassification().on_load_checkpoint(read_checkpoint(_mine(root))),
        ('of MoCo', 'GroupClassification'),
        'as weights',
        CheckpointError,
    ),
    Fault(
        'C5 a tensor missing',
        lambda root: _resume(_changed(root, lambda c: c['state_dict'].popitem())),
        ('bad.ckpt', 'is missing'),
        'arguments that it was trained with',
        CheckpointError,
    ),
    Fault(
        'C5 a tensor too many',
        lambda root: _resume(_changed(root, _set('state_dict', 'more', torch.ones(1)))),
        ('bad.ckpt', 'more is unknown'),
        'arguments that it was trained with',
        CheckpointError,
    ),
    Fault(
        'C5 a tensor of another shape',
        lambda root: _resume(
            _changed(root, _set('state_dict', 'model.conv1.0.weight', torch.ones(2, 3)))
        ),
        ('bad.ckpt',),
        'arguments that it was trained with',
        CheckpointError,
    ),
    *(
        Fault(
            f'T10 other {name}',
            lambda root, o=options: _resume(_mine(root), **o),
            ('bad.ckpt', *names),
            'resume with the same',
        )
        for name, (options, names) in _DIFFERENT.items()
    ),
    Fault('T10 other seed', _seeded, ('seed 0 then and 5 now',), 'resume with the same'),
    *(
        Fault(f'T10 {name} may differ', lambda root, o=o: _resume(_mine(root), **o), error=None)
        for name, o in _AGREE.items()
    ),
    *(
        Fault(
            f'R2 {method.__name__} on an archive with a location {name}',
            lambda root, c=change, m=method, d=data: _resume(
                _mine(root, m), _archive(root, c), m, data=d
            ),
            ('locations 6 (',),
            'resume with the same',
        )
        for method, data in ((MoCo, {}), (CACo, {'item': 'years', 'dates': 3}))
        for name, change in {
            'renamed': _renamed,
            'swapped': lambda root: (
                (root / '000001').rename(root / 'a'), (root / '000003').rename(root / '000001x')
            ),
            'of one date less': lambda root: shutil.rmtree(next((root / '000002').iterdir())),
        }.items()
        # Of CACo it is refused before, for lack of dates.
        if (method, name) != (CACo, 'of one date less')
    ),
    Fault(
        'R2 changes of a SACo checkpoint as MoCo',
        lambda root: restored_task(str(_mine(root)), 'SACo'),
        ('bad.ckpt', 'of MoCo', 'SACo'),
        'leave --task out',
        CheckpointError,
    ),
    Fault(
        'C5 changes of an unknown class',
        lambda root: restored_task(str(_changed(root, lambda c: c.update(task='os.system')))),
        ('bad.ckpt', 'os.system'),
    ),
    Fault('C1 disk full', lambda root: _save(root, full_disk(4096)), ('last.ckpt', 'bytes'),
          'make room', WriteError),
    Fault('C2 not writable', lambda root: _save(root, _nobody(root / 'runs')),
          ('last.ckpt',), 'change its permissions', WriteError),
    Fault('C2 folder removed', _saved_anew, error=None),
    Fault(
        'C2 folder is a file',
        lambda root: (
            (root / 'file').touch(), write_checkpoint({'n': 1}, root / 'file' / 'last.ckpt')
        ),
        ('last.ckpt',),
        'name another',
        WriteError,
    ),
    Fault('C3 no temporary folder', _without_temporary_folder, error=None),
    Fault('C1 orphans of killed processes', _orphans, error=None),
    Fault("C2 a user's plugin stays", _plugin, error=None),
    *(
        Fault(
            f'T16 trap: {name} in what is saved',
            lambda root, n=name: write_checkpoint({'a': _payloads(root)[n]}, root / 'bad.ckpt'),
            ('bad.ckpt', 'is not written'),
            'plain numbers',
            CheckpointError,
        )
        for name in ('module', 'path', 'number')
    ),
    *(
        Fault(
            f'T13 {value} in {name} is not saved',
            lambda root, n=name, v=value: _finite(root, n, v),
            (name, 'no checkpoint is written'),
            'lower lr',
        )
        for name in ('model.bn1.running_var', 'model_momentum.bn1.running_mean', 'queues.0.keys',
                     'projector.0.0.weight')
        for value in (float('nan'), float('inf'), -float('inf'))
    ),
    Fault('T13 unknown ratios are saved', lambda root: _finite(root, 'queues.0.keys', 0.0),
          error=None),
]  # fmt: skip
