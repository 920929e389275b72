"""Who may call what: the whole policy, in tables. What stands in none of them is refused.

An account is the workspace's owner, or a service user with a role in some environments. The owner may call everything
but what containers say of themselves. For a service user each RPC needs a level: `ANY` none, `OWN` a contributor's role
somewhere (content-addressed uploads belong to no environment), `VIEWER` and `CONTRIBUTOR` that role in the environment
that the call is about; `OWNER` is the owner's alone.
"""

from enum import IntEnum


class Level(IntEnum):
    """What an RPC needs of an account."""

    ANY = 0
    OWN = 1
    VIEWER = 2
    CONTRIBUTOR = 3
    OWNER = 4


ROLES = {"no-access": Level.ANY, "viewer": Level.VIEWER, "contributor": Level.CONTRIBUTOR}
"""The roles that Modal's client knows, and the highest level that each gives in its environment."""

RESTRICTED_CONTAINER = frozenset(
    {
        "ClientHello",
        "ContainerHello",
        "ContainerHeartbeat",
        "ContainerCheckpoint",
        "FunctionCallGetDataIn",
        "FunctionCallPutDataOut",
        "FunctionGetDynamicConcurrency",
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
        "FunctionCallGetDataOut",
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

ACCOUNT: dict[str, Level] = {
    "AppClientDisconnect": Level.CONTRIBUTOR,
    "AppCountLogs": Level.VIEWER,
    "AppCreate": Level.CONTRIBUTOR,
    "AppDeploymentHistory": Level.VIEWER,
    "AppFetchLogs": Level.VIEWER,
    "AppGetByDeploymentName": Level.VIEWER,
    "AppGetLayout": Level.VIEWER,
    "AppGetLifecycle": Level.VIEWER,
    "AppGetLogs": Level.VIEWER,
    "AppGetOrCreate": Level.CONTRIBUTOR,
    "AppHeartbeat": Level.CONTRIBUTOR,
    "AppList": Level.VIEWER,
    "AppPublish": Level.CONTRIBUTOR,
    "AppRollback": Level.CONTRIBUTOR,
    "AppRollover": Level.CONTRIBUTOR,
    "AppStop": Level.CONTRIBUTOR,
    "BlobCreate": Level.OWN,
    "BlobGet": Level.OWN,
    "ClassCreate": Level.CONTRIBUTOR,
    "ClassGet": Level.VIEWER,
    "ClientHello": Level.ANY,
    "ContainerStop": Level.CONTRIBUTOR,
    "EnvironmentCreate": Level.OWNER,
    "EnvironmentDelete": Level.OWNER,
    "EnvironmentGetOrCreate": Level.VIEWER,
    "EnvironmentGetRoles": Level.OWNER,
    "EnvironmentList": Level.ANY,
    "EnvironmentRoleSet": Level.OWNER,
    "EnvironmentUpdate": Level.OWNER,
    "FunctionBindParams": Level.CONTRIBUTOR,
    "FunctionCallCancel": Level.CONTRIBUTOR,
    "FunctionCallFromId": Level.CONTRIBUTOR,
    "FunctionCallGetDataOut": Level.CONTRIBUTOR,
    "FunctionCreate": Level.CONTRIBUTOR,
    "FunctionFinishInputs": Level.CONTRIBUTOR,
    "FunctionGet": Level.VIEWER,
    "FunctionGetCurrentStats": Level.VIEWER,
    "FunctionGetOutputs": Level.CONTRIBUTOR,
    "FunctionGetSchedulingParams": Level.VIEWER,
    "FunctionMap": Level.CONTRIBUTOR,
    "FunctionPrecreate": Level.CONTRIBUTOR,
    "FunctionPutInputs": Level.CONTRIBUTOR,
    "FunctionRetryInputs": Level.CONTRIBUTOR,
    "FunctionUpdateSchedulingParams": Level.CONTRIBUTOR,
    "ImageFromId": Level.OWN,
    "ImageGetByTag": Level.VIEWER,
    "ImageGetOrCreate": Level.CONTRIBUTOR,
    "ImageJoinStreaming": Level.OWN,
    "ImageNameDelete": Level.CONTRIBUTOR,
    "ImagePublish": Level.CONTRIBUTOR,
    "MountBatchedCheckExistence": Level.OWN,
    "MountGetOrCreate": Level.OWN,
    "MountPutFile": Level.OWN,
    "SecretDelete": Level.CONTRIBUTOR,
    "SecretGetInfo": Level.VIEWER,
    "SecretGetOrCreate": Level.CONTRIBUTOR,
    "SecretList": Level.VIEWER,
    "SecretUpdate": Level.CONTRIBUTOR,
    "ServiceUserCreate": Level.OWNER,
    "ServiceUserDelete": Level.OWNER,
    "ServiceUserInfo": Level.OWNER,
    "ServiceUserList": Level.OWNER,
    "TaskGetInfo": Level.VIEWER,
    "TaskList": Level.VIEWER,
    "TokenInfoGet": Level.ANY,
    "WebhookTokenCreate": Level.OWNER,
    "WebhookTokenDelete": Level.OWNER,
    "WebhookTokenEnvironmentAdd": Level.OWNER,
    "WebhookTokenEnvironmentList": Level.OWNER,
    "WebhookTokenEnvironmentRemove": Level.OWNER,
    "WebhookTokenList": Level.OWNER,
    "WebhookTokenListForEnvironment": Level.OWNER,
    "WebhookTokenUpdate": Level.OWNER,
    "WorkspaceNameLookup": Level.ANY,
}
