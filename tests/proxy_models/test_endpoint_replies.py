"""Replies as servers send them: drawn byte for byte, cut anywhere, answered once and taken whole or not at all."""

import gzip
import json
import socket
import threading
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.proxy_models.engines.endpoint import EndpointEngine, EndpointSettings, retry_after
from gristmill.proxy_models.engines.endpoint_http import Address
from gristmill.proxy_models.engines.engine import Request, answer, answered

TEXT = "The answer, whole: é 漢."


class Wire:
    """A server that sends given bytes in given pieces to every request, and counts them."""

    def __init__(self, pieces: list[bytes], closes: bool) -> None:
        self.pieces, self.closes, self.paths, self.hosts = pieces, closes, [], []
        self.listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as file:
                while line := file.readline():
                    head = {}
                    while field := file.readline().strip():
                        name, _, value = field.partition(b":")
                        head[name.lower()] = value.strip()
                    file.read(int(head.get(b"content-length", 0)))
                    self.paths.append(line.decode().split()[1])
                    self.hosts.append(head[b"host"].decode())
                    for piece in self.pieces:
                        connection.sendall(piece)
                    if self.closes:
                        break

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *error: object) -> None:
        self.listening.close()


def body(text, finish="stop", usage=None) -> bytes:
    choice = {"message": {"role": "assistant", "content": text}} | (
        {} if finish == "absent" else {"finish_reason": finish}
    )
    told = {"choices": [choice]} | ({} if usage == "absent" else {"usage": usage})
    return json.dumps(told, ensure_ascii=False).encode()


def ask(pieces: list[bytes], closes: bool = False, path: str = ""):
    with Wire(pieces, closes) as wire:
        engine = EndpointEngine(
            EndpointSettings(url=wire.url + path, model="m", concurrency=1, retries=2, backoff=0.001, timeout=5)
        )
        replies, _ = answer(engine, [Request("one")])
        return replies[0], wire


USAGES = [None, "absent", {}, {"prompt_tokens": None}, {"prompt_tokens": 5, "completion_tokens": None}, [],
          "many", {"prompt_tokens": 5.0, "completion_tokens": 7}, {"prompt_tokens": "5", "completion_tokens": True}]  # fmt: skip # noqa: E501
FINISHES = ["stop", "length", "content_filter", "abort", "error", "tool_calls", "cancelled", None, "absent", ""]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_reply_is_paid_once_and_adopted_whole_whatever_its_form_on_the_wire(data):
    finish, usage = data.draw(st.sampled_from(FINISHES)), data.draw(st.sampled_from(USAGES))
    payload = body(TEXT, finish, usage)
    coding = data.draw(st.sampled_from(["", "gzip", "deflate", "identity"]))
    payload = {"gzip": gzip.compress, "deflate": zlib.compress}.get(coding, lambda b: b)(payload)
    head = b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * data.draw(st.integers(0, 300)) + b"\r\n"
    head += f"Content-Encoding: {coding}\r\n".encode() if coding else b""
    framing = data.draw(st.sampled_from(["length", "chunked", "close"]))
    if framing == "length":
        message = head + f"content-length: {len(payload)}\r\n\r\n".encode() + payload
    elif framing == "close":
        message = head + b"Connection: close\r\n\r\n" + payload
    else:
        size = data.draw(st.integers(1, 200))
        chunks = [payload[at : at + size] for at in range(0, len(payload), size)]
        trailer = data.draw(st.sampled_from([b"", b"Checksum: 1\r\nOther: 2\r\n"]))
        message = head + b"Transfer-Encoding: chunked\r\n\r\n"
        message += (
            b"".join(b"%x;ext=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n" + trailer + b"\r\n"
        )
    interim = data.draw(
        st.lists(st.sampled_from([b"100 Continue", b"103 Early Hints\r\nLink: </a>; rel=preload"]), max_size=3)
    )
    message = b"".join(b"HTTP/1.1 " + one + b"\r\n\r\n" for one in interim) + message
    cuts = sorted(data.draw(st.lists(st.integers(0, len(message)), max_size=4)))
    pieces = [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]
    reply, wire = ask(pieces, closes=framing == "close")
    assert len(wire.paths) == 1
    assert (reply.text, reply.finish) == (TEXT, "stop" if finish == "stop" else "length")
    assert reply.error is None


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 0.98), st.booleans())
def test_a_reply_that_stops_in_the_middle_is_never_adopted(share, chunked):
    payload = body(TEXT)
    head = b"HTTP/1.1 200 OK\r\n"
    if chunked:
        message = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(payload), payload)
    else:
        message = head + b"Content-Length: %d\r\n\r\n" % len(payload) + payload
    reply, wire = ask([message[: int(share * len(message))]], closes=True)
    assert reply.error is not None
    assert reply.text == ""
    assert len(wire.paths) == 3


