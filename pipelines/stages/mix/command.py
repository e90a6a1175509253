"""What the commands `mix` and `mix ladder` say beside their counts."""

from typing import Any


def lines(summary: dict[str, Any]) -> str:
    """The mixtures compared."""
    return mixture_lines(summary["details"])


def ladder_lines(summary: dict[str, Any]) -> str:
    """How far the order of mixtures carries over."""
    return rung_lines(summary["details"])


def mixture_lines(details: dict[str, Any]) -> str:
    """Every mixture compared: what was predicted, what validation measured; best first; then the verdict."""
    measured, predicted = details["mixtures"], details["predicted"]
    lines = ["mixture, bits per byte on the target: measured by validation; predicted for the proxies [90 %]"]
    seen = sorted(measured, key=lambda name: measured[name]["bits_per_byte"])
    rest = sorted((name for name in predicted if name not in measured), key=lambda name: predicted[name]["predicted"])
    for name in [*seen, *rest]:
        row, guess = measured.get(name), predicted.get(name)
        told = "not trained"
        if row:
            told = f"{row['bits_per_byte']:.4f}" + ("" if row["spread"] is None else f" ± {row['spread']:.4f}")
        said = f"{guess['predicted']:.4f} [{guess['low']:.4f}, {guess['high']:.4f}]" if guess else "not predicted"
        lines.append(f"  {name:<14} {told:<17} {said}")
    for name, row in details.get("target_files", {}).items():
        parts = ", ".join(f"{row[half]['tokens']:,} tokens {half}" for half in ("searched", "judged"))
        short = f"; fewer than asked for: {', '.join(row['short'])}" if row["short"] else ""
        lines.append(f"target {name}: {row['items']:,} items, {parts}{short}")
    for name, row in details.get("bounds", {}).items():
        kept = "kept" if row["kept"] else "not kept"
        lines.append(f"bound on {name}: at most {row['at_most']:.4f}, predicted {row['predicted']:.4f}: {kept}")
    held, pairs = details["pairs_held"]
    lines.append(f"The predicted order held for {held} of {pairs} pairs.")
    fresh = ", ".join(f"{name} {row['bits_per_byte']:.4f}" for name, row in details.get("fresh", {}).items())
    if fresh:
        lines.append(f"trained again with fresh seeds: {fresh}")
    if details.get("card"):
        from ....mixing.card import card_lines

        lines += card_lines(details["chosen"], details["card"])
    lines.append(details["verdict"])
    for end in details.get("last_phases", []):
        shares = ", ".join(f"{name} {share:.3f}" for name, share in end["shares"].items() if share > 0)
        worth = end["gain"]
        lines.append(
            f"last {end['length']:.0%} on {shares}: predicted gain {worth['value']:.4f} "
            f"[{worth['low']:.4f}, {worth['high']:.4f}]" + ("" if worth["proven"] else ", not proven")
        )
    return "\n".join(lines) + "\n"


def rung_lines(details: dict[str, Any]) -> str:
    """One line for each pair of sizes."""
    lines = [
        f"  {rung['small']} to {rung['large']}: Spearman {rung['mean']['spearman']:.3f}, "
        f"{rung['mean']['pairwise']:.0%} of pairs in the same order (mean of targets, {rung['mixtures']} mixtures)"
        for rung in details["rungs"]
    ]
    lines += [
        f"  {size}: deviation between seeds {sum(by.values()) / len(by):.4f} bits per byte"
        for size, by in details["noise"].items()
    ]
    return "\n".join(lines) + "\n"
