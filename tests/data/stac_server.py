# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""A STAC API and its files on 127.0.0.1, written at test time from known numbers."""

import itertools
import json
import re
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import shapely
from pyproj import Transformer
from rasterio.io import MemoryFile
from rasterio.transform import from_origin

from torchgeo_saco.bands import SENTINEL2_L2A

#: Names of the bands in the manner of Earth Search.
EARTH_SEARCH = {
    'B01': 'coastal', 'B02': 'blue', 'B03': 'green', 'B04': 'red', 'B05': 'rededge1',
    'B06': 'rededge2', 'B07': 'rededge3', 'B08': 'nir', 'B8A': 'nir08', 'B09': 'nir09',
    'B11': 'swir16', 'B12': 'swir22',
}  # fmt: skip

_NUMBERS = itertools.count()

CONFORMS = [
    f'https://api.stacspec.org/v1.0.0/{name}'
    for name in ('core', 'collections', 'item-search', 'item-search#query')
]


def number(band: str, epsg: int, east, north, seed: int):
    """What a scene shows at the middle of a pixel: a function of the location, 1100 to 8995."""
    column, row = np.floor(np.asarray(east) / 10), np.floor(np.asarray(north) / 10)
    order = list(SENTINEL2_L2A.bands).index(band)
    mixed = (column * 7919 + row * 104729 + order * 611953 + seed * 15485863 + epsg) % 7895
    return (1100 + mixed).astype(np.uint16)


def grid(left: int, top: int, pixel: float, side: int):
    """Coordinates of the middles of the pixels of a square."""
    east = left + (np.arange(side) + 0.5) * pixel
    north = top - (np.arange(side) + 0.5) * pixel
    return np.meshgrid(east, north)


class Catalogue:
    """Items and files of one server; not thread-safe while it is being filled."""

    def __init__(self) -> None:
        self.items: list[dict] = []
        self.files: dict[str, bytes] = {}
        #: Faults by a part of the address; each is used up by one request.
        self.faults: dict[str, list[str]] = {}
        self.requests: Counter[str] = Counter()
        self.bodies: list[dict] = []
        self.conforms = list(CONFORMS)
        self.methods = ('GET', 'POST')
        self.page = 2
        self.url = ''
        # GDAL remembers files by address, and ports are used again.
        self.folder = f'/{next(_NUMBERS)}/cogs'

    def add_scene(
        self,
        name: str,
        time: str,
        cloud: float = 1.0,
        epsg: int = 32631,
        left: int = 496800,
        top: int = 5542080,
        side: int = 4800,
        seed: int = 0,
        manner: str = 'earth_search',
        bands=tuple(EARTH_SEARCH),
        properties=None,
        empty_columns: int = 0,
        written=None,
        footprint=None,
        raster=None,
    ) -> dict:
        """A scene whose tile begins at *left* and *top* and is *side* metres wide."""
        assets = {}
        for band in bands:
            pixel = SENTINEL2_L2A.bands[band]
            east, north = grid(left, top, pixel, round(side / pixel))
            image = (
                number(band, epsg, east, north, seed) if written is None else written(band, east)
            )
            image[:, : round(empty_columns * 10 / pixel)] = 0
            path = f'{self.folder}/{name}/{band}.tif'
            self.files[path] = cog(image, epsg, left, top, pixel)
            key, asset = described(band, f'{self.url}{path}', manner, raster)
            assets[key] = asset
        assets['thumbnail'] = {'href': f'{self.url}/none.jpg', 'type': 'image/jpeg'}
        assets['visual'] = {
            'href': f'{self.url}{self.folder}/{name}/TCI.tif',
            'type': 'image/tiff; application=geotiff',
            'eo:bands': [{'name': n, 'common_name': n} for n in ('red', 'green', 'blue')],
        }
        if footprint is None:
            footprint = degrees(shapely.box(left, top - side, left + side, top), epsg)
        item = {
            'type': 'Feature',
            'stac_version': '1.0.0',
            'stac_extensions': [],
            'id': name,
            'collection': 'sentinel-2-l2a',
            'geometry': footprint,
            'bbox': [-180, -90, 180, 90],
            'properties': {
                'datetime': time,
                'eo:cloud_cover': cloud,
                'proj:epsg': epsg,
                's2:processing_baseline': '02.14',
            }
            | (properties or {}),
            'links': [],
            'assets': assets,
        }
        self.items.append(item)
        return item


