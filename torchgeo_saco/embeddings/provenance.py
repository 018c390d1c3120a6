# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Where embeddings come from: what a table or a map says of itself."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from torch import nn

from .. import __version__
from ..io.files import file_sha256


@dataclass(frozen=True)
class Provenance:
    """What embeddings depend on, as plain types. Two equal ones are of the same embeddings."""

    #: Path or name of the weights.
    weights: str

    #: SHA-256 of the file of the weights, or where there is none, of the weights themselves.
    weights_hash: str

    #: Name of the timm model.
    model: str

    #: Bands that were read, in order, and their sensor.
    bands: list[str]
    sensor: str

    #: Groups and textures that the backbone saw; their mean is the embedding.
    groups: list[str]

    #: Archive or scene.
    source: str

    #: Length of an embedding.
    dimensions: int

    #: Digital number of reflectance 1 (None: by the type of the files), and what is added before.
    unit: float | None = None
    offset: float = 0.0

    #: Number that is stored for each value: float16, float32 or int8.
    dtype: str = 'float32'

    #: Precision of the backbone.
    precision: str = '32'

    #: Side in pixels of what the backbone sees, and pixels from one cell of a map to the next.
    tile: int | None = None
    stride: int | None = None

    #: Side of a pixel that the backbone sees, and of a cell of a map, in metres.
    metres_per_pixel: float | None = None
    metres_per_cell: float | None = None

    #: Day of the scene of a map, yyyy-mm-dd.
    date: str | None = None

    #: Largest share of pixels without data in a tile.
    max_nodata: float = 0.0

    #: Inputs whose statistics the weights do not bring, so that they were taken of these images.
    fitted: list[str] = field(default_factory=list)

    #: Sizes and times of the files of a scene, or anything else that tells one source of another.
    files: list[list[int]] = field(default_factory=list)

    #: Version of this package.
    version: str = __version__

    def to_json(self) -> str:
        """Return the text that a file carries."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read the text of a file; what a later version adds is passed over.

        Args:
            text: As :meth:`to_json` gives it.

        Returns:
            The provenance.
        """
        known = {entry.name for entry in fields(cls)}
        return cls(**{name: value for name, value in json.loads(text).items() if name in known})


def weights_hash(weights: str | None, backbone: nn.Module) -> str:
    """Hash the weights of an encoder.

    Args:
        weights: Path, name, or None for random weights.
        backbone: The backbone that has them.

    Returns:
        ``sha256:`` and the digest: of the file, or where there is none, of all tensors.
    """
    if weights is not None and os.path.isfile(weights):
        return f'sha256:{file_sha256(weights)}'
    digest = hashlib.sha256()
    state: Mapping[str, Any] = backbone.state_dict()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return 'sha256:' + digest.hexdigest()
