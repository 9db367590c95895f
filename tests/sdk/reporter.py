"""A platform that can be killed: records images from several threads and says of each what it asked and what it got.

    python -m tests.sdk.reporter URL SPOOL MODE THREADS RECORDS [flush]

Lines go out in one write each, so they are whole however the process ends. They are what the oracle believes.
"""

import os
import sys
import threading

import perimage


def say(line: str) -> None:
    os.write(1, line.encode() + b"\n")


def main() -> None:
    url, spool, mode, threads, records, *then = sys.argv[1:]
    meter = perimage.Meter(
        url, os.environ["REPORTER_KEY"], spool_dir=spool, mode=mode, raise_errors=True, timeout=2.0, flush_interval=0.05
    )

    def work(number: int) -> None:
        for n in range(int(records)):
            images = 1 + (n + number) % 5
            say(f"ask {images}")
            meter.record("sd-1", images, plan=f"plan-{number % 2}", adapters=["grain"] if n % 2 else None)
            say(f"got {images}")

    workers = [threading.Thread(target=work, args=(number,)) for number in range(int(threads))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if then:
        say(f"flushed {meter.flush(30)}")
        meter.close()
        say("closed")
    else:
        sys.stdin.read()


if __name__ == "__main__":
    main()
