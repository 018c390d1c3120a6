# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""A hub of models on 127.0.0.1 that keeps what is uploaded."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub:
    """A hub with one repository, whose large files are uploaded apart from its commits."""

    def __init__(self) -> None:
        #: Files of the repository by path, and tokens that were given.
        self.files: dict[str, bytes] = {}
        self.tokens: set[str | None] = set()
        #: Status of the answer to everything, if it is not 200.
        self.refusal: int | None = None
        self._large: dict[str, bytes] = {}
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def log_message(self, *args) -> None:
                pass

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
                hub.tokens.add(self.headers.get('Authorization'))
                content = b'{}' if hub.refusal else json.dumps(hub.answer(self.path, body)).encode()
                self.send_response(hub.refusal or 200)
                self.send_header('Content-Type', 'application/json')
                self.send_header('Content-Length', str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = answer

        self._server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.address = f'http://127.0.0.1:{self._server.server_port}'
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, body: bytes) -> dict:
        """What a hub says."""
        if path == '/api/repos/create':
            made = json.loads(body)
            return {'url': f'{self.address}/{made["organization"]}/{made["name"]}'}
        if '/preupload/' in path:
            names = [file['path'] for file in json.loads(body)['files']]
            modes = ['lfs' if name.endswith('.onnx') else 'regular' for name in names]
            return {
                'files': [
                    {'path': name, 'uploadMode': mode, 'shouldIgnore': False}
                    for name, mode in zip(names, modes, strict=True)
                ]
            }
        if path.endswith('/objects/batch'):
            objects = json.loads(body)['objects']
            to = {
                o['oid']: {'upload': {'href': f'{self.address}/large/{o["oid"]}'}} for o in objects
            }
            return {
                'transfer': 'basic',
                'objects': [{**o, 'actions': to[o['oid']]} for o in objects],
            }
        if path.startswith('/large/'):
            self._large[path.rpartition('/')[2]] = body
        if '/commit/' in path:
            for line in map(json.loads, body.splitlines()):
                value = line['value']
                if line['key'] == 'file':
                    self.files[value['path']] = base64.b64decode(value['content'])
                elif line['key'] == 'lfsFile':
                    self.files[value['path']] = self._large[value['oid']]
            return {'commitUrl': f'{self.address}/me/encoder/commit/0', 'commitOid': '0'}
        return {}
