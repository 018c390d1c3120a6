# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Report of a finished run: its files, and how to use them."""

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console

from .figures import figure_folder, log_folder


class RunReport(Callback):
    """Prints where checkpoint, figures and log are, and what to run next."""

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
