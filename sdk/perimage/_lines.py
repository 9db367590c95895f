"""Lines with a checksum, and what is left of them after a crash.

A line is the CRC-32 of its payload in eight hexadecimal digits, a space, the payload, and a line feed. Payloads are
JSON, which holds no line feed. A crash leaves a torn last line, which nobody was told is safe; a bad line that good
ones follow is damage, and is kept for people to look at.
"""

from zlib import crc32


def framed(payload: bytes) -> bytes:
    """The payload as a line."""
    return b"%08x %b\n" % (crc32(payload), payload)


def unframed(data: bytes) -> tuple[list[bytes], list[bytes]]:
    """The payloads of all good lines, and the bad lines that good ones follow."""
    good: list[bytes] = []
    bad: list[bytes] = []
    doubtful: list[bytes] = []
    for line in data.split(b"\n"):
        payload = line[9:]
        if line[:9] == b"%08x " % crc32(payload):
            bad += doubtful
            doubtful = []
            good.append(payload)
        elif line:
            doubtful.append(line)
    return good, bad
