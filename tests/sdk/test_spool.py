"""The spool's files: what is left of them after harm, and that numbers and names are used once."""

import json
import zlib
from pathlib import Path

import perimage
import pytest
from perimage._answers import Answer
from perimage._depot import Depot
from perimage._spool import Spool, replay

from tests.sdk.standin import StandIn
from tests.sdk.workroom import SetClock, Workroom


def crashed(room: Workroom) -> None:
    """The process is gone, and with it its lock; the files are as they were."""
    room.spool._lock.give_back()


def journal(room: Workroom) -> Path:
    (path,) = room.spool.folder.glob("journal-*.log")
    return path


@pytest.fixture
def service() -> StandIn:
    return StandIn()


def test_a_line_of_the_journal_can_be_read_by_anybody(tmp_path: Path, service: StandIn):
    room = Workroom(tmp_path, service)
    event_id = room.record(3, ("anima-1", ("grain",), "free", "preview"))
    checksum, _, payload = journal(room).read_bytes().rstrip(b"\n").partition(b" ")
    assert int(checksum, 16) == zlib.crc32(payload)
    assert json.loads(payload) == [event_id, 3, 1_795_000_000_000_000, "anima-1", ["grain"], "free", "preview"]


def test_a_journal_that_was_left_is_sent_with_its_ids(tmp_path: Path, service: StandIn):
    room = Workroom(tmp_path, service)
    ids = {room.record(number, (f"m-{number % 2}", (), "", "image")) for number in range(1, 5)}
    crashed(room)
    Workroom(tmp_path, service).drain()
    assert service.counted.keys() == ids and service.images == 10


@pytest.mark.parametrize("cut", range(2, 60, 7))
def test_a_torn_tail_costs_only_the_line_that_was_never_acknowledged(tmp_path: Path, service: StandIn, cut: int):
    room = Workroom(tmp_path, service)
    room.record(1)
    room.record(2)
    whole = journal(room).read_bytes()
    journal(room).write_bytes(whole + whole.splitlines(keepends=True)[0][:-cut])
    crashed(room)
    risen = Workroom(tmp_path, service)
    risen.drain()
    assert service.images == 3 and risen.spool.damaged == 0


def test_zeros_at_the_end_of_a_journal_are_nothing(tmp_path: Path, service: StandIn):
    room = Workroom(tmp_path, service)
    room.record(1)
    journal(room).write_bytes(journal(room).read_bytes() + bytes(5_000))
    crashed(room)
    Workroom(tmp_path, service).drain()
    assert service.images == 1


def test_damage_in_the_middle_is_kept_and_told_and_costs_no_other_line(
    tmp_path: Path, service: StandIn, caplog: pytest.LogCaptureFixture
):
    room = Workroom(tmp_path, service)
    for images in (1, 2, 4):
        room.record(images)
    lines = journal(room).read_bytes().splitlines(keepends=True)
    journal(room).write_bytes(lines[0] + lines[1].replace(b"anima", b"enigma") + lines[2])
    crashed(room)
    risen = Workroom(tmp_path, service)
    risen.drain()
    assert service.images == 5 and risen.spool.damaged == 1
    (kept,) = risen.spool.folder.glob("damaged-journal-*")
    assert b"enigma" in kept.read_bytes()
    assert "damaged" in caplog.text


def test_a_damaged_report_is_set_aside_and_its_number_is_not_used_again(tmp_path: Path, service: StandIn):
    room = Workroom(tmp_path, service)
    for _ in range(2):
        room.record(1)
        room.spool.seal(force=True)
    path = room.spool.pending()[1].path
    path.write_bytes(path.read_bytes().replace(b"anima", b"enigm"))
    crashed(room)
    risen = Workroom(tmp_path, service)
    assert risen.spool.damaged == 1
    risen.record(4)
    risen.drain()
    assert service.images == 5
    assert {number for _, number in service.sequences()} == {1, 3}
    assert list(risen.spool.folder.glob("damaged-report-*"))


def test_numbers_go_on_over_restarts_and_the_source_stays(tmp_path: Path, service: StandIn):
    for _ in range(4):
        room = Workroom(tmp_path, service)
        room.record(1)
        room.drain()
        room.close()
    assert [number for _, number in service.sequences()] == [1, 2, 3, 4]
    assert len({source for source, _ in service.sequences()}) == 1


