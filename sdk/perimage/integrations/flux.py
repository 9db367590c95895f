"""A drop-in for `track_usage_via_api` of the FLUX reference code: same name, same arguments, another import.

    from perimage.integrations.flux import track_usage_via_api

The original posts to the network after each saved image, waits for the answer, and has no id: a failure raises into
the generation, and a retry counts twice. This one hands the images to the process's meter, which keeps them on disk
until the service has answered for them. Address and key come from PERIMAGE_URL and PERIMAGE_KEY; a relay will do.
"""

from perimage.integrations.ambient import ambient_meter

# What the reference code calls its checkpoints, and the models they are licensed as.
SLUGS = {
    "flux-dev": "flux-1-dev",
    "flux-dev-krea": "flux-1-krea-dev",
    "flux-dev-kontext": "flux-1-kontext-dev",
    "flux-dev-fill": "flux-tools",
    "flux-dev-depth": "flux-tools",
    "flux-dev-canny": "flux-tools",
    "flux-dev-canny-lora": "flux-tools",
    "flux-dev-depth-lora": "flux-tools",
    "flux-dev-redux": "flux-tools",
    "flux.2-dev": "flux-2-dev",
}


def track_usage_via_api(name: str, n: int = 1) -> None:
    """Counts `n` images made with the checkpoint `name`.

    A name that is not in the table is reported as it is, instead of being skipped: a model that owes nothing is
    counted as well, and a name that the service does not know waits there for one who does.
    Raises only if PERIMAGE_URL or PERIMAGE_KEY is missing.
    """
    ambient_meter().record(SLUGS.get(name, name), images=n)
