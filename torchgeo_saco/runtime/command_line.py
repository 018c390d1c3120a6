# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Lightning's command line, which reads checkpoints as the rest of the package does."""

from typing import Any

from lightning.pytorch.cli import LightningCLI

from ..io.checkpoint import CheckpointError, read_checkpoint

# What Lightning itself finds.
_FOUND = ('best', 'last', 'hpc')


class CheckedCLI(LightningCLI):
    """Lightning's command line, with a look at the checkpoint of ``--ckpt_path`` first.

    Lightning replaces the task of the configuration, whichever it is, and its arguments by those
    of the checkpoint. Here a task of another class is refused; the arguments of a training are
    those that were given, and the task refuses those that differ from the checkpoint's.
    """

    def _parse_ckpt_path(self) -> None:
        """Read the checkpoint, and take over arguments of the task where nothing is trained."""
        name = self.config.get('subcommand')
        config: Any = self.config[name] if name else {}
        path = config.get('ckpt_path')
        if not path or path in _FOUND or '://' in str(path):
            return
        content = read_checkpoint(path)
        arguments = content.get('hyper_parameters')
        if not isinstance(arguments, dict):
            return
        wanted = str(config.model.class_path).rsplit('.', 1)[-1]
        trained = str(content.get('task') or arguments.get('_class_path') or wanted)
        if trained.rsplit('.', 1)[-1] != wanted:
            raise CheckpointError(
                f'{path} is of {trained.rsplit(".", 1)[-1]}, and the configuration of {wanted}; '
                f'set model to {trained.rsplit(".", 1)[-1]}, or give another checkpoint'
            )
        if name == 'fit':
            return
        # Weights are in the checkpoint; none are to be looked for elsewhere.
        given = {
            key: value
            for key, value in arguments.items()
            if key[:1] != '_' and not key.endswith('weights')
        }
        model = {'class_path': config.model.class_path, 'dict_kwargs': given}
        self.config = self.parser.parse_object({name: {'model': model}}, self.config)
