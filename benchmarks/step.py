# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""One training step of SACo+, from stored integers to updated weights, against the original one.

The original step is written here from the description of its code: views of one image and band at a
time by Pillow, texture of one band at a time by scikit-image on the CPU, a loop over groups, and an
encoder pass for each of the three views. Both have the same backbone, batch, groups and machine.
Bands come to the original at their own sizes (10, 20 and 60 m), to ours as a store holds them, all
at the finest. On a CPU ours keep freed memory, as the task has it; the original is measured without
and with that.
"""

import argparse
import time
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import torch
from lightly.models.utils import update_momentum
from PIL import Image
from reporting import Target, parser, ratios, report, seconds, synchronize
from reporting import device as default_device
from skimage.feature import local_binary_pattern
from timm import create_model
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from torchvision.transforms import ColorJitter
from torchvision.transforms import functional as T

from torchgeo_saco.bands import SENTINEL2_L2A
from torchgeo_saco.models.momentum import key_copy
from torchgeo_saco.runtime.compile import compile_module
from torchgeo_saco.runtime.memory import keep_freed_memory
from torchgeo_saco.runtime.seeding import torch_seeded
from torchgeo_saco.tasks import SACo
from torchgeo_saco.transforms import Reflectance

BANDS = tuple(SENTINEL2_L2A.bands)
SIZE, QUEUE = 64, 384

# Groups with a texture: four, as in the original, which takes all bands in the order of file names.
TEXTURED = ('natural_color', 'agriculture', 'complementary_1', 'complementary_2')

# How many times coarser than the finest a band is stored.
COARSER = {'B01': 6, 'B09': 6} | dict.fromkeys(('B05', 'B06', 'B07', 'B8A', 'B11', 'B12'), 2)


class Original:
    """The original step: one group, band and image at a time."""

    def __init__(self, groups: list[list[int]], device: torch.device, model: str) -> None:
        """Make encoder, key encoder and optimizer.

        Args:
            groups: Channels of the spectral groups.
            device: Device of the encoders.
            model: Name of the backbone.
        """
        self.groups, self.device = groups, device
        self.jitter = ColorJitter(0.1, 0.1, 0.1, 0.1)
        backbone: Any = create_model(model, num_classes=0)
        widths = (backbone.num_features, 1024, 512, 256)
        layers: list[nn.Module] = []
        for first, second in pairwise(widths):
            layers += [nn.Linear(first, second), nn.ReLU()]
        self.query = nn.Sequential(backbone, *layers[:-1]).to(device)
        self.keys = key_copy(self.query)
        self.optimizer = torch.optim.Adam(self.query.parameters(), 1e-4, weight_decay=1e-5)
        self.queue = F.normalize(torch.randn(QUEUE, 256, device=device), dim=1)
        #: Seconds spent on each part since they were cleared.
        self.spent: dict[str, float] = {}

    def step(self, stored: list[list[list[np.ndarray]]]) -> None:
        """Train on images, each two dates of bands at their own sizes."""
        views = self.timed('views', self.views, stored)
        images = [self.timed('texture', self.group_images, view) for view in views]
        self.timed('encoder', self.train, images)

    def timed(self, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """What a call gives; its time is added to a part."""
        synchronize()
        start = time.perf_counter()
        result = call(*arguments)
        synchronize()
        self.spent[name] = self.spent.get(name, 0) + time.perf_counter() - start
        return result

    def views(self, stored: list[list[list[np.ndarray]]]) -> list[Tensor]:
        """Query and both keys, each (B, C, H, W)."""
        query = [torch.cat([resized(Image.fromarray(b)) for b in first]) for first, _ in stored]
        keys = [[self.augmented(dates[t]) for dates in stored] for t in (0, 1)]
        return [torch.stack(view) for view in (query, *keys)]

    def augmented(self, bands: list[np.ndarray]) -> Tensor:
        """Rotation, mirroring, crop and jitter, each by half a chance, of one image."""
        turn, mirror, crop, jitter = (torch.rand(4) < 0.5).tolist()
        angle = int(torch.randint(360, ()))
        seen = []
        for band in bands:
            view = Image.fromarray(band)
            if turn:
                view = T.center_crop(T.rotate(view, angle), [128, 128])
            view = T.hflip(view) if mirror else view
            view = T.center_crop(view, [128, 128]) if crop else view
            seen.append(resized(self.jitter(view) if jitter else view))
        return torch.cat(seen)

    def group_images(self, view: Tensor) -> list[Tensor]:
        """Spectral groups, and textures of triplets of bands, each (B, 3, H, W) on the device."""
        images = [view[:, channels] for channels in self.groups]
        numbers = (view * 255).int().numpy()
        codes = [[local_binary_pattern(b, 16, 2, 'uniform') for b in image] for image in numbers]
        textures = torch.from_numpy(np.array(codes, np.float32)).split(3, dim=1)
        images += [(part - part.min()) / (part.max() - part.min()) for part in textures]
        return [image.to(self.device) for image in images]

    def train(self, images: list[list[Tensor]]) -> None:
        """Loss of the views, weights, key encoder and queue."""
        features = torch.stack([self.query(group) for group in images[0]], dim=1)
        query = F.normalize(features.mean(1), dim=1)
        with torch.no_grad():
            keys = [
                F.normalize(torch.stack([self.keys(g) for g in view]).mean(0), dim=1)
                for view in images[1:]
            ]
        loss = (1 - (features - query[:, None]).norm(dim=2)).square().mean()
        for key in keys:
            logits = torch.cat([(query * key).sum(1, keepdim=True), query @ self.queue.T], dim=1)
            loss = loss + F.cross_entropy(
                logits / 0.05, torch.zeros(len(query), dtype=torch.long, device=self.device)
            )
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        update_momentum(self.query, self.keys, 0.999)
        self.queue = torch.cat([self.queue, keys[0]])[-QUEUE:]


class Ours:
    """The step of :class:`~torchgeo_saco.tasks.SACo`, and its parts."""

    def __init__(self, device: torch.device, bf16: bool = False, **arguments: Any) -> None:
        """Make the task and its optimizer.

        Args:
            device: Device of the task.
            bf16: Whether it runs in bfloat16 where that is safe.
            arguments: Further arguments of the task.
        """
        self.device, self.bf16 = device, bf16
        self.task = SACo(bands=BANDS, texture=TEXTURED, size=SIZE, queue_size=QUEUE, **arguments)
        self.task.to(device).train()
        if arguments.get('compile'):
            for backbone in (self.task.model, self.task.model_momentum):
                compile_module(backbone, device, 'the backbone')
        self.optimizer = self.task.configure_optimizers()
        self.reflectance = Reflectance()
        self.steps = 0

    def step(self, stored: Tensor, location: Tensor) -> None:
        """Train on stored numbers, (B, T, C, H, W)."""
        self.loss(stored, location).backward()
        self.task.guard.finish()
        self.update()

    def loss(self, stored: Tensor, location: Tensor) -> Tensor:
        """Loss, as in the training step of the task."""
        task = self.task
        image = self.reflectance(stored.to(self.device, non_blocking=True))
        location = location.to(self.device, non_blocking=True)
        image = task.guard.images(image, location, self.steps)
        task._updated_step = -1
        task._update_key_encoder()
        with torch_seeded(0, self.steps, device=self.device), self.precision():
            losses = task.objective(image, location).losses
        loss = torch.stack(list(losses.values())).sum()
        task.guard.loss(loss, location, self.steps)
        self.steps += 1
        return loss

    def update(self) -> None:
        """Move the weights."""
        self.optimizer.step()
        self.optimizer.zero_grad()

    def precision(self) -> Any:
        """Where bfloat16 is used, if it is."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def parts(self, stored: Tensor, location: Tensor, repeats: int) -> dict[str, float]:
        """Seconds of each part of a step, measured alone."""
        task = self.task
        image = self.reflectance(stored.to(self.device))
        query, key = task.views.cropped(image[:, 0]), task.views.augmented(image.flatten(0, 1))

        def views() -> None:
            task.views.cropped(image[:, 0])
            task.views.augmented(image[:, 0])
            task.views.augmented(image[:, 1])

        def group_images() -> None:
            task.inputs(query)
            task.inputs(key)

        def passes() -> None:
            with self.precision():
                task.key(key)

        def forward() -> None:
            with self.precision():
                task.query(query)

        def both() -> None:
            with self.precision():
                projections = task.query(query)
            projections.square().sum().backward()

        def middle(call: Callable[[], None]) -> float:
            return median(seconds(call, repeats))

        prepared, first = middle(group_images), middle(forward)
        parts = {'views': middle(views), 'groups and texture': prepared}
        # Two thirds of the images are keys'.
        parts['key encoder'] = middle(passes) - prepared * 2 / 3
        parts['query encoder'] = first - prepared / 3
        parts['backward'] = middle(both) - first
        self.optimizer.zero_grad()
        whole = middle(lambda: self.step(stored, location))
        return {**parts, 'rest': whole - sum(parts.values()), 'step': whole}


