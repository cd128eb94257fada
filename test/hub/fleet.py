"""Drives real hubs: `with Hub(directory) as hub: hub.get("/v1/hosts")`, `hub.join("web1")`."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import time

from scratch import PATIENCE, STEAD, eventually, free_ports


class Answer:
    def __init__(self, status: int, headers: dict, body: bytes):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:500]!r}"


class Connection:
    """HTTP by hand, so that it can be wrong."""

    def __init__(self, port: int, context: ssl.SSLContext | None):
        plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1") if context else plain
        self.heard = b""

    def send(self, data: bytes):
        self.socket.sendall(data)

    def _more(self) -> bool:
        data = self.socket.recv(65536)
        self.heard += data
        return bool(data)

    def until(self, mark: bytes) -> bytes:
        """What came up to mark, which stays consumed; or all there was at the end."""
        while mark not in self.heard and self._more():
            pass
        before, found, self.heard = self.heard.partition(mark)
        return before + found

    def answer(self) -> Answer | None:
        """None: the connection ended without one."""
        head = self.until(b"\r\n\r\n").decode("latin-1")
        if not head:
            return None
        lines = head.split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        length = int(headers.get("content-length", 0))
        while len(self.heard) < length and self._more():
            pass
        body, self.heard = self.heard[:length], self.heard[length:]
        return Answer(int(lines[0].split()[1]), headers, body)

    def ended(self) -> bool:
        """Waits for the end, reading."""
        with contextlib.suppress(OSError):
            while self._more():
                pass
        return True

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Hub:
    def __init__(self, data: pathlib.Path, *options: str, environment: dict | None = None, inside: tuple = (),
                 address: str = "127.0.0.1"):
        """inside: words before each command, such as what enters a network namespace, where it listens on address."""
        self.data, self.options, self.environment = data, options, environment or {}
        self.inside, self.address = inside, address
        self.process = None
        self.port = free_ports(1)[0]  # also when it is started again

    def start(self):
        self.process = subprocess.Popen(
            [*self.inside, STEAD, "hub", "--data", self.data, "--listen", f"{self.address}:{self.port}", "--json", *self.options],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, **self.environment))
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        self.started = json.loads(line)
        self.url = self.started["url"]
        self.port = int(self.url.rsplit(":", 1)[1])
        return self

    def stop(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(PATIENCE)
        if self.process:
            self.process.stdout.close()
            self.process.stderr.close()
        self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def token(self) -> str:
        return (self.data / "admin-token").read_text().strip()

    def context(self, *certificate: pathlib.Path) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.data / "ca.pem"))
        if certificate:
            context.load_cert_chain(*map(str, certificate))
        return context

    def connect(self, *certificate: pathlib.Path) -> Connection:
        return Connection(self.port, self.context(*certificate))

    def ask(self, method: str, path: str, body=None, token: str | None = "", certificate=(), headers=()) -> Answer:
        """token "": the admin's; None: none."""
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: hub", "Connection: close", f"Content-Length: {len(text)}", *headers]
        if body is not None and not isinstance(body, bytes):
            lines.append("Content-Type: application/json")
        if token is not None and not certificate:
            lines.append(f"Authorization: Bearer {token or self.token}")
        with self.connect(*certificate) as connection:
            connection.send("\r\n".join([*lines, "", ""]).encode() + text)
            return connection.answer()

    def get(self, path: str, **options) -> Answer:
        return self.ask("GET", path, **options)

    def stead(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([*self.inside, STEAD, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)

    def join(self, host: str, directory: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
        """The certificate and key of a new member."""
        call = self.stead("token", "new", "--host", host, "--data", str(self.data))
        assert call.returncode == 0, call.stderr
        done = self.stead(*call.stdout.split()[1:], "--state", str(directory))
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"joined as {host}, certificate until ")
        return directory / "hub/certificate.pem", directory / "hub/key.pem"

    def listen(self, *certificate: pathlib.Path, after: str | None = None) -> Connection:
        connection = self.connect(*certificate)
        who = "" if certificate else f"Authorization: Bearer {self.token}\r\n"
        resume = f"Last-Event-ID: {after}\r\n" if after else ""
        connection.send(f"GET /v1/events HTTP/1.1\r\nHost: hub\r\n{who}{resume}\r\n".encode())
        assert b"text/event-stream" in connection.until(b"\r\n\r\n")
        assert b"event: hello" in connection.until(b"data: {}\n\n")
        return connection


def next_event(connection: Connection) -> dict:
    """{"id", "event", "data"} of the next one."""
    while True:
        text = connection.until(b"\n\n").decode()
        assert text, "the stream ended"
        fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        if "data" in fields:
            return {"id": fields.get("id"), "event": fields["event"], "data": json.loads(fields["data"])}


__all__ = ["Hub", "Connection", "Answer", "next_event", "eventually", "time"]
