"""The kinds of values that a result may hold, a module per family; a new kind is one entry in its module's KINDS.

Importing this imports inference's engine, so it is for the container and for a server that runs the engine already.
"""

from typing import Any

from modal_app.contract.codec import Decoder, Encoder
from modal_app.contract.kinds import arrays, plain, predictions, scalars, tensors, times, workflow
from modal_app.settings import Limits

KINDS = (
    *plain.KINDS,
    *scalars.KINDS,
    *times.KINDS,
    *arrays.KINDS,
    *tensors.KINDS,
    *workflow.KINDS,
    *predictions.KINDS,
)


def encode_value(value: Any, limits: Limits) -> Any:
    """`value` as data.

    Raises:
        ContractError: it holds something that can't be data, or exceeds a limit.
    """
    return Encoder(limits, KINDS).encode(value)


def decode_value(data: Any, limits: Limits) -> Any:
    """The value that `data`, plain values that a container chose, stands for.

    Raises:
        ContractError: `data` isn't what `encode_value` gives, or exceeds a limit.
    """
    return Decoder(limits, KINDS).decode(data)
