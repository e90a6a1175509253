"""The endpoint engine against a real local server that misbehaves."""

import asyncio
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.store.errors import RequestError, WorkspaceError
from gristmill.proxy_models.engines.cache import Reply, RequestCache
from gristmill.proxy_models.engines.endpoint import EndpointEngine, EndpointSettings, Pace, retry_after
from gristmill.proxy_models.engines.engine import Request, answer


def engine(server, **changes):
    told = {"url": server.url, "model": "tiny", "concurrency": 4, "timeout": 60.0, "backoff": 0.001, "retries": 3}
    return EndpointEngine(EndpointSettings(**{**told, **changes}))


def texts(replies):
    return [reply.text for reply in replies]


@pytest.mark.parametrize("action", [429, 500, 503, "truncate", "malformed", "not json", "drop", "chunked", "slow"])
def test_a_passing_fault_is_retried_until_the_reply_is_good(chat_server, action):
    chat_server.behave = lambda prompt, attempt: action if attempt < 2 else "ok"
    requests = [Request(f"document {i}") for i in range(12)]
    replies, spending = answer(engine(chat_server), requests)
    assert texts(replies) == [f"said: document {i}" for i in range(12)]
    assert (spending.requests, spending.failed, spending.prompt_tokens) == (12, 0, 24)
    assert len(chat_server.answered) == 12


def test_a_reply_that_never_comes_is_given_up_after_the_timeout(chat_server):
    chat_server.behave = lambda prompt, attempt: "hang" if attempt == 0 else "ok"
    replies, _ = answer(engine(chat_server, timeout=1.0), [Request("late")])
    assert texts(replies) == ["said: late"]
    assert chat_server.attempts["late"] == 2


def test_a_request_that_always_fails_ends_once_with_its_reason(chat_server):
    chat_server.behave = lambda prompt, attempt: 500 if prompt == "cursed" else "ok"
    replies, spending = answer(engine(chat_server), [Request("cursed"), Request("fine")])
    assert replies[1].text == "said: fine"
    assert replies[0].finish == "error"
    assert "HTTP 500" in replies[0].error
    assert "4 attempts" in replies[0].error
    assert chat_server.attempts["cursed"] == 4
    assert spending.failed == 1


def test_a_bad_request_is_not_retried(chat_server):
    chat_server.behave = lambda prompt, attempt: 400
    replies, _ = answer(engine(chat_server), [Request("too long")])
    assert "HTTP 400" in replies[0].error
    assert chat_server.attempts["too long"] == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_no_request_can_survive_stops_the_run(chat_server, status):
    chat_server.behave = lambda prompt, attempt: status
    with pytest.raises(RequestError, match=f"tiny.*{status}"):
        answer(engine(chat_server), [Request(f"{i}") for i in range(50)])
    assert sum(chat_server.attempts.values()) < 50


def test_a_dead_server_stops_the_run_and_leaves_what_was_answered(chat_server, tmp_path):
    chat_server.behave = lambda prompt, attempt: "ok" if len(chat_server.answered) < 10 else 500
    with RequestCache(str(tmp_path / "replies.sqlite")) as cache:
        requests = [Request(f"{i:03d}") for i in range(60)]
        with pytest.raises(WorkspaceError, match="run again"):
            answer(engine(chat_server, retries=0, give_up_after=5), requests, cache)
        chat_server.behave = lambda prompt, attempt: "ok"
        first = set(chat_server.answered)
        replies, spending = answer(engine(chat_server), requests, cache)
        assert texts(replies) == [f"said: {i:03d}" for i in range(60)]
        assert spending.fresh == 60 - len(first)
        assert len(chat_server.answered) == len(set(chat_server.answered)) == 60


def test_an_unreachable_server_is_named(chat_server):
    chat_server.close()
    settings = EndpointSettings(url="http://127.0.0.1:9/v1", model="m", retries=0, give_up_after=1)
    with pytest.raises(WorkspaceError, match=r"http://127\.0\.0\.1:9/v1"):
        answer(EndpointEngine(settings), [Request("hello")])


def test_requests_in_flight_never_exceed_the_bound(chat_server):
    chat_server.behave = lambda prompt, attempt: "slow"
    answer(engine(chat_server, concurrency=3), [Request(f"{i}") for i in range(30)])
    assert chat_server.most_in_flight == 3


def test_a_pause_that_the_server_asks_for_holds_back_everyone(chat_server):
    chat_server.retry_after = "0.2"
    chat_server.behave = lambda prompt, attempt: 429 if prompt == "0" and attempt == 0 else "ok"
    began = time.monotonic()
    answer(engine(chat_server, concurrency=1), [Request(f"{i}") for i in range(3)])
    assert time.monotonic() - began >= 0.2


def test_equal_requests_are_asked_once(chat_server):
    replies, _ = answer(engine(chat_server), [Request("same"), Request("other"), Request("same")])
    assert texts(replies) == ["said: same", "said: other", "said: same"]
    assert chat_server.attempts == {"same": 1, "other": 1}


def test_remembered_replies_are_not_asked_for_and_failed_ones_are(chat_server, tmp_path):
    chat_server.behave = lambda prompt, attempt: 400 if prompt == "b" and attempt == 0 else "ok"
    with RequestCache(str(tmp_path / "replies.sqlite")) as cache:
        first, _ = answer(engine(chat_server), [Request("a"), Request("b")], cache)
        second, spending = answer(engine(chat_server), [Request("a"), Request("b")], cache)
    assert (first[1].error is None, texts(second)) == (False, ["said: a", "said: b"])
    assert chat_server.attempts == {"a": 1, "b": 2}
    assert spending.fresh == 1


