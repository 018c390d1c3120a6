# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Compiled forms of functions and modules, where there is a compiler."""

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor, nn
from torch.utils.data import get_worker_info

# What to install, by type of device.
_REMEDIES = {
    'cpu': 'install a C++ compiler, such as g++, or name one in the environment variable CXX',
    'cuda': 'install triton, and a C compiler, such as gcc',
}


def compiled(function: Callable[..., None], name: str) -> Callable[..., None]:
    """A compiled form of a function that writes its results into tensors it is given.

    It is compiled when it is first called, once for all sizes of its tensors, and again for what
    the compiler tells apart, such as sizes of 1, types, devices and numbers of threads, up to
    ``torch._dynamo.config.recompile_limit`` times. Where it cannot be compiled, a warning says
    why, once a process and on rank zero, and the function itself is called from then on.

    The function itself is also called while an outer function is compiled, so that both are one
    graph; for tensors without data; and by the workers of a DataLoader, each of which would
    compile for itself. The compiled form runs without gradients and autocast.

    Args:
        function: Reads and writes tensors of one device, elementwise, and gives the same if it
            is called again.
        name: What is compiled, for the warning.
    """
    # The compiler counts its versions by code object, which closures of one text share.
    own = FunctionType(
        function.__code__.replace(),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    fast = torch.compile(own, fullgraph=True)
    failed = False

    @functools.wraps(function)
    def call(*tensors: Tensor) -> None:
        nonlocal failed
        kind = tensors[0].device.type
        idle = failed or torch.compiler.is_compiling() or get_worker_info() is not None
        if idle or kind == 'meta':
            return function(*tensors)
        for tensor in tensors:
            torch._dynamo.maybe_mark_dynamic(tensor, list(range(tensor.ndim)))
        # The compiler would make one version for each state of these.
        with torch.no_grad(), torch.autocast(kind, enabled=False):
            try:
                return fast(*tensors)
            except Exception as error:  # noqa: BLE001 - each compiler has its own
                problem = _cause(error)
        # Raises again if the error is its own.
        function(*tensors)
        failed = True
        return _warn(name, problem, kind)

    return call


def compile_module(module: nn.Module, device: torch.device | str, name: str) -> bool:
    """Compile the calls of a module, in place, where there is a compiler for its device.

    Names of its state stay. Copies of the module, and what is restored from a pickle, are not
    compiled.

    Args:
        module: Module to compile.
        device: Device it will run on.
        name: What is compiled, for the warning.

    Returns:
        Whether it is compiled. If not, a warning has said why, once a process and on rank zero.
    """
    kind = torch.device(device).type
    problem = compiler_problem(kind)
    if problem is not None:
        _warn(name, problem, kind)
        return False
    module.compile()
    return True


@functools.cache
def compiler_problem(device: str) -> str | None:
    """Why nothing can be compiled for a type of device, or None if a trial went well.

    The trial takes some seconds, once a process.

    Args:
        device: Type of device, such as ``'cpu'`` or ``'cuda'``.
    """
    # A function of this call alone, so that its versions are nobody else's.
    trial = torch.compile(lambda values: values + 1, fullgraph=True)
    try:
        trial(torch.zeros(8, device=device))
    except Exception as error:  # noqa: BLE001 - each compiler has its own
        return _cause(error)
    return None


def _cause(error: Exception) -> str:
    """First line of what went wrong below the compiler."""
    inner: Any = getattr(error, 'inner_exception', None) or error.__cause__ or error
    lines = str(inner).strip().splitlines()
    return f'{type(inner).__name__}: {lines[0] if lines else ""}'


@functools.cache
def _warn(name: str, problem: str, device: str) -> None:
    """Say once that a form that is not compiled stands in."""
    remedy = _REMEDIES.get(device, 'install the compiler that PyTorch asks for')
    rank_zero_warn(
        f'{name} could not be compiled and runs as it is, slower and with the same result: '
        f'{problem}. If a compiler is missing, {remedy}; else set compile to false'
    )
