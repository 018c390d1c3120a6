# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Embedding maps and tables of a few kinds of ground."""

import json

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine

from torchgeo_saco.embeddings import Provenance, vectors
from torchgeo_saco.embeddings.table import EmbeddingRows, TableParts

TRANSFORM = Affine(80, 0, 500000, 0, -80, 2000000)
CRS = 'EPSG:32648'
KINDS, DIMENSIONS = 4, 12


def cell_vectors(height=20, width=30, seed=0):
    """Vectors (H, W, D) of four quadrants that differ, with noise."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(KINDS, DIMENSIONS)) + 2
    rows, columns = np.mgrid[:height, :width]
    kinds = 2 * (rows >= height // 2) + (columns >= width // 3)
    return (centres[kinds] + 0.1 * random.normal(size=(height, width, DIMENSIONS))).astype(
        'f4'
    ), kinds


def write_map(path, vectors, missing=(), transform=TRANSFORM, crs=CRS, dtype='float32', **tags):
    """Write a map as ``torchgeo-saco embed`` does."""
    values = np.moveaxis(vectors, -1, 0).copy()
    scale = np.abs(values).reshape(len(values), -1).max(1) / 127
    if dtype == 'int8':
        values = np.rint(values / scale[:, None, None])
    for row, column in missing:
        values[:, row, column] = -128 if dtype == 'int8' else np.nan
    with rasterio.open(
        path, 'w', driver='GTiff', count=len(values), height=values.shape[1],
        width=values.shape[2], dtype=dtype, crs=crs, transform=transform,
        nodata=-128 if dtype == 'int8' else np.nan, tiled=True, blockxsize=16, blockysize=16,
    ) as file:  # fmt: skip
        file.write(values.astype(dtype))
        if dtype == 'int8':
            file.scales = tuple(scale)
        file.update_tags(torchgeo_saco=json.dumps({'weights_hash': 'abc', **tags}))
    return path


def embedding_table(count=40, seed=0, dates=('2019-06-12',), kind='float32'):
    """Table of locations, in two kinds."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(2, DIMENSIONS)) + 1
    rows = []
    for number in range(count):
        box = shapely.box(number % 8, number // 8, number % 8 + 0.5, number // 8 + 0.5)
        for date in dates:
            vector = centres[number % 2] + 0.1 * random.normal(size=DIMENSIONS)
            scale = np.float32(np.abs(vector).max() / 127)
            stored = np.rint(vector / scale) if kind == 'int8' else vector
            rows.append((f'{number:03d}', date, stored.astype(kind), scale, box))
    columns = ['location', 'date', 'embedding', 'scale', 'geometry']
    table = gpd.GeoDataFrame(rows, columns=columns, geometry='geometry', crs='EPSG:4326')
    return table if kind == 'int8' else table.drop(columns='scale')


def write_table(path, table):
    """Write a table as the command does."""
    provenance = Provenance(
        'a.ckpt', 'sha256:0', 'resnet18', ['B02'], 'rgb', ['a'], 'x', dimensions=DIMENSIONS
    )
    rows, parts = EmbeddingRows(DIMENSIONS, 'float32'), TableParts(path, provenance)
    parts.begin()
    values, systems = vectors(table), ['EPSG:4326'] * len(table)
    parts.write(
        '0', rows.table(range(len(table)), list(table.location), list(table.date), values, None,
                        systems, list(table.geometry)))  # fmt: skip
    parts.join()
