# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""Views of an image for contrastive learning."""

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ..runtime.checks import check_ranges
from .base import ImageTransform

# MoCo v2's range of blur, in pixels; the kernel holds three standard deviations.
_BLUR_SIGMA = (0.1, 2.0)
_BLUR_RADIUS = 6

# As in torchvision's RandomResizedCrop.
_CROP_RATIO = (3 / 4, 4 / 3)
_CROP_ATTEMPTS = 10

_PROBABILITIES = ('p', 'horizontal_flip', 'vertical_flip', 'jitter', 'grayscale', 'blur')

#: Random numbers of a batch of views by name, one row per image.
type ViewParameters = dict[str, Tensor]


def warp(
    image: Tensor, params: ViewParameters, size: tuple[int, int], mode: str = 'bilinear'
) -> Tensor:
    """Resample images once, to rotated, enlarged and cropped views.

    The image is rotated and enlarged around its center and translated; the view shows a part of
    the frame. Where pixels of the view are larger than those of the image, each is the mean of
    as many samples as there are pixels of the image in it, so that shrinking does not alias.
    Beyond its edge the image is reflected.

    Args:
        image: Images, (B, C, H, W).
        params: In pixels of the image, x before y: ``angle`` counter-clockwise in degrees (B),
            ``scale`` (B), ``translation`` (B, 2); of the part shown, ``center`` from the center
            of the frame (B, 2), and ``extent``, its width and height (B, 2).
        size: Height and width of the views, in pixels.
        mode: ``bilinear``, or ``nearest`` for masks, which takes one sample.

    Returns:
        Views, (B, C, *size*).
    """
    height, width = image.shape[-2:]
    samples = 1
    if mode == 'bilinear':
        # Of the whole image; a smaller part is sampled more densely than it needs.
        samples = max(1, round(max(height / size[0], width / size[1])))
    x, y = (_pixel_centers(length * samples, params['extent']) for length in (size[1], size[0]))
    half = params['extent'][:, :, None] / 2
    offset = (params['center'] - params['translation'])[:, :, None]
    # Products of matrices would round coordinates where TensorFloat-32 is allowed.
    x, y = half[:, 0] * x + offset[:, 0], half[:, 1] * y + offset[:, 1]
    angle, scale = torch.deg2rad(params['angle']), params['scale']
    cosine, sine = (part[:, None] / scale[:, None] for part in (angle.cos(), angle.sin()))
    columns = (cosine * x)[:, None, :] - (sine * y)[:, :, None]
    rows = (sine * x)[:, None, :] + (cosine * y)[:, :, None]
    grid = torch.stack([columns * (2 / width), rows * (2 / height)], dim=-1).to(image.dtype)
    view = F.grid_sample(image, grid, mode, padding_mode='reflection', align_corners=False)
    return view if samples == 1 else F.avg_pool2d(view, samples)