def test_another_source_gets_a_spool_of_its_own_and_the_old_one_is_still_sent(tmp_path: Path):
    settings = {"clock": SetClock(), "min_free_bytes": 0}
    depot = Depot.open(tmp_path, shared=False, **settings)
    old = depot.main("host-7")
    old.journal.count(("anima-1", (), "", "image"), 3, 1_795_000_000_000_000, True)
    old.close()
    new = depot.main("host-8")
    assert new.source.startswith("host-8:") and new.frontier() == 1
    (orphan,) = depot.orphans()
    assert orphan.source == old.source and orphan.pending()[0].images == 3
    assert depot.main is not None
    new.close()
    again = depot.main("host-8")
    assert again.source == new.source
    again.close()
    orphan.close()
    depot.close()


def test_a_second_user_of_a_spool_is_refused_with_a_sentence(tmp_path: Path):
    import os

    first = Spool.open(tmp_path)
    with pytest.raises(perimage.SpoolLocked, match=rf"in use by process {os.getpid()}; give this one") as refused:
        Spool.open(tmp_path)
    assert refused.value.pid == os.getpid()
    first.close()
    Spool.open(tmp_path).close()


def test_a_meter_has_its_folder_alone_or_shares_it(tmp_path: Path):
    url = "http://127.0.0.1:9"
    with perimage.Meter(url, "k", spool_dir=tmp_path):
        with pytest.raises(perimage.SpoolLocked, match="shared=True"):
            perimage.Meter(url, "k", spool_dir=tmp_path)
        with pytest.raises(perimage.SpoolLocked, match="spool_dir of its own"):
            perimage.Meter(url, "k", spool_dir=tmp_path, shared=True)
    one = perimage.Meter(url, "k", spool_dir=tmp_path, shared=True)
    other = perimage.Meter(url, "k", spool_dir=tmp_path, shared=True)
    with pytest.raises(perimage.SpoolLocked):
        perimage.Meter(url, "k", spool_dir=tmp_path)
    one.close()
    other.close()
    assert list((tmp_path / "forks").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(perimage.SpoolFailed, match="could not be made"):
        perimage.Meter("http://127.0.0.1:9", "k", spool_dir=tmp_path / "file" / "spool")


def test_the_journal_of_a_segment_that_was_sealed_is_not_sealed_again(tmp_path: Path, service: StandIn):
    room = Workroom(tmp_path, service)
    room.record(5)
    path = journal(room)
    kept = path.read_bytes()
    room.spool.seal(force=True)
    path.write_bytes(kept)  # the removal did not reach the disk
    crashed(room)
    risen = Workroom(tmp_path, service)
    risen.drain()
    assert len(service.reports()) == 1 and service.images == 5


def test_what_is_sealed_is_what_was_flushed(tmp_path: Path, service: StandIn):
    """The report is read from the journal, so it cannot say anything else than the disk does."""
    room = Workroom(tmp_path, service)
    for number in range(50):
        room.record(number + 1, (f"m-{number % 5}", (), "", "image"))
    events, damage = replay(journal(room))
    room.drain()
    assert damage == [] and {each["event_id"]: each for each in events} == service.counted
    assert service.images == 50 * 51 // 2


def test_room_is_given_back_as_reports_are_answered(tmp_path: Path, service: StandIn):
    room = Workroom(tmp_path, service)
    for _ in range(3):
        room.record(1)
        room.spool.seal(force=True)
    room.record(1)
    assert room.spool.room.used == sum(path.stat().st_size for path in room.spool.folder.glob("*-*.*"))
    room.drain()
    assert room.spool.room.used == 0


def test_a_disk_that_is_nearly_full_is_left_alone(tmp_path: Path, service: StandIn):
    room = Workroom(tmp_path, service, min_free_bytes=1 << 60)
    with pytest.raises(perimage.SpoolFull, match="min_free_bytes"):
        room.record(1)
    room.drain()
    room.spool.room.min_free_bytes = 0
    room.record(2)
    room.drain()
    assert service.images == 2 and room.spool.is_empty()


def test_one_report_that_is_never_answered_does_not_keep_windows_from_closing(tmp_path: Path):
    class Choosy(StandIn):
        def report(self, body: bytes) -> Answer:
            return Answer(500, b"") if b"poison" in body else super().report(body)

    service = Choosy()
    room = Workroom(tmp_path, service)
    room.record(1, ("poison", (), "", "image"))
    room.spool.seal(force=True)
    for _ in range(300):
        room.record(1)
        room.clock.move(10)  # type: ignore[attr-defined]
        room.spool.seal()
        room.sender.step()
    assert service.images >= 300 - 2 * 60 // 10 - 1
    assert len(room.spool.pending()) == 1
