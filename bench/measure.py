"""Clocks and counters: CPU time and peak memory from /proc, latencies, and the clients that make the load.

The clients share the machine with what they measure, so they do next to nothing: requests are made beforehand, sent
over raw sockets, and answers are only searched for the one string that says that all was well.
"""

import os
import selectors
import socket
import threading
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Load:
    """How a round went."""

    events: int
    seconds: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        return self.events / self.seconds


def cpu_seconds(root: int) -> float:
    """CPU time of a process and of all its children, those that have ended included."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        fields = text[text.rindex(")") + 2 :].split()
        stats[int(path.parent.name)] = int(fields[1]), sum(map(int, fields[11:15]))
    family, grown = {root}, True
    while grown:
        grown = False
        for pid, (parent, _) in stats.items():
            if parent in family and pid not in family:
                family.add(pid)
                grown = True
    return sum(stats[pid][1] for pid in family if pid in stats) / TICKS


def peak_mebibytes(pid: int) -> float:
    """The most memory a process has held at once."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def request(path: str, key: str, body: bytes) -> bytes:
    """A whole request, ready to be sent."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def send_batches(port: int, requests: Sequence[bytes], wanted: bytes, connections: int, batch: int) -> Load:
    """Large requests over a few connections, each with a thread that mostly waits."""
    queue = deque(requests)
    latencies: list[float] = []
    failures: list[bytes] = []

    def work() -> None:
        buffer = bytearray(1 << 20)
        with socket.create_connection(("127.0.0.1", port)) as connection:
            while queue:
                try:
                    message = queue.popleft()
                except IndexError:
                    return
                began = time.perf_counter()
                connection.sendall(message)
                answer = _receive(connection, buffer)
                latencies.append(time.perf_counter() - began)
                if wanted not in answer[:600]:
                    failures.append(answer[:600])

    threads = [threading.Thread(target=work) for _ in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    assert not failures, failures[0]
    assert len(latencies) == len(requests)
    return Load(len(requests) * batch, seconds, latencies)


def _receive(connection: socket.socket, buffer: bytearray) -> bytes:
    size = connection.recv_into(buffer)
    while (end := buffer.find(b"\r\n\r\n", 0, size)) < 0:
        size += connection.recv_into(memoryview(buffer)[size:])
    head = bytes(buffer[:end]).lower()
    whole = end + 4 + int(head.split(b"content-length:")[1].split()[0])
    while size < whole:
        size += connection.recv_into(memoryview(buffer)[size:])
    return bytes(buffer[:whole])


def _is_whole(answer: bytes) -> bool:
    head, found, body = answer.partition(b"\r\n\r\n")
    return bool(found) and len(body) >= int(head.lower().split(b"content-length:")[1].split()[0])


def send_singles(port: int, requests: Sequence[bytes], wanted: bytes, connections: int) -> Load:
    """Small requests over many keep-alive connections, all on one thread."""
    queue = deque(requests)
    latencies: list[float] = []
    selector = selectors.DefaultSelector()
    began = time.perf_counter()
    sent: dict[socket.socket, float] = {}
    came: dict[socket.socket, bytes] = defaultdict(bytes)
    for _ in range(connections):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        sent[connection] = time.perf_counter()
        connection.sendall(queue.popleft())
    while sent:
        for key, _ in selector.select():
            connection = key.fileobj  # type: ignore[assignment]
            answer = came[connection] + connection.recv(65536)
            if not _is_whole(answer):
                came[connection] = answer
                continue
            came[connection] = b""
            now = time.perf_counter()
            latencies.append(now - sent[connection])
            assert wanted in answer, answer
            if queue:
                sent[connection] = now
                connection.sendall(queue.popleft())
            else:
                selector.unregister(connection)
                connection.close()
                del sent[connection]
    return Load(len(requests), time.perf_counter() - began, latencies)