@pytest.mark.parametrize("content", [None, [], 5, [{"type": "image"}]])
def test_a_reply_without_a_text_fails_once_and_is_not_asked_for_again(content):
    message = body(content)
    reply, wire = ask([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(message) + message])
    assert reply.error is not None
    assert len(wire.paths) == 1


THOUGHTS = [
    ("<think>\nhm\n</think>\n\nThe answer.", "The answer.", True),
    ("hm, so\n</think>\nThe answer.", "The answer.", True),
    ("<think>a</think><think>b</think>The answer.", "The answer.", True),
    ("<thinking>hm</thinking> The answer.", "The answer.", True),
    ("[THINK]hm[/THINK]The answer.", "The answer.", True),
    (
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>The answer.",
        "The answer.",
        True,
    ),
    ("<think>hm, and then", "", False),
    ("The tag <think> opens and </think> closes.", "The tag <think> opens and </think> closes.", True),
    ("The answer.", "The answer.", True),
]


@pytest.mark.parametrize(("text", "left", "ended"), THOUGHTS)
def test_thoughts_in_front_of_an_answer_are_left_out(text, left, ended):
    assert answered(text) == (left, ended)


def test_parts_of_a_message_are_put_together_and_its_thoughts_are_not():
    parts = [
        {"type": "thinking", "thinking": "hm"},
        {"type": "text", "text": "The "},
        {"type": "text", "text": "answer."},
    ]
    message = body(parts)
    reply, _ = ask([b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(message) + message])
    assert reply.text == "The answer."


@pytest.mark.parametrize("seconds", [0, 3, 50, 400])
def test_a_date_to_retry_after_counts_from_the_clock_of_the_server(seconds):
    now = datetime(2031, 5, 4, 3, 2, 1, tzinfo=UTC)
    headers = {
        "date": format_datetime(now, True),
        "retry-after": format_datetime(now + timedelta(seconds=seconds), True),
    }
    assert retry_after(headers, 60.0) == min(60.0, seconds)


@pytest.mark.parametrize("told", ["soon", "", "nan", "inf", "-5", "Wed, 99 Foo 2031", "1e400"])
def test_a_pause_that_cannot_be_read_is_none(told):
    assert retry_after({"retry-after": told}, 60.0) == 0.0


def test_the_whole_url_reaches_the_server():
    message = body(TEXT)
    _, wire = ask(
        [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(message) + message], path="/v1/?api-version=1&a=b"
    )
    assert wire.paths == ["/v1/chat/completions?api-version=1&a=b"]
    assert Address.parse("http://[::1]:80/v1").authority == "[::1]:80"
    assert Address.parse("https://b\u00fccher.example/v1").host == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    "url", ["ftp://x/", "http://", "http://x:99999/", "http://a:b@x/", "http://x/#part", "x", "http://[::1"]
)
def test_a_url_that_cannot_be_honoured_is_refused(url):
    with pytest.raises(RequestError):
        Address.parse(url)
