# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Views of one image for contrastive learning."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Of MoCo v2's radius, in pixels; the kernel holds three deviations.
_BLUR_SIGMA = (0.1, 2.0)
_BLUR_RADIUS = 6

# A crop is as wide as high, give or take a third, and drawn anew until it fits into the image: as in
# torchvision, up to ten times.
_CROP_RATIO = (3 / 4, 4 / 3)
_CROP_ATTEMPTS = 10


class Window(NamedTuple):
    """Where on the ground each view of a batch lies. Lengths are in pixels of the image, x first.

    The image is turned around its centre, enlarged from there, and moved; of what then fills its
    frame, the view shows a part.
    """

    #: Counter-clockwise turn, in degrees, (B).
    angle: Tensor

    #: Enlargement, (B).
    scale: Tensor

    #: Motion to the right and down, (B, 2).
    motion: Tensor

    #: Centre of the part that is shown, from the centre of the frame, (B, 2).
    centre: Tensor

    #: Width and height of that part, (B, 2).
    extent: Tensor


def window_view(image: Tensor, window: Window, size: tuple[int, int]) -> Tensor:
    """View through a window, by one bilinear resampling. Beyond its edge the image is reflected.

    Args:
        image: Images, (B, C, H, W).
        window: Where the view of each lies.
        size: Height and width of the views, in pixels.

    Returns:
        Views, (B, C, *size*).
    """
    height, width = image.shape[-2:]
    x, y = (_steps(length, image) for length in (size[1], size[0]))
    half = window.extent[:, :, None] / 2
    offset = (window.centre - window.motion)[:, :, None]
    # Products of matrices would round coordinates where TensorFloat-32 is allowed.
    x, y = half[:, 0] * x + offset[:, 0], half[:, 1] * y + offset[:, 1]
    turn = torch.deg2rad(window.angle)
    cosine, sine = (part[:, None] / window.scale[:, None] for part in (turn.cos(), turn.sin()))
    columns = (cosine * x)[:, None, :] - (sine * y)[:, :, None]
    rows = (sine * x)[:, None, :] + (cosine * y)[:, :, None]
    grid = torch.stack([columns * (2 / width), rows * (2 / height)], dim=-1)
    return F.grid_sample(image, grid, padding_mode='reflection', align_corners=False)


