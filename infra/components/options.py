"""Options that every part gives its resources."""

import pulumi
from pulumi import ResourceOptions


def child(
    parent: pulumi.Resource,
    *,
    protect: bool = False,
    retain: bool | None = None,
    needs: list[pulumi.Resource] | None = None,
) -> ResourceOptions:
    """Of a resource within `parent`.

    Args:
        parent: the component that it is part of.
        protect: whether a deletion is refused: of this one resource, as a parent's protection doesn't reach it.
        retain: whether it stays at Modal when it leaves the stack; as `protect` where it isn't given.
        needs: what must be there before it.
    """
    keep = protect if retain is None else retain
    return ResourceOptions(parent=parent, protect=protect, retain_on_delete=keep, depends_on=needs)
