# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of what a training step costs: waits for the device, precision, compiler, memory."""

import contextlib
import copy
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Trainer
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode

from torchgeo_saco import tasks
from torchgeo_saco.datamodules import SeasonalDataModule
from torchgeo_saco.runtime import compile as compilation
from torchgeo_saco.runtime import precision
from torchgeo_saco.runtime.nonfinite import NonFiniteGuard
from torchgeo_saco.tasks import SACo, contrastive

from ..data.fakes import FakeReflectance
from ..data.pretraining import BANDS, GROUPS, IMAGE, LOCATION, METHODS, fit, history, same, small

# What fake tensors raise, and :class:`NoWait` of what they let pass.
WAITS = (AssertionError, DataDependentOutputException, DynamicOutputShapeException)


class NoWait(TorchDispatchMode):
    """Refuses what makes the host wait for a GPU, or copies from the host to it."""

    # Of what fake tensors let pass, for its result has a known shape.
    waits = ('_local_scalar_dense', 'equal', 'nonzero', 'masked_select', '_unique2', 'unique_dim')

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split('.')[0]
        masks = args[1] if name in ('index', 'index_put', 'index_put_') else ()
        masked = any(index is not None and index.dtype == torch.bool for index in masks)
        result = func(*args, **(kwargs or {}))
        sent = name in ('_to_copy', 'copy_') and {
            tensor.device.type for tensor in (*args, result) if isinstance(tensor, torch.Tensor)
        } == {'cpu', 'cuda'}
        if name in self.waits or masked or sent:
            raise AssertionError(f'{func} makes the host wait')
        return result


def on_fake_gpu(task, mode):
    """The task with tensors that say they are on a GPU, and hold nothing."""
    for module in task.modules():
        for kind in (module._parameters, module._buffers):
            for name, tensor in kind.items():
                if tensor is not None:
                    fake = mode.from_tensor(tensor).detach().to('cuda:0')
                    kind[name] = (
                        torch.nn.Parameter(fake, tensor.requires_grad)
                        if isinstance(tensor, torch.nn.Parameter)
                        else fake
                    )
    task._device = torch.device('cuda:0')
    return task


@pytest.mark.slow
@pytest.mark.parametrize('name', METHODS)
@pytest.mark.parametrize('views', [{'crop': 1.0, 'rotation': 180.0, 'zoom': 2.0}, {'crop': 0.5}])
def test_nothing_in_a_step_waits_for_a_gpu(name, views, monkeypatch):
    task = small(getattr(tasks, name), **GROUPS, blur=0.5, grayscale=0.2, **views)
    if hasattr(task, 'change'):
        task.change.resize(4)
    # There is no GPU, whose generator could be seeded, or whose events could be recorded.
    monkeypatch.setattr(contrastive, 'torch_seeded', lambda *a, **k: contextlib.nullcontext())
    monkeypatch.setattr(task.guard, 'loss', lambda *a: None)
    monkeypatch.setattr(task, 'log_dict', lambda *a, **k: None)
    # Between the steps that are logged.
    monkeypatch.setattr(task, '_trainer', SimpleNamespace(
        global_step=1, global_rank=0, fit_loop=SimpleNamespace(total_batch_idx=1),
    ))  # fmt: skip
    monkeypatch.setattr(task, '_updated_step', 0)
    task._trainer.log_every_n_steps = 50
    with FakeTensorMode() as mode:
        on_fake_gpu(task, mode)
        image = torch.empty(IMAGE.shape, device='cuda:0')
        if task.years == 2:
            image = torch.stack([image, image], dim=1)
        location = torch.empty(4, dtype=torch.long, device='cuda:0')
        with NoWait():
            loss = task.training_step({'image': image, 'location': location}, 1)
    assert loss.device.type == 'cuda'
    assert loss.requires_grad


@pytest.mark.parametrize(
    'wait',
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).any()),
        lambda x: x[x > 0],
        lambda x: x.masked_fill_(x > 0, 0).nonzero(),
        lambda x: x.unique(),
        lambda x: x + torch.zeros(4, pin_memory=False).to('cuda:0'),
        lambda x: x.index_put_((x > 0,), x.new_zeros(())),
    ],
)
def test_what_waits_is_seen(wait):
    with FakeTensorMode():
        values = torch.empty(4, device='cuda:0')
        with NoWait(), pytest.raises(WAITS):
            wait(values)