def gaussian_blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Images blurred by a Gaussian of six pixels to either side, reflected at the edge.

    Args:
        image: Images, (B, C, H, W).
        sigma: Standard deviation for each, in pixels, (B).

    Returns:
        Blurred images.
    """
    radius = min(_BLUR_RADIUS, *(length - 1 for length in image.shape[-2:]))
    steps = torch.arange(radius + 1, device=image.device)
    weights = torch.exp(-(steps.square() / (2 * sigma.square()[:, None])))
    weights = weights / (2 * weights.sum(1, keepdim=True) - 1)
    parts = _portions(image, weights.to(image.dtype))
    return torch.cat([_filtered(_filtered(part, w, -1), w, -2) for part, w in parts])


class ContrastiveViews(nn.Module):
    """Original, cropped and augmented views of a multispectral image.

    All bands of an image share one geometric transform and one gain, so band ratios and the
    match between bands survive. Geometry acts at the resolution of the image; then every view
    is brought to *size*. Defaults are those of SACo+; ``crop=0.2, rotation=0, zoom=1, gain=0.4,
    shift=0.1, jitter=0.8, grayscale=0.2, blur=0.5`` stand for those of MoCo v2, SeCo and CACo, whose hue and
    saturation exist for three bands only.

    Shape:
        - Input: reflectance, :math:`(B, C, H, W)`
        - Output: :math:`(B, C, size, size)`

    References:
        SACo+, 2025, https://doi.org/10.1016/j.isprsjprs.2025.02.024: rotation, crop, flip and colour jitter, each with probability 0.5.
        The original code crops bands at their stored sizes, so that 10, 20 and 60 m bands no
        longer show the same ground, and jitters every band on its own.
        SeCo, 2021, https://arxiv.org/abs/2103.16607, section 3.2: a random crop of every view,
        and artificial augmentation of some.
    """

    def __init__(
        self,
        size: int = 64,
        rotation: float = 180.0,
        zoom: float = 2.0,
        gain: float = 0.1,
        shift: float = 0.01,
        p: float = 0.5,
        crop: float = 1.0,
        jitter: float = 0.5,
        grayscale: float = 0.0,
        blur: float = 0.0,
    ) -> None:
        """Initialize a new ContrastiveViews instance.

        Args:
            size: Side of a view, in pixels.
            rotation: Largest rotation, in degrees, to either side. Corners are reflected.
            zoom: Largest enlargement of a centred window. 2 leaves a quarter of the ground.
            gain: Largest relative change of all reflectances, as by illumination.
            shift: Largest change of all reflectances, as by haze.
            p: Probability of rotation, of enlargement, and of each flip.
            crop: Smallest share of the ground in a cropped view; 1 leaves all of it.
            jitter: Probability of gain, and of shift.
            grayscale: Probability that all bands become their mean.
            blur: Probability of a Gaussian blur, of 0.1 to 2 pixels.

        Raises:
            ValueError: If an argument is out of range.
        """
        super().__init__()
        if size < 1:
            raise ValueError(f'size of a view must be at least 1 px, got {size}')
        if zoom < 1:
            raise ValueError(f'zoom must be at least 1, got {zoom}')
        if not 0 < crop <= 1:
            raise ValueError(f'crop is a share of the ground above 0 and up to 1, got {crop}')
        chances = {'p': p, 'jitter': jitter, 'grayscale': grayscale, 'blur': blur}
        for name, chance in chances.items():
            if not 0 <= chance <= 1:
                raise ValueError(f'{name} is a probability, got {chance}')
        if not 0 <= gain < 1 or shift < 0:
            raise ValueError(f'gain must be in [0, 1) and shift at least 0, got {gain} and {shift}')
        self.size = size
        self.rotation = rotation
        self.zoom = zoom
        self.gain = gain
        self.shift = shift
        self.p = p
        self.crop = crop
        self.jitter = jitter
        self.grayscale = grayscale
        self.blur = blur

    @property
    def moves(self) -> bool:
        """Whether views are turned or enlarged."""
        return self.p > 0 and (self.rotation > 0 or self.zoom > 1)

    def original(self, image: Tensor) -> Tensor:
        """The whole image at the size of a view."""
        if image.shape[-2:] == (self.size, self.size):
            return image
        with torch.autocast(image.device.type, enabled=False):
            return F.interpolate(image, (self.size, self.size), mode='bilinear', antialias=True)

    def cropped(self, image: Tensor) -> Tensor:
        """A random crop, or the whole image if *crop* is 1; nothing else is changed."""
        if self.crop == 1:
            return self.original(image)
        with torch.autocast(image.device.type, enabled=False):
            return window_view(image, self._part(_still(image)), (self.size, self.size))

    def augmented(self, image: Tensor) -> Tensor:
        """A random view; draws come from PyTorch's global generator of the device."""
        # Coordinates in bfloat16 would bend the image.
        with torch.autocast(image.device.type, enabled=False):
            return self._recoloured(self._flipped(self._seen(self._blurred(image))))

    def forward(self, image: Tensor) -> Tensor:
        """See :meth:`augmented`."""
        return self.augmented(image)

    def _blurred(self, image: Tensor) -> Tensor:
        """Images, some of them blurred."""
        if self.blur == 0:
            return image
        sigma = _between(*_BLUR_SIGMA, _draws(image))
        return torch.where(_planes(_chosen(self.blur, image)), gaussian_blur(image, sigma), image)

    def _seen(self, image: Tensor) -> Tensor:
        """Images turned, enlarged and cropped, at the size of a view."""
        if not self.moves:
            return self.cropped(image)
        window, moved = self._motion(image)
        if self.crop < 1:
            return window_view(image, self._part(window), (self.size, self.size))
        parts = _portions(image, _planes(moved), *window)
        return torch.cat([self._whole(part, flag, Window(*at)) for part, flag, *at in parts])

    def _whole(self, image: Tensor, moved: Tensor, window: Window) -> Tensor:
        """Images through their windows, at the size of a view."""
        turned = window_view(image, window, (image.shape[-2], image.shape[-1]))
        # The last digits would be lost in images that stay where they are.
        return self.original(torch.where(moved, turned, image))

    def _motion(self, image: Tensor) -> tuple[Window, Tensor]:
        """Random turn, enlargement and motion; and which images are turned or enlarged, (B)."""
        still = _still(image)
        turned, enlarged = _chosen(self.p, image), _chosen(self.p, image)
        # A window enlarged by s can move by half of 1 - 1/s of the side; 1/4 suits s = 2.
        reach = (1 - 1 / self.zoom) / 2
        angle = _between(-self.rotation, self.rotation, _draws(image))
        scale = _between(1.0, self.zoom, _draws(image))
        motion = _between(-reach, reach, _draws(image, 2)) * still.extent
        window = still._replace(
            angle=torch.where(turned, angle, 0),
            scale=torch.where(enlarged, scale, 1),
            motion=torch.where(enlarged[:, None], motion, 0),
        )
        return window, turned | enlarged

    def _part(self, window: Window) -> Window:
        """The window, narrowed to a random part of the frame."""
        shape = len(window.angle), _CROP_ATTEMPTS
        width, height = window.extent[:, :1], window.extent[:, 1:]
        area = _between(self.crop, 1.0, window.angle.new_empty(shape).uniform_()) * width * height
        ratio = window.angle.new_empty(shape).uniform_(*map(math.log, _CROP_RATIO)).exp()
        sides = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=-1)
        fits = (sides <= window.extent[:, None]).all(-1)
        # The first one that fits, or the first one.
        first = fits.byte().argmax(1)[:, None, None].expand(-1, 1, 2)
        extent = torch.minimum(sides.gather(1, first)[:, 0], window.extent)
        centre = torch.empty_like(extent).uniform_(-0.5, 0.5) * (window.extent - extent)
        return window._replace(centre=centre, extent=extent)

    def _flipped(self, view: Tensor) -> Tensor:
        """Views, some of them mirrored."""
        if self.p == 0:
            return view
        for axis in (-1, -2):
            view = torch.where(_planes(_chosen(self.p, view)), view.flip(axis), view)
        return view

    def _recoloured(self, view: Tensor) -> Tensor:
        """Views of other brightness, some of them grey."""
        if self.jitter > 0 and (self.gain > 0 or self.shift > 0):
            gain = _between(1 - self.gain, 1 + self.gain, _draws(view))
            shift = _between(-self.shift, self.shift, _draws(view))
            gain = torch.where(_chosen(self.jitter, view), gain, 1)
            shift = torch.where(_chosen(self.jitter, view), shift, 0)
            view = torch.addcmul(_planes(shift), view, _planes(gain))
        if self.grayscale > 0:
            grey = _planes(_chosen(self.grayscale, view))
            view = torch.where(grey, view.mean(1, keepdim=True), view)
        return view


