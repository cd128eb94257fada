"""A client of etcd's JSON gateway, by hand: `as_web1.put("stead/1/host/web1", "x")` gives the status and what was said."""
import base64
import json

from fleet import Connection, Hub


def b64(text: str | bytes) -> str:
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


def text_of(word: str) -> str:
    return base64.b64decode(word).decode()


def end_of(prefix: str) -> str:
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else "\0"


class Stream:
    """A watch."""

    def __init__(self, connection: Connection):
        self.connection, self.text = connection, b""

    def _chunk(self) -> bool:
        heard = self.connection
        size = heard.until(b"\r\n").strip()
        if not size or size == b"0":
            return False
        length = int(size, 16)
        while len(heard.heard) < length + 2:
            if not heard._more():
                return False
        self.text += heard.heard[:length]
        heard.heard = heard.heard[length + 2 :]
        return True

    def next(self) -> dict | None:
        """The next message, heartbeats left out; None: the stream ended."""
        while True:
            line, found, rest = self.text.partition(b"\n")
            if found:
                self.text = rest
                if line:
                    return json.loads(line)["result"]
            elif not self._chunk():
                return None

    def close(self):
        self.connection.close()


class Gateway:
    """Asks hub with a certificate and key, or as the admin; one connection for all but watches."""

    def __init__(self, hub: Hub, *certificate):
        self.hub, self.certificate, self.connection = hub, certificate, None

    def request(self, path: str, body: dict | bytes) -> bytes:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"POST /v3/{path} HTTP/1.1", "Host: hub", f"Content-Length: {len(text)}", "Content-Type: application/json"]
        if not self.certificate:
            lines.append(f"Authorization: Bearer {self.hub.token}")
        return "\r\n".join([*lines, "", ""]).encode() + text

    def ask(self, path: str, body: dict | bytes) -> tuple[int, dict]:
        if not self.connection:
            self.connection = self.hub.connect(*self.certificate)
        self.connection.send(self.request(path, body))
        answer = self.connection.answer()
        assert answer is not None, "the hub ended the connection"
        return answer.status, answer.json

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def range(self, key: str, prefix: bool = False, **more):
        return self.ask("kv/range", {"key": b64(key), **({"range_end": b64(end_of(key))} if prefix else {}), **more})

    def get(self, key: str) -> str | None:
        status, found = self.range(key)
        assert status == 200, found
        return text_of(found["kvs"][0].get("value", "")) if found.get("kvs") else None

    def put(self, key: str, value: str = "x", lease: int = 0):
        return self.ask("kv/put", {"key": b64(key), "value": b64(value), "lease": str(lease)})

    def delete(self, key: str, prefix: bool = False):
        return self.ask("kv/deleterange", {"key": b64(key), **({"range_end": b64(end_of(key))} if prefix else {})})

    def txn(self, compare=(), success=(), failure=()):
        return self.ask("kv/txn", {"compare": list(compare), "success": list(success), "failure": list(failure)})

    def grant(self, ttl: int = 60) -> int:
        status, granted = self.ask("lease/grant", {"TTL": str(ttl)})
        assert status == 200, granted
        return int(granted["ID"])

    def watch(self, key: str, prefix: bool = False, start: int = 0) -> tuple[int, Stream | dict]:
        connection = self.hub.connect(*self.certificate)
        create = {"key": b64(key), "start_revision": str(start), **({"range_end": b64(end_of(key))} if prefix else {})}
        connection.send(self.request("watch", {"create_request": create}))
        head = connection.until(b"\r\n\r\n").decode()
        status = int(head.split()[1])
        if status == 200:
            return status, Stream(connection)
        length = int(next(line for line in head.lower().splitlines() if line.startswith("content-length")).split()[1])
        while len(connection.heard) < length and connection._more():
            pass
        connection.close()
        return status, json.loads(connection.heard[:length])


def put(key: str, value: str = "x", lease: int = 0) -> dict:
    return {"request_put": {"key": b64(key), "value": b64(value), "lease": str(lease)}}


def delete(key: str) -> dict:
    return {"request_delete_range": {"key": b64(key)}}


def get(key: str) -> dict:
    return {"request_range": {"key": b64(key)}}


def revision_is(key: str, revision: int) -> dict:
    return {"key": b64(key), "target": "MOD", "result": "EQUAL", "mod_revision": str(revision)}


def value_is(key: str, value: str) -> dict:
    return {"key": b64(key), "target": "VALUE", "result": "EQUAL", "value": b64(value)}
