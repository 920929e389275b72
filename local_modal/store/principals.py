"""Service users and proxy tokens: credentials of their own, each reaching the environments that it was given."""

import hashlib
import hmac
import secrets
import time
from dataclasses import dataclass

from local_modal.ids import new_id
from local_modal.store.database import Database

SECRET_BYTES = 32
USED_SECONDS = 60.0
"""How exactly the time of a token's last use is known (s)."""


@dataclass(frozen=True)
class Drawn:
    """A new token; its secret is shown this once and kept as a hash."""

    owner_id: str
    token_id: str
    token_secret: str
    expires_at: float = 0.0


@dataclass(frozen=True)
class ServiceUser:
    """One row, without the hash. `expires_at`: s since the epoch, 0 for never."""

    service_user_id: str
    name: str
    token_id: str
    created_at: float
    last_used_at: float
    expires_at: float

    @property
    def expired(self) -> bool:
        """Whether its token has stopped working."""
        return 0 < self.expires_at <= time.time()


@dataclass(frozen=True)
class ProxyToken:
    """One row, without the hash. A token that was ever given environments reaches those only."""

    token_id: str
    name: str
    scoped: int
    created_at: float


class ServiceUsers:
    """A new one has no role anywhere."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, expires_in: float) -> Drawn:
        """Draw its token; sqlite3.IntegrityError where the name is taken. `expires_in`: s, 0 for never."""
        expires_at = time.time() + expires_in if expires_in else 0.0
        drawn = Drawn(new_id("su"), new_id("ak"), "as-" + secrets.token_urlsafe(SECRET_BYTES), expires_at)
        self._database.run(
            "INSERT INTO service_users VALUES (?, ?, ?, ?, ?, 0, ?)",
            *(drawn.owner_id, name, drawn.token_id, _hash(drawn.token_secret), time.time(), expires_at),
        )
        return drawn

    def find(self, *, name: str = "", service_user_id: str = "") -> ServiceUser | None:
        """The service user of that name, or else of that id."""
        wanted = name or service_user_id
        return next((user for user in self.all() if wanted in {user.name if name else user.service_user_id}), None)

    def all(self) -> list[ServiceUser]:
        """By age."""
        columns = ", ".join(ServiceUser.__dataclass_fields__)
        rows = self._database.all(f"SELECT {columns} FROM service_users ORDER BY created_at")  # noqa: S608 - our own
        return [ServiceUser(**dict(row)) for row in rows]

    def authenticate(self, token_id: str, token_secret: str) -> ServiceUser | None:
        """The service user whose token that is, unless it is wrong or has expired."""
        row = self._database.one("SELECT * FROM service_users WHERE token_id = ?", token_id)
        if row is None or not hmac.compare_digest(row["secret_hash"], _hash(token_secret)):
            return None
        values = dict(row)
        del values["secret_hash"]
        user = ServiceUser(**values)
        if user.expired:
            return None
        if time.time() - user.last_used_at > USED_SECONDS:
            self._database.run(
                "UPDATE service_users SET last_used_at = ? WHERE token_id = ?", time.time(), user.token_id
            )
        return user

    def delete(self, service_user_id: str) -> None:
        """Delete it; its token stops working at once."""
        with self._database.transaction():
            self._database.run("DELETE FROM roles WHERE service_user_id = ?", service_user_id)
            self._database.run("DELETE FROM service_users WHERE service_user_id = ?", service_user_id)

    def set_role(self, service_user_id: str, environment_id: str, role: str) -> None:
        """Give a role in an environment; an empty one takes it away."""
        with self._database.transaction():
            self._database.run(
                "DELETE FROM roles WHERE service_user_id = ? AND environment_id = ?", service_user_id, environment_id
            )
            if role:
                self._database.run("INSERT INTO roles VALUES (?, ?, ?)", service_user_id, environment_id, role)

    def roles(self, service_user_id: str) -> dict[str, str]:
        """Environment id → role."""
        rows = self._database.all("SELECT * FROM roles WHERE service_user_id = ?", service_user_id)
        return {row["environment_id"]: row["role"] for row in rows}


class ProxyTokens:
    """What web endpoints are called with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, *, scoped: bool) -> Drawn:
        """Draw a token."""
        token_id = new_id("wk")
        drawn = Drawn(token_id, token_id, "ws-" + secrets.token_urlsafe(SECRET_BYTES))
        self._database.run(
            "INSERT INTO proxy_tokens VALUES (?, ?, ?, ?, ?)",
            *(token_id, name, _hash(drawn.token_secret), int(scoped), time.time()),
        )
        return drawn

    def get(self, token_id: str) -> ProxyToken | None:
        """The token of that id."""
        return next((token for token in self.all() if token.token_id == token_id), None)

    def all(self) -> list[ProxyToken]:
        """By age."""
        rows = self._database.all("SELECT token_id, name, scoped, created_at FROM proxy_tokens ORDER BY created_at")
        return [ProxyToken(**dict(row)) for row in rows]

    def of_environment(self, environment_id: str) -> list[ProxyToken]:
        """Those that were given the environment."""
        rows = self._database.all(
            "SELECT token_id FROM proxy_token_environments WHERE environment_id = ?", environment_id
        )
        given = {row["token_id"] for row in rows}
        return [token for token in self.all() if token.token_id in given]

    def environments(self, token_id: str) -> list[str]:
        """Ids of the environments that it was given."""
        rows = self._database.all("SELECT environment_id FROM proxy_token_environments WHERE token_id = ?", token_id)
        return [row["environment_id"] for row in rows]

    def rename(self, token_id: str, name: str) -> None:
        """Change its name."""
        self._database.run("UPDATE proxy_tokens SET name = ? WHERE token_id = ?", name, token_id)

    def allow(self, token_id: str, environment_id: str) -> None:
        """Give it an environment; from then on it reaches none that it wasn't given."""
        with self._database.transaction():
            self._database.run("UPDATE proxy_tokens SET scoped = 1 WHERE token_id = ?", token_id)
            self._database.run("INSERT OR IGNORE INTO proxy_token_environments VALUES (?, ?)", token_id, environment_id)

    def revoke(self, token_id: str, environment_id: str) -> None:
        """Take an environment away."""
        self._database.run(
            "DELETE FROM proxy_token_environments WHERE token_id = ? AND environment_id = ?", token_id, environment_id
        )

    def delete(self, token_id: str) -> None:
        """Delete it; it stops working at once."""
        with self._database.transaction():
            self._database.run("DELETE FROM proxy_token_environments WHERE token_id = ?", token_id)
            self._database.run("DELETE FROM proxy_tokens WHERE token_id = ?", token_id)

    def accepts(self, token_id: str, token_secret: str, environment_id: str) -> bool:
        """Whether the pair opens web endpoints of an environment."""
        row = self._database.one("SELECT * FROM proxy_tokens WHERE token_id = ?", token_id)
        if row is None or not hmac.compare_digest(row["secret_hash"], _hash(token_secret)):
            return False
        return not row["scoped"] or environment_id in self.environments(token_id)


def _hash(secret: str) -> str:
    """A plain hash is enough for a secret of 256 random bits."""
    return hashlib.sha256(secret.encode()).hexdigest()
