# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

import numpy as np
import torch

from torchgeo_saco.metrics import RetrievalScores, retrieval, retrieval_ranks


def test_ranks_are_those_of_sorted_cosines(monkeypatch):
    rng = np.random.default_rng(0)
    query, target = rng.normal(size=(2, 40, 5))
    target += 0.3 * query
    cosines = (query / np.linalg.norm(query, axis=1)[:, None]) @ (
        target / np.linalg.norm(target, axis=1)[:, None]
    ).T
    wanted = [1 + (np.argsort(-row, kind='stable') == i).argmax() for i, row in enumerate(cosines)]
    pair = torch.from_numpy(query), torch.from_numpy(target)
    assert retrieval_ranks(*pair).tolist() == wanted
    monkeypatch.setattr(retrieval, '_PAIRS', 100)
    assert retrieval_ranks(*pair).tolist() == wanted


def test_equal_cosines_share_their_mean_rank():
    # Collapsed features find nothing.
    assert retrieval_ranks(torch.ones(5, 3), torch.ones(5, 3)).tolist() == [3.0] * 5


def test_what_is_no_number_finds_nothing():
    features = torch.eye(4)
    features[1] = torch.nan
    assert retrieval_ranks(features, torch.eye(4)).tolist() == [1, 4, 1, 1]


def test_scores_of_both_ways():
    metric = RetrievalScores('s2', 's1')
    first = torch.eye(20)
    # Every image of the second finds its own; the first finds them one row further, but one.
    second = torch.eye(20)
    second[0] = 2 * first[1] + first[0]
    for rows in torch.arange(20).split(7):
        metric.update(first[rows], second[rows])
    scores = {name: float(value) for name, value in metric.compute().items()}
    assert set(scores) == {
        f'{way}_{name}'
        for way in ('s2_to_s1', 's1_to_s2')
        for name in ('median_rank', 'top1', 'top5', 'top10')
    }
    assert scores['s2_to_s1_top1'] == 1
    assert scores['s1_to_s2_top1'] == np.float32(0.95)
    assert scores['s1_to_s2_top5'] == scores['s1_to_s2_median_rank'] == 1