@pytest.mark.parametrize(('spoilt', 'name'), [('image', 'an image'), ('loss', 'the loss')])
@pytest.mark.parametrize('late', [False, True])
def test_nan_never_reaches_a_weight(spoilt, name, late, archive, tmp_path):
    task = small(SACo, bands=None)
    task.guard = NonFiniteGuard(late)
    data = SeasonalDataModule(root=archive, batch_size=4)
    seen = []

    def reflectance(image):
        # The second batch is bad.
        seen.append(copy.deepcopy(task.state_dict()))
        bad = len(seen) == 2 and spoilt == 'image'
        return image.float() / 255 * (torch.nan if bad else 1)

    data.given = FakeReflectance(reflectance)
    if spoilt == 'loss':
        nce = task.nce.forward
        task.nce.forward = lambda *args: nce(*args) * (torch.inf if len(seen) == 2 else 1)
    trainer = Trainer(
        default_root_dir=tmp_path, max_epochs=1, accelerator='cpu', logger=False,
        enable_progress_bar=False, enable_checkpointing=False, num_sanity_val_steps=0,
    )  # fmt: skip
    with pytest.raises(
        ValueError, match=rf'{name} is NaN .* at step 1, on the locations number \['
    ):
        trainer.fit(task, data)
    before, after = seen[1], task.state_dict()
    kept = {k for k in before if torch.equal(before[k], after[k])}
    assert {k for k, _ in task.model.named_parameters(prefix='model')} <= kept
    assert {k for k, _ in task.projector.named_parameters(prefix='projector')} <= kept
    assert all(torch.isfinite(value).all() for value in after.values())
    if not late and spoilt == 'image':
        assert kept == set(before)


def test_a_gradient_that_is_not_finite_reaches_no_weight(archive, tmp_path):
    task = small(SACo, bands=None)
    task.projector.register_full_backward_hook(
        lambda module, inputs, outputs: (torch.full_like(inputs[0], torch.inf),)
    )
    before = {name: value.clone() for name, value in task.model.named_parameters()}
    with pytest.raises(
        ValueError, match=r'a gradient is NaN or infinite at step 0, on the locations'
    ):
        fit(task, archive, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in task.model.named_parameters())


@pytest.mark.filterwarnings('ignore:this cpu has no bfloat16')
def test_bfloat16_that_a_cpu_computes_wrongly_is_refused(archive, tmp_path):
    task = small(SACo, bands=None, size=16, texture=False)
    trainer = Trainer(
        default_root_dir=tmp_path, max_steps=1, accelerator='cpu', logger=False,
        precision='bf16-mixed', enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r'layer4\.0\.conv1 of the backbone sees a single pixel'):
        trainer.fit(task, SeasonalDataModule(root=archive, batch_size=4))


@pytest.mark.parametrize('bad', [torch.nan, torch.inf, -torch.inf])
def test_watch_sees_one_value_among_many(bad):
    image = torch.rand(2, 3, 64, 64)
    watch, location = NonFiniteGuard(), torch.tensor([7, 5])
    assert watch.images(image, location, 0) is image
    # Finite, though the sum of their squares is not.
    large = torch.full((4000,), 9e17)
    assert watch.images(large, location, 0) is large
    image[1, 2, 3, 4] = bad
    with pytest.raises(ValueError, match=r'an image is NaN .* at step 3, .* number \[5, 7\]'):
        watch.images(image, location, 3)


def test_watch_looks_late_on_a_gpu_alone():
    assert not NonFiniteGuard()._is_late(torch.zeros(1))
    with FakeTensorMode():
        assert NonFiniteGuard()._is_late(torch.empty(1, device='cuda:0'))


def test_loss_is_shown_at_every_step(archive, tmp_path):
    task = small(SACo, bands=None)
    losses, shown = history(task), []
    keep = task.on_train_batch_end
    task.on_train_batch_end = lambda out, *args: (
        keep(out, *args), shown.append(task.trainer.progress_bar_metrics['train_loss'])
    )  # fmt: skip
    fit(task, archive, tmp_path)
    assert shown == pytest.approx(losses)


