"""Formulas of a page as LaTeX: MathML, KaTeX, MathJax and images with LaTeX in `alt`.

Each formula is cut out of the tree and replaced by a mark of private-use characters; `restore` puts its LaTeX back
between `$` (inline) or `$$` (display) after the text was laid out, so that not a byte of it changes. Pages without
formulas pay nothing: `blocks.py` tells whether there may be some. Presentation MathML without a LaTeX source is
translated; what has no LaTeX counterpart keeps its text.
"""

# numba finds the types of compiled functions itself
# pyright: reportMissingParameterType=false

import re
from collections.abc import Sequence
from typing import Any

from resiliparse.parse.html import HTMLTree

OPEN, CLOSE = "\ue000", "\ue001"
MARK = re.compile(f"{OPEN}(\\d+){CLOSE}")
IMAGES = (
    "img.latex, img.tex, img.math, img[class*='mwe-math-fallback'], img[src*='latex.php'], img[src*='latex.codecogs']"
)

DEEPEST = 100  # elements within each other in a formula that are translated

# Collections of nodes are gone through as slices: by themselves they are made anew for each of their members.


def cut_out(tree: HTMLTree) -> list[str]:
    """Replace every formula of the tree by a mark; the formulas with their delimiters, by number."""
    formulas: list[str] = []
    root = tree.document
    if tree.body is None or root is None:
        return formulas

    def put(element, latex: str, display: bool) -> None:
        latex = latex.strip("\n\r\t ")
        if not latex:
            return
        sign = "$$" if display else "$"
        mark = tree.create_text_node(f" {OPEN}{len(formulas)}{CLOSE} " if display else f"{OPEN}{len(formulas)}{CLOSE}")
        element.parent.replace_child(mark, element)
        formulas.append(f"{sign}{latex}{sign}")

    for script in root.query_selector_all("script[type^='math/tex']")[:]:
        put(script, script.text or "", "display" in (script.getattr("type") or ""))
    for rendered in root.query_selector_all(".MathJax, .MathJax_Display, .MathJax_Preview, .MathJax_SVG")[:]:
        if rendered.parent is not None and not rendered.query_selector("math"):
            rendered.parent.remove_child(rendered)
    for math in root.query_selector_all("math")[:]:
        whole, display = _whole(math)
        if whole.parent is not None:
            put(whole, _source(math), display)
    for image in root.query_selector_all(IMAGES)[:]:
        alt = image.getattr("alt") or ""
        if alt and image.parent is not None:
            put(image, alt, False)
    return formulas


def restore(text: str, formulas: Sequence[str]) -> str:
    """The text with its formulas back in place."""
    if not formulas:
        return text
    return MARK.sub(lambda found: formulas[int(found[1])], text)


def _whole(math) -> tuple[Any, ...]:
    """(the element that stands for the whole formula, whether it is displayed)."""
    display = (math.getattr("display") or "") == "block" or "display" in (math.getattr("mode") or "")
    whole, node = math, math.parent
    for _ in range(6):
        if node is None or node.tag in (None, "body", "html", "p", "td", "li"):
            break
        classes = (node.getattr("class") or "").split()
        if node.tag == "mjx-container" or any(name in classes for name in WRAPPERS):
            whole = node
            shown = "katex-display" in classes or "MathJax_Display" in classes or "mwe-math-element-block" in classes
            display = display or shown or (node.getattr("display") or "") == "true"
        node = node.parent
    return whole, display


WRAPPERS = ("katex", "katex-display", "MathJax", "MathJax_Display", "mwe-math-element", "mwe-math-element-block")


def _source(math) -> str:
    """The LaTeX of a `math` element: its annotation, its `alttext`, or a translation."""
    for note in math.query_selector_all("annotation")[:]:
        if "tex" in (note.getattr("encoding") or "").lower():
            return note.text or ""
    if math.getattr("alttext"):
        return math.getattr("alttext")
    return translate(math)