class PeakMemory(TorchDispatchMode):
    """Largest sum of the tensors that are alive on a CPU, beside those there were before."""

    def __init__(self) -> None:
        """Start at nothing."""
        super().__init__()
        self.alive, self.most = 0, 0
        self.known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation, and count what it makes."""
        before = {
            value.untyped_storage()._cdata
            for value in torch.utils._pytree.tree_leaves((args, kwargs))
            if isinstance(value, Tensor)
        }
        results = func(*args, **(kwargs or {}))
        for result in torch.utils._pytree.tree_leaves(results):
            if isinstance(result, Tensor):
                self._count(result.untyped_storage(), before)
        return results

    def _count(self, storage: torch.UntypedStorage, before: set[int]) -> None:
        """Count memory that is new, until it is freed."""
        number = storage._cdata
        if number in before or number in self.known:
            return
        self.known.add(number)
        self.alive += storage.nbytes()
        self.most = max(self.most, self.alive)
        weakref.finalize(storage, self._free, number, storage.nbytes())

    def _free(self, number: int, size: int) -> None:
        """Stop counting memory."""
        self.known.discard(number)
        self.alive -= size


def resized(view: Image.Image) -> Tensor:
    """A view at its size, from 0 to 1, (1, H, W)."""
    return T.to_tensor(T.resize(view, [SIZE, SIZE]))


def archive(batch: int, side: int) -> tuple[Tensor, list[list[list[np.ndarray]]]]:
    """Smooth 8-bit images: at the finest size, (B, 2, C, H, W), and each band at its own."""
    shape = (batch * 2 * len(BANDS), 1, side // 4, side // 4)
    smooth = F.interpolate(torch.rand(shape), (side, side), mode='bicubic').clamp(0, 1)
    noisy = (smooth * 60 + 40 + 6 * torch.randn_like(smooth)).clamp(0, 255).byte()
    stored = noisy.view(batch, 2, len(BANDS), side, side)
    steps = [COARSER.get(band, 1) for band in BANDS]
    bands = [
        [
            [band[::step, ::step].copy() for band, step in zip(date, steps, strict=True)]
            for date in location
        ]
        for location in stored.numpy()
    ]
    return stored, bands


def peak(ours: Ours, stored: Tensor, location: Tensor) -> float:
    """Largest memory of the tensors of a step, in MiB."""
    ours.step(stored, location)
    if ours.device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        ours.step(stored, location)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with PeakMemory() as memory:
        ours.step(stored, location)
    return memory.most / 2**20


def convolution_calls(ours: Ours, stored: Tensor, location: Tensor) -> list[tuple[Any, ...]]:
    """Convolutions of a step: layer, shape of the input, and whether it is trained."""
    calls: list[tuple[Any, ...]] = []
    hooks = [
        layer.register_forward_pre_hook(
            lambda layer, inputs: calls.append(
                (layer, tuple(inputs[0].shape), torch.is_grad_enabled())
            )
        )
        for net in (ours.task.model, ours.task.model_momentum)
        for layer in net.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    ours.step(stored, location)
    for hook in hooks:
        hook.remove()
    return calls


def least_seconds(
    calls: list[tuple[Any, ...]], device: torch.device, dtype: torch.dtype, repeats: int
) -> float:
    """Time that the convolutions of a step take by themselves, each at its own best.

    Args:
        calls: See :func:`convolution_calls`.
        device: Device of the step.
        dtype: Type that it multiplies in.
        repeats: Trials of each distinct convolution, of which the fastest counts.
    """
    known: dict[tuple[Any, ...], float] = {}
    total = 0.0
    for layer, shape, trained in calls:
        key = (tuple(layer.weight.shape), layer.stride, shape, trained)
        if key not in known:
            image = torch.randn(shape, device=device, dtype=dtype)
            image = image.to(memory_format=torch.channels_last).requires_grad_(trained)
            weight = layer.weight.detach().to(device, dtype)
            weight = weight.to(memory_format=torch.channels_last).requires_grad_(trained)

            def multiply(
                image: Tensor = image, weight: Tensor = weight, layer: Any = layer,
                trained: bool = trained,
            ) -> None:  # fmt: skip
                with torch.set_grad_enabled(trained):
                    result = F.conv2d(image, weight, None, layer.stride, layer.padding)
                if trained:
                    torch.autograd.grad(result, (image, weight), torch.ones_like(result))

            known[key] = min(seconds(multiply, repeats))
        total += known[key]
    return total


def profile(ours: Ours, stored: Tensor, location: Tensor, most: int = 15) -> dict[str, float]:
    """Share of the time of a step that each operation takes itself, the largest first."""
    ours.step(stored, location)
    with torch.profiler.profile() as found:
        ours.step(stored, location)
    cuda = ours.device.type == 'cuda'
    spent = {
        event.key: float(event.self_device_time_total if cuda else event.self_cpu_time_total)
        for event in found.key_averages()
    }
    whole = sum(spent.values())
    largest = sorted(spent, key=lambda name: -spent[name])[:most]
    return {name: spent[name] / whole for name in largest}


def busy(call: Callable[[], None], steps: int) -> float:
    """Share of the time of some steps in which the GPU computes."""
    call()
    synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        start = time.perf_counter()
        for _ in range(steps):
            call()
        synchronize()
        wall = time.perf_counter() - start
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profile.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
    )
    total, end = 0.0, 0.0
    for first, last in spans:
        total += max(0.0, last - max(first, end))
        end = max(end, last)
    return total / 1e6 / wall


def variants(device: torch.device, model: str, quick: bool) -> dict[str, Ours]:
    """Our step in all its forms; compilers take too long for a trial."""
    forms: dict[str, dict[str, bool]] = {
        'ours': {},
        'ours, bf16': {'bf16': True},
        'ours, checkpoint_groups': {'checkpoint_groups': True},
    }
    if not quick:
        forms |= {'ours, compile': {'compile': True}}
        forms |= {'ours, bf16 + compile': {'bf16': True, 'compile': True}}
    return {name: Ours(device, model=model, **form) for name, form in forms.items()}


def main() -> None:
    """Measure all forms of the step, say how far from the limit they are, and write it."""
    arguments: argparse.Namespace = parser(__doc__).parse_args()
    torch.manual_seed(0)
    device = default_device()
    batch, side = (4, 64) if arguments.quick else (32, 264)
    repeats = 1 if arguments.quick else 5
    stored, bands = archive(batch, side)
    if device.type == 'cuda':
        stored = stored.pin_memory()
    location = torch.arange(batch)
    model = 'test_resnet' if arguments.quick else 'resnet18'
    ours = variants(device, model, arguments.quick)
    names = ours['ours'].task.inputs.spectral.groups
    original = Original(
        [[BANDS.index(band) for band in group.bands] for group in names], device, model
    )

    seconds(lambda: original.step(bands), 0)
    original.spent.clear()
    theirs = seconds(lambda: original.step(bands), repeats, warmup=0)
    parts = {name: spent / repeats for name, spent in original.spent.items()}
    # As the task does before it trains; a process cannot go back on it.
    keeping = device.type == 'cpu' and keep_freed_memory()
    helped = seconds(lambda: original.step(bands), repeats) if keeping else theirs
    with FlopCounterMode(display=False) as counter:
        ours['ours'].step(stored, location)
    flops = counter.get_total_flops()
    calls = convolution_calls(ours['ours'], stored, location)
    trials = 1 if arguments.quick else 5
    limits = {
        'float32': least_seconds(calls, device, torch.float32, trials),
        'bf16': least_seconds(calls, device, torch.bfloat16, trials),
    }

    rows = [row('original', theirs, theirs, batch, limits['float32'])]
    if keeping:
        name = 'original, freed memory kept'
        rows.append(row(name, theirs, helped, batch, limits['float32']))
    times = {}
    for name, form in ours.items():
        times[name] = seconds(lambda f=form: f.step(stored, location), repeats, warmup=2)
        least = limits['bf16' if form.bf16 else 'float32']
        rows.append(row(name, theirs, times[name], batch, least))
    best = min(times, key=lambda name: median(times[name]))
    ratio, spread = ratios(theirs, times[best])
    wanted = 20.0 if device.type == 'cuda' else 2.5
    memory = {name: peak(ours[name], stored, location) for name in ours if 'compile' not in name}
    saved = memory['ours'] / memory['ours, checkpoint_groups']
    targets = [
        Target(f'step: {best}', 'the original step', ratio, wanted, spread=spread),
        Target('less memory by checkpoint_groups', 'ours', saved, 1.0),
    ]
    if device.type == 'cuda':
        share = busy(lambda: ours[best].step(stored, location), 20)
        targets.append(Target('GPU busy', 'time of 20 steps', 100 * share, 95.0, unit='%'))
    report(
        'step',
        arguments,
        rows,
        targets,
        parts={'original': parts}
        | {name: ours[name].parts(stored, location, repeats) for name in ('ours', best)},
        peak_mebibytes=memory,
        limit={'flop_per_step': flops, 'convolutions_s': limits},
        profile={name: profile(ours[name], stored, location) for name in ('ours', 'ours, bf16')},
        batch=batch,
        side=side,
        model=model,
    )


def row(
    name: str, theirs: list[float], ours: list[float], batch: int, least: float
) -> dict[str, Any]:
    """A form of the step in the table; the limit is that of its convolutions alone."""
    return {
        'step': name,
        's': median(ours),
        'images/s': batch / median(ours),
        'x original': median(theirs) / median(ours),
        'limit s': least,
        '% of limit': 100 * least / median(ours),
    }


if __name__ == '__main__':
    main()
