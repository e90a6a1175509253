"""Replies as servers send them: drawn byte for byte, cut anywhere, answered once and taken whole or not at all."""

import gzip
import json
import socket
import threading
import time
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError
from gristmill.proxy_models.engines.cache import RequestCache
from gristmill.proxy_models.engines.endpoint import EndpointEngine, EndpointSettings, retry_after
from gristmill.proxy_models.engines.endpoint_http import Address
from gristmill.proxy_models.engines.endpoint_replies import content_of
from gristmill.proxy_models.engines.engine import Request, answer

TEXT = "The answer, whole: é 漢."


class Wire:
    """A server that sends given bytes in given pieces to every request, and counts them."""

    def __init__(self, pieces: list[bytes], closes: bool, prompts: dict | None = None) -> None:
        self.pieces, self.closes, self.paths, self.hosts = pieces, closes, [], []
        self.prompts = prompts or {}  # pieces for one prompt alone
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
                    asked = json.loads(file.read(int(head.get(b"content-length", 0))))["messages"][-1]["content"]
                    self.paths.append(line.decode().split()[1])
                    self.hosts.append(head[b"host"].decode())
                    for piece in self.prompts.get(asked, self.pieces):
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


def engine_at(wire: Wire, path: str = "", **changes) -> EndpointEngine:
    told = {"url": wire.url + path, "model": "m", "concurrency": 1, "retries": 2, "backoff": 0.001, "timeout": 5}
    return EndpointEngine(EndpointSettings(**(told | changes)))


def ask(pieces: list[bytes], closes: bool = False, path: str = "", **changes):
    with Wire(pieces, closes) as wire:
        replies, _ = answer(engine_at(wire, path, **changes), [Request("one")])
        return replies[0], wire


def sent(payload: bytes, status: str = "200 OK", *fields: str) -> bytes:
    """A whole reply of a server."""
    head = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(payload)}"]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + payload


CODINGS = {
    "gzip": gzip.compress,
    "gzip twice": lambda b: gzip.compress(b[:20]) + gzip.compress(b[20:]),  # of two members
    "deflate": zlib.compress,
    "deflate bare": lambda b: zlib.compress(b)[2:-4],
    "br": brotli.compress,
    "zstd": lambda b: zstandard.ZstdCompressor().compress(b),
}


def streamed(draw, finish, usage) -> bytes:
    """TEXT as a stream of events, cut at any letter, with comments and line ends as they are found."""
    cuts = sorted(draw(st.lists(st.integers(0, len(TEXT)), max_size=5)))
    deltas = [{"role": "assistant"}, {"reasoning_content": "hm, "}]
    deltas += [{"content": TEXT[a:b]} for a, b in zip([0, *cuts], [*cuts, len(TEXT)], strict=True)]
    events: list[dict] = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.insert(draw(st.integers(0, 3)), {"choices": [{"index": 1, "delta": {"content": "another"}}]})
    events.sort(key=lambda one: one["choices"][0]["index"])  # the first choice is the one that comes first
    last = {"index": 0, "delta": {}} | ({} if finish == "absent" else {"finish_reason": finish})
    events += [{"choices": [last]}, {"choices": []} | ({} if usage == "absent" else {"usage": usage})]
    end = draw(st.sampled_from(["\r\n", "\n", "\r"]))
    lines = [draw(st.sampled_from(["", "\ufeff"])) + ": keep-alive", ""]
    for event in events:
        lines += draw(st.sampled_from([[], [": ping", ""], ["event: message"], ["id: 7"]]))
        space = draw(st.sampled_from(["", " "]))
        lines += [f"data:{space}{json.dumps(event, ensure_ascii=False)}", *draw(st.sampled_from([[""], ["", ""]]))]
    return end.join([*lines, "data: [DONE]", *draw(st.sampled_from([[], ["", ""]]))]).encode()


USAGES = [None, "absent", {}, {"prompt_tokens": None}, {"prompt_tokens": 5, "completion_tokens": None}, [],
          "many", {"prompt_tokens": 5.0, "completion_tokens": 7}, {"prompt_tokens": "5", "completion_tokens": True}]  # fmt: skip # noqa: E501