@pytest.mark.parametrize('name', METHODS)
def test_loss_in_bfloat16_is_that_of_float32(name):
    task = small(getattr(tasks, name), **GROUPS, temperature=0.2, queue_size=16)
    image = torch.stack([IMAGE, IMAGE.flip(1)], dim=1) if task.years == 2 else IMAGE
    if hasattr(task, 'change'):
        task.change.resize(4)
    losses = []
    for enabled in (False, True):
        copied = copy.deepcopy(task)
        torch.manual_seed(0)
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            contrast = copied.objective(image, LOCATION)
        assert contrast.query.dtype == contrast.key.dtype == torch.float32
        assert {part.dtype for part in contrast.losses.values()} == {torch.float32}
        losses.append(sum(contrast.losses.values()).item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-2)
    assert losses[1] != losses[0]


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore:this cpu has no bfloat16')
def test_training_in_bfloat16_keeps_its_state_in_float32(archive, tmp_path):
    task = small(SACo, bands=None, size=32)
    data = SeasonalDataModule(root=archive, batch_size=4)
    trainer = Trainer(
        default_root_dir=tmp_path, max_steps=2, accelerator='cpu', logger=False,
        precision='bf16-mixed', enable_progress_bar=False, enable_model_summary=False,
        limit_val_batches=0, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(task, data)
    assert {v.dtype for v in task.state_dict().values()} == {torch.float32, torch.long}
    (output,) = trainer.predict(task, data)[:1]
    assert output['embedding'].dtype == torch.float32


@pytest.mark.parametrize('emulated', [True, False])
def test_emulated_bfloat16_is_said(emulated, archive, tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(precision, 'emulates_bfloat16', lambda device: emulated)
    trainer = Trainer(
        default_root_dir=tmp_path, max_steps=0, accelerator='cpu', logger=False,
        precision='bf16-mixed', enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    data = SeasonalDataModule(root=archive, batch_size=4)
    trainer.fit(small(SACo, bands=None, size=32), data)
    said = [w for w in recwarn if 'no bfloat16 instructions' in str(w.message)]
    assert len(said) == emulated


@pytest.mark.slow
def test_groups_one_by_one_train_the_same_names(archive, tmp_path):
    task = small(SACo, bands=None, checkpoint_groups=True)
    losses = history(task)
    fit(task, archive, tmp_path)
    assert len(losses) == 5
    # One call for each of 14 groups and step, and none more in the backward pass.
    assert task.model.bn1.num_batches_tracked == 5 * 14
    assert task.model_momentum.bn1.num_batches_tracked == 5 * 14
    assert set(task.state_dict()) == set(small(SACo, bands=BANDS).state_dict())


@pytest.mark.slow
def test_compiled_task_keeps_its_names_and_values(archive, tmp_path, monkeypatch):
    called = []
    # The compiler of PyTorch takes a minute; this one changes nothing.
    monkeypatch.setattr(compilation, 'compiler_problem', lambda device: None)
    monkeypatch.setattr(torch.nn.Module, 'compile', lambda self: called.append(self))
    plain, fast = (
        small(SACo, bands=None, texture=False, compile=compile) for compile in (False, True)
    )
    fit(plain, archive, tmp_path / 'plain')
    assert not called
    _, last = fit(fast, archive, tmp_path / 'fast')
    assert called == [fast.model, fast.model_momentum]
    assert fast.inputs.texture.flags['compile']
    assert not plain.inputs.texture.flags['compile']
    assert same(plain.state_dict(), fast.state_dict())
    assert torch.load(last, weights_only=True)['hyper_parameters']['compile'] is True


def test_without_a_compiler_a_task_trains_as_it_is(archive, tmp_path, monkeypatch, recwarn):
    monkeypatch.setattr(compilation, 'compiler_problem', lambda device: 'no compiler')
    compilation._warn.cache_clear()
    task = small(SACo, bands=None, compile=True, texture=False)
    losses = history(task)
    fit(task, archive, tmp_path)
    said = [w for w in recwarn if str(w.message).startswith('the backbone c')]
    assert (len(said), len(losses)) == (1, 5)


def test_images_whose_squares_are_too_large_are_named():
    image = torch.ones(2, 3, 4, 4)
    image[1, 2, 3, 0] = -1e30
    with pytest.raises(ValueError, match=r'the square of 1e\+30 in an image is NaN .* at step 3'):
        NonFiniteGuard().images(image, torch.tensor([7, 5]), 3)
