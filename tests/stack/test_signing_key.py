"""A stack makes its signing key once, for its user alone, and hands its path to its programs."""

import sys
from base64 import b64decode
from pathlib import Path

from stack.environment import Environment
from stack.programs import Program
from stack.signing_key import signing_key_file
from stack.supervisor import Stack


def test_the_key_is_made_once_and_is_its_users_alone(tmp_path: Path) -> None:
    (tmp_path / "signing.new").write_text("left by one that was killed")
    file = signing_key_file(tmp_path)
    made = file.read_bytes()
    assert file == tmp_path / "signing.key" and len(b64decode(made)) == 32
    assert file.stat().st_mode & 0o777 == 0o600
    assert signing_key_file(tmp_path).read_bytes() == made
    assert list(tmp_path.iterdir()) == [file]
    other = tmp_path / "other"
    other.mkdir()
    assert signing_key_file(other).read_bytes() != made


def _told(tmp_path: Path, outside: Environment) -> str:
    """What a program of a stack is told of the key's file."""
    shown = tmp_path / "shown"
    say = (
        f"import os, pathlib; pathlib.Path({str(shown)!r}).write_text(os.environ.get('PERIMAGE_SIGNING_KEY_FILE', ''))"
    )

    def programs(_place: object) -> list[Program]:
        return [Program("say", (sys.executable, "-c", say), once=True)]

    with Stack(tmp_path / "data", programs=programs, outside=outside):
        return shown.read_text()


def test_programs_are_told_where_the_key_is_unless_the_environment_says_otherwise(tmp_path: Path) -> None:
    elsewhere = {"database_url": "postgresql://nowhere", "redis_url": "redis://nowhere", "service_url": ""}
    given = tmp_path / "given.key"
    assert _told(tmp_path, Environment(**elsewhere, signing_key_file=given)) == str(given)
    assert _told(tmp_path, Environment(**elsewhere, signing_key="AAAA")) == ""
    assert not (tmp_path / "data/signing.key").exists()
    assert _told(tmp_path, Environment(**elsewhere)) == str(tmp_path / "data/signing.key")
    assert (tmp_path / "data/signing.key").exists()
