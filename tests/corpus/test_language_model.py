"""The language model that comes along: sentences of many languages, texts that are hardly one, and its arithmetic."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.corpus.languages.identification import BEST, OWN, identify
from gristmill.corpus.languages.model import (
    LONGEST,
    SLICE,
    SLICES,
    LanguageIdentifier,
    characters,
    folding,
    ngrams,
    predict,
    row_of,
    scores,
    shipped,
    table,
)

SENTENCES = {
    "en": "The miller opened the gate and let the water run over the wheel until the grain was ground.",
    "de": "Der Müller öffnete das Tor und ließ das Wasser über das Rad laufen, bis das Korn gemahlen war.",
    "fr": "Le meunier ouvrit la porte et laissa couler l'eau sur la roue jusqu'à ce que le grain soit moulu.",
    "es": "El molinero abrió la compuerta y dejó correr el agua sobre la rueda hasta que el grano estuvo molido.",
    "pl": "Młynarz otworzył bramę i puścił wodę na koło, aż całe ziarno zostało zmielone.",
    "cs": "Mlynář otevřel vrata a pustil vodu na kolo, dokud nebylo všechno zrno semleté.",
    "fi": "Mylläri avasi portin ja antoi veden juosta pyörän yli, kunnes vilja oli jauhettu.",
    "tr": "Değirmenci kapıyı açtı ve tahıl öğütülene kadar suyun çarkın üzerinden akmasına izin verdi.",
    "ru": "Мельник открыл ворота и пустил воду на колесо, пока всё зерно не было смолото.",
    "uk": "Мельник відчинив ворота і пустив воду на колесо, поки все зерно не було змелене.",
    "el": "Ο μυλωνάς άνοιξε την πύλη και άφησε το νερό να τρέξει πάνω στον τροχό.",
    "ja": "粉屋は門を開けて、穀物が挽かれるまで水を車輪の上に流しました。",
    "zh": "磨坊主打开闸门,让水流过轮子,直到谷物磨好为止。",
    "ko": "방앗간 주인은 문을 열고 곡식이 빻아질 때까지 물이 바퀴 위로 흐르게 했다.",
    "sw": "Msagaji alifungua lango na kuacha maji yapite juu ya gurudumu mpaka nafaka ikasagwa.",
    "vi": "Người thợ xay mở cổng và để nước chảy qua bánh xe cho đến khi hạt được xay xong.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_is_recognised(language: str):
    (best,) = identify([SENTENCES[language]], OWN)
    assert best[0][0] == language
    assert len(best) <= BEST  # fewer where its script is that of fewer languages
    assert best[0][1] > 0.5
    assert best == sorted(best, key=lambda pair: -pair[1])


def test_a_batch_gives_each_text_what_it_gets_alone():
    texts = [*SENTENCES.values(), "", "12", "x"]
    assert identify(texts, OWN) == [identify([text], OWN)[0] for text in texts]


@pytest.mark.parametrize("text", ["", "  \n", "2024-05-01 12:30 — 1,000 €", "🙂🙂🙂", "\U00013000\U00013001"])
def test_a_text_without_a_known_letter_has_no_language(text: str):
    assert identify([text], OWN) == [[]]


def test_a_short_word_is_answered_with_the_language_of_its_script_and_one_letter_with_none():
    assert [identify([word], OWN)[0][0][0] for word in ("νερό", "წყალი", "தமிழ்")] == ["el", "ka", "ta"]
    assert [identify([letter], OWN)[0][0][0] for letter in "ωκத"] == ["und"] * 3


def test_letters_of_an_unknown_script_lower_the_score_of_the_few_known_words():
    plain = identify(["The mill stands at the river"], OWN)[0][0]
    foreign = identify(["The mill stands at the river " + "ᚠᚢᚦᚬᚱᚴ ᛅᛏᛒ " * 40], OWN)[0][0]
    assert foreign[1] < plain[1] - 0.2


def test_the_longer_part_of_a_text_in_two_scripts_decides():
    assert identify([SENTENCES["ru"] + " Windows Update"], OWN)[0][0][0] == "ru"
    assert identify([SENTENCES["en"] * 3 + " Москва"], OWN)[0][0][0] == "en"


def test_a_huge_text_is_judged_by_its_slices():
    text = SENTENCES["fi"] * 200_000
    assert len(characters(text)) == SLICE * SLICES + SLICES - 1
    assert identify([text], OWN)[0][0][0] == "fi"


def test_the_banner_before_and_after_a_page_does_not_decide():
    text = "Accept all cookies. Read more. " * 8 + SENTENCES["pl"] * 60 + " All rights reserved. " * 3
    assert identify([text], OWN)[0][0][0] == "pl"


@given(st.text(max_size=300))
def test_any_text_has_at_most_three_scores_of_a_probability(text: str):
    (best,) = identify([text], OWN)
    assert len(best) <= BEST
    assert sum(score for _, score in best) <= 1 + 1e-5
    assert all(score >= 0 for _, score in best)


@given(st.text(alphabet="ab é", max_size=40))
def test_case_and_marks_between_words_do_not_matter(text: str):
    model = shipped()
    assert predict([text.upper().replace(" ", " ... 7 ")], model, 3) == predict([text], model, 3)


def test_ngrams_are_those_of_marked_words():
    fold, room = folding(), np.empty(100, np.uint32)

    def of(text: str) -> list[int]:
        return room[: ngrams(characters(text), fold, room)].tolist()

    assert len(of("abc")) == sum(min(LONGEST, 5 - start) for start in range(5)) - 2  # less the two lone marks
    assert of("Abc, abc!")[:-1] == of("abc") * 2  # the last is the pair
    assert len(of("abcd")) == sum(min(LONGEST, 6 - start) for start in range(6)) - 2 + 1  # and the whole word
    assert set(of("abcde f")) & set(of("abcdf e")) < set(of("abcde")) | set(of("f"))  # a pair is of whole words
    assert of("f abcde")[-1] != of("abcde f")[-1]  # in their order
    assert set(of("b")) & set(of("abc")) == {of("b")[2]}  # the letter itself; its beginning and end differ
    assert ngrams(characters("abc abc"), fold, np.empty(20, np.uint32)) == 0  # no room, nothing half written


def test_the_vowel_signs_of_devanagari_are_letters_of_a_word():
    fold, room = folding(), np.empty(100, np.uint32)
    number = ngrams(characters("में"), fold, room)
    assert number == sum(min(LONGEST, 5 - start) for start in range(5)) - 2  # three letters, not one
    assert ngrams(characters("a\u0301"), fold, room) == ngrams(characters("a "), fold, room)  # elsewhere marks are none


@given(st.lists(st.integers(0, 2**32 - 1), unique=True, min_size=1, max_size=200), st.integers(0, 2**32 - 1))
def test_a_table_finds_every_hash_and_no_other(hashes: list[int], other: int):
    slots = table(np.array(hashes, np.uint32))
    assert [row_of(slots, np.uint32(value)) for value in hashes] == list(range(len(hashes)))
    assert row_of(slots, np.uint32(other)) == (hashes.index(other) if other in hashes else -1)


def test_scores_are_those_of_the_mean_vector_worked_out_by_hand():
    fold, room = folding(), np.empty(20, np.uint32)
    letter = room[: ngrams(characters("a"), fold, room)][2]
    vectors = np.array([[100, -50]], np.int8)
    head = np.array([[0.01, 0.0], [0.0, 0.02]], np.float32)
    model = LanguageIdentifier(
        ("x", "y"), fold, table(np.array([letter], np.uint32)), vectors, head, np.zeros(2, np.float32)
    )
    assert scores("a", model) == pytest.approx([np.e**2 / (np.e**2 + 1), 1 / (np.e**2 + 1)], rel=1e-5)
    halved = scores("a б", model)  # one known n-gram and one letter never seen: a sixth of the mean
    assert halved[0] == pytest.approx(1 / (1 + np.exp(-2 / 6)), rel=1e-5)