def gaussian_blur(image: Tensor, sigma: Tensor) -> Tensor:
    """Blur images by a Gaussian of six pixels to either side, reflected at the edge.

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
    return torch.cat([_filter(_filter(part, w, -1), w, -2) for part, w in parts])


class ContrastiveViews(ImageTransform):
    """Original, cropped and augmented views of a multispectral image.

    A Kornia augmentation whose parameters are drawn apart from being applied, so that a mask or
    another modality of the same ground can share them:

    >>> views = ContrastiveViews(size=8)
    >>> image, mask = torch.rand(2, 4, 16, 16), torch.zeros(2, 1, 16, 16)
    >>> params = views.generate_parameters(image.shape)
    >>> views(image, params).shape, views.apply_mask(mask, params).shape
    (torch.Size([2, 4, 8, 8]), torch.Size([2, 1, 8, 8]))

    All bands of an image share one geometry, one contrast and one shift. An image is resampled
    once, to *size*. Defaults are those of SACo+. Those of MoCo v2, SeCo and CACo are arguments of
    their tasks: contrast and shift stand for ColorJitter, whose hue and saturation exist for
    three bands only.

    Shape:
        - Input: reflectance, :math:`(B, C, H, W)`
        - Output: :math:`(B, C, size, size)`

    References:
        SACo+, 2025, https://doi.org/10.1016/j.isprsjprs.2025.02.024: rotation, crop, flip and
        color jitter, each with probability 0.5. The original code crops bands at their stored
        sizes, so that bands of 10, 20 and 60 m no longer show the same ground, and jitters every
        band on its own.
        SeCo, 2021, https://arxiv.org/abs/2103.16607, section 3.2: a random crop of every view,
        and artificial augmentation of some.
    """

    #: Interval of each argument, see :func:`~torchgeo_saco.runtime.checks.check_range`.
    ranges: ClassVar[dict[str, str]] = {
        'size': 'int [1, inf)',
        'rotation': '[0, 360]',
        'zoom': '[1, 1000]',
        'contrast': '[0, 1)',
        'shift': '[0, 1000]',
        'crop': '(0, 1]',
    } | dict.fromkeys(_PROBABILITIES, '[0, 1]')

    def __init__(
        self,
        size: int = 64,
        rotation: float = 180.0,
        zoom: float = 2.0,
        contrast: float = 0.1,
        shift: float = 0.01,
        p: float = 0.5,
        crop: float = 1.0,
        horizontal_flip: float = 0.5,
        vertical_flip: float = 0.0,
        jitter: float = 0.5,
        grayscale: float = 0.0,
        blur: float = 0.0,
    ) -> None:
        """Initialize a new ContrastiveViews instance.

        Args:
            size: Side of a view, in pixels.
            rotation: Largest rotation, in degrees, to either side. Corners are reflected.
            zoom: Largest enlargement of a centred window. 2 leaves a quarter of the ground.
            contrast: Largest relative change of contrast: of the distance of every pixel from
                the mean of its band in the image.
            shift: Largest change of all reflectances, as by haze.
            p: Probability of rotation, and of enlargement; fixed in the tasks.
            crop: Smallest share of the ground in a cropped view; 1 leaves all of it.
            horizontal_flip: Probability of a flip of columns.
            vertical_flip: Probability of a flip of rows.
            jitter: Probability of a change of contrast, and of a shift.
            grayscale: Probability that all bands become their mean.
            blur: Probability of a Gaussian blur, of 0.1 to 2 pixels.

        Raises:
            ValueError: If an argument is out of range.
        """
        super().__init__()
        self.size = size
        self.rotation = rotation
        self.zoom = zoom
        self.contrast = contrast
        self.shift = shift
        self.p = p
        self.crop = crop
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.jitter = jitter
        self.grayscale = grayscale
        self.blur = blur
        check_ranges(vars(self), self.ranges)

    def generate_parameters(
        self, batch_shape: tuple[int, ...], device: torch.device | None = None
    ) -> ViewParameters:
        """Draw the parameters of augmented views from PyTorch's global generator of the device.

        Args:
            batch_shape: Shape of the images, (B, C, H, W).
            device: Device of the images.

        Returns:
            Parameters of :func:`warp`; ``moved``, whether an image is rotated or enlarged;
            ``horizontal_flip``, ``vertical_flip``, ``grayscale`` and ``blur``, whether an image
            is; ``contrast``, ``shift`` and ``sigma``, each (B).
        """
        count = batch_shape[0]
        params = self._identity(batch_shape, device)
        if self.p > 0 and (self.rotation > 0 or self.zoom > 1):
            params |= self._draw_motion(params)
        if self.crop < 1:
            params |= self._draw_crop(params)

        def uniform(low: float, high: float) -> Tensor:
            return torch.empty(count, device=device).uniform_(low, high)

        def bernoulli(probability: float) -> Tensor:
            return torch.rand(count, device=device) < probability

        for name in ('horizontal_flip', 'vertical_flip', 'grayscale', 'blur'):
            params[name] = bernoulli(getattr(self, name))
        contrast, shift = (uniform(-largest, largest) for largest in (self.contrast, self.shift))
        params['contrast'] = torch.where(bernoulli(self.jitter), 1 + contrast, 1)
        params['shift'] = torch.where(bernoulli(self.jitter), shift, 0)
        params['sigma'] = uniform(*_BLUR_SIGMA)
        return params

    def forward_parameters(self, batch_shape: tuple[int, ...]) -> ViewParameters:
        """Draw parameters for Kornia's containers, see :meth:`generate_parameters`."""
        params = self.generate_parameters(batch_shape)
        # What the containers expect of every augmentation.
        params['batch_prob'] = torch.ones(batch_shape[0])
        params['forward_input_shape'] = torch.tensor(batch_shape)
        return params

    def original(self, image: Tensor) -> Tensor:
        """Resize the whole image to the size of a view."""
        if image.shape[-2:] == (self.size, self.size):
            return image
        with torch.autocast(image.device.type, enabled=False):
            return F.interpolate(image, (self.size, self.size), mode='bilinear', antialias=True)

    def cropped(self, image: Tensor, params: ViewParameters | None = None) -> Tensor:
        """Crop images at random and change nothing else; the whole image if *crop* is 1.

        Args:
            image: Images, (B, C, H, W).
            params: Parameters of a crop, or None to draw them.

        Returns:
            Views, (B, C, size, size).
        """
        if self.crop == 1:
            return self.original(image)
        if params is None:
            params = self._identity(image.shape, image.device)
            params |= self._draw_crop(params)
        with torch.autocast(image.device.type, enabled=False):
            return warp(image, params, (self.size, self.size))

    def augmented(self, image: Tensor, params: ViewParameters | None = None) -> Tensor:
        """Augment images at random.

        Args:
            image: Images, (B, C, H, W).
            params: Parameters of :meth:`generate_parameters`, or None to draw them.

        Returns:
            Views, (B, C, size, size).
        """
        if params is None:
            params = self.generate_parameters(image.shape, image.device)
        # Coordinates in bfloat16 would distort the image.
        with torch.autocast(image.device.type, enabled=False):
            view = self._warp(self._blur(image, params), params)
            return self._jitter(self._flip(view, params), params)

    def apply_mask(self, mask: Tensor, params: ViewParameters) -> Tensor:
        """Give masks the geometry of the views of their images.

        Args:
            mask: Masks, (B, C, H, W), of the size of the images.
            params: Parameters that the images were augmented with.

        Returns:
            Masks by nearest neighbor, (B, C, size, size), in the type given.
        """
        view = warp(mask.float(), params, (self.size, self.size), mode='nearest')
        return self._flip(view, params).to(mask.dtype)

    def forward(self, input: Tensor, params: Any = None, **kwargs: Any) -> Tensor:
        """Augment images, see :meth:`augmented`.

        Args:
            input: Images, (B, C, H, W).
            params: Parameters, or None to draw them.
            **kwargs: Options of Kornia's containers, unused.

        Returns:
            Views.
        """
        params = params or self.forward_parameters(tuple(input.shape))
        self._params = params
        on_device = {name: value.to(input.device) for name, value in params.items()}
        return self.augmented(input, on_device)

    @property
    def transform_matrix(self) -> None:
        """None: containers do not chain a crop that changes the size of the image."""
        return None

    def transform_boxes(self, input: Any, *args: Any, **kwargs: Any) -> Any:
        """Refuse boxes, which would stay where they were.

        Raises:
            ValueError: Always.
        """
        raise ValueError('ContrastiveViews moves images and masks; leave boxes and keypoints out')

    transform_keypoints = transform_boxes

    def transform_masks(self, input: Any, params: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Give masks the geometry of the images, for Kornia's containers."""
        params = params or self._params
        return self.apply_mask(input, {k: v.to(input.device) for k, v in params.items()})

    def _identity(self, shape: tuple[int, ...], device: torch.device | None) -> ViewParameters:
        """Return the parameters that show the whole of each image."""
        zeros = torch.zeros(shape[0], 2, device=device)
        # Filled on the device, where a tensor of Python numbers would be copied to it.
        extent = torch.stack([torch.full_like(zeros[:, 0], n) for n in shape[:-3:-1]], dim=1)
        return {
            'angle': zeros[:, 0],
            'scale': torch.ones_like(zeros[:, 0]),
            'translation': zeros,
            'center': zeros,
            'extent': extent,
            'moved': torch.zeros_like(zeros[:, 0], dtype=torch.bool),
        }

    def _draw_motion(self, params: ViewParameters) -> ViewParameters:
        """Draw rotation, enlargement and translation."""
        draws = torch.rand(len(params['angle']), 6, device=params['angle'].device)
        rotated, enlarged = (draws[:, :2] < self.p).unbind(1)
        # A window enlarged by s can move by half of 1 - 1/s of the side; 1/4 suits s = 2.
        reach = (1 - 1 / self.zoom) / 2
        translation = (2 * draws[:, 4:] - 1) * reach * params['extent']
        return {
            'angle': torch.where(rotated, (2 * draws[:, 2] - 1) * self.rotation, 0),
            'scale': torch.where(enlarged, 1 + (self.zoom - 1) * draws[:, 3], 1),
            'translation': torch.where(enlarged[:, None], translation, 0),
            'moved': rotated | enlarged,
        }

    def _draw_crop(self, params: ViewParameters) -> ViewParameters:
        """Draw a part of the frame, as torchvision's RandomResizedCrop does."""
        whole = params['extent']
        draws = torch.rand(len(whole), _CROP_ATTEMPTS, 2, device=whole.device)
        area = (self.crop + (1 - self.crop) * draws[..., 0]) * whole.prod(1, keepdim=True)
        low, high = map(math.log, _CROP_RATIO)
        ratio = (low + (high - low) * draws[..., 1]).exp()
        sides = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=-1)
        fits = (sides <= whole[:, None]).all(-1)
        # The first one that fits, or the first one.
        first = fits.byte().argmax(1)[:, None, None].expand(-1, 1, 2)
        extent = torch.minimum(sides.gather(1, first)[:, 0], whole)
        center = torch.empty_like(extent).uniform_(-0.5, 0.5) * (whole - extent)
        return {'extent': extent, 'center': center}

    def _blur(self, image: Tensor, params: ViewParameters) -> Tensor:
        """Blur some images."""
        if self.blur == 0:
            return image
        blurred = gaussian_blur(image, params['sigma'])
        return torch.where(_expand(params['blur']), blurred, image)

    def _warp(self, image: Tensor, params: ViewParameters) -> Tensor:
        """Rotate, enlarge and crop images."""
        if self.crop == 1 and (self.p == 0 or (self.rotation == 0 and self.zoom == 1)):
            return self.original(image)
        names = ('angle', 'scale', 'translation', 'center', 'extent', 'moved')
        size = (self.size, self.size)
        parts = []
        for part, *values in _portions(image, *(params[name] for name in names)):
            of_part = dict(zip(names, values, strict=True))
            view = warp(part, of_part, size)
            if self.crop == 1:
                # Images that stay where they are keep their last digits.
                view = torch.where(_expand(of_part['moved']), view, self.original(part))
            parts.append(view)
        return torch.cat(parts)

    def _flip(self, view: Tensor, params: ViewParameters) -> Tensor:
        """Flip some views."""
        for name, axis in (('horizontal_flip', -1), ('vertical_flip', -2)):
            if getattr(self, name) > 0:
                view = torch.where(_expand(params[name]), view.flip(axis), view)
        return view

    def _jitter(self, view: Tensor, params: ViewParameters) -> Tensor:
        """Change contrast and shift of views, and make some of them gray."""
        if self.jitter > 0 and (self.contrast > 0 or self.shift > 0):
            contrast = _expand(params['contrast']).to(view.dtype)
            mean = view.mean((-2, -1), keepdim=True)
            offset = mean * (1 - contrast) + _expand(params['shift']).to(view.dtype)
            view = torch.addcmul(offset, view, contrast)
        if self.grayscale > 0:
            view = torch.where(_expand(params['grayscale']), view.mean(1, keepdim=True), view)
        return view


def _portions(*tensors: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Split a batch into single images on a CPU, whose cache they fit; else not at all."""
    count = 1 if tensors[0].device.type == 'cpu' else max(1, len(tensors[0]))
    return zip(*(tensor.split(count) for tensor in tensors), strict=True)


def _filter(image: Tensor, weights: Tensor, axis: int) -> Tensor:
    """Filter images along an axis by symmetric weights, (B, R + 1), the middle one first."""
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


def _pixel_centers(count: int, image: Tensor) -> Tensor:
    """Return the centers of pixels that fill the range from -1 to 1."""
    return (torch.arange(count, dtype=image.dtype, device=image.device) * 2 + 1) / count - 1


def _expand(values: Tensor) -> Tensor:
    """Add axes of channels and pixels to values of each image, (B, 1, 1, 1)."""
    return values[:, None, None, None]
