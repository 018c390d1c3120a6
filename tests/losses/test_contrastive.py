# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Tests of the contrastive losses."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from torchgeo_saco.losses import (
    AlignmentLoss,
    InfoNCE,
    alignment_loss,
    chance_level,
    dense_similarity,
    info_nce,
    l2_normalize,
    symmetric_cross_entropy,
)

QUERY = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
KEY = torch.tensor([[1.0, 0.2], [0.9, 1.0]])
NEGATIVES = torch.tensor([[0.0, 1.0], [-1.0, 0.0], [1.0, -1.0]])


def numpy_info_nce(query, key, negatives, temperature, excluded=None):
    """The formula, term by term."""
    query, key, negatives = (
        x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, key, negatives)
    )
    total = 0.0
    for i, q in enumerate(query):
        positive = math.exp(q @ key[i] / temperature)
        others = [
            math.exp(q @ n / temperature)
            for j, n in enumerate(negatives)
            if excluded is None or not excluded[i, j]
        ]
        total -= math.log(positive / (positive + sum(others)))
    return total / len(query)


@pytest.mark.parametrize(
    ('temperature', 'value'), [(0.05, 0.003569), (0.07, 0.017663), (0.5, 0.549664)]
)
def test_info_nce_of_a_hand_made_case(temperature, value):
    assert info_nce(QUERY, KEY, NEGATIVES, temperature).item() == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(('dtype', 'tolerance'), [('float64', 1e-12), ('float32', 1e-6)])
@pytest.mark.parametrize('masked', [False, True])
def test_info_nce_equals_its_formula(dtype, tolerance, masked):
    generator = np.random.default_rng(0)
    query, key = generator.normal(size=(2, 5, 8))
    negatives = generator.normal(size=(11, 8))
    excluded = generator.random((5, 11)) < 0.4 if masked else None
    expected = numpy_info_nce(query, key, negatives, 0.2, excluded)
    tensors = [torch.from_numpy(x).to(getattr(torch, dtype)) for x in (query, key, negatives)]
    mask = None if excluded is None else torch.from_numpy(excluded)
    loss = info_nce(*tensors, 0.2, mask)
    assert loss.dtype == getattr(torch, dtype)
    assert loss.item() == pytest.approx(expected, abs=tolerance, rel=tolerance)


def test_chance_is_the_loss_where_nothing_is_told_apart():
    excluded = torch.tensor([[True, False, False], [False, False, True]])
    same = torch.ones(2, 4)
    for mask in (None, excluded, excluded[0]):
        loss = info_nce(same, same, torch.ones(3, 4), 0.1, mask)
        torch.testing.assert_close(chance_level(torch.ones(3, 4), mask), loss)


def test_info_nce_without_a_negative_is_zero():
    assert info_nce(QUERY, KEY, NEGATIVES[:0]).item() == 0
    assert info_nce(QUERY, KEY, NEGATIVES, excluded=torch.ones(3, dtype=torch.bool)).item() == 0


def test_info_nce_survives_a_temperature_that_overflows_exp():
    loss = info_nce(QUERY, -QUERY, QUERY, 1e-4)
    assert loss.item() == pytest.approx(2e4, rel=1e-3)


def test_info_nce_knows_no_length():
    assert info_nce(QUERY * 1000, KEY / 7, NEGATIVES * 3, 0.5).item() == pytest.approx(
        info_nce(QUERY, KEY, NEGATIVES, 0.5).item(), abs=1e-6
    )


def test_info_nce_gradient():
    query, key, negatives = (x.double().requires_grad_() for x in (QUERY, KEY, NEGATIVES))
    assert torch.autograd.gradcheck(lambda q, k, n: info_nce(q, k, n, 0.3), (query, key, negatives))


def test_gradient_of_a_zero_vector_is_bounded():
    query = torch.zeros(2, 2, requires_grad=True)
    info_nce(query, KEY, NEGATIVES).backward()
    assert torch.isfinite(query.grad).all()
    assert query.grad.abs().max() < 1e9


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_losses_under_autocast_are_those_of_float32(dtype):
    with torch.autocast('cpu', dtype):
        query, groups = QUERY @ torch.eye(2), torch.stack([QUERY, KEY], 1) @ torch.eye(2)
        loss = info_nce(query, KEY, NEGATIVES, 0.5), alignment_loss(groups)
    assert loss[0].dtype == loss[1].dtype == torch.float32
    assert loss[0].item() == pytest.approx(0.549664, abs=1e-2)
    # What the loss itself computes is not rounded.
    assert loss[1] == alignment_loss(groups)


def test_alignment_is_zero_where_groups_agree():
    groups = torch.randn(4, 1, 16).expand(4, 7, 16)
    assert alignment_loss(groups).item() == pytest.approx(0, abs=1e-6)


