# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Published weights by name, in the registry of TorchGeo."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn
from torchgeo.datasets.utils import check_integrity
from torchgeo.models import api
from torchvision.models._api import Weights, WeightsEnum

from ...io.checkpoint import CheckpointError
from ...transforms.reflectance import UNITS, Reflectance
from ..scaling import WeightScaling
from .file import read_published
from .sources import encoder_config


class PublishedWeights(WeightsEnum):
    """Weights in a file of their authors, which is read and renamed once it is downloaded."""

    def get_state_dict(
        self, progress: bool = True, check_hash: bool = False, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Tensors of the encoder, by name in timm.

        Args:
            progress: Whether to show the progress of a download.
            check_hash: Whether to check the beginning of the SHA-256 that the name of the file
                tells, if it does. The MD5 that the authors state is checked in any case.
            **kwargs: Other arguments of :func:`torch.hub.load_state_dict_from_url`; code is never
                unpickled.

        Returns:
            The tensors.

        Raises:
            CheckpointError: If no address of the file is known and it is not there, it is not the
                one that its authors published, or it holds another net.
            OSError: If it cannot be downloaded.
        """
        file = read_published(self._fetched(progress, check_hash))
        found = [one for one in file.encoders if one.config.sensor == self.meta['sensor']]
        if [one.model for one in found] != [self.meta['model']]:
            models = ', '.join(f'{one.model} of {one.config.sensor}' for one in file.encoders)
            raise CheckpointError(
                f'{self!r} is a {self.meta["model"]} of {self.meta["sensor"]}, and {file.path} '
                f'holds {models or "no such encoder"}; run torchgeo-saco convert {file.path} '
                '--output encoder.ckpt and give the output in place of the name'
            )
        if found[0].config.input_bands != self.meta['encoder']['input_bands']:
            raise CheckpointError(f'{file.path} takes other bands than {self!r}; fetch it again')
        return found[0].state

    def _fetched(self, progress: bool, check_hash: bool) -> Path:
        """Path of the published file, downloaded by PyTorch unless it is there."""
        path = Path(torch.hub.get_dir()) / 'checkpoints' / self.meta['file']
        if not path.is_file():
            if not self.url:
                raise CheckpointError(
                    f'no address of the file of {self!r} is known; get it from the pages of its '
                    f'authors, {self.meta["page"]}, and give it to torchgeo-saco convert and the '
                    f'output in place of the name, or save it as {path}'
                )
            path.parent.mkdir(parents=True, exist_ok=True)
            name = os.path.basename(urlparse(self.url).path)
            known = torch.hub.HASH_REGEX.search(name) if check_hash else None
            try:
                torch.hub.download_url_to_file(
                    self.url, str(path), known.group(1) if known else None, progress
                )
            except RuntimeError as error:
                raise CheckpointError(
                    f'{self.url} is not the file that its name says ({error}); fetch it again'
                ) from error
        if self.meta['md5'] and not check_integrity(str(path), self.meta['md5']):
            raise CheckpointError(
                f'{path} is not the file that its authors published (MD5 {self.meta["md5"]}); '
                'remove it and try again'
            )
        return path


def _weights(
    layout: str,
    page: str,
    model: str,
    *,
    url: str = '',
    channels: int = 3,
    sensor: str = 'sentinel2_l2a',
    file: str,
    md5: str | None = None,
    reported: dict[str, float] | None = None,
    **meta: Any,
) -> Weights:
    """Weights of one file, with all that its use needs.

    Args:
        layout: Name of the layout of the file.
        page: Page of the authors that the file is of.
        model: Name of the timm model.
        url: The file, or empty where its address is not known.
        channels: Channels of the first layer.
        sensor: Sensor of the encoder.
        file: Name of the file in the cache of PyTorch.
        md5: Its MD5 as stated where it is published, or None if it is not known.
        reported: Scores that the authors report, not measured by us.
        **meta: More of it.

    Returns:
        The weights.
    """
    config = encoder_config(layout, model, channels, sensor)
    unit = UNITS[torch.uint16]
    transforms: nn.Module = nn.Identity()
    if config.scaling is not None:
        transforms = nn.Sequential(Reflectance(unit), WeightScaling(**config.scaling))
    bands = config.input_bands or next(iter((config.groups or {}).values()))
    known = {
        'model': model,
        'in_chans': channels,
        'bands': list(bands),
        'sensor': config.sensor,
        'unit': f'digital numbers, reflectance 1 is {unit:g}' if config.scaling else 'see scaling',
        'scaling': config.scaling,
        'groups': config.groups,
        'encoder': config.to_dict(),
        'file': file,
        'page': page,
        'md5': md5,
        'reported': reported or {},
    }
    return Weights(url=url, transforms=transforms, meta=known | meta)


def _saco(file: str, layout: str, **meta: Any) -> Weights:
    """Weights of SACo+, published as ResNet-18."""
    return _weights(
        layout,
        'https://zenodo.org/records/13736623',
        'resnet18',
        url=f'https://zenodo.org/records/13736623/files/{file}?download=1',
        file=f'saco_{file}',
        dataset='CACo Dataset',
        publication='https://doi.org/10.1016/j.isprsjprs.2025.02.024',
        repo='https://github.com/lstival/SACo',
        license='MIT (code); of the weights not stated in what we could read',
        ssl_method='saco',
        **meta,
    )


def _seco(model: str, size: str, md5: str, **meta: Any) -> Weights:
    """Weights of SeCo."""
    file = f'seco_{model}_{size}.ckpt'
    return _weights(
        'seco_training',
        'https://zenodo.org/records/4728033',
        model,
        url=f'https://zenodo.org/records/4728033/files/{file}?download=1',
        file=file,
        md5=md5,
        dataset='SeCo Dataset',
        publication='https://arxiv.org/abs/2103.16607',
        repo='https://github.com/ServiceNow/seasonal-contrast',
        license='Apache-2.0 (code); of the weights not stated in what we could read',
        ssl_method='seco',
        **meta,
    )


def _caco(model: str, method: str, size: str, **meta: Any) -> Weights:
    """Weights that CACo published, of its own method or of those it compares with."""
    repo = 'https://github.com/utkarshmall13/CACo'
    return _weights(
        'seco_encoder',
        repo,
        model,
        file=f'caco_{model}_{method}_{size}.pth',
        dataset='CACo Dataset',
        publication='https://doi.org/10.1109/CVPR52729.2023.00529',
        repo=repo,
        license='MIT (code); of the weights not stated in what we could read',
        ssl_method=method,
        **meta,
    )


def _dual(sensor: str, channels: int) -> Weights:
    """Weights of Dual-SimCLR, one of the two encoders in its file."""
    repo = 'https://github.com/HSG-AIML/SSLTransformerRS'
    return _weights(
        'dual_simclr',
        repo,
        'resnet50',
        channels=channels,
        sensor=sensor,
        file='dual_simclr_resnet50.pth',
        dataset='SEN12MS',
        publication='https://doi.org/10.5194/isprs-annals-V-3-2022-705-2022',
        repo=repo,
        license='not stated',
        ssl_method='simclr',
    )


class SACoResNet18_Weights(PublishedWeights):
    """Encoders in the files of SACo+, https://zenodo.org/records/13736623.

    They are published for three downstream tasks, under which the encoder was frozen; there is no
    file of the pre-trained encoder alone. Its groups are not all those of its table.
    """

    SENTINEL2_GROUPS_EUROSAT = _saco(
        'best_classification_model.pth', 'saco_classification', reported={'EuroSAT': 94.72}
    )
    SENTINEL2_GROUPS_OSCD = _saco(
        'best_change_model.pth',
        'saco_change',
        reported={'OSCD precision': 53.51, 'OSCD recall': 48.78, 'OSCD F1': 52.78},
    )
    SENTINEL2_PASTIS = _saco(
        'best_pixel_segmentation.pth',
        'saco_segmentation',
        channels=10,
        reported={'PASTIS OA': 54.67},
    )


class SeCoResNet18_Weights(PublishedWeights):
    """ResNet-18 of SeCo, https://zenodo.org/records/4728033.

    TorchGeo has one of the two as ``ResNet18_Weights.SENTINEL2_RGB_SECO``, and does not say which.
    """

    SENTINEL2_RGB_100K = _seco('resnet18', '100k', 'dcf336be31f6c6b0e77dcb6cc958fca8')
    SENTINEL2_RGB_1M = _seco('resnet18', '1m', '53d5c41d0f479bdfd31d6746ad4126db')


class SeCoResNet50_Weights(PublishedWeights):
    """ResNet-50 of SeCo, see :class:`SeCoResNet18_Weights`."""

    SENTINEL2_RGB_100K = _seco('resnet50', '100k', '9672c303f6334ef816494c13b9d05753')
    SENTINEL2_RGB_1M = _seco('resnet50', '1m', '7b09c54aed33c0c988b425c54f4ef948')


class CACoResNet18_Weights(PublishedWeights):
    """ResNet-18 of CACo and of the methods it compares with, on its locations.

    Addresses of the files are not known to us.
    """

    SENTINEL2_RGB_CACO_100K = _caco(
        'resnet18',
        'caco',
        '100k',
        reported={
            'EuroSAT': 93.08, 'BigEarthNet mAP': 69.43, 'OSCD F1': 50.29,
            'DynamicEarthNet mIoU': 50.20,
        },
    )  # fmt: skip
    SENTINEL2_RGB_CACO_1M = _caco('resnet18', 'caco', '1m')
    SENTINEL2_RGB_TECO_100K = _caco('resnet18', 'teco', '100k')
    SENTINEL2_RGB_SECO_100K = _caco('resnet18', 'seco', '100k')
    SENTINEL2_RGB_SECO_1M = _caco('resnet18', 'seco', '1m')
    SENTINEL2_RGB_MOCO_100K = _caco('resnet18', 'moco', '100k')


class CACoResNet50_Weights(PublishedWeights):
    """ResNet-50 of CACo and of the methods it compares with, see :class:`CACoResNet18_Weights`."""

    SENTINEL2_RGB_CACO_100K = _caco(
        'resnet50', 'caco', '100k', reported={'EuroSAT': 94.48, 'BigEarthNet mAP': 73.63}
    )
    SENTINEL2_RGB_CACO_1M = _caco('resnet50', 'caco', '1m')
    SENTINEL2_RGB_SECO_100K = _caco('resnet50', 'seco', '100k')
    SENTINEL2_RGB_SECO_1M = _caco('resnet50', 'seco', '1m')
    SENTINEL2_RGB_MOCO_100K = _caco('resnet50', 'moco', '100k')


class DualSimCLRResNet50_Weights(PublishedWeights):
    """The two encoders of Dual-SimCLR, of one file, whose address is not known to us.

    Its training divides every channel of a patch by its maximum, which is no scaling of
    reflectance; here the images are standardized by their own statistics.
    """

    SENTINEL1_SEN12MS = _dual('sentinel1', 2)
    SENTINEL2_SEN12MS = _dual('sentinel2_l1c', 13)


#: All enums of published weights.
REGISTRY: tuple[type[PublishedWeights], ...] = (
    SACoResNet18_Weights,
    SeCoResNet18_Weights,
    SeCoResNet50_Weights,
    CACoResNet18_Weights,
    CACoResNet50_Weights,
    DualSimCLRResNet50_Weights,
)


def register_weights() -> None:
    """Make :func:`torchgeo.models.get_weight` find the published weights by name.

    A second call changes nothing.
    """
    for enum in REGISTRY:
        api._model_weights[enum.__name__] = enum
