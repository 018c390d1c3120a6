# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Non-finite checks without GPU synchronization."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

# A variance of larger values may be infinite in float32.
_LARGEST = 1e18


class _Step(NamedTuple):
    """Numbers of a step, once the device has computed them."""

    #: Whether all images are finite, as 0 or 1, and the loss; on the host.
    numbers: Tensor

    #: Is past when they are there; None if they are.
    computed: torch.cuda.Event | None

    #: Number of the location of each image.
    location: Tensor

    #: Number of the step.
    step: int


class NonFiniteGuard:
    """Stops training before images, losses or gradients that are not finite reach a weight.

    On a CPU they are looked at where they arise, so no weight has changed when training stops. A
    GPU would idle while the host waits for what it has not computed yet. There values of images
    that are not finite count as 0, so that no statistics of BatchNorm and no key keeps them; the
    host reads both images and loss at :meth:`finish`, after the backward pass is on its way and
    before the weights move; and gradients are not looked at.
    """

    def __init__(self, late: bool | None = None) -> None:
        """Initialize a new NonFiniteGuard instance.

        Args:
            late: Whether to look after the backward pass, or None to do so on a GPU.
        """
        self.late = late
        self._finite: Tensor | None = None
        self._step: _Step | None = None
        # Step and locations whose gradients are to come.
        self._locations: tuple[int, Tensor] | None = None

    def images(self, image: Tensor, location: Tensor, step: int) -> Tensor:
        """Images of a step, finite.

        Args:
            image: Images, any shape.
            location: Number of the location of each.
            step: Number of the step.

        Returns:
            The images.

        Raises:
            ValueError: If one is NaN or infinite; on a GPU that is left to :meth:`finish`.
        """
        self._step, self._locations = None, (step, location)
        if self._is_late(image):
            finite = torch.isfinite(image)
            self._finite = finite.all()
            return torch.where(finite, image, 0)
        # Taken many times faster than a look at each value. It is finite only if all values are,
        # and their squares, of which variances are made.
        if not torch.isfinite(torch.linalg.vector_norm(image)):
            if not torch.isfinite(image).all():
                raise _not_finite('an image', location, step)
            largest = float(image.abs().max())
            if largest > _LARGEST:
                raise _not_finite(f'the square of {largest:.3g} in an image', location, step)
        return image

    def loss(self, loss: Tensor, location: Tensor, step: int, *others: Tensor) -> None:
        """Look at the loss of a step.

        Args:
            loss: The loss, a number.
            location: Number of the location of each image.
            step: Number of the step.
            *others: Further numbers to bring to the host, which may be anything.

        Raises:
            ValueError: If it is NaN or infinite; on a GPU that is left to :meth:`finish`.
        """
        loss = loss.detach()
        further = [other.detach().to(loss) for other in others]
        if self._finite is None:
            if not torch.isfinite(loss):
                raise _not_finite('the loss', location, step)
            numbers = torch.stack([torch.ones_like(loss), loss, *further])
            self._step = _Step(numbers, None, location, step)
            return
        numbers = torch.stack([self._finite.to(loss.dtype), loss, *further])
        self._finite, computed = None, None
        if loss.is_cuda:
            # Only page-locked memory is written while the host goes on.
            host = torch.empty(len(numbers), dtype=loss.dtype, pin_memory=True)
            numbers = host.copy_(numbers, non_blocking=True)
            computed = torch.cuda.Event()
            computed.record()
        self._step = _Step(numbers, computed, location, step)

    def finish(self) -> Tensor | None:
        """Wait until the forward pass is done.

        Returns:
            The loss of the step and the further numbers, on the host; None if there was no step
            since the last call.

        Raises:
            ValueError: If an image or the loss is NaN or infinite.
        """
        if self._step is None:
            return None
        numbers, computed, location, step = self._step
        self._step = None
        if computed is not None:
            computed.synchronize()
        finite, loss = numbers[:2].tolist()
        if not finite or not math.isfinite(loss):
            raise _not_finite('the loss' if finite else 'an image', location, step)
        return numbers[1:]

    def gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Look at the gradients of a step.

        Args:
            parameters: What has them.

        Raises:
            ValueError: If one is NaN or infinite; on a GPU nothing is looked at.
        """
        gradients = [weight.grad for weight in parameters if weight.grad is not None]
        if self._locations is None or not gradients or self._is_late(gradients[0]):
            return
        # As with images, a sum is finite only if all values are.
        if not all(torch.isfinite(grad.sum()) or torch.isfinite(grad).all() for grad in gradients):
            step, location = self._locations
            raise _not_finite('a gradient', location, step)

    def _is_late(self, image: Tensor) -> bool:
        """Whether to look after the backward pass."""
        return image.is_cuda if self.late is None else self.late


def require_finite_state(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Refuse to keep weights and statistics that are not finite.

    Buffers that say what is not known by NaN are those of modules with the attribute
    ``holds_nan``.

    Args:
        module: What has the state.
        state: Its tensors by name.

    Raises:
        ValueError: If one is NaN or infinite.
    """
    unknown = tuple(
        f'{name}.' for name, part in module.named_modules() if getattr(part, 'holds_nan', False)
    )
    wrong = [
        name
        for name, tensor in state.items()
        if tensor.is_floating_point() and not name.startswith(unknown)
        # As with images; of large weights that are finite each value is looked at.
        if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all()
    ]
    if wrong:
        raise ValueError(
            f'{wrong[0]} is NaN or infinite, as are {len(wrong) - 1} other tensors, so no '
            'checkpoint is written; resume from the last one, which is finite, and lower lr or '
            'look at the images'
        )


def _not_finite(name: str, location: Tensor, step: int) -> ValueError:
    """Make the error about values that are not finite."""
    return ValueError(
        f'{name} is NaN or infinite at step {step}, on the locations number '
        f'{sorted(set(location.tolist()))}, counted from 0 in the order of their folders; '
        'look at their files, or lower lr'
    )
