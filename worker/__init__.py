"""The clock door: Celery tasks, each of which opens a session, calls one verb and commits."""
