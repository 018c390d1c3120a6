# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""One page on which embeddings are looked at and searched, without a network."""

import base64
import html
import json
import zlib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import shapely
from geopandas import GeoDataFrame
from matplotlib import colormaps

from ..runtime.extras import import_extra
from .clusters import cluster_colors, kmeans
from .display import cell_picture, display, scene_picture
from .grid import EmbeddingRaster, Raster
from .picture import pca_picture
from .reduction import Fidelity, fidelity, reduced
from .source import Embeddings, all_vectors, described

#: Most cells or locations of a page; browsers slow down beyond.
CELLS = 300_000

#: Most locations whose footprints are drawn one by one.
LOCATIONS = 5_000

#: A picture of one transparent pixel, where no similarity is shown yet.
_EMPTY = 'data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7'


class Page(NamedTuple):
    """A page, and how well its search agrees with that of the full embeddings."""

    #: HTML.
    text: str

    #: Agreement of its similarities.
    fidelity: Fidelity

    #: Share of the variance in red, green and blue.
    explained: np.ndarray


def embedding_page(
    source: Embeddings,
    image: Sequence[str] | None = None,
    clusters: int = 8,
    components: int = 32,
    seed: int = 0,
    title: str = 'Embeddings',
    attribution: str = '',
    basemap: bool = False,
) -> Page:
    """Page with principal components, clusters and a search from a click.

    It asks no network for anything, unless for tiles of a base map, if they are asked for. The
    search runs in the browser, on principal components of 8 bits.

    Args:
        source: Map or table.
        image: Scene below a map, see :func:`~torchgeo_saco.embeddings.display.scene_picture`.
        clusters: Clusters of k-means.
        components: Principal components that the search goes by.
        seed: Seed of the clusters.
        title: Title of the page.
        attribution: Whom the images are from, as text.
        basemap: Whether to show tiles of OpenStreetMap, from the network.

    Returns:
        The page.

    Raises:
        ValueError: If there are too many cells or locations, none has a footprint, or a number is
            out of range.
        ImportError: If folium or Leaflet is not installed.
        BandFileError: If a file cannot be read.
    """
    library, leaflet = _libraries()
    table = not isinstance(source, EmbeddingRaster)
    limit = LOCATIONS if table else CELLS
    if len(source) > limit:
        raise ValueError(
            f'{described(source)} has {len(source)} {"locations" if table else "cells"}, more than '
            f'the {limit} that a page takes; '
            + ('take some of them' if table else 'cut it, or embed with a larger stride')
        )
    if table and image:
        raise ValueError('an image lies below an embedding map; leave it out with a table')
    positions, values = all_vectors(source)
    reduction = reduced(values, components)
    agreement = fidelity(values, reduction, seed)
    colored, explained = pca_picture(source)
    labels = kmeans(source, min(clusters, len(values)), seed)
    palette = ['#{:02x}{:02x}{:02x}'.format(*c) for c in cluster_colors(clusters).values()]
    content: dict[str, Any] = {
        'scores': _packed(reduction.scores),
        'scale': [float(step) for step in reduction.scale],
        'common': _packed(reduction.common),
        'colormap': _packed(np.rint(255 * colormaps['viridis'](np.arange(256))[:, :3]), 'uint8'),
        'clusters': palette,
    }
    view = _View(library, leaflet, title, attribution, basemap)
    if isinstance(colored, Raster) and isinstance(labels, Raster):
        flat = labels.values.ravel()[positions]
        names = _add_map(view, source, colored, labels, positions, image, content)
    else:
        table_labels: GeoDataFrame = labels
        flat = table_labels['cluster'].to_numpy(dtype='float', na_value=-1)[positions]
        names = _add_table(view, colored, positions, content)
    content['labels'] = _packed(flat, 'uint16')
    sizes = np.bincount(flat.astype(int), minlength=len(palette)) / len(flat)
    note = (
        f'Similarity is computed here from {len(reduction.scale)} principal components of '
        f'{values.shape[1]} dimensions, in 8 bits. Against the full cosine: rank correlation '
        f'{agreement.rank_correlation:.4f}, {agreement.found:.0%} of the most similar 1% found, '
        f'largest difference {agreement.error:.4f}.'
    )
    view.add_panel(names, explained, palette, sizes, note, table)
    view.add_search(names, content)
    return Page(view.text(), agreement, explained)


