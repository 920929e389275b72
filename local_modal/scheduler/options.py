"""Options that a caller lays over a definition: `with_options`, `with_concurrency`, `with_batching` of the client."""

import hashlib
from dataclasses import replace

from modal_proto import api_pb2

from local_modal.scheduler.task import VARIANT, Definition


def unserved(options: api_pb2.FunctionOptions) -> list[str]:
    """What of the options containers here can't have, by name."""
    given = {
        "volumes": bool(options.volume_mounts),
        "cloud bucket mounts": bool(options.cloud_bucket_mounts),
        "a GPU": bool(options.resources.gpu_config.gpu_type),
        "mounts": bool(options.mount_ids),
        "a pinned version": options.HasField("pinned_app_version"),
    }
    return [name for name, wanted in given.items() if wanted]


def varied(definition: Definition, data: bytes) -> Definition:
    """The definition with serialised FunctionOptions laid over it; the same one where there are none.

    Placement (`region`, `cloud`) and CPU shares have no effect here, as in a definition.
    """
    if not data:
        return definition
    options = api_pb2.FunctionOptions.FromString(data)
    function = api_pb2.Function()
    function.CopyFrom(definition.function)
    if options.replace_secret_ids:
        function.secret_ids[:] = options.secret_ids
    else:
        function.secret_ids.extend(options.secret_ids)
    if options.HasField("resources"):
        function.resources.MergeFrom(options.resources)
    if options.HasField("retry_policy"):
        function.retry_policy.CopyFrom(options.retry_policy)
    for name in (
        "timeout_secs",
        "max_concurrent_inputs",
        "target_concurrent_inputs",
        "batch_max_size",
        "batch_linger_ms",
    ):
        if options.HasField(name):
            setattr(function, name, getattr(options, name))
    if options.HasField("max_concurrent_inputs") and not options.HasField("target_concurrent_inputs"):
        function.target_concurrent_inputs = 0
    autoscaler = function.autoscaler_settings
    if options.HasField("concurrency_limit"):
        autoscaler.max_containers = options.concurrency_limit
    if options.HasField("warm_pool_size"):
        autoscaler.min_containers = options.warm_pool_size
    if options.HasField("buffer_containers"):
        autoscaler.buffer_containers = options.buffer_containers
    if options.HasField("task_idle_timeout_secs"):
        autoscaler.scaledown_window = options.task_idle_timeout_secs
    variant = f"{definition.definition_id}{VARIANT}{hashlib.sha256(data).hexdigest()}"
    return replace(definition, definition_id=variant, function=function)
