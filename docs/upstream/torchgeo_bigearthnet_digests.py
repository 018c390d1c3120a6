# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""TorchGeo: MD5 digests of BigEarthNetV2's files are compared as SHA-256, so that none matches."""

from torchgeo.datasets import BigEarthNetV2

wrong = {
    name: digest
    for part in BigEarthNetV2.metadata_locs.values()
    for name, digest in part['files'].items()
    if len(digest) != 64
}
for name, digest in wrong.items():
    print(f'{name}: {len(digest) * 4} bits given as sha256: {digest}')
print('shown' if wrong else 'not shown')
