"""The machine room: PostgreSQL, Valkey, service, worker and beat under one supervisor on a bare machine."""