def described(band: str, href: str, manner: str, raster) -> tuple[str, dict]:
    """An asset as one of the public catalogues describes it."""
    kind = 'image/tiff; application=geotiff; profile=cloud-optimized'
    asset = {'href': href, 'type': kind, 'roles': ['data']}
    if manner == 'earth_search':
        name = EARTH_SEARCH[band]
        common = re.sub(r'(?<=rededge)\d', '', name)
        asset['eo:bands'] = [{'name': name, 'common_name': common}]
        asset['raster:bands'] = [{'nodata': 0, 'data_type': 'uint16'} | (raster or {})]
        return name, asset
    if manner == 'planetary_computer':
        asset['gsd'] = SENTINEL2_L2A.bands[band]
        asset['eo:bands'] = [{'name': band, 'description': 'a band'}]
        return band, asset
    # The Copernicus Data Space, STAC 1.1
    asset |= {'gsd': SENTINEL2_L2A.bands[band], 'bands': [{'name': band}], 'nodata': 0}
    asset |= {f'raster:{name}': value for name, value in (raster or {}).items()}
    return f'{band}_{SENTINEL2_L2A.bands[band]:.0f}m', asset


def cog(image: np.ndarray, epsg: int, left: int, top: int, pixel: float) -> bytes:
    """Bytes of a cloud-optimized GeoTIFF."""
    with MemoryFile() as memory:
        with memory.open(
            driver='COG', height=image.shape[0], width=image.shape[1], count=1, dtype='uint16',
            crs=f'EPSG:{epsg}', transform=from_origin(left, top, pixel, pixel), nodata=0,
            blocksize=128, compress='deflate',
        ) as file:  # fmt: skip
            file.write(image, 1)
        return bytes(memory.read())


def degrees(box, epsg: int) -> dict:
    """Outline in degrees, cut at the antimeridian as catalogues do."""
    transformer = Transformer.from_crs(epsg, 4326, always_xy=True)
    outline = shapely.transform(
        box.segmentize(1000), lambda p: np.stack(transformer.transform(p[:, 0], p[:, 1]), 1)
    )
    west, _, east, _ = outline.bounds
    if east - west < 180:
        return shapely.geometry.mapping(outline)
    whole = shapely.transform(outline, lambda p: np.stack([p[:, 0] % 360, p[:, 1]], 1))
    parts = [whole & shapely.box(0, -90, 180, 90)]
    rest = whole & shapely.box(180, -90, 360, 90)
    parts.append(shapely.transform(rest, lambda p: np.stack([p[:, 0] - 360, p[:, 1]], 1)))
    return shapely.geometry.mapping(shapely.MultiPolygon(parts))


