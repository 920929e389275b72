"""Who may call what: the whole policy, in three tables. What stands in none of them is refused."""

RESTRICTED_CONTAINER = frozenset(
    {
        "ClientHello",
        "ContainerHello",
        "ContainerHeartbeat",
        "ContainerCheckpoint",
        "FunctionGetInputs",
        "FunctionPutOutputs",
        "TaskResult",
    }
)
"""A container of a function with `restrict_modal_access=True`: its own life and its own input, nothing else."""

CONTAINER = RESTRICTED_CONTAINER | frozenset(
    {
        "AppGetByDeploymentName",
        "ClassGet",
        "EnvironmentGetOrCreate",
        "FunctionBindParams",
        "FunctionCallCancel",
        "FunctionCallFromId",
        "FunctionFinishInputs",
        "FunctionGet",
        "FunctionGetOutputs",
        "FunctionMap",
        "FunctionPutInputs",
        "FunctionRetryInputs",
    }
)
"""Any other container may also call deployed functions, as on Modal."""

CONTAINER_ONLY = RESTRICTED_CONTAINER - {"ClientHello"}
"""No account may call these: they mean the container whose socket they come from."""