def _portions(*tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """One image at a time, which stays in the cache of a CPU; else all of them at once."""
    count = 1 if tensors[0].device.type == 'cpu' else max(1, len(tensors[0]))
    return zip(*(tensor.split(count) for tensor in tensors), strict=True)


def _filtered(image: Tensor, weights: Tensor, axis: int) -> Tensor:
    """Images filtered along an axis by symmetric weights, (B, R + 1), the middle one first."""
    radius, length = weights.shape[1] - 1, image.shape[axis]
    pad = (radius, radius, 0, 0) if axis == -1 else (0, 0, radius, radius)
    padded = F.pad(image, pad, mode='reflect')
    weights = weights[:, :, None, None, None]
    total = image * weights[:, 0]
    for step in range(1, radius + 1):
        both = padded.narrow(axis, radius - step, length)
        both = both + padded.narrow(axis, radius + step, length)
        total.addcmul_(both, weights[:, step])
    return total


def _steps(count: int, image: Tensor) -> Tensor:
    """Centres of pixels that fill the range from -1 to 1."""
    return (torch.arange(count, dtype=image.dtype, device=image.device) * 2 + 1) / count - 1


def _still(image: Tensor) -> Window:
    """Window onto the whole of each image."""
    zero = image.new_zeros(len(image), 2)
    # Filled on the device, where a tensor of Python numbers would be copied to it.
    extent = torch.stack([torch.full_like(zero[:, 0], n) for n in image.shape[:-3:-1]], dim=1)
    return Window(zero[:, 0], torch.ones_like(zero[:, 0]), zero, zero, extent)


def _draws(image: Tensor, *shape: int) -> Tensor:
    """Uniform random numbers from 0 to 1 for each image, (B, *shape*)."""
    return image.new_empty(len(image), *shape).uniform_()


def _chosen(probability: float, image: Tensor) -> Tensor:
    """Which images a random change is done to, (B)."""
    return _draws(image) < probability


def _between(low: float, high: float, draws: Tensor) -> Tensor:
    """Draws from 0 to 1, spread over a range."""
    return low + (high - low) * draws


def _planes(numbers: Tensor) -> Tensor:
    """Numbers of each image, (B, 1, 1, 1)."""
    return numbers[:, None, None, None]
