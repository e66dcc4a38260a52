"""Device: where the arithmetic of a registration runs."""

from __future__ import annotations

from enum import StrEnum

import torch

from cloudreg_io.errors import ToolError


class Device(StrEnum):
    """What the user asks for."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


def chosen_device(device: Device) -> torch.device:
    """The device that torch is to use: `auto` takes a graphics card where torch sees one.

    Raises
    ------
    ToolError
        `cuda` where torch sees no graphics card: silently taking the processor would cost hours unnoticed.
    """
    if device is Device.CPU:
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if device is Device.CUDA:
        built = torch.version.cuda
        raise ToolError(
            "there is no graphics card that torch can use",
            why=f"torch {torch.__version__} is built "
            + (f"for CUDA {built}, and finds no driver or no card" if built else "without CUDA"),
            fix="--device cpu, or install a driver and a build of torch for CUDA (https://pytorch.org)",
        )
    return torch.device("cpu")
