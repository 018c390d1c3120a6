# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Speed and memory of the texture against scikit-image, band by band.

Batches of 12-band patches of 264 px, 16 neighbours at 2 px, uniform codes. Two limits are
measured in the same run: what memory moves, where an image is read and its codes are written
once; and what arithmetic a loop does that the compiler fuses, where nothing is computed twice.
"""

import ctypes
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from reporting import Target, device, parser, ratios, report, seconds
from skimage import feature
from torch import Tensor

from torchgeo_saco.transforms import local_binary_pattern
from torchgeo_saco.transforms.patterns import Ring

POINTS, RADIUS = 16, 2.0
BANDS, SIDE = 12, 264
PEER = 'scikit-image'


class Case(NamedTuple):
    """What is measured."""

    form: str
    dtype: str
    threads: int

    @property
    def compiled(self) -> bool:
        """Whether the form is the compiled one."""
        return self.form == 'compiled'


def main() -> None:
    """Measure all forms, their memory and the limits."""
    arguments = parser(__doc__ or '').parse_args()
    quick, location = arguments.quick, device()
    repeats = 3 if quick else 15
    images = (2 if quick else 8) if location.type == 'cpu' else (8 if quick else 64)
    # The peer has one thread and no batch: its time goes with the number of pixels.
    numbers = patches(1)
    times = {Case(PEER, 'uint16', 1): per_pixel(numbers, lambda: peer(numbers), repeats)}
    memory = {Case(PEER, 'uint16', 1): peak(lambda: peer(numbers), numbers)}
    available = torch.get_num_threads()
    cases = [
        Case(form, dtype, threads)
        for dtype in ('float32', *(() if quick else ('uint8',)))
        for threads in sorted({available} if quick or location.type != 'cpu' else {1, available})
        for form in ('eager', 'compiled')
    ]
    for case in cases:
        torch.set_num_threads(case.threads)
        batch = patches(images, case.dtype).to(location)
        times[case] = per_pixel(batch, call(batch, case), repeats)
        # So large that the blocks it is worked on in are small beside it.
        large = batch.repeat(8, 1, 1, 1)
        memory[case] = peak(call(large, case), large)
        del batch, large
    torch.set_num_threads(available)
    slowest = next(iter(times.values()))
    rows = [
        {
            'form': case.form,
            'device': 'cpu' if case.form == PEER else location.type,
            'input': case.dtype,
            'threads': case.threads,
            'Mpx/s': 1e-6 / median(times[case]),
            'times as fast': ratios(slowest, times[case])[0],
            'peak memory / input': memory[case],
        }
        for case in times
    ]
    fastest = Case('compiled', 'float32', available)
    limit = limits(location, 1 / median(times[fastest]), repeats)
    report('texture', arguments, rows, targets(times, memory, available), limit=limit)
    print(
        f'limits in Mpx/s: memory {limit["memory Mpx/s"]:.0f} ({limit["copied GB/s"]:.1f} GB/s), '
        f'arithmetic {limit["arithmetic Mpx/s"]:.0f} ({limit["operations per pixel"]} operations '
        f'at {limit["operations G/s"]:.0f} G/s); {limit["binding"]} binds, the compiled form '
        f'reaches {100 * limit["reached"]:.0f} % of it'
    )


def patches(images: int, dtype: str = 'uint16') -> Tensor:
    """Sentinel-2 like numbers, drawn anew: relief and noise, (B, C, H, W)."""
    generator = np.random.default_rng(0)
    relief = generator.normal(size=(images, BANDS, SIDE // 8, SIDE // 8)).repeat(8, 2).repeat(8, 3)
    values = 1500 + 400 * relief + generator.normal(scale=60, size=relief.shape)
    scale = 255 / 4000 if dtype == 'uint8' else 1
    numbers = np.clip(values * scale, 0, 255 if dtype == 'uint8' else 65535)
    return torch.from_numpy(numbers.astype(dtype if dtype == 'uint8' else 'uint16')).to(
        getattr(torch, dtype)
    )


def peer(image: Tensor) -> np.ndarray:
    """Codes of every band by scikit-image, which takes one at a time."""
    bands = image.flatten(0, 1).numpy()
    return np.stack([feature.local_binary_pattern(b, POINTS, RADIUS, 'uniform') for b in bands])


def call(image: Tensor, case: Case) -> Callable[[], object]:
    """Our codes of a batch, the first time already over."""

    def codes() -> Tensor:
        return local_binary_pattern(image, POINTS, RADIUS, compile=case.compiled)

    codes()
    return codes


def per_pixel(image: Tensor, codes: Callable[[], object], repeats: int) -> list[float]:
    """Seconds a pixel of each repeat."""
    return [time / image.numel() for time in seconds(codes, repeats)]


def peak(codes: Callable[[], object], image: Tensor) -> float:
    """Most memory while a call runs, over that of its input, which counts."""
    size = image.numel() * image.element_size()
    if image.device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        codes()
        return (torch.cuda.max_memory_allocated() - before) / size + 1
    status = Path('/proc/self/status')
    if not sys.platform.startswith('linux'):
        return float('nan')
    # Gives back what is free, and sets the peak of this process to what it holds.
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:
        trim(0)
    Path('/proc/self/clear_refs').write_text('5')
    before = resident(status, 'VmRSS')
    result = codes()
    most = resident(status, 'VmHWM')
    del result
    return (most - before) / size + 1


def resident(status: Path, key: str) -> int:
    """Memory of this process in bytes: what it holds, or its peak."""
    found = re.search(rf'{key}:\s+(\d+) kB', status.read_text())
    return 1024 * int(found[1]) if found else 0


def targets(
    times: Mapping[Case, list[float]], memory: Mapping[Case, float], threads: int
) -> list[Target]:
    """What was aimed at, on all threads and float32."""
    slowest = next(iter(times.values()))
    aims = []
    for form, wanted in (('compiled', 60.0), ('eager', 5.0)):
        case = Case(form, 'float32', threads)
        ratio, spread = ratios(slowest, times[case])
        aims.append(Target(f'{form}, speed', PEER, ratio, wanted, spread=spread))
        aims.append(Target(f'{form}, memory', 'its input', memory[case], 6.0, more=False))
    return aims


def limits(location: torch.device, reached: float, repeats: int) -> dict[str, Any]:
    """Pixels a second that memory and arithmetic allow, and the share that is reached."""
    source = torch.rand(2**26 if location.type == 'cuda' else 2**24, device=location)
    copy = torch.empty_like(source)
    copied = 8 * source.numel() / min(seconds(lambda: copy.copy_(source), repeats))
    rate = operation_rate(source, repeats)
    count = operations(Ring(POINTS, RADIUS))
    # Four bytes of a float are read and four written.
    allowed = {'memory': copied / 8, 'arithmetic': rate / count}
    binding = min(allowed, key=lambda name: allowed[name])
    return {
        'copied GB/s': copied / 1e9,
        'memory Mpx/s': allowed['memory'] / 1e6,
        'operations per pixel': count,
        'operations G/s': rate / 1e9,
        'arithmetic Mpx/s': allowed['arithmetic'] / 1e6,
        'binding': binding,
        'reached': reached / allowed[binding],
    }


def operation_rate(values: Tensor, repeats: int) -> float:
    """Sums and products a second in a fused loop with enough independent ones to be busy."""
    chains, length = 8, 16

    def chained(values: Tensor) -> Tensor:
        links = [values + chain for chain in range(chains)]
        for _ in range(length):
            links = [link * 0.999 + values for link in links]
        return sum(links[1:], links[0])

    fast = torch.compile(chained, fullgraph=True)
    elapsed = min(seconds(lambda: fast(values), repeats))
    return chains * (2 * length + 2) * values.numel() / elapsed


def operations(ring: Ring) -> int:
    """Sums, products, comparisons and choices of a pixel, each distinct one once."""
    terms = [term for neighbour in ring.terms for term in neighbour]
    differences = {pixel for term in terms for pixel in term.pixels}
    sums = {tuple(term.pixels): len(term.pixels) - 1 for term in terms}
    products = {(term.weight, tuple(term.pixels)) for term in terms if term.weight != 1}
    added = sum(len(neighbour) - 1 for neighbour in ring.terms)
    # A bit: compared, chosen, made NaN by 2, counted, multiplied with the one before and added.
    bits = 7 * len(ring.terms)
    # Runs, whether they are several, and the code
    return len(differences) + sum(sums.values()) + len(products) + added + bits + 3


if __name__ == '__main__':
    main()
