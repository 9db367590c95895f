"""The power is cut at every single operation of the disk: what was acknowledged is counted, once."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from perimage._errors import MeterError
from perimage._lock import leave_locks

from tests.sdk.power import LEAST, MOST, TORN, PowerCut, PowerDisk
from tests.sdk.standin import StandIn
from tests.sdk.workroom import SetClock, Workroom

CONTENTS = [("anima-1", (), "free", "image"), ("anima-1", ("grain",), "", "preview"), ("wrong", (), "", "image")]


def judge(event: dict) -> tuple[str, str] | None:
    return ("rejected", "invalid_model") if event["model"] == "wrong" else None


class Story:
    """A day in the life of a spool; `asked` and `taken` are what a caller knows of it."""

    def __init__(self, folder: Path, service: StandIn, disk: PowerDisk) -> None:
        self.folder, self.service, self.disk, self.clock = folder, service, disk, SetClock()
        self.asked = self.taken = self.wrong_taken = 0

    def tell(self) -> None:
        room = Workroom(self.folder, self.service, self.disk, self.clock)
        for part in range(2):
            for number in range(4):
                self._record(room, 1 + number, CONTENTS[number % 3])
            self.clock.move(61)
            room.spool.seal()
            self._record(room, 7, CONTENTS[part % 2])
            room.sender.step()
        self.service.faults = ["lost", 500]
        room.drain()
        self._record(room, 9, CONTENTS[0])
        room.spool.close()

    def _record(self, room: Workroom, images: int, content: tuple) -> None:
        self.asked += images * (content[0] != "wrong")
        room.record(images, content)
        self.taken += images * (content[0] != "wrong")
        self.wrong_taken += images * (content[0] == "wrong")

    def go_on(self) -> Workroom:
        """The machine comes up again, and everything that is left is sent."""
        self.service.faults = []
        room = Workroom(self.folder, self.service, PowerDisk(), self.clock)
        room.drain()
        room.spool.close()
        return room


def tell_until_cut(folder: Path, cut_at: int, how: str) -> tuple[Story, StandIn, PowerDisk]:
    service, disk = StandIn(judge), PowerDisk(cut_at)
    story = Story(folder, service, disk)
    try:
        story.tell()
    except PowerCut:
        leave_locks()  # as the end of the process does
        disk.survive(how)
    return story, service, disk


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory where there is one: what the disk keeps is decided by the PowerDisk alone."""
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as made:  # noqa: S108
        yield Path(made)


@pytest.mark.parametrize("how", [LEAST, TORN, MOST])
def test_whatever_was_acknowledged_before_a_power_cut_is_counted_once(folder: Path, how: str):
    _, service, disk = tell_until_cut(folder / "whole", 0, MOST)
    total = disk.operations
    assert service.images > 0 and total > 80
    for cut_at in range(1, total + 1):
        story, service, _ = tell_until_cut(folder / str(cut_at), cut_at, how)
        room = story.go_on()
        where = f"cut at {cut_at} of {total}"
        assert story.taken <= service.images <= story.asked, where
        parked = {each.event_id: each.event["image_count"] for each in room.parked.list()}
        assert sum(parked.values()) >= story.wrong_taken, where
        assert service.images_of("model").keys() <= {"anima-1"}
        numbers = service.sequences()
        assert all(len(reports) == 1 for reports in numbers.values()), where
        assert sorted(number for _, number in numbers) == list(range(1, len(numbers) + 1)), where
        assert len({source for source, _ in numbers}) <= 1


def test_a_record_is_flushed_before_it_returns(tmp_path: Path):
    disk = PowerDisk()
    room = Workroom(tmp_path, StandIn(), disk)
    for number in range(5):
        before = disk.syncs
        room.record(number + 1)
        assert disk.syncs == before + 1


def test_the_same_bytes_are_sent_until_they_are_answered(tmp_path: Path):
    service = StandIn(faults=["lost", "away", 500, "lost", (429, {"retry-after": "3"})])
    room = Workroom(tmp_path, service)
    room.record(5)
    room.drain()
    assert len(service.bodies) == 3 and len(set(service.bodies)) == 1
    assert service.images == 5


def test_the_bytes_are_the_same_after_a_restart(tmp_path: Path):
    service = StandIn(faults=["lost"])
    room = Workroom(tmp_path, service)
    room.record(5)
    room.spool.seal(force=True)
    room.sender.step()
    room.close()
    again = Workroom(tmp_path, service)
    again.drain()
    assert len(service.bodies) == 2 and len(set(service.bodies)) == 1


def test_a_full_spool_refuses_and_keeps_what_it_has(tmp_path: Path):
    service = StandIn()
    room = Workroom(tmp_path, service, max_bytes=2_000)
    taken = 0
    with pytest.raises(MeterError, match="max_spool_bytes"):
        while True:
            room.record(1)
            taken += 1
    assert taken > 5
    room.drain()
    room.record(1)
    room.drain()
    assert service.images == taken + 1
