"""PyTorch's tensors on the CPU: raw bytes with their type and shape. A gradient's history stays behind."""

import math
from typing import Any

import torch

from modal_app.contract.codec import Decoder, Encoder, Fields, Kind
from modal_app.contract.kinds.arrays import decode_bytes, decode_shape, encode_bytes

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.bool,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.complex64,
        torch.complex128,
    )
}
TENSOR_FIELDS = ("dtype", "shape", "data")


def _encode_tensor(tensor: torch.Tensor, encoder: Encoder) -> Fields:
    name = str(tensor.dtype).removeprefix("torch.")
    if tensor.device.type != "cpu":
        raise encoder.error(f"is a tensor on the device {tensor.device}; return tensor.cpu()")
    if tensor.layout != torch.strided or name not in DTYPES:
        raise encoder.error(f"is a tensor of {name} with the layout {tensor.layout}; return a dense one of numbers")
    encoder.spend(tensor.numel() * tensor.element_size())
    flat = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return {"dtype": name, "shape": list(tensor.shape), "data": encode_bytes(flat.view(torch.uint8).numpy())}


def _decode_tensor(fields: Fields, decoder: Decoder) -> Any:
    dtype = DTYPES.get(decoder.expect(fields["dtype"], str))
    if dtype is None:
        raise decoder.error("is a tensor of a type that is not accepted")
    shape = decode_shape(fields["shape"], decoder)
    data = decode_bytes(fields["data"], decoder)
    if math.prod(shape) * dtype.itemsize != len(data):
        raise decoder.error(f"is a tensor of {len(data):,} bytes, which its shape and type contradict")
    if not data:
        return torch.empty(shape, dtype=dtype)
    raw = torch.frombuffer(data, dtype=torch.uint8)
    if dtype is torch.bool and int(raw.max()) > 1:
        raise decoder.error("is a tensor of bools that are neither true nor false")
    return raw.view(dtype).reshape(shape)


KINDS = (Kind("tensor", (torch.Tensor,), TENSOR_FIELDS, _encode_tensor, _decode_tensor),)
