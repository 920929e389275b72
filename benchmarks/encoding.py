"""What it costs to encode a result in the container and to decode it in the server, without the way between."""

import time

import cbor2
import numpy as np
from roboflow_workflows.execution_engine.entities.base import ImageParentMetadata, WorkflowImageData

from modal_app.contract.kinds import encode_value
from modal_app.contract.response import build_response, decode_response
from modal_app.server import configuration


def milliseconds(rounds: int) -> list[float]:
    """Processor time of each of so many rounds, for an image of 1920x1080 (ms).

    Raises:
        RuntimeError: it came back as another one.
    """
    pixels = np.random.default_rng(1).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    result = {"image": WorkflowImageData(ImageParentMetadata(parent_id="benchmark"), numpy_image=pixels)}
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        answer = build_response(result=encode_value(result, configuration.LIMITS))
        back = decode_response(cbor2.dumps(answer), configuration.LIMITS)
        times.append(1000 * (time.process_time() - begin))
        if not np.array_equal(back.result["image"].numpy_image, pixels):
            raise RuntimeError("the image came back as another one")
    return times