class _View:
    """A folium map whose files are inside the page."""

    def __init__(
        self, library: Any, leaflet: Any, title: str, attribution: str, basemap: bool
    ) -> None:
        self.folium = library
        tiles = 'OpenStreetMap' if basemap else None
        self.map = library.Map(tiles=tiles, control_scale=True, max_zoom=20, zoom_snap=0.25)
        # Links to servers that would be asked for Leaflet, and for what is not used here.
        self.map.default_js, self.map.default_css = [], []
        self.figure = self.map.get_root()
        self.figure.title = html.escape(title)
        script = (leaflet / 'leaflet.js').read_text(encoding='utf-8')
        self.code = resources.files(__package__).joinpath('page.js').read_text(encoding='utf-8')
        own = resources.files(__package__).joinpath('page.css').read_text(encoding='utf-8')
        self._head('script', script.split('//# sourceMappingURL')[0])
        self._head('style', _style(leaflet) + own)
        self.attribution = html.escape(attribution)

    def _head(self, tag: str, content: str) -> None:
        """Put code into the head of the page, as it is."""
        element = self.folium.Element(f'<{tag}>{{{{ this.content }}}}</{tag}>')
        element.content = content
        self.figure.header.add_child(element)

    def add_image(self, key: str, name: str, address: str, bounds: Any, show: bool) -> str:
        """Add a picture to the map and the control of layers."""
        overlay = self.folium.raster_layers.ImageOverlay(
            address, bounds, name=name, show=show, attribution=self.attribution or None
        )
        overlay.add_to(self.map)
        return str(overlay.get_name())

    def add_panel(
        self,
        names: Mapping[str, str],
        explained: np.ndarray,
        palette: Sequence[str],
        sizes: np.ndarray,
        note: str,
        table: bool,
    ) -> None:
        """Add the control of layers, and the panel of what is chosen, of colours and opacity."""
        if not table:
            self.folium.LayerControl(collapsed=False).add_to(self.map)
        sliders = ''.join(
            f'<label>{html.escape(name)} <input type="range" id="opacity-{name}" value="{value}">'
            '</label>'
            for name, value in dict.fromkeys(names or ['locations'], 80 if table else 100).items()
        )
        choice = (
            '<label>color by <select id="by"><option>components</option><option>clusters</option>'
            '<option>similarity</option></select></label>'
        )
        gradient = ', '.join(
            'rgb({:.0f}, {:.0f}, {:.0f})'.format(*(255 * np.array(colormaps['viridis'](x)[:3])))
            for x in np.linspace(0, 1, 9)
        )
        legend = ''.join(
            f'<span><i style="background:{color}"></i>{number} ({size:.0%})</span>'
            for number, (color, size) in enumerate(zip(palette, sizes, strict=True))
            if size
        )
        what = 'location' if table else 'cell'
        shares = ', '.join(f'{share:.1%}' for share in explained)
        panel = (
            f'<h2>Chosen {what}</h2><div id="info"><p>Click on a {what} to see what is similar.'
            '</p></div><h2>Cosine similarity</h2>'
            f'<div class="bar" style="background:linear-gradient(90deg, {gradient})"></div>'
            '<div class="ends"><span id="low">low</span><span id="high">high</span></div>'
            '<label>most similar <input type="range" id="share" min="1" max="100" value="100">'
            f'</label><h2>{"Colors" if table else "Opacity"}</h2>{choice if table else ""}{sliders}'
            f'<h2>Clusters</h2><div class="clusters">{legend}</div>'
            f'<h2>Principal components</h2><p>red, green, blue: {shares} of variance</p>'
            f'<p class="small">{html.escape(note)}</p>'
        )
        self._script(
            'const panel = L.control({position: "bottomright"});'
            'panel.onAdd = () => { const box = L.DomUtil.create("div", "panel");'
            f'box.innerHTML = {_json(panel)};'
            'L.DomEvent.disableClickPropagation(box); L.DomEvent.disableScrollPropagation(box);'
            f'return box; }}; panel.addTo({self.map.get_name()});'
            f'{self.map.get_name()}.attributionControl.addAttribution({_json(self.attribution)});'
        )

    def add_search(self, names: Mapping[str, str], content: Mapping[str, Any]) -> None:
        """Add the search, with its data."""
        layers = ', '.join(f'{key}: {name}' for key, name in names.items())
        self._script(
            f'{self.code}\nexploreEmbeddings({self.map.get_name()}, {{{layers}}}, '
            f'{_json(content)});'
        )

    def _script(self, code: str) -> None:
        """Add code after that of the map."""
        element = self.folium.MacroElement()
        element._template = self.folium.template.Template(
            '{% macro script(this, kwargs) %}{{ this.code }}{% endmacro %}'
        )
        element.code = code
        self.map.add_child(element)

    def text(self) -> str:
        """The page."""
        return str(self.figure.render())


