# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of compiled functions and modules, mostly with compilers that only count."""

import copy
import functools
import pickle

import pytest
import torch
from torch import nn
from torch._dynamo import config
from torch._inductor import config as inductor
from torch._inductor import cpp_builder

from torchgeo_saco.runtime import compile as compilation
from torchgeo_saco.runtime.compile import compile_module, compiled, compiler_problem


def double(values, doubled):
    doubled.copy_(2 * values)


@pytest.fixture(autouse=True)
def fresh():
    """Nothing compiled, tried or warned of before."""
    torch.compiler.reset()
    compilation.compiler_problem.cache_clear()
    compilation._warn.cache_clear()


@pytest.fixture
def graphs(monkeypatch):
    """Graphs that a compiler has seen, which runs them as they are."""
    seen = []

    def backend(graph, inputs):
        seen.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, 'compile', functools.partial(torch.compile, backend=backend))
    return seen


@pytest.fixture
def broken(monkeypatch):
    """A compiler that fails."""

    def backend(graph, inputs):
        raise OSError('there is no compiler\nand here is why')

    monkeypatch.setattr(torch, 'compile', functools.partial(torch.compile, backend=backend))


def doubled(function, values):
    results = torch.empty_like(values)
    assert function(values, results) is None
    return torch.equal(results, 2 * values)


def test_one_graph_serves_all_sizes(graphs):
    function = compiled(double, 'it')
    for shape in [(3, 7, 5), (3, 7, 6), (2, 9, 5), (9, 9, 9), (11, 11, 4), (500, 2, 33)]:
        assert doubled(function, torch.rand(shape))
    assert len(graphs) == 1
    for shape in [(1, 7, 5), (1, 8, 9)]:
        assert doubled(function, torch.rand(shape))
    assert len(graphs) == 2


def test_one_graph_serves_all_states(graphs):
    function = compiled(double, 'it')
    values = torch.rand(4, 5, 6)
    assert doubled(function, values)
    with torch.no_grad():
        assert doubled(function, values)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        assert doubled(function, values)
    assert len(graphs) == 1


def test_functions_of_one_text_have_a_limit_each(graphs):
    def times(factor):
        def multiply(values, out):
            out.copy_(factor * values)

        return compiled(multiply, f'times {factor}')

    with config.patch(recompile_limit=2):
        for factor in range(2, 7):
            function, out = times(factor), torch.empty(3, 4)
            function(torch.ones(3, 4), out)
            assert torch.equal(out, torch.full((3, 4), float(factor)))
    assert len(graphs) == 5


def test_beyond_the_limit_the_function_itself_is_called(graphs):
    function = compiled(double, 'it')
    with config.patch(recompile_limit=1):
        assert doubled(function, torch.rand(3, 4))
        with pytest.warns(UserWarning, match='it could not be compiled .* limit'):
            assert doubled(function, torch.rand(3, 4).double())
        assert doubled(function, torch.rand(3, 4, 5))
    assert len(graphs) == 1


def test_within_an_outer_function_it_is_part_of_its_graph(graphs):
    function = compiled(double, 'it')

    @functools.partial(torch.compile, fullgraph=True)
    def outer(values):
        results = torch.empty_like(values)
        function(values + 1, results)
        return results

    assert torch.equal(outer(torch.ones(3)), torch.full((3,), 4.0))
    assert len(graphs) == 1


def test_workers_do_not_compile(graphs, monkeypatch):
    monkeypatch.setattr(compilation, 'get_worker_info', object)
    assert doubled(compiled(double, 'it'), torch.rand(3))
    assert not graphs


def test_tensors_without_data_are_not_compiled(graphs):
    values = torch.empty(3, 4, device='meta')
    compiled(double, 'it')(values, torch.empty_like(values))
    assert not graphs


def test_without_a_compiler_one_warning_names_the_remedy(broken):
    function, other = compiled(double, 'it'), compiled(double, 'it')
    message = (
        'it could not be compiled and runs as it is, slower and with the same result: '
        r'OSError: there is no compiler\. If a compiler is missing, install a C\+\+ compiler, .* '
        r'CXX; '
        'else set compile to false'
    )
    with pytest.warns(UserWarning, match=message):
        assert doubled(function, torch.rand(3))
    # Warnings are errors.
    assert doubled(function, torch.rand(4, 5))
    assert doubled(other, torch.rand(3))


def test_errors_of_the_function_itself_are_raised(graphs):
    with pytest.raises(RuntimeError, match='size'):
        compiled(double, 'it')(torch.ones(3), torch.ones(4))


def test_compiled_module_keeps_names_and_results(graphs):
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    values, names = torch.rand(2, 3), list(module.state_dict())
    expected = module(values)
    assert compile_module(module, 'cpu', 'net')
    trial = len(graphs)
    assert torch.equal(module(values), expected)
    assert len(graphs) == trial + 1
    assert list(module.state_dict()) == names
    assert torch.equal(copy.deepcopy(module)(values), expected)
    assert torch.equal(pickle.loads(pickle.dumps(module))(values), expected)  # noqa: S301


def test_module_without_a_compiler_stays_as_it_is(broken):
    module = nn.Linear(3, 4)
    with pytest.warns(UserWarning, match='net could not be compiled .* there is no compiler'):
        assert not compile_module(module, torch.device('cpu'), 'net')
    assert module._compiled_call_impl is None
    assert not compile_module(module, 'cpu', 'net')


def test_the_compiler_is_tried_once(graphs):
    assert compiler_problem('cpu') is None
    assert compiler_problem('cpu') is None
    assert len(graphs) == 1


@pytest.mark.slow
def test_a_missing_compiler_is_named(monkeypatch, tmp_path):
    find = cpp_builder.get_cpp_compiler
    monkeypatch.setattr(cpp_builder, 'get_cpp_compiler', getattr(find, '__wrapped__', find))
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path))
    with (
        inductor.patch({'cpp.cxx': (None, '/nowhere/g++')}),
        pytest.warns(UserWarning, match='/nowhere/g.* install a C'),
    ):
        assert doubled(compiled(double, 'it'), torch.rand(3))
