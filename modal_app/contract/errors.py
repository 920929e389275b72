"""What is wrong with something that crosses the border."""


class ContractError(ValueError):
    """A value can't be data, or data isn't what the contract says; the message is one line and says where."""


class ContractVersionError(ContractError):
    """The other side speaks another version of the contract."""
