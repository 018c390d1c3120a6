# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Datamodule of archives of two sensors."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torchgeo.datasets.utils import Path, Sample

from ..archives.dates import Item
from ..bands import modality_name
from ..datasets import PairedArchive, SeasonalArchive
from ..transforms import Backscatter, Reflectance
from ..transforms.backscatter import Scaling, scale_by_maximum
from .seasonal import SeasonalDataModule, scale_settings


class PairedDataModule(SeasonalDataModule):
    """LightningDataModule implementation for archives of two sensors at the same locations.

    Batches hold ``image`` of the first sensor, and the images of the second one under the name of
    its modality, such as ``s1``, both (B, T, C, H, W). On the device numbers become reflectance, or
    backscatter from -25 to 0 dB as 0 to 1. Everything else is as of
    :class:`SeasonalDataModule`; labels and splits are those of the first archive.
    """

    def __init__(
        self,
        second_root: Path | None = None,
        second_bands: Sequence[str] | None = None,
        second_sensor: str | None = 'sentinel1',
        second_unit: float | None = None,
        second_offset: float = 0.0,
        max_days: int | None = None,
        scaling: Scaling = 'fixed',
        speckle_filter: bool = False,
        item: Item = 'location',
        dates: int = 1,
        **kwargs: Any,
    ) -> None:
        """Initialize a new PairedDataModule instance.

        Args:
            second_root: Archive of the second sensor, or None where the root of the first holds
                both, as that of SSL4EO-S12 or SEN12MS.
            second_bands: Bands of the second sensor to read, or None for all that are there.
            second_sensor: Second sensor, a key of :data:`torchgeo_saco.bands.SENSORS`, or None for
                that of the layout.
            second_unit: Digital number of reflectance 1 of the second sensor, of Sentinel-1 that of
                1 dB, or None to take it from the type of the files.
            second_offset: Added to its stored numbers before that.
            max_days: Days that two paired dates may lie apart, or None for any number. Locations
                with a date that has no partner are skipped.
            scaling: ``fixed``, or ``maximum`` to divide every channel of every image by its largest
                value, after reflectance was clipped to 0-1, as the original code of Dual-SimCLR
                does; this loses how bright an image is in all.
            speckle_filter: Whether speckle of Sentinel-1 is filtered, see
                :class:`~torchgeo_saco.transforms.Backscatter`.
            item: As for :class:`~torchgeo_saco.datasets.SeasonalArchive`; by default a location
                occurs once an epoch, since tasks of two sensors take all other images of a batch
                for other locations.
            dates: Dates of a location in one training sample.
            **kwargs: See :class:`SeasonalDataModule`.

        Raises:
            TypeError: If an argument is unknown.
            ValueError: If an argument is out of range.
        """
        super().__init__(dates=dates, item=item, **kwargs)
        self.second_root = second_root
        self.pairing: dict[str, Any] = {
            'second_bands': second_bands, 'second_sensor': second_sensor, 'max_days': max_days,
        }  # fmt: skip
        self.second_given = Reflectance(second_unit, second_offset)
        self.second_reflectance: Reflectance | Backscatter = self.second_given
        # Refuses an unknown scaling.
        self.backscatter = Backscatter(None, scaling, speckle_filter)
        #: Names of the channels by modality, known after :meth:`setup`.
        self.modality_bands: dict[str, tuple[str, ...]] = {}
        #: Sensor by modality, that of ``image`` first, known after :meth:`setup`.
        self.modality_sensors: dict[str, str] = {}

    @property
    def identity(self) -> dict[str, Any]:
        """As :attr:`SeasonalDataModule.identity`, with the second sensor and how it is paired."""
        found = super().identity
        return (
            found
            | self.pairing
            | {
                'second_bands': [list(bands) for bands in self.modality_bands.values()][1:],
                'second_scale': scale_settings(self.second_reflectance),
            }
        )

    def open_archive(self, **kwargs: Any) -> PairedArchive:
        """See :meth:`SeasonalDataModule.open_archive`."""
        return PairedArchive(self.folder, self.second_root, **self.pairing, **kwargs)

    def on_after_batch_transfer(self, batch: Sample, dataloader_idx: int) -> Sample:
        """Reflectance and backscatter from stored numbers, on the device.

        Args:
            batch: A batch with stored numbers under ``image`` and the second modality.
            dataloader_idx: The index of the dataloader.

        Returns:
            The batch with floats, float32.
        """
        first, second = 'image', list(self.modality_bands)[1]
        scales = {first: self.reflectance, second: self.second_reflectance}
        return {**batch, **{name: self._scaled(batch[name], scales[name]) for name in scales}}

    def _scaled(self, image: Any, scale: Reflectance | Backscatter) -> Any:
        """Images of one sensor, scaled."""
        scaled = scale(image)
        if self.backscatter.scaling == 'maximum' and isinstance(scale, Reflectance):
            scaled = scale_by_maximum(scaled)
        return scaled

    def _take_scale(self, whole: SeasonalArchive) -> None:
        """Take the scales of the stored numbers from the archives."""
        if not isinstance(whole, PairedArchive):
            return
        self.reflectance = self._chosen(whole.reflectance(self.given))
        self.second_reflectance = self._chosen(whole.second.reflectance(self.second_given))
        rank_zero_info(
            f'{whole.second.root}: {whole.second.sensor.name}, {len(whole.second.bands)} bands '
            f'({", ".join(whole.second.bands)}), paired with {len(whole.locations)} locations'
        )
        parts = {modality_name(whole.sensor_name): whole, whole.modality: whole.second}
        self.modality_bands = {name: part.bands for name, part in parts.items()}
        self.modality_sensors = {name: part.sensor_name for name, part in parts.items()}

    def _chosen(self, scale: Reflectance | Backscatter) -> Reflectance | Backscatter:
        """The scale with the options of backscatter."""
        if isinstance(scale, Backscatter):
            options = self.backscatter
            return Backscatter(scale.unit, options.scaling, options.speckle_filter)
        return scale
