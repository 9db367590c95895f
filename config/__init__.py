"""Settings and logging: the only rooms that read the environment."""
