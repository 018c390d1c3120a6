# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""The methods' formulas once more, in loops of NumPy, to compare the tasks with.

Images are numbered ``n``; ``place[n]`` and ``year[n]`` say what an image shows. ``z[s][n]`` is the
query of an image in sub-space ``s``, ``kappa[s][j][n]`` its key ``j``, and ``memory[s]`` a list of
(key, place, year) of earlier images.
"""

import numpy as np


def scaled(vector):
    return vector / np.sqrt(np.sum(vector * vector))


def cross_entropy(query, positive, negatives, temperature):
    """Minus the logarithm of the share of the positive."""
    query = scaled(query)
    positive = np.exp(np.dot(query, scaled(positive)) / temperature)
    others = [np.exp(np.dot(query, scaled(key)) / temperature) for key in negatives]
    return -np.log(positive / (positive + np.sum(others)))


def moco(z, key, place, memory, temperature):
    total = 0.0
    for n in range(len(z)):
        negatives = [k for k, where, _ in memory if where != place[n]]
        total += cross_entropy(z[n], key[n], negatives, temperature)
    return total / len(z)


def alignment(groups):
    total = []
    for image in groups:
        mean = scaled(sum(image) / len(image))
        total += [1 - np.dot(scaled(group), mean) for group in image]
    return np.mean(total)


def seco_negatives(s, n, kappa, place, memory):
    """Earlier keys of other places; from the second sub-space on also the keys not drawn to."""
    negatives = [k for k, where, _ in memory[s] if where != place[n]]
    if s > 0:
        for j in range(3):
            for other in range(len(place)):
                if j != s and (other == n or place[other] != place[n]):
                    negatives.append(kappa[s][j][other])
    return negatives


def seco(s, z, kappa, place, memory, temperature):
    return np.mean([
        cross_entropy(z[s][n], kappa[s][s][n], seco_negatives(s, n, kappa, place, memory), temperature)
        for n in range(len(place))
    ])  # fmt: skip


def caco_negatives(s, n, kappa, place, year, memory, changed):
    """As for SeCo, of both years, with earlier keys of the same year only; and the positives of the
    other year, that of the same place only where it has changed."""
    negatives = [k for k, where, when in memory[s] if where != place[n] and when == year[n]]
    for other in range(len(place)):
        if s > 0:
            negatives += [kappa[s][j][other] for j in range(3) if j != s]
        if year[other] != year[n] and (place[other] != place[n] or changed[n]):
            negatives.append(kappa[s][s][other])
    return negatives


def caco(s, z, kappa, place, year, memory, changed, temperature):
    return np.mean([
        cross_entropy(
            z[s][n], kappa[s][s][n],
            caco_negatives(s, n, kappa, place, year, memory, changed), temperature,
        )
        for n in range(len(place))
    ])  # fmt: skip


def caco_simclr(s, z, kappa, place, year, changed, temperature):
    """Query and key of an image in turn; everything else of the batch that may be pushed away."""
    total = []
    for n in range(len(place)):
        negatives = []
        for other in range(len(place)):
            apart = year[other] != year[n] and changed[n]
            if place[other] != place[n] or apart:
                negatives += [z[s][other], kappa[s][s][other]]
            if s > 0:
                negatives += [kappa[s][j][other] for j in range(3) if j != s]
        total.append(cross_entropy(z[s][n], kappa[s][s][n], negatives, temperature))
        total.append(cross_entropy(kappa[s][s][n], z[s][n], negatives, temperature))
    return np.mean(total)


def change_ratios(first, second, years):
    """Distance between years over distance between seasons, of every place and year."""
    count = len(first) // years
    ratios = np.zeros((count, years))
    first, second = ([scaled(vector) for vector in vectors] for vectors in (first, second))
    for place in range(count):
        one, two = place, count + place
        between = np.linalg.norm(first[one] - first[two])
        between = (between + np.linalg.norm(second[one] - second[two])) / 2
        for year, n in enumerate((one, two)):
            ratios[place, year] = between / (np.linalg.norm(first[n] - second[n]) + 1e-4)
    return ratios