class Server:
    """The server, while it is entered."""

    def __init__(self) -> None:
        self.catalogue = Catalogue()
        catalogue = self.catalogue

        class Handler(_Handler):
            pass

        Handler.catalogue = catalogue
        self._server = _Quiet(('127.0.0.1', 0), Handler)
        catalogue.url = f'http://127.0.0.1:{self._server.server_port}'
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={'poll_interval': 0.01}, daemon=True
        )

    def __enter__(self) -> Catalogue:
        self._thread.start()
        return self.catalogue

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Quiet(ThreadingHTTPServer):
    """A server that does not report clients that hang up."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, request, client_address) -> None:
        """Show what is wrong with the server itself."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers of a STAC API with files beside it."""

    catalogue: Catalogue
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        length = int(self.headers['Content-Length'])
        asked = json.loads(self.rfile.read(length))
        self.catalogue.bodies.append(asked)
        self._answer(asked)

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)
        asked: dict = {name: values[0] for name, values in query.items()}
        for name in ('intersects', 'query'):
            if name in asked:
                asked[name] = json.loads(asked[name])
        if 'collections' in asked:
            asked['collections'] = asked['collections'].split(',')
        self._answer(asked)

    def _answer(self, asked: dict) -> None:
        path = urlsplit(self.path).path.rstrip('/')
        self.catalogue.requests[path] += 1
        fault = self._fault(path)
        if fault.isdigit():
            self._send(b'{"description": "as the test wants"}', int(fault))
            return
        if path in self.catalogue.files:
            self._send_range(self.catalogue.files[path], fault)
            return
        answers = {'': self._landing, '/search': lambda: self._search(asked),
                   '/collections/sentinel-2-l2a': lambda: {'type': 'Collection'}}  # fmt: skip
        if path not in answers:
            self._send(b'{"code": "NotFound"}', 404)
            return
        self._send(json.dumps(answers[path]()).encode(), 200, fault)

    def _fault(self, path: str) -> str:
        for part, faults in self.catalogue.faults.items():
            if part in path and faults:
                return faults.pop(0)
        return ''

    def _send_range(self, content: bytes, fault: str) -> None:
        match = re.fullmatch(r'bytes=(\d+)-(\d*)', self.headers.get('Range', ''))
        if match is None:
            self._send(content, 200, fault)
            return
        start, end = int(match[1]), min(int(match[2] or len(content)), len(content) - 1)
        span = f'bytes {start}-{end}/{len(content)}'
        self._send(content[start : end + 1], 206, fault, span)

    def _send(self, content: bytes, code: int, fault: str = '', span: str = '') -> None:
        if fault == 'closed':
            self.close_connection = True
            return
        self.send_response(code)
        self.send_header('Content-Length', str(len(content)))
        self.send_header('Accept-Ranges', 'bytes')
        if span:
            self.send_header('Content-Range', span)
        self.end_headers()
        if fault == 'truncated':
            content = content[: len(content) // 2]
            self.close_connection = True
        self.wfile.write(content)

    def _landing(self) -> dict:
        url = self.catalogue.url
        links = [{'rel': 'search', 'href': f'{url}/search', 'method': method,
                  'type': 'application/geo+json'} for method in self.catalogue.methods]  # fmt: skip
        links.append({'rel': 'data', 'href': f'{url}/collections', 'type': 'application/json'})
        links.append({'rel': 'self', 'href': url, 'type': 'application/json'})
        return {'type': 'Catalog', 'stac_version': '1.0.0', 'id': 'test', 'description': 'test',
                'links': links, 'conformsTo': self.catalogue.conforms}  # fmt: skip

    def _search(self, asked: dict) -> dict:
        found = [item for item in self.catalogue.items if self._matches(item, asked)]
        start = int(asked.get('token', 0))
        page = found[start : start + self.catalogue.page]
        links = []
        if start + len(page) < len(found):
            token = str(start + len(page))
            if self.command == 'POST':
                links = [{'rel': 'next', 'method': 'POST', 'href': f'{self.catalogue.url}/search',
                          'body': asked | {'token': token}}]  # fmt: skip
            else:
                path = re.sub(r'&token=\d+', '', self.path)
                links = [{'rel': 'next', 'href': f'{self.catalogue.url}{path}&token={token}'}]
        return {'type': 'FeatureCollection', 'features': page, 'links': links}

    def _matches(self, item: dict, asked: dict) -> bool:
        first, last = asked['datetime'].split('/')
        limit = asked.get('query', {}).get('eo:cloud_cover', {}).get('lt', 101)
        cloud = item['properties']['eo:cloud_cover']
        inside = item['geometry'] is None or shapely.geometry.shape(item['geometry']).intersects(
            shapely.geometry.shape(asked['intersects'])
        )
        return (
            item['collection'] in asked['collections']
            and first <= item['properties']['datetime'] <= last
            and (cloud is None or cloud < limit)
            and inside
        )
