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
SIGNING_KEY_FILE = "signing.key"


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
    session_idle_minutes: int = Field(default=30, ge=1, description="an unused session of a browser ends after this")
    session_hours: int = Field(default=12, ge=1, description="and every session after this")
    oidc_issuer: str = Field(default="", description="sign in by OpenID Connect: https://accounts.example.com")
    oidc_client_id: str = Field(default="", description="what we are called there")
    oidc_client_secret: str = Field(default="", repr=False, description="and our secret there")
    signing_key: str = Field(default="", repr=False, description="signs receipts: 32 random bytes in base64")
    signing_key_file: Path | None = Field(default=None, description="file that holds the signing key instead")
    max_body_bytes: int = Field(default=1024 * 1024, description="largest body of a usage report")
    max_import_bytes: int = Field(default=2 * 1024**3, description="largest file of usage")
    meter_key: str = Field(default="", repr=False, description="with which `perimage import` reports")
    past_days: int = Field(default=35, description="how old usage may be without a back-fill permission")
    future_minutes: int = Field(default=5, description="how far ahead a licensee's clock may be")
    rollup_seconds: float = Field(default=5.0, description="how often beat asks for a roll-up")
    sweep_seconds: float = Field(default=30.0, description="how often beat looks for work whose lease is over")
    accruals_seconds: float = Field(default=30.0, description="how often beat looks for accruals that are due")
    accrual_minutes: float = Field(default=15.0, description="new usage makes an accrual due again no sooner")
    lease_seconds: int = Field(default=60, description="how long a worker may hold a piece of work")
    grace_days: int | None = Field(
        default=None, ge=0, le=60, description="days after which the clock closes a month where the terms say nothing"
    )
    stripe_api_key: str = Field(default="", repr=False, description="secret key; without it nothing is sent to Stripe")
    stripe_webhook_secret: str = Field(default="", repr=False, description="whsec_..., which signs Stripe's webhooks")
    stripe_api_base: str = Field(default="", description="another address than Stripe's own, for a stand-in")
    stripe_seconds: float = Field(default=5.0, description="how often beat looks for work at Stripe")
    stripe_reconcile_seconds: float = Field(default=86_400.0, description="how often beat compares with Stripe")
    stripe_lease_seconds: int = Field(default=120, description="how long a worker may take for a step at Stripe")
    stripe_calls_a_second: int = Field(default=10, ge=1, description="steps at Stripe a second, by all workers")
    smtp_url: str = Field(default="", repr=False, description="mail server: smtp://user:password@host:587")
    mail_from: str = Field(default="", description="address that notices are sent from; without it no e-mail")
    allow_private_webhooks: bool = Field(
        default=False, description="for tests: webhooks may go to private addresses and to http"
    )
    notices_seconds: float = Field(default=30.0, description="how often beat looks for what must be told")
    notice_days_seconds: float = Field(default=900.0, description="how often beat looks for what the day brings")
    deliveries_seconds: float = Field(default=5.0, description="how often beat looks for notices to deliver")
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
        found = {
            "DATABASE_URL": stack["database_url"],
            "REDIS_URL": stack["redis_url"],
            "service_url": stack["service_url"],
        }
        if (key := Path(data) / SIGNING_KEY_FILE).exists():
            found["signing_key_file"] = key
        return found


_chosen: dict[str, Any] = {}


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return Settings(**_chosen)


def choose(**said: Any) -> None:
    """What a command was told on its own line goes before the environment: `choose(data=Path("/tmp/other"))`."""
    _chosen.update(said)
    settings.cache_clear()
