"""The settings that hold in this server process, read from its environment when it starts."""

from modal_app.settings import AppSettings, Limits, ServerSettings, check_environment

check_environment()
APP = AppSettings.from_environment()
LIMITS = Limits.from_environment()
SERVER = ServerSettings.from_environment()
