"""Fetching weights from a local server that cuts, ignores ranges, changes its file, or has another one."""

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
CUT = 300_000
AT_ONCE = (0, 0)  # attempts without a pause


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def serving(**behaviour):
    """A server of one file. content, etag, modified: of the file; cuts: after how many bytes each of the first answers
    ends; ranges: whether it knows them; status: it answers with this error. It counts the bytes `sent`, and `asked`
    holds the requests' headers."""
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


def test_a_whole_file(path):
    told = []
    with serving() as server:
        found = fetch(server.url, path, advance=lambda done, total: told.append((done, total)))
        assert found == digest(FILE) and path.read_bytes() == FILE
        assert told[0] == (0, len(FILE)) and told[-1] == (len(FILE), len(FILE))
        assert names(path) == {"weights.ckpt", "weights.ckpt.sha256"}
        assert (path.parent / "weights.ckpt.sha256").read_text() == f"{digest(FILE)}  weights.ckpt\n"
        assert fetch(server.url, path) == found and len(server.asked) == 1  # it is there: nothing is asked for


def test_a_cut_connection_goes_on_where_it_was(path):
    with serving(cuts=[CUT, CUT]) as server:
        fetch(server.url, path, pauses=AT_ONCE)
        assert path.read_bytes() == FILE
        assert [headers.get("Range") for headers in server.asked] == [None, f"bytes={CUT}-", f"bytes={2 * CUT}-"]
        assert server.asked[1]["If-Range"] == '"one"'
        assert server.sent == len(FILE)  # no byte twice


def test_what_came_is_kept_for_the_next_command(path):
    with serving(cuts=[CUT]) as server:
        with pytest.raises(MtbenchError, match=f"ended after {CUT} of {len(FILE)} bytes.*goes on after the {CUT} "):
            fetch(server.url, path, pauses=())
        assert not path.exists() and (path.parent / "weights.ckpt.part").stat().st_size == CUT
        fetch(server.url, path, pauses=())
        assert path.read_bytes() == FILE and server.asked[1]["Range"] == f"bytes={CUT}-" and server.sent == len(FILE)


def test_attempts_that_bring_nothing_come_to_an_end(path):
    with serving(cuts=[CUT] + [0] * 9) as server:
        with pytest.raises(MtbenchError, match="ended after 300000"):
            fetch(server.url, path, pauses=AT_ONCE)
        assert len(server.asked) == 1 + len(AT_ONCE)


def test_a_date_serves_where_there_is_no_strong_etag(path):
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    with serving(cuts=[CUT], etag='W/"weak"', modified=date) as server:
        fetch(server.url, path, pauses=AT_ONCE)
        assert path.read_bytes() == FILE and server.asked[1]["If-Range"] == date and server.sent == len(FILE)


def test_without_either_it_begins_again(path):
    with serving(cuts=[CUT], etag=None) as server:
        fetch(server.url, path, pauses=AT_ONCE)
        assert path.read_bytes() == FILE and server.asked[1]["Range"] is None


def test_a_server_that_ignores_ranges(path):
    with serving(cuts=[CUT], ranges=False) as server:
        fetch(server.url, path, pauses=AT_ONCE)
        assert path.read_bytes() == FILE and server.sent == CUT + len(FILE)


def test_a_file_that_changed_meanwhile_begins_again(path):
    with serving(cuts=[CUT]) as server:
        with pytest.raises(MtbenchError):
            fetch(server.url, path, pauses=())
        server.content, server.etag = FILE[::-1], '"two"'
        fetch(server.url, path, pauses=())
        assert path.read_bytes() == FILE[::-1] and server.asked[1]["If-Range"] == '"one"'


def test_a_part_that_is_already_whole(path):
    path.parent.mkdir()
    (path.parent / "weights.ckpt.part").write_bytes(FILE)
    (path.parent / "weights.ckpt.part.etag").write_text('"one"')
    with serving() as server:
        assert fetch(server.url, path) == digest(FILE)
        assert server.sent == 0 and names(path) == {"weights.ckpt", "weights.ckpt.sha256"}


