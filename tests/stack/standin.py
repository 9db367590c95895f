"""Small programs that stand in for the service and the worker, so that the supervisor is tested without either.

python standin.py serve FD            answers every request with its process id
python standin.py work                forks a process, and both sleep
python standin.py fail WORDS          says so and dies
python standin.py run DATA [servers]  a whole stack of these, as `perimage up` runs the real one
"""

import http.server
import os
import socket
import sys
import time


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())


def serve(descriptor: int) -> None:
    server = http.server.HTTPServer(("", 0), Answer, bind_and_activate=False)
    server.socket = socket.socket(fileno=descriptor)
    server.serve_forever()


def work() -> None:
    os.fork()
    time.sleep(600)


def run(data: str, with_servers: bool) -> int:
    from pathlib import Path

    from rich.console import Console
    from standin_stacks import HERE, NOWHERE, service_and_worker

    from stack.supervisor import Stack
    from stack.terminal import run_at_terminal

    stack = Stack(Path(data), programs=service_and_worker, outside=HERE if with_servers else NOWHERE)
    return run_at_terminal(stack, Console(), quiet=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", descriptor]:
            serve(int(descriptor))
        case ["work"]:
            work()
        case ["fail", words]:
            sys.exit(words)
        case ["run", data, *servers]:
            sys.exit(run(data, bool(servers)))
