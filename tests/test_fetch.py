"""Fetch weights from a local server that drops connections, ignores ranges, or changes or replaces its file."""

import hashlib
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from adapterkit.download import fetch
from adapterkit.weights import checked_sha256
from mtbench.errors import MtbenchError, UsageError
from musicldm import fetch as module

FILE = bytes(range(256)) * 4000  # 1,024,000 bytes
CUT = 300_000  # bytes sent before the connection is dropped
AT_ONCE = (0, 0)  # two retries without a pause


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def serving(**behaviour):
    """Run a server with a single file.

    content, etag, modified: properties of the file. cuts: numbers of bytes after which the first responses end.
    ranges: whether range requests are supported. status: if not 200, every response is this error. The server counts
    the bytes it has `sent`, and `asked` lists the headers of all requests.
    """
    usual = {"content": FILE, "etag": '"one"', "modified": None, "cuts": [], "ranges": True, "status": 200}
    server = SimpleNamespace(**usual | behaviour, asked=[], sent=0)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(self.headers)
            if server.status != 200:
                return self.send_error(server.status)
            start = 0
            span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            if server.ranges and span and self.headers.get("If-Range") in (None, server.etag, server.modified):
                start = int(span[1])
            if start >= len(server.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(server.content)}")
                return self.end_headers()
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
            for name, value in (("ETag", server.etag), ("Last-Modified", server.modified)):
                if value:
                    self.send_header(name, value)
            body = server.content[start:]
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            body = body[: server.cuts.pop(0)] if server.cuts else body
            server.sent += len(body)
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}/weights.ckpt?download=1"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "set" / "weights.ckpt"


def names(path) -> set[str]:
    return {file.name for file in path.parent.iterdir()}


def test_a_complete_file(path):
    reports = []
    with serving() as server:
        sha256 = fetch(server.url, path, advance=lambda received, total: reports.append((received, total)))
        assert sha256 == digest(FILE) and path.read_bytes() == FILE
        assert reports[0] == (0, len(FILE)) and reports[-1] == (len(FILE), len(FILE))
        assert names(path) == {"weights.ckpt", "weights.ckpt.sha256"}
        assert (path.parent / "weights.ckpt.sha256").read_text() == f"{digest(FILE)}  weights.ckpt\n"
        assert fetch(server.url, path) == sha256 and len(server.asked) == 1  # the file exists: no further request


def test_a_dropped_connection_is_resumed(path):
    with serving(cuts=[CUT, CUT]) as server:
        fetch(server.url, path, pauses=AT_ONCE)
        assert path.read_bytes() == FILE
        assert [headers.get("Range") for headers in server.asked] == [None, f"bytes={CUT}-", f"bytes={2 * CUT}-"]
        assert server.asked[1]["If-Range"] == '"one"'
        assert server.sent == len(FILE)  # no byte is sent twice


def test_received_bytes_are_kept_for_the_next_command(path):
    with serving(cuts=[CUT]) as server:
        message = f"ended after {CUT} of {len(FILE)} bytes.*same command again to resume after the {CUT} bytes"
        with pytest.raises(MtbenchError, match=message):
            fetch(server.url, path, pauses=())
        assert not path.exists() and (path.parent / "weights.ckpt.part").stat().st_size == CUT
        fetch(server.url, path, pauses=())
        assert path.read_bytes() == FILE and server.asked[1]["Range"] == f"bytes={CUT}-" and server.sent == len(FILE)


def test_retries_that_receive_nothing_are_limited(path):
    with serving(cuts=[CUT] + [0] * 9) as server:
        with pytest.raises(MtbenchError, match="ended after 300000"):
            fetch(server.url, path, pauses=AT_ONCE)
        assert len(server.asked) == 1 + len(AT_ONCE)


def test_the_date_is_used_without_a_strong_etag(path):
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    with serving(cuts=[CUT], etag='W/"weak"', modified=date) as server:
        fetch(server.url, path, pauses=AT_ONCE)
        assert path.read_bytes() == FILE and server.asked[1]["If-Range"] == date and server.sent == len(FILE)


def test_without_etag_and_date_the_download_starts_over(path):
    with serving(cuts=[CUT], etag=None) as server:
        fetch(server.url, path, pauses=AT_ONCE)
        assert path.read_bytes() == FILE and server.asked[1]["Range"] is None


def test_a_server_that_ignores_ranges(path):
    with serving(cuts=[CUT], ranges=False) as server:
        fetch(server.url, path, pauses=AT_ONCE)
        assert path.read_bytes() == FILE and server.sent == CUT + len(FILE)


def test_the_download_starts_over_if_the_file_has_changed(path):
    with serving(cuts=[CUT]) as server:
        with pytest.raises(MtbenchError):
            fetch(server.url, path, pauses=())
        server.content, server.etag = FILE[::-1], '"two"'
        fetch(server.url, path, pauses=())
        assert path.read_bytes() == FILE[::-1] and server.asked[1]["If-Range"] == '"one"'


