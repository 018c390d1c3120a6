# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Lightning: resumed after the last batch of an epoch, the next epoch is not counted as begun."""

import logging
import tempfile
import warnings
from pathlib import Path

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel

logging.getLogger('lightning.pytorch').setLevel(logging.ERROR)
warnings.simplefilter('ignore')


def train(folder, resume=None):
    """Two epochs of two batches, saved at every step."""
    saver = ModelCheckpoint(folder, '{step}', every_n_train_steps=1, save_top_k=-1)
    trainer = Trainer(
        max_epochs=2, limit_train_batches=2, limit_val_batches=0, accelerator='cpu',
        logger=False, callbacks=[saver], enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(BoringModel(), ckpt_path=resume)
    content = torch.load(Path(folder) / 'step=3.ckpt', weights_only=False)
    return content['loops']['fit_loop']['epoch_progress']['current']


with tempfile.TemporaryDirectory() as folder:
    whole = train(f'{folder}/whole')
    resumed = train(f'{folder}/resumed', f'{folder}/whole/step=2.ckpt')
print('step 3, unbroken:', whole)
print('step 3, resumed: ', resumed)
print('shown' if whole != resumed else 'not shown')
