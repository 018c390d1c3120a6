# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""``torchgeo-saco map``."""

import sys
from pathlib import Path

from ..io.files import write_file
from ..io.tables import require_new
from .grid import open_embedding_map
from .page import embedding_page
from .table import read_embeddings


def map(
    embeddings: str,
    output: str,
    image: list[str] | str | None = None,
    clusters: int = 8,
    components: int = 32,
    seed: int = 0,
    title: str | None = None,
    attribution: str = '',
    basemap: bool = False,
) -> None:
    r"""Write one page on which embeddings are looked at and searched in a browser.

    It shows the scene, its principal components and clusters; a click on a cell shows how similar
    all others are. The page is one file and works without a network. Of a table, it shows
    locations, and the nearest neighbours of the one clicked.

    For example:

      torchgeo-saco map --embeddings embeddings.tif --image scene/ --output page.html

    Args:
        embeddings: Embedding map, .tif, or table, .parquet.
        output: New page, ending in .html.
        image: Scene of a map, as embed takes it, or three files of red, green and blue.
        clusters: Clusters of k-means.
        components: Principal components that the search in the browser goes by.
        seed: Seed of the clusters.
        title: Title of the page; the name of the embeddings as default.
        attribution: Whom the images are from.
        basemap: Whether to show OpenStreetMap below, from the network.

    Raises:
        ValueError: If an argument is out of range, or there are too many cells.
        OSError: If a file cannot be read or written.
        ImportError: If folium or Leaflet is not installed.
    """
    path = Path(output)
    require_new(path, ('.html', '.htm'))
    table = Path(embeddings).suffix.lower() in ('.parquet', '.geoparquet')
    source = read_embeddings(embeddings) if table else open_embedding_map(embeddings)
    page = embedding_page(
        source,
        [image] if isinstance(image, str) else image,
        clusters,
        components,
        seed,
        Path(embeddings).stem if title is None else title,
        attribution,
        basemap,
    )
    content = page.text.encode()
    write_file(path, content)
    sys.stdout.write(
        f'{output}: {len(source)} {"locations" if table else "cells"}, {len(content) / 1e6:.1f} '
        f'MB; red, green and blue hold {sum(page.explained):.0%} of variance; similarities in the '
        f'browser: rank correlation with the full cosine {page.fidelity.rank_correlation:.4f}, '
        f'{page.fidelity.found:.0%} of the most similar 1% found, largest difference '
        f'{page.fidelity.error:.4f}\n'
    )
