"""The drop-in for the FLUX reference code's usage tracking: another import, the same call.

PERIMAGE_URL=http://127.0.0.1:8765 PERIMAGE_KEY=pmk_... python flux_reference.py
"""

from perimage.integrations.ambient import ambient_meter
from perimage.integrations.flux import track_usage_via_api  # was: from flux.util import track_usage_via_api

for _ in range(4):
    track_usage_via_api("flux-dev", 1)  # after each saved image, as the reference code does
track_usage_via_api("flux-dev-kontext", 6)

meter = ambient_meter()  # a long-running platform needs neither line: the meter reports by itself
meter.flush(timeout=10)
meter.close()
print("10 images reported")
