# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""The methods' formulas once more, in loops of NumPy, to compare the tasks with.

Images are numbered ``n``; ``location[n]`` and ``year[n]`` say what an image shows. ``z[s][n]`` is
the query of an image in sub-space ``s``, ``kappa[s][j][n]`` its key ``j``, and ``memory[s]`` a list
of (key, location, year) of earlier images.
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


def moco(z, key, location, memory, temperature):
    total = 0.0
    for n in range(len(z)):
        negatives = [k for k, where, _ in memory if where != location[n]]
        total += cross_entropy(z[n], key[n], negatives, temperature)
    return total / len(z)


def alignment(groups):
    total = []
    for image in groups:
        mean = scaled(sum(image) / len(image))
        total += [1 - np.dot(scaled(group), mean) for group in image]
    return np.mean(total)


def seco_negatives(s, n, kappa, location, memory):
    """Earlier keys of other locations; from the second sub-space on also the keys not drawn to."""
    negatives = [k for k, where, _ in memory[s] if where != location[n]]
    if s > 0:
        for j in range(3):
            for other in range(len(location)):
                if j != s and (other == n or location[other] != location[n]):
                    negatives.append(kappa[s][j][other])
    return negatives


def seco(s, z, kappa, location, memory, temperature):
    return np.mean([
        cross_entropy(z[s][n], kappa[s][s][n], seco_negatives(s, n, kappa, location, memory), temperature)  # noqa: E501
        for n in range(len(location))
    ])  # fmt: skip


def caco_negatives(s, n, kappa, location, year, memory, changed):
    """As for SeCo, of both years, with earlier keys of the same year only; and the positives of the
    other year, that of the same location only where it has changed."""
    negatives = [k for k, where, when in memory[s] if where != location[n] and when == year[n]]
    for other in range(len(location)):
        if s > 0:
            negatives += [kappa[s][j][other] for j in range(3) if j != s]
        if year[other] != year[n] and (location[other] != location[n] or changed[n]):
            negatives.append(kappa[s][s][other])
    return negatives


def caco(s, z, kappa, location, year, memory, changed, temperature):
    return np.mean([
        cross_entropy(
            z[s][n], kappa[s][s][n],
            caco_negatives(s, n, kappa, location, year, memory, changed), temperature,
        )
        for n in range(len(location))
    ])  # fmt: skip


def caco_simclr(s, z, kappa, location, year, changed, temperature):
    """Query and key of an image in turn; everything else of the batch that may be pushed away."""
    total = []
    for n in range(len(location)):
        negatives = []
        for other in range(len(location)):
            apart = year[other] != year[n] and changed[n]
            if location[other] != location[n] or apart:
                negatives += [z[s][other], kappa[s][s][other]]
            if s > 0:
                negatives += [kappa[s][j][other] for j in range(3) if j != s]
        total.append(cross_entropy(z[s][n], kappa[s][s][n], negatives, temperature))
        total.append(cross_entropy(kappa[s][s][n], z[s][n], negatives, temperature))
    return np.mean(total)


def change_ratios(first, second, years, power=1):
    """Distance between years over distance between seasons, of every location and year."""
    count = len(first) // years
    ratios = np.zeros((count, years))
    first, second = ([scaled(vector) for vector in vectors] for vectors in (first, second))
    for location in range(count):
        one, two = location, count + location
        between = np.linalg.norm(first[one] - first[two])
        between = (between + np.linalg.norm(second[one] - second[two])) / 2
        for year, n in enumerate((one, two)):
            within = np.linalg.norm(first[n] - second[n])
            ratios[location, year] = between**power / (within**power + 1e-4)
    return ratios
