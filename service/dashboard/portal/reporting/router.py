"""The addresses below /portal/reporting, which take large files."""

from service.dashboard.door import page_router

MAX_BYTES = 256 * 1024**2  # larger ones go by the API or `perimage import`, which go on where they broke off
router = page_router("/portal/reporting", max_bytes=MAX_BYTES)