FINISHES = ["stop", "length", "content_filter", "abort", "error", "tool_calls", "cancelled", None, "absent", ""]


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_reply_is_paid_once_and_adopted_whole_whatever_its_form_on_the_wire(data):
    finish, usage = data.draw(st.sampled_from(FINISHES)), data.draw(st.sampled_from(USAGES))
    payload = body(TEXT, finish, usage)
    if data.draw(st.booleans()):
        payload = streamed(data.draw, finish, usage)
    name = data.draw(st.sampled_from(["", "gzip", "gzip twice", "deflate", "deflate bare", "br", "zstd", "undone"]))
    payload = CODINGS.get(name, lambda b: b)(payload)
    coding = "gzip" if name == "undone" else name.split()[0] if name else ""
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


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "The end."}], "The end."),
        ([{"type": "reasoning", "text": "hm"}, {"type": "output_text", "text": "The end."}], "The end."),
        ([{"text": "hm", "thought": True}, {"text": "The end."}], "The end."),
        (["The ", "end."], "The end."),
        ([{"type": "text", "text": "The "}, {"type": "image_url", "image_url": {}}], None),
        ([{"type": "text", "text": "The "}, {"type": "refusal", "refusal": "no"}], None),
        ([{"type": "text", "text": None}], None),
        ([None], None),
    ],
)  # fmt: skip
def test_parts_of_a_message_are_put_together_and_its_thoughts_are_not(parts, text):
    assert content_of(parts) == text


@pytest.mark.parametrize("framing", ["length", "chunked", "stream"])
def test_a_connection_that_closes_at_any_byte_gives_no_text_or_the_whole_one(framing):
    payload = body(TEXT)
    message = sent(payload)
    if framing == "chunked":
        message = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        message += b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (payload[:40], payload[40:])) + b"0\r\n\r\n"
    if framing == "stream":  # nothing on the wire tells where it ends
        events = [
            {"delta": {"content": TEXT[:9]}},
            {"delta": {"content": TEXT[9:]}},
            {"delta": {}, "finish_reason": "stop"},
        ]
        lines = [f"data: {json.dumps({'choices': [one]}, ensure_ascii=False)}\n\n" for one in events]
        message = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + "".join(lines).encode()
        message += b"data: [DONE]\n\n"
    requests = [Request(str(cut)) for cut in range(len(message) + 1)]
    with Wire([], True, {str(cut): [message[:cut]] for cut in range(len(message) + 1)}) as wire:
        replies, _ = answer(engine_at(wire, retries=0, concurrency=8, give_up_after=10_000), requests)
    taken = [(reply.text, reply.finish) for reply in replies if reply.error is None]
    assert set(taken) == {(TEXT, "stop")}
    assert len(taken) <= {"length": 1, "chunked": 3, "stream": 20}[framing]
    assert len(wire.paths) == len(requests)


@pytest.mark.parametrize(
    ("told", "asked", "why"),
    [
        ({"error": {"message": "slow down", "code": 429}}, 3, "slow down"),
        ({"error": {"message": "late", "type": "overloaded_error"}}, 3, "late"),
        ({"error": "something"}, 3, "something"),
        ({"object": "error", "message": "too long", "code": 400}, 1, "too long"),
        ({"error": {"type": "invalid_request_error", "message": "no"}, "choices": []}, 1, "stands for 400"),
        ({"choices": [], "usage": {"completion_tokens": 9}}, 1, "no message"),
        ({"choices": None, "usage": {"completion_tokens": 9}}, 1, "no message"),
        ({"id": "x", "usage": {"completion_tokens": 9}}, 1, "no message"),
        ({"choices": []}, 3, "not a chat completion"),
        ({"choices": [None]}, 3, "not a chat completion"),
        ({"choices": [{"text": "of another protocol"}]}, 3, "not a chat completion"),
        ({"choices": [{"message": {"content": "half", "refusal": "I will not."}}]}, 1, "was refused"),
        ([], 3, "not a chat completion"),
    ],
)
def test_an_answer_of_success_without_a_reply_is_asked_again_only_where_nothing_was_paid(told, asked, why):
    reply, wire = ask([sent(json.dumps(told).encode())])
    assert (reply.text, reply.finish) == ("", "error")
    assert why in reply.error
    assert len(wire.paths) == asked


@pytest.mark.parametrize(
    "payload", [b"[" * 100_000, b'{"choices": ' + b"[" * 100_000, b"\xff\xfe\0", b'{"a": 1} {"b": 2}']
)
def test_an_answer_that_no_json_reader_takes_fails_alone(payload):
    assert ask([sent(payload)])[0].finish == "error"


@pytest.mark.parametrize("many", [10**400, -5, 1e300, "7", [7], {}, True, 2**63], ids=lambda many: str(many)[:12])
def test_a_count_of_tokens_that_cannot_be_is_none(many, tmp_path):
    with Wire([sent(body(TEXT, usage={"prompt_tokens": many, "completion_tokens": many}))], False) as wire:
        with RequestCache(str(tmp_path / "replies.sqlite")) as cache:
            replies, spending = answer(engine_at(wire), [Request("one")], cache)
        with RequestCache(str(tmp_path / "replies.sqlite")) as cache:
            again, _ = answer(engine_at(wire), [Request("one")], cache)
    assert replies == again
    assert (replies[0].text, spending.prompt_tokens, len(wire.paths)) == (TEXT, 0, 1)


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "utf-16", "utf-16-le", "utf-8-sig", "cp1252"])
def test_a_reply_is_read_by_its_charset(charset):
    text = "Die Fähre, ganz: é."
    payload = json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}, ensure_ascii=False)
    reply, _ = ask([sent(payload.encode(charset), "200 OK", f"Content-Type: application/json; charset={charset}")])
    assert reply.text == text


