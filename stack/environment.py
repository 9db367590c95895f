"""What the environment itself says, without the addresses an earlier run left in `stack.json`."""

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from config.settings import Settings


class Environment(Settings):
    """The settings for whoever is about to start a stack, and must not take an old one for a running one."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The caller's words, then the environment, and nothing else."""
        return init_settings, env_settings
