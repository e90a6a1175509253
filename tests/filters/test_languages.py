"""Stop words by language."""

import pyarrow as pa
import pytest

from gristmill.filters.signals.families import FAMILIES, measure

SENTENCES = {
    "de": "Der Fluss ist nicht so breit wie im letzten Jahr, und die Leute am Ufer haben es auch gesehen.",
    "en": "The river is not as wide as it was last year, and the people on the bank have seen that as well.",
    "fr": "La rivière n\u2019est pas aussi large que l\u2019an dernier, et les gens qui sont sur la rive le voient.",
    "es": "El río no es tan ancho como el año pasado, y la gente de la orilla lo ha visto también.",
    "fi": "Joki ei ole niin leveä kuin viime vuonna, mutta se on silti kaunis ja kaikki tietävät että niin on.",
    "ru": "Река не так широка, как в прошлом году, и люди на берегу это тоже видели, но не знают, что с ней.",
    "el": "Το ποτάμι δεν είναι τόσο πλατύ όσο πέρυσι, και οι άνθρωποι στην όχθη το είδαν με τα μάτια τους.",
    "zh": "这条河不是很大，他们在这里的时候，我们也没有来。",
    "ja": "この川は去年ほど広くないのだが、岸にいる人たちもそれを見ている。",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_has_most_stop_words_of_its_own_language(language):
    shares = measure(pa.array([SENTENCES[language].upper()]), [FAMILIES["stop_words"]])["stop_words"][0].as_py()
    assert max(shares, key=shares.get) == language