def odd_heads() -> dict[str, bytes]:
    payload = body(TEXT)
    size = len(payload)
    return {
        "line feeds alone": f"HTTP/1.1 200 OK\nContent-Length: {size}\n\n".encode() + payload,
        "no reason": f"HTTP/1.1 200\r\ncontent-length:{size}\r\n\r\n".encode() + payload,
        "blank lines before": b"\r\n\r\n" + sent(payload),
        "folded": sent(payload, "200 OK", "X-Long: a\r\n Content-Length: 3"),
        "lengths alike": sent(payload, "200 OK", f"Content-Length: {size}"),
        "created": sent(payload, "201 Created"),
        "keep-alive lines": sent(b"\n\n\n" + payload),
        "chunks with a coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"%x\r\n%b\r\n0\r\n\r\n" % (len(gzip.compress(payload)), gzip.compress(payload)),
        "a length beside chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: Chunked\r\n\r\n"
        + b"%x\r\n%b\r\n0\r\n\r\n" % (size, payload),
    }


@pytest.mark.parametrize("form", odd_heads())
def test_heads_as_servers_write_them_are_read(form):
    reply, wire = ask([odd_heads()[form]])
    assert (reply.text, reply.finish, len(wire.paths)) == (TEXT, "stop", 1)


@pytest.mark.parametrize(
    "message", [b"HTTP/1.1 2\xb20 OK\r\n\r\n", b"SSH-2.0-x\r\n", sent(body(TEXT), "200 OK", "Content-Length: 7"),
                b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", b"HTTP/1.1 101 Switching\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_http_fails_alone(message):
    reply, _ = ask([message])
    assert reply.finish == "error"


def test_what_follows_a_reply_is_not_taken_for_the_next_one():
    twice = sent(body("The first.")) + sent(body("The first, again."))
    with Wire([sent(body("The second."))], False, {"a": [twice]}) as wire:
        replies, _ = answer(engine_at(wire), [Request("a"), Request("b")])
    assert [reply.text for reply in replies] == ["The first.", "The second."]


@pytest.mark.parametrize(
    "field", ["Content-Encoding: br", "Transfer-Encoding: chunked", "Content-Encoding: gzip", "X: y"]
)
def test_the_status_of_an_error_counts_whatever_becomes_of_its_body(field):
    with pytest.raises(RequestError, match="HTTP 401"):
        ask([f"HTTP/1.1 401 No\r\n{field}\r\nContent-Length: 90\r\n\r\n".encode() + b"\x8b\0{"], closes=True)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_ends_the_run_and_says_where_it_leads(status):
    with pytest.raises(RequestError, match="http://elsewhere/v1"):
        ask([sent(b"", f"{status} Moved", "Location: http://elsewhere/v1")])


def test_a_pause_is_asked_for_in_milliseconds_too():
    assert retry_after({"retry-after-ms": "1500", "retry-after": "60"}, 60.0) == 1.5
    began = time.monotonic()
    with Wire([sent(body(TEXT))], False, {"a": [sent(b'{"error": 1}', "429 No", "Retry-After: 0.2")]}) as wire:
        replies, _ = answer(engine_at(wire, retries=0), [Request("a"), Request("b")])
    assert (replies[0].finish, replies[1].text) == ("error", TEXT)
    assert time.monotonic() - began >= 0.2  # the last attempt of one holds back the others as well


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
    assert Address.parse("http://x/v1/chat/completions/").target("/chat/completions") == "/v1/chat/completions"
    zoned = Address.parse("http://[fe80::1%25eth0]:80/v1")
    assert (zoned.host, zoned.authority) == ("fe80::1%eth0", "[fe80::1]:80")
    assert "secret" not in Address.parse("http://x/v1?key=secret").shown


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x/",
        "http://",
        "http://x:99999/",
        "http://a:secret@x/",
        "http://x/#part",
        "x",
        "http://[::1",
        "http://a:secret@x:99999/",
        "http://a:secret@x/#part",
        "http://a..b/v1",
    ],
)
def test_a_url_that_cannot_be_honoured_is_refused(url):
    with pytest.raises(RequestError) as refused:
        Address.parse(url)
    assert "secret" not in str(refused.value)
