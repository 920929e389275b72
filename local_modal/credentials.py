"""Who may use this control plane, and how: a token drawn at install, in a file that only its owner reads."""

import base64
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from local_modal.errors import LocalModalError
from local_modal.ids import new_id

FILE_NAME = "credentials.json"
KEY_BYTES = 32
"""Of a Fernet key, which is kept in base64."""


@dataclass(frozen=True)
class Credentials:
    """The account's token, and the key under which secrets lie in the store."""

    token_id: str
    token_secret: str
    store_key: str

    @classmethod
    def load(cls, home: Path) -> "Credentials":
        """Read the credentials of `home`, drawing them at the first use.

        Raises:
            LocalModalError: when the file can't be read as credentials.
        """
        path = home / FILE_NAME
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return cls._draw(path)
        except (ValueError, TypeError, OSError) as error:
            raise LocalModalError(f"{path} can't be read ({error}); `local-modal reset` starts anew.") from error

    @classmethod
    def _draw(cls, path: Path) -> "Credentials":
        drawn = cls(new_id("ak"), new_id("as"), base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode())
        temporary = path.with_name(f".{FILE_NAME}.{secrets.token_hex(8)}")
        with open(temporary, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            json.dump(drawn.__dict__, file)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return cls.load(path.parent)
        finally:
            temporary.unlink()
        return drawn

    def client_variables(self, url: str, environment: str) -> dict[str, str]:
        """The variables that connect a modal client.

        A proxy that this machine reaches the internet by is not on the way to `url`. The client goes through it all the
        same, in part whatever NO_PROXY says, unless it is told not to (modal/_utils/proxy_support.py).
        """
        return {
            "MODAL_SERVER_URL": url,
            "MODAL_TOKEN_ID": self.token_id,
            "MODAL_TOKEN_SECRET": self.token_secret,
            "MODAL_ENVIRONMENT": environment,
            "MODAL_DISABLE_API_PROXY": "1",
        }

    def accepts(self, token_id: str, token_secret: str) -> bool:
        """Compare in constant time."""
        same_id = hmac.compare_digest(token_id.encode(), self.token_id.encode())
        same_secret = hmac.compare_digest(token_secret.encode(), self.token_secret.encode())
        return same_id and same_secret
