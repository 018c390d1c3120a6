# Copyright (c) torchgeo_saco Contributors. All rights reserved.
# Licensed under the MIT License.

"""The whole encoder as a graph: ``torch.export``, ONNX, and ONNX in 8-bit integers."""

import copy
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from ..encoder import Encoder

#: Names of the input and the output of the graph.
INPUT, OUTPUT = 'reflectance', 'embedding'

# Side that graphs are traced at: the maps of a ResNet-like net are then larger than a pixel, which
# tracing would take for a constant.
_SIDE = 64


class Graph(NamedTuple):
    """An encoder as a graph of PyTorch."""

    #: The graph.
    program: ExportedProgram

    #: Smallest height and width that it takes.
    least: int

    #: Largest, or None where it takes any.
    most: int | None


def trace_encoder(encoder: Encoder, channels: int, size: int | None) -> Graph:
    """Trace an encoder for any number of images, and any size where its backbone takes any.

    Args:
        encoder: The encoder, in evaluation mode.
        channels: Channels of its images.
        size: Side of the views that it was trained on, or None if it is not known.

    Returns:
        The graph.

    Raises:
        ValueError: If the backbone cannot be traced.
    """
    # Transforms remember the images that they have seen last, of which tracing makes symbols.
    encoder = copy.deepcopy(encoder).eval().requires_grad_(False)
    backbone: Any = encoder.backbone
    config: Any = getattr(backbone, 'default_cfg', {})
    side = config.get('input_size', (3, size or _SIDE))[-1]
    sizes: list[tuple[int, Any]] = [(size or side, Dim.STATIC), (side, Dim.STATIC)]
    if not config.get('fixed_input_size'):
        sizes = [(max(size or 0, _SIDE), Dim.AUTO), *sizes]
    failed: Exception | None = None
    for wanted, axis in sizes:
        image = torch.rand(2, channels, wanted, wanted)
        try:
            with torch.no_grad(), _quiet():
                if axis is Dim.STATIC and hasattr(backbone, 'pos_embed'):
                    # Else every call interpolates positions, for which ONNX has no operator.
                    backbone.set_input_size(img_size=(wanted, wanted))
                program = torch.export.export(
                    encoder, (image,), dynamic_shapes=({0: Dim('batch'), 2: axis, 3: axis},)
                )
        except Exception as error:  # noqa: BLE001 - of PyTorch and timm, whatever a backbone does
            failed = error
            continue
        # They hold paths of this machine.
        for node in program.graph.nodes:
            node.meta.pop('stack_trace', None)
        return Graph(program, *_sides(program, wanted))
    raise ValueError(
        f'{config.get("architecture", type(backbone).__name__)} cannot be exported '
        f'({str(failed).splitlines()[0].rstrip(".")}); choose a backbone such as resnet18'
    ) from failed


def write_onnx(graph: Graph, path: Path) -> None:
    """Write a graph as ONNX.

    Args:
        graph: The graph.
        path: File to write.

    Raises:
        ValueError: If ONNX has no operator for a part of it.
    """
    names = {0: 'batch', 2: 'height', 3: 'width'} if graph.most is None else {0: 'batch'}
    try:
        with _quiet():
            model: Any = torch.onnx.export(
                graph.program,
                dynamo=True,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=(names,),
                verbose=False,
            )
    except Exception as error:  # Of PyTorch and ONNX: whatever a backbone does.
        # The first says in colours which step it was, its cause which operator.
        reason = str(error.__cause__ or error).strip().splitlines()[0].rstrip('.')
        raise ValueError(
            f'the backbone cannot be written as ONNX ({reason}); choose one such as resnet18'
        ) from error
    # Names of files and of calls while it was traced, longer than the graph itself.
    for node in model.model.graph:
        node.metadata_props.clear()
    model.save(path)


def write_int8(source: Path, path: Path) -> None:
    """Write a graph of ONNX with weights of 8-bit integers, and activations rounded as it runs.

    Args:
        source: File of the graph in float32.
        path: File to write.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet(), tempfile.TemporaryDirectory() as folder:
        # It leaves a file beside the source.
        copied = Path(folder, source.name)
        copied.write_bytes(source.read_bytes())
        # ONNX Runtime convolves on CPUs by unsigned weights alone.
        quantize_dynamic(copied, path, weight_type=QuantType.QUInt8)


def run_onnx(path: Path, images: Tensor) -> np.ndarray:
    """Embed images by ONNX Runtime on the CPU.

    Args:
        path: File of the graph.
        images: Reflectance, (B, C, H, W).

    Returns:
        Embeddings, (B, D).
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=['CPUExecutionProvider']
    )
    (embedding,) = session.run(None, {INPUT: images.numpy()})
    return np.asarray(embedding)


def _sides(program: ExportedProgram, traced: int) -> tuple[int, int | None]:
    """Smallest and largest side that a program takes, None where there is no largest."""
    (image,) = [node.meta['val'] for node in program.graph.nodes if node.op == 'placeholder'][-1:]
    least = 1
    for side in image.shape[-2:]:
        if isinstance(side, int):
            return traced, traced
        least = max(least, int(program.range_constraints[side.node.expr].lower))
    return least, None


@contextmanager
def _quiet() -> Iterator[None]:
    """Within the block, libraries neither warn of what they themselves call nor advise."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)