def test_another_checksum_than_pinned(path):
    with serving() as server:
        with pytest.raises(UsageError, match=f"{digest(FILE)}, not {'0' * 64} .pinned.; it was not kept"):
            fetch(server.url, path, pinned="0" * 64)
        assert names(path) == set()
        assert fetch(server.url, path, pinned=digest(FILE)) == digest(FILE)


def test_another_checksum_than_the_first_time(path):
    with serving() as server:
        fetch(server.url, path)
        path.unlink()
        server.content = FILE[1:]
        with pytest.raises(UsageError, match=f"{digest(FILE[1:])}, not {digest(FILE)} .noted in .*weights.ckpt.sha256"):
            fetch(server.url, path)
        assert names(path) == {"weights.ckpt.sha256"}


def test_a_file_that_was_changed_here_is_noticed(path):
    with serving() as server:
        fetch(server.url, path)
        assert checked_sha256(path) == digest(FILE)
        path.write_bytes(b"other")
        message = f"weights.ckpt has the SHA-256 {digest(b'other')}, not {digest(FILE)}.*delete it"
        for look in (lambda: fetch(server.url, path), lambda: checked_sha256(path)):
            with pytest.raises(UsageError, match=message):
                look()


@pytest.mark.parametrize("status, requests, message", [(404, 1, "404 Not Found"), (503, 3, "503 Service Unavailable")])
def test_what_the_server_refuses(path, status, requests, message):
    with serving(status=status) as server:
        with pytest.raises(MtbenchError, match=f"weights.ckpt.download=1: {message}"):
            fetch(server.url, path, pauses=AT_ONCE)
        assert len(server.asked) == requests and names(path) == set()


def test_no_server(path):
    with serving() as server:
        pass
    with pytest.raises(MtbenchError, match="refused.*or put the file at .*weights.ckpt yourself"):
        fetch(server.url, path, pauses=AT_ONCE)


def test_ctrl_c_leaves_a_part_to_go_on_from(path):
    def stop(done, total):
        if done >= CUT:
            raise KeyboardInterrupt

    with serving() as server:
        with pytest.raises(KeyboardInterrupt):
            fetch(server.url, path, advance=stop)
        assert names(path) == {"weights.ckpt.part", "weights.ckpt.part.etag"}
        have = (path.parent / "weights.ckpt.part").stat().st_size
        fetch(server.url, path)
        assert path.read_bytes() == FILE and server.asked[1]["Range"] == f"bytes={have}-"


def test_the_command(path, monkeypatch, capsys):
    monkeypatch.setenv("MTBENCH_WEIGHTS", str(path.parent))
    with serving() as server:
        monkeypatch.setattr(module, "files_of", lambda weights: {path: server.url})
        module.main(["musicldm", "--sha256", f"vae-ckpt.ckpt={'A' * 64}"])
        assert digest(FILE) in capsys.readouterr().err and path.read_bytes() == FILE
        path.write_bytes(b"other")
        with pytest.raises(SystemExit) as left:
            module.main(["musicldm"])
    assert left.value.code == 2 and "delete it and fetch it again" in capsys.readouterr().err


@pytest.mark.parametrize(
    "pin, message",
    [("vae.ckpt=" + "0" * 64, "'vae.ckpt' is none of the files"), ("vae-ckpt.ckpt=12", "64 hexadecimal digits")],
)
def test_bad_pins_are_named(pin, message, capsys):
    with pytest.raises(SystemExit) as left:
        module.main(["synctrack", "--sha256", pin])
    assert left.value.code == 2 and message in capsys.readouterr().err


def test_where_the_files_are(monkeypatch, tmp_path):
    monkeypatch.setenv("MTBENCH_WEIGHTS", str(tmp_path))
    files = module.files_of("synctrack")
    names = ["synctrack_slakh2100_pretrained.ckpt", "vae-ckpt.ckpt", "hifigan-ckpt.ckpt"]
    assert list(files) == [tmp_path / "synctrack" / name for name in names]
    assert list(files.values())[1] == "https://zenodo.org/records/18797721/files/vae-ckpt.ckpt?download=1"
    with pytest.raises(UsageError, match="python -m musicldm.fetch synctrack.*vae-ckpt.ckpt.*records/18797721 into"):
        module.trained_model("synctrack")
