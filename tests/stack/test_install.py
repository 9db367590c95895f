"""What a newcomer installs and what a container runs: the files agree with each other."""

import re
import tomllib
from pathlib import Path

import yaml

from config.settings import Settings


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_pip_installs_the_versions_of_the_lock(project_folder: Path) -> None:
    packages = tomllib.loads((project_folder / "uv.lock").read_text())["package"]
    locked = {(one["name"], one["version"]) for one in packages if "registry" in one["source"]}
    pins = re.findall(r"^([\w.-]+)==([^\s;]+)", (project_folder / "constraints.txt").read_text(), re.MULTILINE)
    assert {(canonical(name), version) for name, version in pins} == locked, "run make lock"


def test_the_lock_names_one_index_and_the_pins_none(project_folder: Path) -> None:
    packages = tomllib.loads((project_folder / "uv.lock").read_text())["package"]
    assert len({one["source"]["registry"] for one in packages if "registry" in one["source"]}) == 1
    assert "://" not in (project_folder / "constraints.txt").read_text()


def test_make_help_lists_every_verb(project_folder: Path) -> None:
    makefile = (project_folder / "Makefile").read_text()
    verbs = set(re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[0].split())
    assert verbs == set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))


def test_compose_runs_the_same_parts_as_the_embedded_stack(project_folder: Path) -> None:
    services = yaml.safe_load((project_folder / "docker-compose.yml").read_text())["services"]
    assert set(services) == {"postgres", "redis", "migrate", "service", "worker", "beat"}
    for name in ("service", "worker", "beat"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_every_word_of_the_example_environment_is_read_by_somebody(project_folder: Path) -> None:
    example = (project_folder / "config" / "example.env").read_text()
    compose = (project_folder / "docker-compose.yml").read_text()
    names = {field.alias or f"PERIMAGE_{name.upper()}" for name, field in Settings.model_fields.items()}
    for word in re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE):
        assert word in names or f"${{{word}" in compose, word
