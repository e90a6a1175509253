"""What every signal is: the source of each family, what a word and a line is to it, and the formula of each column.

For readers and for the generated reference; nothing is computed by it. In a formula `a / b` is a ratio, null where b
is zero; every value of a text that is null is null.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from .gopher import DUPLICATE, TOP

EIGHT = "the, be, to, of, and, that, have, with"


@dataclass(frozen=True)
class Definition:
    """Of one family."""

    source: str
    pieces: str  # what a word, a line and a paragraph is
    columns: Mapping[str, str]  # name -> formula; one named `*` is of all columns


def _grams(top: str, duplicate: str) -> dict[str, str]:
    """The nine columns of repeated n-grams."""
    columns = {f"top_{n}gram": top.format(n=n, spaces=f"{n - 1} space{'s' * (n > 2)}") for n in TOP}
    return columns | {f"duplicate_{n}gram": duplicate.format(n=n) for n in DUPLICATE}


_PAPER = Definition(
    "Rae et al. 2021 (Gopher, arXiv 2112.11446), appendix A.1.1; where it is silent, as stated here",
    "Words stand between white space, lines between line feeds, paragraphs between empty ones. Blanks do not count.",
    {
        "word_count": "words",
        "mean_word_length": "characters of words / words",
        "hash_ratio": "`#` / words",
        "ellipsis_ratio": "`...` and `…` / words",
        "bullet_lines": "lines that begin with `•` or `-` / lines",
        "ellipsis_lines": "lines that end with `...` or `…` / lines",
        "alpha_words": "words with a letter / words",
        "stop_words": f"how many of these occur: {EIGHT}",
        "duplicate_lines": "lines that equal an earlier line / lines",
        "duplicate_line_chars": "characters of those lines / characters of lines",
        "duplicate_paragraphs": "paragraphs that equal an earlier one / paragraphs",
        "duplicate_paragraph_chars": "characters of those paragraphs / characters of paragraphs",
    }
    | _grams(
        "characters of words in the most frequent {n}-gram, each place once, if it occurs twice / characters of words",
        "characters of words in {n}-grams that occur twice or more, each place once / characters of words",
    ),
)
_DATATROVE = Definition(
    "datatrove 0.10: `GopherQualityFilter`, `GopherRepetitionFilter`, after Rae et al. 2021 (Gopher)",
    "Words are tokens of spaCy's blank English tokenizer, punctuation among them. Lines stand between runs of line "
    "feeds where they are compared, and as `str.splitlines` has them where their marks count.",
    {
        "word_count": "tokens with a character that is no punctuation",
        "mean_word_length": "characters of those tokens / those tokens",
        "hash_ratio": "`#` / tokens",
        "ellipsis_ratio": "`...` and `…` / tokens",
        "bullet_lines": "lines that begin with `•` or `-` / lines",
        "ellipsis_lines": "lines that end with `...` or `…` / lines",
        "alpha_words": "tokens with a letter / tokens",
        "stop_words": f"how many of these occur: {EIGHT}",
        "duplicate_lines": "lines that equal an earlier line / lines",
        "duplicate_line_chars": "characters of those lines / characters of the text",
        "duplicate_paragraphs": "paragraphs that equal an earlier one / paragraphs",
        "duplicate_paragraph_chars": "characters of those paragraphs / characters of the text",
    }
    | _grams(
        "(characters of the most frequent {n}-gram + {spaces}) × its occurrences / characters of the text",
        "characters of {n}-grams seen before, in a scan that moves on by {n} words after each / characters of the text",
    ),
)
_DOLMA = Definition(
    "Dolma 1.2: tagger `gopher_v1`, after Rae et al. 2021 (Gopher)",
    "Words stand between white space, lines between line feeds; nothing is stripped.",
    {
        "word_count": "words",
        "median_word_length": "median of the characters of a word",
        "symbol_ratio": "words that hold `#` or `…` / words",
        "bullet_lines": "lines that begin with `*` or `-` / lines",
        "ellipsis_lines": "lines that end with `…` / lines",
        "alpha_words": "words with a letter / words",
        "stop_words": f"words that are one of these, every occurrence: {EIGHT}",
        "duplicate_lines": "lines that equal another line, first occurrences included / lines",
        "duplicate_line_chars": "characters of those lines / characters of words",
    }
    | _grams(
        "characters of the most frequent {n}-gram × its occurrences / characters of words",
        "characters of {n}-grams that occur twice or more, every occurrence / characters of all {n}-grams",
    ),
)
_DCLM = Definition(
    "DCLM baselines (Li et al. 2024, arXiv 2406.11794), after Rae et al. 2021 (Gopher)",
    "Words are Unicode words (UAX 29) without punctuation; where it says plain words, they stand between white space. "
    "Paragraphs stand between pairs of line feeds. Lines and paragraphs are stripped, and blank ones do not count.",
    {
        "word_count": "words",
        "mean_word_length": "characters of plain words / plain words",
        "symbol_ratio": "`#`, `...`, `…` and `. . .` / plain words",
        "bullet_lines": "lines that begin with `●`, `•`, `*` or `-` / lines",
        "ellipsis_lines": "lines that end with `...`, `…` or `. . .` / lines",
        "alpha_words": "plain words with a letter / plain words",
        "stop_words": f"plain words, in lower case, that are one of these, every occurrence: {EIGHT}",
        "duplicate_lines": "lines that equal another line, first occurrences included / lines",
        "duplicate_line_chars": "characters of those lines / characters of lines",
        "duplicate_paragraphs": "paragraphs that equal another one, first occurrences included / paragraphs",
        "duplicate_paragraph_chars": "characters of those paragraphs / characters of paragraphs",
    }
    | _grams(
        "characters of the longest of the most frequent {n}-grams × its occurrences, if it occurs twice "
        "/ characters of words",
        "characters of words in {n}-grams that occur twice or more, each place once / characters of words",
    ),
)
_FINEWEB2_WORDS = ("word_count", "mean_word_length", "hash_ratio", "ellipsis_ratio", "alpha_words", "bullet_lines",
                   "ellipsis_lines", "duplicate_lines")  # fmt: skip
_FINEWEB2 = Definition(
    "FineWeb-2 (Penedo et al. 2025, arXiv 2506.20920), whose pipeline is datatrove's",
    "Chinese, Japanese, Thai, Lao, Khmer and Burmese texts are cut by ICU's dictionaries, all others as by "
    "`gopher@datatrove`. What needs words is null where a text of those languages is not cut.",
    {name: _DATATROVE.columns[name] for name in (*_FINEWEB2_WORDS, *_grams("", ""))}
    | {
        "list_ratio": "line feeds / tokens",
        "stop_words": "how many stop words of the document's language occur; null for a language without a list",
        "cut": "how words were cut: `icu`, `space` or `unsegmented`",
    },
)
_C4 = {
    "lines": "lines",
    "long_word_lines": "lines with a word of more than 1,000 characters",
    "unpunctuated_lines": "lines that do not end with `.`, `?`, `!`, `\"` or `'`, or end with `...`",
    "few_word_lines": "lines of less than three words",
    "javascript_lines": "lines that hold `javascript`",
    "policy_lines": "lines that hold one of C4's phrases on policies and cookies",
    "lorem_ipsum": "lines that hold `lorem ipsum`",
    "curly_bracket": "lines that hold `{`",
    "kept_lines": "lines that none of these reasons drops",
    "kept_chars": "characters of those lines",
    "sentences": "sentences of those lines",
}
_LINES_OF_C4 = (
    "Lines are as `str.splitlines` has them, citations like `[1]` and `[edit]` taken out. A line counts for the "
    "first reason that drops it, in this order: {}."
)
_FINEWEB = Definition(
    "FineWeb (Penedo et al. 2024, arXiv 2406.17557), section 3.6, as `FineWebQualityFilter` of datatrove 0.10",
    "Lines stand between line feeds, and blank ones do not count. Tokens are those of `gopher@datatrove`.",
    {
        "line_punct_ratio": "lines that end with a terminal mark of any script / lines",
        "short_line_ratio": "lines of at most 30 characters / lines",
        "char_dup_ratio": "characters of lines that equal an earlier line / characters but line feeds",
        "list_ratio": "line feeds / tokens",
    },
)
_TEXT = Definition(
    "our own; classes of characters by Unicode's general categories",
    "Words stand between white space, lines between line feeds.",
    {
        "chars": "characters",
        "bytes": "bytes in UTF-8",
        "words": "words",
        "lines": "lines",
        "mean_line_length": "characters of lines / lines",
        "max_line_length": "characters of the longest line",
        "alpha": "letters / characters",
        "digits": "digits / characters",
        "upper": "capital letters / characters",
        "space": "white space / characters",
        "punctuation": "punctuation / characters",
        "symbols": "symbols / characters",
        "ascii": "ASCII characters / characters",
        "unique_words": "different words / words",
        "word_entropy": "− Σ p log₂ p over the shares p of different words, in bits",
        "byte_entropy": "− Σ p log₂ p over the shares p of byte values, in bits",
        "compression_ratio": "bytes / bytes that zlib makes of them at level 6",
    },
)
_CODE = Definition(
    "StarCoder (Li et al. 2023, arXiv 2305.06161), section 3.1; the last two columns are our own",
    "Words stand between white space, lines between line feeds.",
    {
        "lines": "lines",
        "mean_line_length": "characters of lines / lines",
        "max_line_length": "characters of the longest line",
        "alpha": "letters / characters",
        "alnum": "letters and digits / characters",
        "xml_header": "1 where `<?xml version=` stands in the first 100 bytes, else 0",
        "comment_lines": "lines that begin with `#`, `//`, `--`, `%`, `*` or `/*` / lines",
        "digit_tokens": "words with a digit / words",
    },
)
_FORMULAS = Definition(
    "after RedStone (Chang et al. 2024, arXiv 2412.03398); the marks are our own",
    "A LaTeX command is a backslash and two or more letters. Operators are =<>+^×÷±≤≥≠≈∑∏∫√∂∞∈∀∃→.",
    {
        "latex_commands": "LaTeX commands",
        "distinct_latex_commands": "different LaTeX commands",
        "operators": "operators",
        "dollars": "`$`",
        "math_symbols": "operators / characters",
        "digits": "digits / characters",
    },
)
_QUESTIONS = Definition(
    "after RedStone (Chang et al. 2024, arXiv 2412.03398); the marks are our own",
    "Lines stand between line feeds, white space around them aside.",
    {
        "question_marks": "`?`",
        "question_lines": "lines that end with `?`",
        "choice_lines": "lines that begin like `A.`, `b)` or `(c)`, from a to e",
        "answer_lines": "lines that begin with `answer`",
    },
)
_NEMO = Definition(
    "NeMo Curator 1.4, its heuristic filters",
    "Words stand between white space, lines between line feeds, paragraphs between pairs of them. Blank lines do not "
    "count. A text of less than n words repeats all of itself.",
    {
        "non_alpha_numeric": "characters that are no ASCII letter, digit, line feed or one of `?!,.` / characters",
        "numbers": "digits / characters",
        "urls": "characters of URLs / characters",
        "white_space": "spaces, tabs, line feeds, carriage returns and backspaces / characters",
        "parentheses": "brackets, round, square, curly and angle / characters",
        "symbol_words": "words that are an ellipsis or mostly `#` / words",
        "long_word": "characters of the longest word",
        "word_count": "words",
        "mean_word_length": "characters of words / words",
        "alpha_words": "words with a letter / words",
        "stop_words": f"words that are one of these, every occurrence: {EIGHT}",
        "bullet_lines": "lines that begin with one of `•‣⁃⁌⁍∙○●◘◦⦾⦿` / lines",
        "ellipsis_lines": "lines that end with an ellipsis or with `read more` / lines",
        "unpunctuated_lines": "lines that do not end with `.`, `?`, `!`, `\"` or `'` / lines",
        "boilerplate_paragraphs": "paragraphs with a phrase on policies, or all if one says lorem ipsum / paragraphs",
        "unique_lines": "different lines / lines",
        "unique_line_chars": "characters of different lines / characters of lines",
        "unique_paragraphs": "different paragraphs / paragraphs",
        "unique_paragraph_chars": "characters of different paragraphs / characters of paragraphs",
    }
    | _grams(
        "characters of the most frequent {n}-gram, wherever it stands with one space between its words / characters",
        "characters of later occurrences of {n}-grams, overlaps once, with spaces / characters",
    ),
)
_REDPAJAMA = Definition(
    "RedPajama-V2 (Weber et al. 2024, arXiv 2411.12372), its published definitions",
    "Words are in lower case, without ASCII punctuation, between white space, and their characters are counted after "
    "NFD. Raw words are runs of word characters or of marks. Signals of lines are means over lines.",
    {
        "length": "characters",
        "lines": "lines",
        "sentences": "sentences, by its pattern",
        "word_count": "words",
        "mean_word_length": "characters of words / words",
        "symbol_to_word_ratio": "`#`, `...` and `…` / raw words",
        "lines_end_with_ellipsis": "lines that end with `...` or `…` / lines",
        "no_alpha_words": "raw words without an ASCII letter / raw words",
        "unique_words": "different words / words",
        "unigram_entropy": "− Σ p ln p over the shares p of different words, in nats",
        "all_caps_words": "raw words in capitals / raw words",
        "curly_bracket": "`{` and `}` / characters",
        "lorem_ipsum": "`lorem ipsum` / characters of words and of spaces between them",
        "stop_word_fraction": f"raw words that are one of these / raw words: {EIGHT}",
        "bullet_lines": "lines that begin with one of `•‣▶◀◦■□▪▫–` / lines",
        "terminal_lines": "lines that end with `.`, `!`, `?` or `”` / lines",
        "line_words": "words / lines",
        "javascript_line_words": "words that are `javascript` / lines",
        "numerical_line_chars": "numerals / characters of the line's words and of spaces between them, mean over lines",
        "uppercase_line_chars": "capital letters / characters of the line, mean over lines",
    }
    | _grams(
        "characters of the most frequent {n}-gram × its occurrences, if it occurs twice / characters of words",
        "characters of words in {n}-grams that occur twice or more, each place once / characters of words",
    ),
)
_ORDER = "a long word, {}few words, `lorem ipsum`, `javascript`, `{{`, policies"
DEFINITIONS: dict[str, Definition] = {
    "gopher@paper": _PAPER,
    "gopher@datatrove": _DATATROVE,
    "gopher@dolma": _DOLMA,
    "gopher@dclm": _DCLM,
    "gopher@fineweb2": _FINEWEB2,
    "c4@datatrove": Definition(
        "datatrove 0.10: `C4QualityFilter`, after Raffel et al. 2020 (C4, arXiv 1910.10683), section 2.2",
        _LINES_OF_C4.format(_ORDER.format("no terminal mark, ")),
        _C4,
    ),
    "c4@fineweb": Definition(
        "FineWeb (Penedo et al. 2024): `C4QualityFilter` of datatrove 0.10 without the rule on terminal marks",
        _LINES_OF_C4.format(_ORDER.format("")),
        _C4 | {"unpunctuated_lines": "0: the rule is off"},
    ),
    "c4@dolma": Definition(
        "Dolma 1.2: tagger `c4_v2`, after Raffel et al. 2020 (C4)",
        "Lines stand between line feeds. A line counts for each reason that it gives.",
        {
            "lines": "lines",
            "unpunctuated_lines": 'lines that do not end with `.`, `?`, `!` or `"`',
            "few_word_lines": "lines of less than three words",
            "javascript": "1 where the text holds `javascript`, else 0",
            "lorem_ipsum": "1 where the text holds `lorem ipsum`, else 0",
            "curly_bracket": "1 where the text holds `{`, else 0",
        },
    ),
    "fineweb": _FINEWEB,
    "text": _TEXT,
    "nemo": _NEMO,
    "redpajama": _REDPAJAMA,
    "code": _CODE,
    "formulas": _FORMULAS,
    "questions": _QUESTIONS,
    "stop_words": Definition(
        "our own; the lists are in `filters/signals/stop_words.txt`",
        "Words are Unicode words (UAX 29) in lower case. One column a language, by its ISO 639-1 code.",
        {"*": "words that are stop words of that language / words"},
    ),
    "pii": Definition(
        "our own; shapes, checksums and issuers' prefixes",
        "Of the text as it stands.",
        {"*": "finds of that kind: email, ip, phone, iban, card, api_key"},
    ),
    "pii_spans": Definition(
        "our own; the same finds as `pii`",
        "Of the text as it stands.",
        {"found": "place and kind of every find, in characters"},
    ),
}