def translate(node, depth: int = 0) -> str:
    """Presentation MathML as LaTeX; of what is nested deeper than any formula, the text."""
    if depth > DEEPEST:
        return (node.text or "").strip()
    name, parts = node.tag, [translate(child, depth + 1) for child in _children(node)]
    if name in ("mi", "mn", "mo", "mtext", "ms"):
        text = (node.text or "").strip()
        if name == "mtext":
            return f"\\text{{{text}}}" if text else ""
        if name == "mi" and len(text) > 1 and text.isascii():
            return f"\\{text} " if text in FUNCTIONS else f"\\mathrm{{{text}}}"
        return "".join(SYMBOLS.get(c, c) for c in text)
    if name == "mfrac" and len(parts) == 2:
        return f"\\frac{{{parts[0]}}}{{{parts[1]}}}"
    if name == "msqrt":
        return f"\\sqrt{{{''.join(parts)}}}"
    if name == "mroot" and len(parts) == 2:
        return f"\\sqrt[{parts[1]}]{{{parts[0]}}}"
    if name in ("msup", "mover") and len(parts) == 2:
        return ACCENTS[parts[1]] + f"{{{parts[0]}}}" if parts[1] in ACCENTS else f"{_base(parts[0])}^{{{parts[1]}}}"
    if name in ("msub", "munder") and len(parts) == 2:
        return f"{_base(parts[0])}_{{{parts[1]}}}"
    if name in ("msubsup", "munderover") and len(parts) == 3:
        return f"{_base(parts[0])}_{{{parts[1]}}}^{{{parts[2]}}}"
    if name == "mtr":
        return " & ".join(parts)
    if name == "mtable":
        return "\\begin{matrix} " + " \\\\ ".join(parts) + " \\end{matrix}"
    if name == "mfenced":
        return (node.getattr("open") or "(") + ",".join(parts) + (node.getattr("close") or ")")
    if name == "mspace":
        return "\\ "
    if name in ("annotation", "annotation-xml"):
        return ""
    return "".join(parts)


def _children(node) -> list[Any]:
    return [child for child in node.child_nodes[:] if child.tag and not child.tag.startswith("#")]


def _base(part: str) -> str:
    return part.strip() if len(part.strip()) == 1 or part.startswith("\\") else f"{{{part}}}"


FUNCTIONS = frozenset("sin cos tan log ln exp lim max min sup inf det dim ker gcd arg sinh cosh tanh".split())
ACCENTS = {"¯": "\\bar", "^": "\\hat", "~": "\\tilde", "→": "\\vec", "\\to ": "\\vec", "˙": "\\dot", "‾": "\\overline"}
_LOWER = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega"
)
_UPPER = "Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
_SIGNS = (
    "sum prod int partial nabla infty leq geq neq approx equiv pm times cdot div in notin subset subseteq cup cap to "
    "Rightarrow Leftrightarrow leftarrow mapsto forall exists emptyset surd ldots cdots circ otimes oplus wedge vee "
    "neg sim cong propto"
)
SYMBOLS = {
    **{c: f"\\{name} " for c, name in zip("αβγδεζηθικλμνξπρστυφχψω", _LOWER.split(), strict=True)},
    **{c: f"\\{name} " for c, name in zip("ΓΔΘΛΞΠΣΦΨΩ", _UPPER.split(), strict=True)},
    **{c: f"\\{name} " for c, name in zip("∑∏∫∂∇∞≤≥≠≈≡±×·÷∈∉⊂⊆∪∩→⇒⇔←↦∀∃∅√…⋯∘⊗⊕∧∨¬∼≅∝", _SIGNS.split(), strict=True)},
    **{c: f"\\mathbb{{{c2}}}" for c, c2 in zip("ℝℕℤℚℂ", "RNZQC", strict=True)},
    **{c: f"\\{c}" for c in "%&#{}"},
    **dict.fromkeys("\u2061\u2062\u2063\u2064", ""),
    "−": "-",
    "′": "'",
}
