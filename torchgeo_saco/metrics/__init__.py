# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Measures of embeddings and of predictions."""

from .confusion import (
    ConfusionScores,
    accuracy_scores,
    change_scores,
    jaccard_scores,
    pastis_scores,
)
from .embeddings import (
    alignment,
    effective_rank,
    embedding_measures,
    feature_std,
    same_location_auc,
    uniformity,
)
from .multilabel import MultilabelScores, multilabel_scores
from .retrieval import RetrievalScores, retrieval_ranks

__all__ = (
    'ConfusionScores',
    'MultilabelScores',
    'RetrievalScores',
    'accuracy_scores',
    'alignment',
    'change_scores',
    'effective_rank',
    'embedding_measures',
    'feature_std',
    'jaccard_scores',
    'multilabel_scores',
    'pastis_scores',
    'retrieval_ranks',
    'same_location_auc',
    'uniformity',
)
