# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""CACo: change-aware contrast."""

from typing import Any, ClassVar

import torch
from einops import rearrange
from torch import Tensor
from torchgeo.datasets.utils import Sample

from ..losses import l2_normalize
from ..losses.change import year_ratios
from ..models.change import ChangeEstimate
from ..runtime.distributed import all_gather, local_mask
from .contrastive import Contrast
from .seco import SeasonalFeatures, SeCo, same_location


class CACo(SeCo):
    r"""CACo: seasonal contrast over two years, aware of change.

    As :class:`SeCo` within each of two years of a location; and what is drawn to in the other year
    of the same location is one more negative, but only where the location is taken to have changed.
    (Its other keys differ by season or augmentation, and are negatives anyway.) That is decided
    after every epoch, from the ratio

    .. math::

        R = \frac{d_{long}}{d_{short}}

    of the distance between years to the distance between seasons in sub-space 1, averaged over the
    visits of the location; see :class:`~torchgeo_saco.models.change.ChangeEstimate`. Both are
    distances between the query and the keys of the step, so the shorter one also holds how far the
    key encoder lags. With ``change_aware=False`` the other year is always a negative: TeCo, its
    ablation. On groups and textures it is what we call SA+CACo.

    If you use this task in your research, please cite:

    * https://doi.org/10.1109/CVPR52729.2023.00529
    """

    decided: Tensor

    years = 2

    ranges: ClassVar[dict[str, str]] = {'ratio_decay': '[0, 1)'}

    def __init__(
        self,
        change_aware: bool = True,
        squared_ratio: bool = False,
        ratio_decay: float = 0.8,
        **kwargs: Any,
    ) -> None:
        """Initialize a new CACo instance.

        Args:
            change_aware: Whether the other year is a negative only where the location has changed.
            squared_ratio: Whether the ratio is of squared distances, as on the page of the paper,
                or of distances, as in its code.
            ratio_decay: Share of a ratio that stays when the location is visited again.
            **kwargs: See :class:`ContrastiveTask`.

        Raises:
            ValueError: If an argument is out of range, or no group can be formed.
        """
        super().__init__(**kwargs)

    def configure_models(self) -> None:
        """Initialize models and the estimate of change."""
        super().configure_models()
        self.change = ChangeEstimate(years=self.years, decay=self.hparams['ratio_decay'])
        # The epoch whose locations were decided last.
        self.register_buffer('decided', torch.tensor(-1))
        # The same on the host, once it has asked; a GPU would have to be waited for at every step.
        self._decided: int | None = None

    def setup(self, stage: str) -> None:
        """As :meth:`ContrastiveTask.setup`, and learn how many locations there are.

        Args:
            stage: Either 'fit', 'validate', 'test', or 'predict'.

        Raises:
            ValueError: If the datamodule does not know, or knows another number than was trained.
        """
        super().setup(stage)
        if stage != 'fit':
            return
        # A checkpoint may be loaded after this.
        self._decided = None
        locations = getattr(getattr(self.trainer, 'datamodule', None), 'locations', None)
        if locations is not None:
            self.change.resize(locations)
        elif not len(self.change.ratio):
            raise ValueError(
                'the datamodule has no attribute locations, the number of its locations, which '
                f'{type(self).__name__} keeps the change of; train on SeasonalDataModule with '
                'item=years, or give it one'
            )

    def on_train_batch_start(self, batch: Sample, batch_idx: int) -> None:
        """Decide which locations have changed, once an epoch, of what earlier epochs saw."""
        # A resumed run may begin within an epoch, or past the end that it was not there for.
        if self._decided is None:
            self._decided = int(self.decided)
        if self._decided != self.current_epoch:
            self.change.decide()
            self.decided.fill_(self.current_epoch)
            self._decided = self.current_epoch

    def on_train_epoch_end(self) -> None:
        """Decide which locations have changed, for the checkpoint and the log."""
        self.change.decide()
        seen = self.change.changed >= 0
        if seen.any():
            self.log('changed', (self.change.changed[seen] == 1).float().mean())

    def on_fit_end(self) -> None:
        """As at the end of an epoch, of which a run resumed after its last batch sees none.

        One resumed after that, with nothing left to train, has no end of training either.
        """
        self.change.decide()

    def contrast(self, image: Tensor, location: Tensor) -> Contrast:
        """Contrast in three sub-spaces, of two years.

        Args:
            image: Reflectance, (B, 2, T, C, H, W). The first three dates of each year count.
            location: Number of the location of each image, (B).

        Returns:
            Losses, and the features they compare.
        """
        features = self.features(rearrange(image, 'b y t c h w -> (y b) t c h w'))
        self.change.update(location, self.ratios(features))
        losses = self.year_losses(features, location, self.apart(location))
        return Contrast(losses, features.query, features.keys.diagonal().movedim(-1, 0))

    def apart(self, location: Tensor) -> Tensor:
        """Whether the other year of a location is a negative, (B, Y)."""
        apart = self.change.is_changed(location)
        return apart if self.hparams['change_aware'] else torch.ones_like(apart)

    @torch.no_grad()
    def ratios(self, features: SeasonalFeatures) -> Tensor:
        """Ratio of long-term to short-term distance of every location and year, (B, Y)."""
        query = features.query[self.season_space].mean(1)
        key = features.keys[self.season_space, self.season_space]
        first, second = (
            rearrange(l2_normalize(feature), '(y b) d -> y b d', y=self.years)
            for feature in (query, key)
        )
        return year_ratios(first, second, self.hparams['squared_ratio'])

    def year_losses(
        self, features: SeasonalFeatures, location: Tensor, apart: Tensor
    ) -> dict[str, Tensor]:
        """Loss of every sub-space, the mean of both years; the keys enter the queues."""
        query, keys = features
        joined, locations = self.gather_years(keys), all_gather(location)
        losses = {}
        for space, name in enumerate(self.names):
            queries = query[space].chunk(self.years)
            positives = keys[space, space].chunk(self.years)
            stored = joined[space, space].chunk(self.years)
            parts = []
            for year, positive in enumerate(positives):
                negatives = self.year_negatives(
                    space, year, joined[space], location, apart, locations
                )
                parts.append(self.info_nce(queries[year], positive, *negatives))
                self.queue(space, year).extend(stored[year], locations)
            losses[name] = torch.stack(parts).mean()
        return losses

    def gather_years(self, features: Tensor) -> Tensor:
        """Features of the global batch, year by year.

        Args:
            features: Those of this rank, year by year, (S, K, 2 B, D).

        Returns:
            Those of all processes, (S, K, 2 J, D).
        """
        by_year = rearrange(features, 's k (y b) d -> s k y b d', y=self.years)
        return all_gather(by_year, 3).flatten(2, 3)

    def year_negatives(
        self,
        space: int,
        year: int,
        keys: Tensor,
        location: Tensor,
        apart: Tensor,
        locations: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Collect the negatives of the queries of one year in a sub-space.

        Args:
            space: Number of the sub-space.
            year: The year, 0 or 1.
            keys: All keys of the global batch in the sub-space, year by year, (K, 2 J, D).
            location: Number of the location of each image of this rank, (B).
            apart: Whether the other year of a location is a negative, (B, 2).
            locations: Number of the location of each image of the global batch, (J); None on a
                single rank.

        Returns:
            Queue of that year, the keys of both years that are not drawn to (but in the first
            sub-space), and the positives of the other year, (M, D); and where they do not count,
            (B, M).
        """
        negatives, excluded = self.queue(space, year).negatives(location)
        others = [key for number, key in enumerate(keys) if number != space and space > 0]
        same = same_location(location, locations)
        masks = [same.repeat(1, self.years)] * len(others)
        other_year = keys[space].chunk(self.years)[1 - year]
        own = local_mask(len(location), location.device)
        masks.append(same | (own & ~apart[:, year, None]))
        return torch.cat([negatives, *others, other_year]), torch.cat([excluded, *masks], dim=1)
