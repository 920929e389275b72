"""Class parameters of a web endpoint, which come in its query, as on Modal: ``?workspace_id=…``.

What else the query holds is the endpoint's own: it sees all of it.
"""

from modal_proto import api_pb2

from local_modal.errors import LocalModalError

BOOLS = {"true": True, "1": True, "false": False, "0": False}
MAX_INT = 1 << 63
MAX_DIGITS = 20
"""Of a number with its sign (characters)."""
_VALUES = {
    api_pb2.PARAM_TYPE_STRING: "string_value",
    api_pb2.PARAM_TYPE_INT: "int_value",
    api_pb2.PARAM_TYPE_BOOL: "bool_value",
    api_pb2.PARAM_TYPE_BYTES: "bytes_value",
}


def parameters(schema: list[api_pb2.ClassParameterSpec], query: list[tuple[str, str]]) -> bytes:
    """A serialised ClassParameterSet as the client makes it, with the defaults of what isn't given; empty without any.

    Args:
        schema: the class's parameters.
        query: names and values, decoded, in the order of the query.

    Raises:
        LocalModalError: one that is missing, given twice, or no value of its type.
    """
    found = api_pb2.ClassParameterSet()
    for spec in schema:
        given = [value for name, value in query if name == spec.name]
        if len(given) > 1:
            raise LocalModalError(f"class parameter {spec.name} is given twice")
        if not given and not spec.has_default:
            raise LocalModalError(f"class parameter {spec.name} is missing")
        kind = spec.full_type.base_type or spec.type
        field = _VALUES.get(kind)
        if field is None:
            raise LocalModalError(f"class parameter {spec.name} is of a type that no query can carry")
        value = _parsed(spec.name, kind, given[0]) if given else getattr(spec, spec.WhichOneof("default_oneof") or "")
        parameter = found.parameters.add(name=spec.name, type=kind)
        setattr(parameter, field, value)
    return found.SerializeToString(deterministic=True)


def _parsed(name: str, kind: int, text: str) -> object:
    if kind == api_pb2.PARAM_TYPE_STRING:
        return text
    if kind == api_pb2.PARAM_TYPE_BYTES:
        return text.encode()
    if kind == api_pb2.PARAM_TYPE_BOOL and text.lower() in BOOLS:
        return BOOLS[text.lower()]
    if kind == api_pb2.PARAM_TYPE_INT and text.removeprefix("-").isdecimal() and len(text) <= MAX_DIGITS:
        number = int(text)
        if -MAX_INT <= number < MAX_INT:
            return number
    raise LocalModalError(f"class parameter {name} has no value of its type")
