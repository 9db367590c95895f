"""Brings a database to the newest schema, or says how far it is behind."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine


def alembic_config(owner_url: str = "") -> Config:
    """Alembic's settings; the address travels as an attribute, since a password may hold a percent sign."""
    config = Config(attributes={"owner_url": owner_url})
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(year)d_%%(month).2d_%%(day).2d_%%(slug)s")
    return config


def upgrade(owner_url: str) -> None:
    """Runs every migration the database has not seen yet, as the owner of the tables."""
    command.upgrade(alembic_config(owner_url), "head")


def pending(engine: Engine) -> bool:
    """Whether the database's schema is not the newest one."""
    newest = ScriptDirectory.from_config(alembic_config()).get_heads()
    with engine.connect() as connection:
        return set(MigrationContext.configure(connection).get_current_heads()) != set(newest)
