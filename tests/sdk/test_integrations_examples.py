"""Every example runs as it stands against a real service, and exactly the images it says are counted."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.door import Door, free_port, open_trade, serving, settings_for, wait_until

EXAMPLES = Path(__file__).resolve().parents[2] / "sdk" / "examples"
IMAGES = 10  # in each
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "asgi_application")


def environment(door: Door, spool: Path) -> dict[str, str]:
    told = {"PERIMAGE_URL": door.address, "PERIMAGE_KEY": door.keys["north"], "PERIMAGE_SPOOL_DIR": str(spool)}
    return {**os.environ, **told, "MODEL": "sd-1"}


def counted(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        query = "SELECT model, sum(image_count)::int FROM usage_events GROUP BY model"
        return dict(connection.execute(query).fetchall())


def test_every_example_counts_what_it_says(database_url: str, tmp_path: Path):
    with serving(settings_for(database_url), open_trade(database_url)) as door:
        running = {
            name: subprocess.Popen(
                [sys.executable, EXAMPLES / f"{name}.py"],
                env={**environment(door, tmp_path / name), "MODEL": name},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for name in SCRIPTS
        }
        for process in running.values():
            said, _ = process.communicate(timeout=60)
            assert process.returncode == 0 and f"{IMAGES} images reported" in said, said
        flux = {"flux-1-dev": 4, "flux-1-kontext-dev": 6}
        assert counted(database_url) == {**{name: IMAGES for name in SCRIPTS if name != "flux_reference"}, **flux}


def test_the_asgi_example_counts_answers_that_succeeded(database_url: str, tmp_path: Path):
    with serving(settings_for(database_url), open_trade(database_url)) as door:
        port = free_port()
        command = [sys.executable, "-m", "uvicorn", "asgi_application:app", "--port", str(port), "--log-level", "error"]
        platform = subprocess.Popen(command, cwd=EXAMPLES, env=environment(door, tmp_path / "spool"))
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
                wait_until(lambda: _answers(client))
                response = client.get("/header")
                assert response.status_code == 200 and "perimage-images" not in response.headers
                assert client.get("/call").status_code == 200
                assert client.get("/failing").status_code == 503
        finally:
            platform.terminate()
            platform.wait(20)
        assert counted(database_url) == {"sd-1": IMAGES}


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/nowhere").status_code == 404
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("seconds", [0, pytest.param(0.4, marks=pytest.mark.slow)])
def test_killing_a_platform_with_the_flux_drop_in_neither_loses_nor_doubles(
    database_url: str, tmp_path: Path, seconds: float
):
    """The process dies by SIGKILL after so many images; the next one reports what it left, and nothing twice."""
    program = (
        "import os, signal, time\n"
        "from perimage.integrations.flux import track_usage_via_api\n"
        "for _ in range(7): track_usage_via_api('flux-dev', 3)\n"
        f"time.sleep({seconds})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    then = (
        "from perimage.integrations.ambient import ambient_meter\n"
        "from perimage.integrations.flux import track_usage_via_api\n"
        "track_usage_via_api('flux-dev', 1)\n"
        "assert ambient_meter().flush(20)\n"
    )
    with serving(settings_for(database_url), open_trade(database_url)) as door:
        told = environment(door, tmp_path / "spool")
        assert subprocess.run([sys.executable, "-c", program], env=told, timeout=60, check=False).returncode == -9
        subprocess.run([sys.executable, "-c", then], env=told, timeout=60, check=True)
        wait_until(lambda: counted(database_url) == {"flux-1-dev": 22})
