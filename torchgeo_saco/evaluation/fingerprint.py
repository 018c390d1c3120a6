# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Hashes of what a result depends on: checkpoints, and the source of this package."""

import ast
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from torchgeo.models import get_weight

from ..io.files import file_sha256

_CHECKPOINTS = ('.ckpt', '.pth', '.pt', '.safetensors')

# No run of an evaluation imports these.
_NOT_HASHED = ('callbacks', 'change', 'cli.py', 'embeddings', 'locations', 'plots.py')


class Checksums:
    """SHA-256 of checkpoints, each read once."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self.known: dict[str, str] = {}

    def in_place(self, value: Any, name: str = '') -> Any:
        """A value of a configuration, with hashes of content in place of paths of checkpoints.

        Args:
            value: The value.
            name: Its key; that of weights may be a checkpoint of any ending.

        Returns:
            The value that does not depend on where checkpoints lie.

        Raises:
            ValueError: If a checkpoint cannot be read, or weights have an unknown name.
        """
        if isinstance(value, Mapping):
            return {key: self.in_place(part, key) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.in_place(part, name) for part in value]
        if not isinstance(value, str):
            return value
        if value.endswith(_CHECKPOINTS) or (name == 'weights' and Path(value).is_file()):
            return self._of(value)
        if name == 'weights':
            _require_weights(value)
        return value

    def _of(self, path: str) -> str:
        """Hash of a file."""
        if path not in self.known:
            try:
                self.known[path] = f'sha256:{file_sha256(path)}'
            except OSError as error:
                raise ValueError(
                    f'checkpoint {path} cannot be read ({error.strerror}); pre-train it, or '
                    'correct the path'
                ) from error
        return self.known[path]


@cache
def source_fingerprint() -> str:
    """Hash of the source of this package, the same wherever it is installed."""
    return fingerprint(Path(__file__).parents[1])


def fingerprint(package: Path) -> str:
    """Hash the code that a run of an evaluation depends on.

    Args:
        package: Folder of the package.

    Returns:
        Hash that comments, docstrings and layout do not change.
    """
    digest = hashlib.sha256()
    for path in sorted(package.rglob('*.py')):
        relative = path.relative_to(package)
        if relative.parts[0] in _NOT_HASHED:
            continue
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            body = getattr(node, 'body', None)
            if isinstance(body, list) and body and _is_text(body[0]):
                del body[0]
        digest.update(f'{relative.as_posix()}\n{ast.dump(tree)}\n'.encode())
    return digest.hexdigest()


def _is_text(node: ast.AST) -> bool:
    """Whether a statement is nothing but a text."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _require_weights(name: str) -> None:
    """Refuse an unknown name of published weights before anything runs."""
    try:
        get_weight(name)
    except (KeyError, ValueError) as error:
        raise ValueError(
            f'weights {name!r} is neither a file nor the name of a TorchGeo weight such as '
            'ResNet18_Weights.SENTINEL2_RGB_SECO'
        ) from error
