# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Images of the nets in published files: bands, groups, scaling."""

from ...bands import SENTINEL1, SENTINEL2_L1C, SENTINEL2_L2A
from ...io.checkpoint import CheckpointError
from ..load import EncoderConfig
from ..scaling import seco_scaling

#: Groups that SACo+ was pre-trained on, by its indices and the alphabetical order of file names.
#: Four of them are not those of its table. Its textures, of four triplets of file names that are no
#: group, are left out.
SACO_GROUPS = {
    'natural_color': ['B04', 'B03', 'B02'],
    'agriculture': ['B12', 'B08', 'B02'],
    'near_infrared': ['B8A', 'B04', 'B03'],
    'urban': ['B12', 'B11', 'B04'],
    'atmospheric_penetration': ['B12', 'B11', 'B09'],
    'complementary_1': ['B01', 'B05', 'B06'],
    'complementary_2': ['B07', 'B08', 'B09'],
}

#: Bands of EuroSAT in the order of its files.
EUROSAT_BANDS = [band for band in SENTINEL2_L1C.bands if band != 'B8A'] + ['B8A']

#: Groups that SACo+ classifies EuroSAT by, by its indices on those files: they take B8A to be the
#: ninth band, and it is the last.
EUROSAT_GROUPS = {
    'natural_color': ['B04', 'B03', 'B02'],
    'agriculture': ['B12', 'B09', 'B02'],
    'near_infrared': ['B08', 'B04', 'B03'],
    'urban': ['B12', 'B11', 'B04'],
    'atmospheric_penetration': ['B12', 'B11', 'B01'],
    'complementary_1': ['B01', 'B05', 'B06'],
    'complementary_2': ['B07', 'B09', 'B10'],
}

#: Bands of PASTIS in the order of its files.
PASTIS_BANDS = ['B02', 'B03', 'B04', 'B05', 'B06', 'B07', 'B08', 'B8A', 'B11', 'B12']

_RGB = ['B04', 'B03', 'B02']


def encoder_config(
    layout: str, model: str, channels: int, sensor: str, path: str = 'the file'
) -> EncoderConfig:
    """Configuration of the encoder in a published file.

    Args:
        layout: Name of the layout.
        model: Name of the timm model.
        channels: Channels of its first layer.
        sensor: Its sensor.
        path: The file, for messages.

    Returns:
        The configuration: bands in order, groups, and the scaling of its images where that is one
        of reflectance.

    Raises:
        CheckpointError: If the bands of so many channels are not known.
    """
    l2a = 'sentinel2_l2a'
    if layout.startswith('saco') and channels == len(_RGB):
        # 8-bit reflectance divided by 255.
        scaling = {'mean': [0.0], 'std': [1.0], 'low': [float('-inf')], 'high': [float('inf')]}
        bands = list(SENTINEL2_L2A.bands)
        groups = {name: list(of) for name, of in SACO_GROUPS.items()}
        return EncoderConfig(model, bands, l2a, groups, [], scaling=scaling)
    if layout.startswith('seco') and channels == len(_RGB):
        scaling = seco_scaling().arguments()
        return EncoderConfig(model, _RGB, l2a, input_bands=_RGB, scaling=scaling)
    known = {
        'saco_segmentation': (l2a, PASTIS_BANDS),
        'sentinel1': ('sentinel1', list(SENTINEL1.bands)),
        'sentinel2_l1c': ('sentinel2_l1c', list(SENTINEL2_L1C.bands)),
    }
    found = known.get(layout) or known.get(sensor)
    if found is None or len(found[1]) != channels:
        raise CheckpointError(
            f'{path} takes images of {channels} channels, and which bands they are is not known; '
            'load its tensors with your own code, or give a file of the published layout'
        )
    return EncoderConfig(model, found[1], found[0], input_bands=found[1])
