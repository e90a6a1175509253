"""Thoughts never enter the corpus: every way in which models set them apart, at every place of a reply."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.proxy_models.engines.cache import Reply
from gristmill.proxy_models.engines.engine import Request, answer
from gristmill.proxy_models.engines.thoughts import answered, thinks_aloud

ANSWER = "The ferry crossed, İstanbul in sight."
MARKS = [
    ("<think>", "</think>"),
    ("<THINK>", "</Think>"),
    ('<think time="3" id=x>', "</think>"),
    ("<think >", "</ think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<antThinking>", "</antThinking>"),
    ("<inner_monologue>", "</inner_monologue>"),
    ("<seed:think>", "</seed:think>"),
    ("&lt;think&gt;", "&lt;/think&gt;"),
    ("\uff1cthink\uff1e", "\uff1c/think\uff1e"),
    ("<\u601d\u8003>", "</\u601d\u8003>"),
    ("[THINK]", "[/THINK]"),
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<unused94>thought\n", "<unused95>"),
    ("<|channel>thought\n", "<channel|>"),
    ('<details type="reasoning" done="true">\n<summary>Thought for 3 s</summary>', "</details>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("```thinking\n", "\n```\n"),
    ("analysis", "assistantfinal"),
]
WHOLE = [
    (f"hm, İ so\n</think>\n{ANSWER}", ANSWER),
    (f"<think>a</think><think>b</think>{ANSWER}", ANSWER),
    (f"<think>a<think>b</think>c</think>{ANSWER}", ANSWER),
    (f"<think/>\n{ANSWER}", ANSWER),
    (f"<think></think>{ANSWER}", ANSWER),
    (f"<think>hm</think><answer>{ANSWER}</answer>", ANSWER),
    (f"<think>hm</think><answer>{ANSWER}", ANSWER),
    (f"<|begin_of_thought|>hm<|end_of_thought|><|begin_of_solution|>{ANSWER}<|end_of_solution|>", ANSWER),
    (f"<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>{ANSWER}<|return|>", ANSWER),
    (f"First.\n<think>\nhm\n</think>\n{ANSWER}", f"First.\n\n{ANSWER}"),
    (f"{ANSWER}\n\n<thinking>was that right?</thinking>", ANSWER),
    ("The tag <think> opens and </think> closes.", "The tag <think> opens and </think> closes."),
    ("I think, <b>therefore</b> I am. analysis: none", "I think, <b>therefore</b> I am. analysis: none"),
    (ANSWER, ANSWER),
]
UNENDED = ["<think>hm, and then", "<THINK>hm", "[THINK]hm", "<think>a</think><think>b", "<think time='3'>hm"]


@pytest.mark.parametrize(("text", "left"), WHOLE)
def test_an_answer_is_left_without_its_thoughts(text, left):
    assert answered(text) == (left, True)


@pytest.mark.parametrize("text", [*UNENDED, "<|channel|>analysis<|message|>hm, and then"])
def test_thoughts_that_never_end_leave_no_text(text):
    assert answered(text) == ("", False)


def test_thoughts_that_begin_late_and_never_end_leave_an_unfinished_text():
    assert answered(f"{ANSWER}\n<think>hm") == (ANSWER, False)


@pytest.mark.parametrize(("begin", "end"), MARKS)
def test_every_way_to_mark_thoughts_is_known(begin, end):
    assert answered(f"{begin}hm{end}{ANSWER}") == answered(f"\n{begin}hm\n{end}\n\n{ANSWER}") == (ANSWER, True)


@settings(max_examples=60)
@given(st.sampled_from(MARKS), st.text("abc \nİß.", max_size=30), st.sampled_from(["", " ", "\n\n"]))
def test_no_thought_is_left_whatever_it_says(marks, thought, between):
    assert answered(f"{marks[0]}x{thought}{marks[1]}{between}{ANSWER}") == (ANSWER, True)


class Says:
    """An engine with one reply."""

    model, whole = "said", False

    def __init__(self, text):
        self.text = text

    def generate(self, requests, wanted, done):
        done([(place, Reply(self.text)) for place in wanted])


@pytest.mark.parametrize(
    "text", [f"Sure! <think>hm</think> {ANSWER}", f"{ANSWER} <THINK>hm", f"**<|channel|>** {ANSWER}"]
)
def test_a_mark_within_a_line_leaves_the_reply_unfinished_where_its_request_has_none(text):
    assert answer(Says(text), [Request("a document")])[0][0].finish == "length"
    assert answer(Says(text), [Request("how <think> and <|channel|> came to be")])[0][0].finish == "stop"
    assert not thinks_aloud(ANSWER, "")
