"""A graphics card that is none: tensors that say where they are, and refuse to meet those of the processor.

Within `card()` a tensor that is made on, or brought to, `CARD` is `OnCard`: its numbers are on the processor, and
every operation on it is done there, after a check that no tensor of the processor takes part that has more than 0
dimensions. That is what a real card would refuse.
"""

from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

CARD = torch.device("meta")  # a device of which torch knows that there is nothing to start
_MOVING = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
_INDEXING = (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default)  # a card takes indices from anywhere


class OnCard(torch.Tensor):
    """A tensor on the card; `held` are its numbers."""

    @staticmethod
    def __new__(cls, held):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=CARD,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _done(func, args, kwargs or {})


@contextmanager
def card():
    """While it is entered, there is a card."""
    with _Operations(), _Functions():
        yield CARD


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _done(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """What is no operation, such as tensors of numbers that are written out, or several with one name."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.Tensor.new_tensor and isinstance(args[0], OnCard):
            return torch.tensor(args[1], dtype=args[0].dtype).to(CARD)
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") == CARD:
            return func(*args, **{**kwargs, "device": "cpu"}).to(CARD)
        if func in (torch.Tensor.__matmul__, torch.Tensor.matmul, torch.matmul):
            return _done(torch.ops.aten.matmul.default, args, kwargs)  # it turns its results in place
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and isinstance(args[1], list):
            args = (args[0], torch.tensor(args[1]), *args[2:])
        return func(*args, **kwargs)


def _done(func, args, kwargs):
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    assert all(isinstance(tensor, OnCard) or tensor.device != CARD for tensor in tensors), "numbers were lost"
    on_card = [tensor for tensor in tensors if isinstance(tensor, OnCard)]
    if on_card and func not in _MOVING:
        met = tree_leaves((args[0], args[2:])) if func in _INDEXING else tensors
        met = [leaf for leaf in met if isinstance(leaf, torch.Tensor)]
        other = [tuple(t.shape) for t in met if not isinstance(t, OnCard) and t.dim() > 0]
        assert not other, f"{func}: {other} of the processor beside tensors of the card"
    onto = isinstance(args[0], OnCard) if func is _MOVING[1] else bool(on_card)
    if kwargs.get("device") is not None:
        onto = torch.device(kwargs["device"]) == CARD
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args, kwargs = tree_map(lambda leaf: leaf.held if isinstance(leaf, OnCard) else leaf, (args, kwargs))
    with torch._C._DisableTorchDispatch():
        result = func(*args, **kwargs)
    if not onto:
        return result
    return tree_map(lambda leaf: OnCard(leaf) if isinstance(leaf, torch.Tensor) else leaf, result)
