# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Report of a finished run: its loss against chance, its files, and how to use them."""

import math

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console

from .figures import figure_folder, log_folder

# Shares of the loss of a guess above which positives are told apart no better, or little better.
_NO_BETTER, _LITTLE_BETTER = 0.95, 0.8


class RunReport(Callback):
    """Prints the loss against chance, where the files of a run are, and what to run next."""

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Print the report, after the progress bar has ended."""
        if stage != 'fit' or not trainer.is_global_zero:
            return
        saver = trainer.checkpoint_callback
        checkpoint = getattr(saver, 'last_model_path', '') or getattr(saver, 'best_model_path', '')
        folder = log_folder(trainer)
        lines = [
            f'checkpoint  {checkpoint or "none was written"}',
            f'figures     {figure_folder(trainer)}',
            f'log         {folder}',
            f'next        tensorboard --logdir {folder}',
        ]
        ratio = getattr(pl_module, 'nce_over_chance', math.nan)
        if math.isfinite(ratio):
            lines.insert(
                0, f'InfoNCE     {ratio:.2f} of the loss of a guess{_progress_advice(ratio)}'
            )
        if checkpoint:
            backbone = pl_module.hparams.get('model')
            lines += [
                f'            give `weights: {checkpoint}` and 3 bands to a task of TorchGeo:',
                (
                    f'            Classification with `model: {backbone}`, or SemanticSegmentation '
                    '(unet)'
                ),
                f'            or ChangeDetection (fcsiamdiff) with `backbone: {backbone}`',
            ]
        Console(soft_wrap=True, highlight=False).print('\n'.join(lines))


def _progress_advice(ratio: float) -> str:
    """Say what to do about InfoNCE that is near chance."""
    if ratio <= _LITTLE_BETTER:
        return ''
    better = 'no' if ratio > _NO_BETTER else 'little'
    return (
        f': positives are told apart {better} better than by chance; train longer, and where '
        'momentum and temperature are those of a paper merge configs/pretrain/small.yaml, which '
        'computes them from the number of steps'
    )