def test_alignment_equals_mean_cosine_to_the_cluster():
    groups = torch.randn(4, 7, 16)
    cosine = F.cosine_similarity(groups, groups.mean(1, keepdim=True), dim=-1)
    assert alignment_loss(groups).item() == pytest.approx(1 - cosine.mean().item(), abs=1e-6)


def test_alignment_of_orthogonal_groups():
    groups = torch.eye(2)[None]
    assert alignment_loss(groups).item() == pytest.approx(1 - 0.5**0.5)


def test_alignment_knows_no_order_of_groups():
    groups = torch.randn(4, 7, 16)
    assert torch.allclose(alignment_loss(groups), alignment_loss(groups.flip(1)))


def test_alignment_gradient():
    assert torch.autograd.gradcheck(alignment_loss, torch.randn(2, 3, 4).double().requires_grad_())


def test_modules_call_the_functions():
    assert InfoNCE(0.5)(QUERY, KEY, NEGATIVES) == info_nce(QUERY, KEY, NEGATIVES, 0.5)
    expected = info_nce(QUERY, KEY, NEGATIVES, 0.05)
    assert InfoNCE()(QUERY, KEY, NEGATIVES) == info_nce(QUERY, KEY, NEGATIVES) == expected
    excluded = torch.tensor([[True, False, False], [False, False, True]])
    loss = InfoNCE(0.5)(QUERY, KEY, NEGATIVES, excluded)
    assert loss == info_nce(QUERY, KEY, NEGATIVES, 0.5, excluded)
    assert loss != info_nce(QUERY, KEY, NEGATIVES, 0.5)
    groups = torch.randn(2, 3, 4)
    assert AlignmentLoss()(groups) == alignment_loss(groups)


def test_unit_is_float32_or_wider():
    assert l2_normalize(QUERY.bfloat16()).dtype == torch.float32
    assert l2_normalize(QUERY.double()).dtype == torch.float64


@pytest.mark.slow
def test_losses_compile():
    torch._dynamo.reset()
    compiled = torch.compile(info_nce, fullgraph=True, backend='eager')
    assert compiled(QUERY, KEY, NEGATIVES, 0.5) == info_nce(QUERY, KEY, NEGATIVES, 0.5)


@pytest.mark.parametrize('temperature', [0, -1])
def test_wrong_temperature(temperature):
    for call in (InfoNCE, lambda t: info_nce(QUERY, KEY, NEGATIVES, t)):
        with pytest.raises(ValueError, match=f'temperature must be .*, got {temperature}'):
            call(temperature)


@pytest.mark.parametrize(
    'tensors', [(QUERY, KEY[:1], NEGATIVES), (QUERY, KEY, NEGATIVES[:, :1]), (QUERY[0],) * 3]
)
def test_wrong_shapes(tensors):
    with pytest.raises(ValueError, match=r'must be \(B, D\) and negatives \(K, D\), got'):
        info_nce(*tensors)


def test_wrong_groups():
    with pytest.raises(ValueError, match=r'groups must be \(B, G, D\), got \(2, 2\)'):
        alignment_loss(QUERY)


def test_dense_similarity_is_that_of_a_convolution_and_of_einsum():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 5, 8, 3, 4, generator=generator, dtype=torch.float64)
    similarity = dense_similarity(first, second[:4])
    u, v = (torch.nn.functional.normalize(part, dim=1) for part in (first, second[:4]))
    torch.testing.assert_close(similarity, torch.einsum('ichw,jchw->ij', u, v) / 12)
    torch.testing.assert_close(similarity, torch.conv2d(u, v).flatten(1) / 12)
    with torch.autocast('cpu', torch.bfloat16):
        maps = first.float(), second[:4].float()
        torch.testing.assert_close(dense_similarity(*maps), similarity.float())
    with pytest.raises(ValueError, match=r'maps must be .* got \(5, 8, 3, 4\) and \(5, 8, 4, 4\)'):
        dense_similarity(first, torch.rand(5, 8, 4, 4))


def test_symmetric_cross_entropy_is_that_of_rows_and_columns():
    similarity = torch.rand(6, 6, dtype=torch.float64)
    wanted = [
        np.mean([-s[i, i] / 0.1 + np.log(np.exp(s[i] / 0.1).sum()) for i in range(6)])
        for s in (similarity.numpy(), similarity.numpy().T)
    ]
    assert symmetric_cross_entropy(similarity).item() == pytest.approx(np.mean(wanted))
    with pytest.raises(ValueError, match='temperature must be from'):
        symmetric_cross_entropy(similarity, 0)
    with pytest.raises(ValueError, match=r'must be \(N, N\)'):
        symmetric_cross_entropy(similarity[:3])