def test_a_partial_file_that_is_already_complete(path):
    path.parent.mkdir()
    (path.parent / "weights.ckpt.part").write_bytes(FILE)
    (path.parent / "weights.ckpt.part.etag").write_text('"one"')
    with serving() as server:
        assert fetch(server.url, path) == digest(FILE)
        assert server.sent == 0 and names(path) == {"weights.ckpt", "weights.ckpt.sha256"}


def test_a_checksum_other_than_the_pinned_one(path):
    with serving() as server:
        with pytest.raises(UsageError, match=f"{digest(FILE)}, expected {'0' * 64} .pinned.; it was deleted"):
            fetch(server.url, path, pinned="0" * 64)
        assert names(path) == set()
        assert fetch(server.url, path, pinned=digest(FILE)) == digest(FILE)


def test_a_checksum_other_than_the_recorded_one(path):
    with serving() as server:
        fetch(server.url, path)
        path.unlink()
        server.content = FILE[1:]
        message = f"{digest(FILE[1:])}, expected {digest(FILE)} .recorded in .*weights.ckpt.sha256"
        with pytest.raises(UsageError, match=message):
            fetch(server.url, path)
        assert names(path) == {"weights.ckpt.sha256"}


def test_a_local_change_is_detected(path):
    with serving() as server:
        fetch(server.url, path)
        assert checked_sha256(path) == digest(FILE)
        path.write_bytes(b"other")
        message = f"weights.ckpt has SHA-256 {digest(b'other')}, expected {digest(FILE)}.*Delete the file"
        for check in (lambda: fetch(server.url, path), lambda: checked_sha256(path)):
            with pytest.raises(UsageError, match=message):
                check()


@pytest.mark.parametrize("status, requests, message", [(404, 1, "404 Not Found"), (503, 3, "503 Service Unavailable")])
def test_errors_of_the_server(path, status, requests, message):
    with serving(status=status) as server:
        with pytest.raises(MtbenchError, match=f"weights.ckpt.download=1: {message}"):
            fetch(server.url, path, pauses=AT_ONCE)
        assert len(server.asked) == requests and names(path) == set()


def test_no_server(path):
    with serving() as server:
        pass
    with pytest.raises(MtbenchError, match="refused.*or put the file at .*weights.ckpt yourself"):
        fetch(server.url, path, pauses=AT_ONCE)


def test_ctrl_c_leaves_a_partial_file_to_resume_from(path):
    def stop(received, total):
        if received >= CUT:
            raise KeyboardInterrupt

    with serving() as server:
        with pytest.raises(KeyboardInterrupt):
            fetch(server.url, path, advance=stop)
        assert names(path) == {"weights.ckpt.part", "weights.ckpt.part.etag"}
        received = (path.parent / "weights.ckpt.part").stat().st_size
        fetch(server.url, path)
        assert path.read_bytes() == FILE and server.asked[1]["Range"] == f"bytes={received}-"


def test_the_command(path, monkeypatch, capsys):
    monkeypatch.setenv("MTBENCH_WEIGHTS", str(path.parent))
    with serving() as server:
        monkeypatch.setattr(module, "files_of", lambda weights: {path: server.url})
        module.main(["musicldm", "--sha256", f"vae-ckpt.ckpt={'A' * 64}"])
        assert digest(FILE) in capsys.readouterr().err and path.read_bytes() == FILE
        path.write_bytes(b"other")
        with pytest.raises(SystemExit) as exit_:
            module.main(["musicldm"])
    assert exit_.value.code == 2 and "Delete the file and fetch it again" in capsys.readouterr().err


@pytest.mark.parametrize(
    "pin, message",
    [
        ("vae.ckpt=" + "0" * 64, "'vae.ckpt' is not one of the files to fetch: synctrack"),
        ("vae-ckpt.ckpt=12", "64 hexadecimal digits"),
    ],
)
def test_bad_pins_are_named(pin, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        module.main(["synctrack", "--sha256", pin])
    assert exit_.value.code == 2 and message in capsys.readouterr().err


def test_paths_and_urls_of_the_files(monkeypatch, tmp_path):
    monkeypatch.setenv("MTBENCH_WEIGHTS", str(tmp_path))
    files = module.files_of("synctrack")
    names = ["synctrack_slakh2100_pretrained.ckpt", "vae-ckpt.ckpt", "hifigan-ckpt.ckpt"]
    assert list(files) == [tmp_path / "synctrack" / name for name in names]
    assert list(files.values())[1] == "https://zenodo.org/records/18797721/files/vae-ckpt.ckpt?download=1"
    with pytest.raises(UsageError, match="python -m musicldm.fetch synctrack.*vae-ckpt.ckpt.*records/18797721 into"):
        module.trained_model("synctrack")