def test_another_temperature_model_or_seed_is_another_request():
    request = Request("text", "instruction", "system", temperature=0.5)
    keys = {
        request.key("m"),
        request.key("n"),
        Request("text", "instruction", "system", temperature=0.6).key("m"),
        Request("text", "instruction", "system", temperature=0.5, seed=1).key("m"),
        Request("instruction\n\ntext", "", "system", temperature=0.5).key("m"),
    }
    assert len(keys) == 5


def test_a_choice_is_asked_for_as_a_schema_and_read_back(chat_server):
    chat_server.say = lambda prompt: {"x": '{"label": "Science"}', "y": " science. ", "z": "maths"}[prompt]
    requests = [Request(name, choices=("Science", "Arts")) for name in "xyz"]
    replies, _ = answer(engine(chat_server), requests)
    assert texts(replies[:2]) == ["Science", "Science"]
    assert "not one of the choices" in replies[2].error
    schema = chat_server.bodies[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["label"]["enum"] == ["Science", "Arts"]


def test_the_key_travels_and_a_missing_one_is_refused(chat_server, monkeypatch):
    monkeypatch.setenv("A_KEY", "sesame")
    answer(engine(chat_server, api_key_env="A_KEY"), [Request("x")])
    assert chat_server.headers[0]["Authorization"] == "Bearer sesame"
    monkeypatch.delenv("A_KEY")
    with pytest.raises(RequestError, match="A_KEY"):
        engine(chat_server, api_key_env="A_KEY")


def test_the_prompt_is_system_then_instruction_then_document(chat_server):
    answer(engine(chat_server), [Request("the text", "Do this.", "You are.", max_tokens=7, seed=3)])
    body = chat_server.bodies[0]
    assert [turn["content"] for turn in body["messages"]] == ["You are.", "Do this.\n\nthe text"]
    assert (body["max_tokens"], body["seed"], body["model"]) == (7, 3, "tiny")


def test_requests_that_share_a_prefix_go_out_together(chat_server):
    requests = [Request(text, instruction) for text in ("bbb", "a", "cc") for instruction in ("B", "A")]
    answer(engine(chat_server, concurrency=1), requests)
    asked = [body["messages"][-1]["content"] for body in chat_server.bodies]
    assert asked == ["A\n\na", "A\n\ncc", "A\n\nbbb", "B\n\na", "B\n\ncc", "B\n\nbbb"]


def test_a_lone_surrogate_in_a_document_does_not_stop_the_run(chat_server):
    replies, _ = answer(engine(chat_server), [Request("bad \udc80 byte")])
    assert replies[0].error is None


@pytest.mark.parametrize(("told", "pause"), [("3", 3.0), ("1e9", 60.0), ("-1", 0.0), ("Wed, 21 Oct", 0.0)])
def test_retry_after_is_read_and_cut(told, pause):
    assert retry_after({"retry-after": told}, 60.0) == pause


@given(st.lists(st.floats(1, 1000), min_size=2, max_size=20))
def test_a_rate_limit_spaces_the_starts(weights):
    async def starts():
        loop = asyncio.get_running_loop()
        now, slept = 0.0, []

        async def sleep(seconds):
            nonlocal now
            now += max(0.0, seconds)

        loop.time, asyncio.sleep, real = (lambda: now), sleep, asyncio.sleep
        try:
            pace = Pace(None, 6000)
            for weight in weights:
                await pace.wait(weight)
                slept.append(now)
        finally:
            asyncio.sleep = real
            del loop.time
        return slept

    told = asyncio.run(starts())
    assert told == pytest.approx([sum(weights[:i]) / 100 for i in range(len(weights))])


def test_a_misspelt_url_is_refused():
    with pytest.raises(RequestError, match="http://localhost:8000/v1"):
        EndpointEngine(EndpointSettings(url="localhost:8000", model="m"))


def test_the_cache_survives_a_process_that_never_closed_it(tmp_path):
    import subprocess
    import sys

    path = str(tmp_path / "replies.sqlite")
    code = (
        "import os, signal, sys\n"
        "from gristmill.proxy_models.engines.cache import Reply, RequestCache\n"
        "cache = RequestCache(sys.argv[1])\n"
        "cache.put([('k', Reply('text', 'length', 5, 6))])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == -9
    with RequestCache(path) as cache:
        reply = cache.find(["k", "absent"])
    assert (
        json.dumps({key: [r.text, r.finish, r.prompt_tokens] for key, r in reply.items()})
        == '{"k": ["text", "length", 5]}'
    )


def test_a_torn_line_of_a_dead_process_is_left_out_and_a_living_ones_journal_alone(tmp_path):
    path = str(tmp_path / "replies.sqlite")
    (tmp_path / "replies.sqlite.dead.journal").write_text('["a", "text", "stop", 1, 2]\n["b", "te')
    alive = RequestCache(path)
    alive.put([("c", Reply("mine"))])
    with RequestCache(path) as cache:
        assert sorted(cache.find(["a", "b", "c"])) == ["a"]
    alive.close()
    with RequestCache(path) as cache:
        assert cache.find(["a", "c"]) == {"a": Reply("text", "stop", 1, 2), "c": Reply("mine")}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["replies.sqlite"]


def test_half_a_surrogate_pair_in_a_reply_is_replaced(chat_server, tmp_path):
    chat_server.say = lambda prompt: "good \ud83d"
    with RequestCache(str(tmp_path / "replies.sqlite")) as cache:
        assert texts(answer(engine(chat_server), [Request("x")], cache)[0]) == ["good \ufffd"]
