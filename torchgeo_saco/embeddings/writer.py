# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Embeddings of ``torchgeo predict`` as a table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from shapely.geometry.base import BaseGeometry
from torch import Tensor, nn

from ..datasets import SeasonalArchive
from ..runtime.checks import check_choice
from .archive import LocationFootprints, as_text
from .provenance import Provenance, weights_hash
from .table import DTYPES, EmbeddingRows, TableParts


class EmbeddingWriter(BasePredictionWriter):
    """Writes what ``torchgeo predict`` computes as a table of embeddings.

    The table is that of ``torchgeo-saco embed``, see
    :func:`~torchgeo_saco.embeddings.read_embeddings`. Names, coordinate systems and footprints come
    from the archive of the datamodule; of other data, a location is named by its number. Every
    process writes parts of its own, and the first one joins them in the order of the data.

    Predictions are tensors (B, D), or mappings with ``embedding`` (B, D) or (B, T, D), and if
    there are any ``groups``, ``location`` and ``date``, as those of our pre-training tasks.
    """

    def __init__(
        self,
        output: str = 'embeddings.parquet',
        dtype: Literal['float16', 'float32', 'int8'] = 'float16',
        groups: bool = False,
    ) -> None:
        """Initialize a new EmbeddingWriter instance.

        Args:
            output: New table, ending in ``.parquet``.
            dtype: Type of the stored numbers.
            groups: Whether every group has a column.

        Raises:
            ValueError: If *output* has another ending, or *dtype* is unknown.
        """
        super().__init__('batch')
        self.output = Path(output).expanduser().absolute()
        if self.output.suffix.lower() != '.parquet':
            raise ValueError(f'{output} must end in .parquet')
        self.dtype = check_choice('dtype', dtype, DTYPES)
        self.groups = groups
        self._parts: TableParts | None = None
        self._batch_size = 0
        self._rows: EmbeddingRows | None = None
        self._footprints: LocationFootprints | None = None

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse a table that is there, and remove parts that another run has left.

        Raises:
            FileExistsError: If the table exists.
        """
        if self.output.exists():
            raise FileExistsError(f'{self.output} exists; name another file or remove it')
        dataset = getattr(getattr(trainer, 'datamodule', None), 'predict_dataset', None)
        self._footprints = (
            LocationFootprints(dataset) if isinstance(dataset, SeasonalArchive) else None
        )
        self._rows = None
        self._parts = TableParts(self.output, _provenance(trainer, pl_module, dataset, self.dtype))
        if trainer.is_global_zero:
            self._parts.clear()
            self._parts.begin()
        trainer.strategy.barrier()

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the embeddings of a batch.

        Raises:
            ValueError: If the prediction holds no embedding.
        """
        if self._parts is None:
            return
        embedding, groups, location, days = _content(prediction, batch)
        names = _group_names(pl_module) if self.groups else []
        if self.groups and (groups is None or len(names) != groups.shape[1]):
            raise ValueError('the predictions hold no features of groups; set groups to false')
        if self._rows is None:
            # Parts are those of this run alone, whatever the provenance says by now.
            dimensions = embedding.shape[1]
            self._parts.provenance = replace(self._parts.provenance, dimensions=dimensions)
            self._rows = EmbeddingRows(dimensions, self.dtype, names)
        items = len(prediction_rows(prediction))
        dates = len(embedding) // items
        if batch_idx == 0:
            self._batch_size = items
        # Without indices, batches are dealt out item by item; the last may be short.
        first = batch_idx * self._batch_size * trainer.world_size + trainer.global_rank
        found = batch_indices or [first + trainer.world_size * item for item in range(items)]
        index = [dates * item + date for item in found for date in range(dates)]
        numbers = index if location is None else location.repeat_interleave(dates).tolist()
        places = [self._place(number) for number in numbers]
        known = [0] * len(index) if days is None else days.flatten().tolist()
        table = self._rows.table(
            index,
            [place[0] for place in places],
            [as_text(int(day)) for day in known],
            embedding.float().cpu().numpy(),
            groups.float().cpu().numpy() if self.groups and groups is not None else None,
            [place[1] for place in places],
            [place[2] for place in places],
        )
        self._parts.write(f'{batch_idx:09d}-{dataloader_idx}-{trainer.global_rank}', table)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Join the parts of all processes."""
        trainer.strategy.barrier()
        if self._parts is not None and trainer.is_global_zero:
            rows = self._parts.join()
            rank_zero_info(f'{self.output}: {rows} embeddings')
        self._parts = None
        trainer.strategy.barrier()

    def _place(self, number: int) -> tuple[str, str | None, BaseGeometry | None]:
        """Name, coordinate system and footprint of a location."""
        return (
            (str(number), None, None) if self._footprints is None else self._footprints.of(number)
        )


def prediction_rows(prediction: Any) -> Tensor:
    """Embeddings in a prediction, with one row an item.

    Args:
        prediction: See :class:`EmbeddingWriter`.

    Raises:
        ValueError: If there are none.
    """
    found = prediction.get('embedding') if isinstance(prediction, Mapping) else prediction
    if not isinstance(found, Tensor) or found.ndim not in (2, 3):
        raise ValueError(
            'EmbeddingWriter needs predictions with an embedding (B, D) or (B, T, D), and got '
            f'{tuple(found.shape) if isinstance(found, Tensor) else type(prediction).__name__}; '
            'predict by a pre-training task, or leave the callback out'
        )
    return found


def _content(
    prediction: Any, batch: Any
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Embedding (N, D), groups (N, G, D), location (B) and date (N) of a prediction."""
    rows = prediction_rows(prediction)
    embedding = rows.flatten(0, -2)
    known: dict[str, Any] = dict(batch) if isinstance(batch, Mapping) else {}
    groups = None
    if isinstance(prediction, Mapping):
        known |= prediction
        groups = known.get('groups')
    location, date = (known.get(name) for name in ('location', 'date'))
    if isinstance(date, Tensor) and date.numel() != len(embedding):
        date = None
    return embedding, None if groups is None else groups.flatten(0, -3), location, date


def _group_names(module: LightningModule) -> list[str]:
    """Names of the groups that a task sees."""
    return list(getattr(getattr(module, 'inputs', None), 'names', ()))


def _provenance(trainer: Trainer, module: LightningModule, dataset: Any, dtype: str) -> Provenance:
    """What a run of predict says of its embeddings."""
    datamodule: Any = getattr(trainer, 'datamodule', None)
    reflectance = getattr(datamodule, 'reflectance', None)
    path = str(trainer.ckpt_path) if trainer.ckpt_path else None
    backbone = getattr(module, 'model', module)
    arguments: Mapping[str, Any] = module.hparams
    bands = getattr(module, 'bands', None) or getattr(datamodule, 'bands', None)
    return Provenance(
        weights=path or 'those of the task',
        weights_hash=weights_hash(path, backbone if isinstance(backbone, nn.Module) else module),
        model=str(arguments.get('model', type(module).__name__)),
        bands=list(bands or ()),
        sensor=str(arguments.get('sensor') or getattr(datamodule, 'sensor', None) or ''),
        groups=_group_names(module),
        source=str(getattr(dataset, 'root', type(dataset).__name__)),
        dimensions=0,
        unit=getattr(reflectance, 'unit', None),
        offset=getattr(reflectance, 'offset', 0.0),
        dtype=dtype,
        precision=str(trainer.precision),
        tile=arguments.get('size'),
    )