def _add_map(
    view: _View,
    source: EmbeddingRaster,
    colored: Raster,
    labels: Raster,
    positions: np.ndarray,
    image: Sequence[str] | None,
    content: dict[str, Any],
) -> dict[str, str]:
    """Layers of a map, and what its search needs."""
    bounds, cells = display(source)
    rank = np.full(len(source) + 1, -1, 'int32')
    rank[positions] = np.arange(len(positions))
    shown = rank[cells]
    content.update(
        shown=_packed(np.diff(shown.ravel(), prepend=0), 'int32'),
        positions=_packed(positions, 'int32'),
        bounds=bounds,
        height=shown.shape[0],
        width=shown.shape[1],
        columns=source.shape[1],
        transform=list(source.transform)[:6],
        crs=source.crs.to_string() if source.crs.to_epsg() else 'scene',
        digits=1 if source.crs.is_projected else 5,
    )
    names = {}
    if image:
        address, ground = scene_picture(image)
        names['scene'] = view.add_image('scene', 'scene, natural color', address, ground, True)
    rgb = colored.values.reshape(3, -1).T[positions]
    numbers = labels.values.ravel()[positions]
    colors = np.array([*cluster_colors(int(numbers.max()) + 1).values()], 'uint8')[numbers]
    for key, name, values, show in (
        ('components', 'principal components', rgb, not image),
        ('clusters', 'clusters', colors, False),
    ):
        names[key] = view.add_image(key, name, cell_picture(shown, values), bounds, show)
    names['similarity'] = view.add_image('similarity', 'similarity', _EMPTY, bounds, True)
    view.map.fit_bounds(bounds)
    return names


def _add_table(
    view: _View, colored: GeoDataFrame, positions: np.ndarray, content: dict[str, Any]
) -> dict[str, str]:
    """What the search of a table needs."""
    table = colored.iloc[positions]
    geometry = table.geometry
    if geometry.isna().all():
        raise ValueError('no location of the table has a footprint; a page needs them')
    if table.crs is not None:
        geometry = geometry.to_crs(4326)
    dates = table['date'] if 'date' in table else [None] * len(table)
    content.update(
        features=[None if g is None else json.loads(shapely.to_geojson(g)) for g in geometry],
        components=table['color'].tolist(),
        names=[
            f'{location} {date}' if isinstance(date, str) else str(location)
            for location, date in zip(table['location'], dates, strict=True)
        ],
    )
    return {}


def _libraries() -> tuple[Any, Any]:
    """Library of the page, and the folder of Leaflet's files."""
    folium, leaflet = (import_extra(name, 'map', 'a page') for name in ('folium', 'js_lib_leaflet'))
    return folium, resources.files(leaflet) / 'static' / 'js_lib_leaflet'


def _style(leaflet: Any) -> str:
    """Leaflet's style with its pictures inside."""
    style = (leaflet / 'leaflet.css').read_text(encoding='utf-8')
    for name in ('layers.png', 'layers-2x.png', 'marker-icon.png'):
        picture = base64.b64encode((leaflet / 'images' / name).read_bytes()).decode()
        style = style.replace(f'url(images/{name})', f'url(data:image/png;base64,{picture})')
    return str(style)


def _packed(values: np.ndarray, kind: str | None = None) -> str:
    """Numbers as text, compressed, the lowest byte first."""
    stored = np.ascontiguousarray(values, kind or values.dtype)
    stored = stored.astype(stored.dtype.newbyteorder('<'), copy=False)
    return base64.b64encode(zlib.compress(stored.tobytes(), 9)).decode()


def _json(value: Any) -> str:
    """A value in a script of a page, which no text in it ends."""
    return json.dumps(value).replace('<', '\\u003c')
