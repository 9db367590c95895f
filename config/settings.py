"""What the environment says. Nothing else in Perimage reads it.

Addresses come from the environment first, then from `stack.json`, which `perimage up` writes into its data folder;
so every command on the same machine finds a running stack without being told.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

STACK_FILE = "stack.json"


class Settings(BaseSettings):
    """One field a setting; `PERIMAGE_` before its name in the environment, except where an alias says otherwise."""

    model_config = SettingsConfigDict(env_prefix="PERIMAGE_", env_ignore_empty=True, populate_by_name=True)

    data: Path = Field(default=Path(".local/perimage"), description="folder of the embedded stack")
    database_url: str = Field(default="", alias="DATABASE_URL", description="PostgreSQL, as postgresql://...")
    database_owner_url: str = Field(
        default="", alias="DATABASE_OWNER_URL", description="who runs migrations; DATABASE_URL when empty"
    )
    redis_url: str = Field(default="", alias="REDIS_URL", description="Redis or Valkey: broker of the Celery tasks")
    service_url: str = Field(default="", description="where this installation answers, for links and for the demo")
    max_body_bytes: int = Field(default=1024 * 1024, description="largest body of a usage report")
    past_days: int = Field(default=35, description="how old usage may be without a back-fill permission")
    future_minutes: int = Field(default=5, description="how far ahead a licensee's clock may be")
    rollup_seconds: float = Field(default=5.0, description="how often beat asks for a roll-up")
    sweep_seconds: float = Field(default=30.0, description="how often beat looks for work whose lease is over")
    lease_seconds: int = Field(default=60, description="how long a worker may hold a piece of work")
    kill_point: str = Field(default="", description="for tests: die at this point (core/kill_points.py)")
    log_format: str = Field(default="text", description="text for people, json for machines")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The caller's own words first, then the environment, then a stack that runs here."""
        return init_settings, env_settings, RunningStack(settings_cls, init_settings, env_settings)


class RunningStack(PydanticBaseSettingsSource):
    """The addresses that `perimage up` left in `stack.json`, for whatever the environment does not say."""

    def __init__(self, settings_cls: type[BaseSettings], *before: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self.before = before

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        data = next((said["data"] for source in self.before if (said := source()).get("data")), ".local/perimage")
        try:
            stack = json.loads((Path(data) / STACK_FILE).read_text())
        except FileNotFoundError:
            return {}
        return {
            "DATABASE_URL": stack["database_url"],
            "REDIS_URL": stack["redis_url"],
            "service_url": stack["service_url"],
        }


_chosen: dict[str, Any] = {}


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings(**_chosen)


def choose(**said: Any) -> None:
    """What a command was told on its own line goes before the environment: `choose(data=Path("/tmp/other"))`."""
    _chosen.update(said)
    settings.cache_clear()
