import pytest
import torch

from cloudreg_io.errors import ToolError
from cloudreg_register.lddmm.device import Device, chosen_device


def test_auto_takes_what_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert chosen_device(Device.AUTO).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert chosen_device(Device.AUTO).type == "cuda"
    assert chosen_device(Device.CPU).type == "cpu"


def test_cuda_without_a_card_is_an_error_that_says_what_to_do(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ToolError, match=r"no graphics card.*\n.*torch \d.*\n.*--device cpu"):
        chosen_device(Device.CUDA)
