"""A second device without any hardware: code that mixes it with the CPU fails, as with CUDA.

A tensor that says it is on this device wraps one on the CPU, which computes; an operation that gets
tensors of both raises RuntimeError. What only CUDA itself can show (its kernels, its memory) is not
seen here. Used by test_devices.py, in a process of its own: `pretend` cannot be undone.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo  # some torch functions import it late, in the middle of a run
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

import common

CPU = torch.device("cpu")
aten = torch.ops.aten
INDEXING = (aten.index.Tensor, aten.index_put.default, aten.index_put_.default,
            aten._index_put_impl_.default)  # fmt: skip


class There(torch.Tensor):
    """A tensor on the pretended device, and the one on the CPU that it wraps, `inner`."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "There":
        return torch.Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), storage_offset=inner.storage_offset(),
            dtype=inner.dtype, device=torch.device("pretended", 0),
        )  # fmt: skip

    def __init__(self, inner: torch.Tensor):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with Pretend():
            return func(*args, **kwargs or {})

    __torch_function__ = torch._C._disabled_torch_function_impl

    # What torch does below the level at which a tensor may be another class.
    def __reduce_ex__(self, protocol: int) -> Any:  # torch.save
        return self.inner.__reduce_ex__(protocol)

    def tolist(self) -> Any:
        return self.inner.tolist()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("can't convert a tensor of the pretended device to numpy: .cpu() first")

    def __getitem__(self, index: Any) -> torch.Tensor:  # lists become tensors
        places = index if isinstance(index, tuple) else (index,)
        lists = [torch.tensor(i, dtype=torch.int64) if isinstance(i, list) else i for i in places]
        return super().__getitem__(tuple(lists) if isinstance(index, tuple) else lists[0])


class Pretend(TorchDispatchMode):
    """While it is on, every operation looks where its tensors are."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        there = [x for x in tensors if isinstance(x, There)]
        here = [x for x in tensors if not isinstance(x, There) and x.ndim]  # numbers go anywhere
        moves = func in (aten._to_copy.default, aten.copy_.default)
        indexed = func in INDEXING and isinstance(args[0], There)  # by what is on the CPU: allowed
        if indexed:
            here = [x for x in here if x.dtype not in (torch.int64, torch.bool)]
        if there and here and not moves:
            shapes = [[tuple(x.shape) for x in some] for some in (there, here)]
            raise RuntimeError(f"{func}: {shapes[0]} on the pretended device, {shapes[1]} not")
        result_there = isinstance(args[0], There) if func is aten.copy_.default else bool(there)
        if kwargs.get("device") is not None:
            result_there = torch.device(kwargs["device"]).type == "pretended"
            kwargs["device"] = CPU
        known = {id(x.inner): x for x in there}  # what is changed in place stays what it is

        def unwrap(x: Any) -> Any:
            return x.inner if isinstance(x, There) else x

        def wrap(x: Any) -> Any:
            if not isinstance(x, torch.Tensor) or not result_there:
                return x
            return known[id(x)] if id(x) in known else There(x)

        return tree_map(wrap, func(*tree_map(unwrap, args), **tree_map(unwrap, kwargs)))


def pretend() -> None:
    """Make the device known to torch and to the scripts, in this process, for good."""
    backend_registration._setup_privateuseone_for_python_backend("pretended")
    tensor, generator = torch.tensor, torch.Generator

    class Generator(generator):
        def __new__(cls, device: Any = "cpu") -> torch.Generator:
            return generator()

    def make(data: Any, device: Any = None, **kwargs: Any) -> torch.Tensor:
        made = tensor(data, **kwargs)
        return made if device is None else made.to(device)

    torch.tensor, torch.Generator = make, Generator
    from torch.optim import adam, sgd

    for module in (adam, sgd):  # fused=True
        module._get_fused_kernels_supported_devices = lambda: ["cpu", "pretended"]
    common.choose_device = lambda name: torch.device("pretended", 0)
    get, put = common.rng_state, common.set_rng_state
    common.rng_state = lambda device: get(CPU)
    common.set_rng_state = lambda state, device: put(state, CPU)
    Pretend().__enter__()


def stop_and_go_on(main: Callable[[list[str]], None], argv: list[str], after: int) -> None:
    """Stop a run when it writes its checkpoint number `after`, and start it again."""
    save, left = common.save_checkpoint, [after]

    def count(*args: Any) -> None:
        save(*args)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    common.save_checkpoint = count
    try:
        main(argv)
    except KeyboardInterrupt:
        common.save_checkpoint = save
        return main(argv)
    raise AssertionError(f"{argv}: ended before its checkpoint {after}")
