"""Whatever is sent to the relay: a refusal or a closed connection; no crash, bounded memory, nothing forwarded."""

import asyncio
import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from perimage._lines import framed
from perimage._relay_doors import Times, door_at
from perimage._relay_http import HttpServer, Limits, Reply, Request, Unreadable
from perimage._relay_spool import Held, Outbox

from tests.door import wait_until
from tests.sdk.relay_process import (
    EVENTS,
    FORM,
    LICENCE,
    METER_EVENTS,
    OWN,
    RelayProcess,
    StandIn,
    cloud_event,
    meter_event,
    own_report,
    relaying,
    standing_in,
)


@pytest.fixture(scope="module")
def service() -> Iterator[StandIn]:
    with standing_in() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def relay(service: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with relaying(tmp_path_factory.mktemp("hostile") / "spool", service.address) as running:
        yield running


def ask(relay: RelayProcess, sent: bytes) -> bytes:
    """Sends bytes, and gives back everything until the relay hangs up."""
    with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as connection:
        with suppress(ConnectionError):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        received = b""
        with suppress(ConnectionResetError):
            while data := connection.recv(65536):
                received += data
        return received


def post(path: str, *headers: str, body: bytes = b"", host: str = "Host: localhost") -> bytes:
    lines = [f"POST {path} HTTP/1.1", *([host] if host else []), *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


JSON = "Content-Type: application/json"
WIRE = {
    "nothing": (b"", b""),
    "noise": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n", b"400"),
    "another protocol": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
    "an absolute address": (b"POST http://evil/ HTTP/1.1\r\nHost: a\r\n\r\n", b"400"),
    "no host": (post(LICENCE, host=""), b"400"),
    "two hosts": (post(LICENCE, "Host: 127.0.0.1"), b"400"),
    "a folded header": (post(LICENCE, "X: a", " folded: b"), b"400"),
    "a space before the colon": (post(LICENCE, "Content-Length : 2", body=b"{}"), b"400"),
    "a bare line feed": (b"POST / HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n", b"400"),
    "a NUL": (post(LICENCE, "X: a\0b"), b"400"),
    "a length below zero": (post(LICENCE, "Content-Length: -1"), b"400"),
    "a length with a plus": (post(LICENCE, "Content-Length: +2", body=b"{}"), b"400"),
    "a length that is no number": (post(LICENCE, "Content-Length: 0x2", body=b"{}"), b"400"),
    "a length of letters": (post(LICENCE, "Content-Length: two"), b"400"),
    "an empty length": (post(LICENCE, "Content-Length: "), b"400"),
    "a list of lengths": (post(LICENCE, "Content-Length: 2, 2", body=b"{}"), b"400"),
    "two equal lengths": (post(LICENCE, "Content-Length: 2", "Content-Length: 2", body=b"{}"), b"400"),
    "two lengths": (post(LICENCE, "Content-Length: 2", "Content-Length: 40", body=b"{}"), b"400"),
    "a length of 5,000 digits": (post(LICENCE, "Content-Length: " + "9" * 5000), b"400"),
    "a huge length": (post(LICENCE, "Content-Length: 99999999999"), b"413"),
    "less than was announced": (post(LICENCE, JSON, "Content-Length: 100", body=b"{}"), b""),
    "chunks": (post(LICENCE, JSON, "Transfer-Encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n"), b"411"),
    "chunks of garbage": (post(LICENCE, "Transfer-Encoding: chunked", body=b"zz\r\n" * 99), b"411"),
    "chunks and a length": (
        post(LICENCE, "Transfer-Encoding: chunked", "Content-Length: 4", body=b"0\r\n\r\n" + post(LICENCE)),
        b"411",
    ),
    "chunks in disguise": (post(LICENCE, "Transfer-Encoding: xchunked", "Content-Length: 0"), b"411"),
    "an unknown expectation": (post(LICENCE, "Expect: a-miracle", "Content-Length: 0"), b"417"),
    "a head of 20 KiB": (post(LICENCE, "X: " + "y" * 20_000), b"431"),
    "a hundred headers": (post(LICENCE, *[f"X-{n}: y" for n in range(100)]), b"431"),
    "a path of 20 KiB": (post("/" + "a" * 20_000), b"431"),
    "a body of 10 MiB": (post(OWN, JSON, f"Content-Length: {10 << 20}", body=b"x" * (10 << 20)), b"413"),
    "a method nobody knows": (b"BREW / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", b"405"),
    "an unfinished head": (b"POST / HTTP/1.1\r\nHost: local", b""),
    "a query": (post(LICENCE + "?a=b", "Content-Length: 0"), b"400"),
    "a climb": (post("/v1/licenses/models/../../usage-reports/usage", "Content-Length: 0"), b"404"),
}


@pytest.mark.parametrize(("sent", "status"), WIRE.values(), ids=WIRE)
def test_bytes_that_are_no_clear_request_are_refused(relay: RelayProcess, service: StandIn, sent: bytes, status: bytes):
    before = relay.health()["taken"]
    answer = ask(relay, sent)
    assert answer[9:12] == status, answer
    assert answer.count(b"HTTP/1.1 ") <= 1, "the rest of it was read as a second request"
    assert relay.process.poll() is None and relay.health()["taken"] == before and service.seen == []


DEEP = b"[" * 100_000
BODIES: dict[str, tuple[str, str, bytes, int]] = {
    "own: not JSON": (OWN, JSON, b"{", 400),
    "own: not UTF-8": (OWN, JSON, b'{"a": "\xff"}', 400),
    "own: deep": (OWN, JSON, DEEP, 400),
    "own: NaN": (OWN, JSON, b'{"report_id": "r", "events": [{"event_id": "e", "image_count": NaN}]}', 400),
    "own: 5,000 digits": (OWN, JSON, b'{"report_id": ' + b"9" * 5000 + b"}", 400),
    "own: no events": (OWN, JSON, b'{"report_id": "r", "events": []}', 422),
    "own: too many events": (OWN, JSON, json.dumps(own_report("r", *map(str, range(1001)))).encode(), 422),
    "own: no id": (OWN, JSON, b'{"report_id": "r", "events": [{"model": "m"}]}', 422),
    "own: another type": (OWN, "Content-Type: text/plain", b"{}", 415),
    "own: compressed": (OWN, JSON + "\r\nContent-Encoding: gzip", b"\x1f\x8b", 415),
    "licence: a list": (LICENCE, JSON, b"[]", 422),
    "licence: zero": (LICENCE, JSON, b'{"number_of_generations": 0}', 422),
    "licence: true": (LICENCE, JSON, b'{"number_of_generations": true}', 422),
    "licence: text": (LICENCE, JSON, b'{"number_of_generations": "1"}', 422),
    "licence: 1.0": (LICENCE, JSON, b'{"number_of_generations": 1.0}', 422),
    "licence: a bad key": (LICENCE, JSON + "\r\nIdempotency-Key: " + "k" * 300, b"{}", 400),
    "events: nothing": (EVENTS, JSON, b"[]", 400),
    "events: a number": (EVENTS, JSON, b"[1]", 400),
    "events: no id": (EVENTS, JSON, json.dumps({**cloud_event("c"), "id": ""}).encode(), 400),
    "events: deep": (EVENTS, JSON, DEEP, 400),
    "meter event: no value": (METER_EVENTS, f"Content-Type: {FORM}", b"event_name=sd-1", 400),
    "meter event: twice": (METER_EVENTS, f"Content-Type: {FORM}", f"{meter_event(1)}&{meter_event(2)}".encode(), 400),
    "meter event: fields": (METER_EVENTS, f"Content-Type: {FORM}", b"a=b&" * 10_000, 400),
    "meter event: not a form": (METER_EVENTS, f"Content-Type: {FORM}", b"\xff\xfe", 400),
    "meter event: time": (METER_EVENTS, f"Content-Type: {FORM}", meter_event(1, timestamp="soon").encode(), 400),
}


@pytest.mark.parametrize("sent", BODIES.values(), ids=BODIES)
def test_a_body_without_the_shape_of_its_door_is_refused_in_its_words(
    relay: RelayProcess, service: StandIn, sent: tuple[str, str, bytes, int]
):
    path, headers, body, status = sent
    answer = ask(relay, post(path, headers, f"Content-Length: {len(body)}", body=body))
    said = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert int(answer[9:12]) == status, answer
    word = {LICENCE: said.get("detail"), METER_EVENTS: said.get("error", {}).get("message")}.get(path, said.get("code"))
    assert word and service.seen == []


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads the memory of a process as Linux tells it")
def test_memory_stays_bounded_whatever_is_sent(relay: RelayProcess, service: StandIn):
    def memory() -> int:
        pages = int(Path(f"/proc/{relay.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    before, held = memory(), []
    for _ in range(300):  # more than it has places for; each announces a whole body and sends half of it
        with suppress(OSError):  # refused, and rightly
            connection = socket.create_connection(("127.0.0.1", relay.port), timeout=10)
            connection.settimeout(0.01)
            held.append(connection)
            connection.sendall(post(OWN, JSON, f"Content-Length: {1 << 20}", body=b"x" * (512 << 10)))
    most = memory()
    for connection in held:
        connection.close()
    assert most - before < 64 << 20, f"{(most - before) >> 20} MiB more"
    wait_until(lambda: relay.post(LICENCE).status_code == 200)
    wait_until(lambda: len(service.seen) == 1)
    service.seen.clear()


async def _raw(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with suppress(ConnectionError):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
    try:
        return await reader.read()
    finally:
        writer.close()


def test_slow_clients_are_sent_away_and_hold_nobody_up():
    limits = Limits(idle=0.2, head=0.2, body=0.2, linger=2.5, connections=4)

    async def handle(request: Request) -> Reply:
        return Reply(200, request.body)

    def refuse(error: Unreadable, path: str) -> Reply:
        return Reply(error.status, error.code.encode())

    async def scene() -> None:
        server = HttpServer(handle, refuse, limits)
        _, port = await server.start("127.0.0.1", 0)
        drip = [bytes([byte]) for byte in post("/a", "Content-Length: 2")]
        began = time.monotonic()
        slow_head, slow_body, silent, quick = await asyncio.gather(
            _raw(port, *drip, pause=0.02),
            _raw(port, post("/a", "Content-Length: 100"), *[b"x"] * 20, pause=0.05),
            _raw(port),
            _raw(port, post("/a", "Content-Length: 2", "Connection: close", body=b"ok")),
        )
        assert time.monotonic() - began < 6
        assert slow_head[9:12] == b"408" and slow_body[9:12] == b"408" and silent == b"" and quick.endswith(b"ok")
        waiting = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        await asyncio.sleep(0.05)
        crowded = await _raw(port)
        assert crowded[9:12] == b"503" and crowded.endswith(b"too_many_connections")
        for _, writer in waiting:
            writer.close()
        await server.stop()

    asyncio.run(asyncio.wait_for(scene(), 15))


def test_one_connection_may_ask_often_and_be_asked_to_go_on(relay: RelayProcess):
    with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as connection:
        file = connection.makefile("rb")
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
        for _ in range(3):
            assert file.readline() == b"HTTP/1.1 200 OK\r\n"
            head = iter(file.readline, b"\r\n")
            length = next(int(line.split()[1]) for line in list(head) if line.startswith(b"Content-Length"))
            assert json.loads(file.read(length))["status"] == "ok"
        body = b'{"number_of_generations": 0}'
        connection.sendall(post(LICENCE, JSON, f"Content-Length: {len(body)}", "Expect: 100-continue"))
        assert file.readline() == b"HTTP/1.1 100 Continue\r\n" and file.readline() == b"\r\n"
        connection.sendall(body)
        assert file.readline() == b"HTTP/1.1 422 Unprocessable Entity\r\n"


def test_a_torn_file_gives_back_every_whole_request_and_keeps_damage_for_people(tmp_path: Path):
    from perimage._disk import Disk

    requests = [Held(LICENCE, "application/json", f"k{n}", 1.0, b"\x00\xff" * n) for n in range(5)]
    lines = [each.line() for each in requests]
    torn = tmp_path / "requests-0a.log"
    torn.write_bytes(b"".join(lines)[:-7])
    outbox = Outbox(tmp_path, Disk(), 1 << 20, 0)
    taken = outbox.take()
    assert taken is not None and taken[1] == requests[:4] and not list(tmp_path.glob("damaged*"))
    outbox.forget(taken[0])
    (tmp_path / "requests-0b.log").write_bytes(lines[0] + b"x" + lines[1][1:] + framed(b"{}") + lines[2])
    outbox = Outbox(tmp_path, Disk(), 1 << 20, 0)
    taken = outbox.take()
    assert taken is not None and taken[1] == [requests[0], requests[2]]
    assert next(tmp_path.glob("damaged*")).read_bytes().count(b"\n") == 1


def test_a_disk_that_fails_takes_nothing_and_goes_on_when_it_is_well(tmp_path: Path):
    from perimage._disk import Disk

    class Failing(Disk):
        broken = False

        def sync(self, fd: int) -> None:
            if self.broken:
                raise OSError(5, "broken")
            super().sync(fd)

    disk = Failing()
    outbox = Outbox(tmp_path, disk, 1 << 20, 0)
    first, second, third = (Held(LICENCE, "", str(n), 1.0, b"") for n in range(3))
    outbox.keep([first])
    disk.broken = True
    with pytest.raises(OSError, match="broken"):
        outbox.keep([second])
    disk.broken = False
    outbox.keep([third])
    taken = Outbox(tmp_path, disk, 1 << 20, 0).take()
    assert taken is not None and taken[1] == [first, third], "what was refused is not sent"
    assert outbox.waiting()[0] == 2


def test_the_times_it_remembers_are_bounded():
    times = Times()
    door = door_at(LICENCE)
    assert door is not None
    for number in range(10_050):
        times.of(Request("POST", LICENCE, "", {}, b"%d" % number), "k", float(number))
    assert times.of(Request("POST", LICENCE, "", {}, b"10049"), "k", 1e9) == 10_049.0
    assert times.of(Request("POST", LICENCE, "", {}, b"0"), "k", 1e9) == 1e9
