"""What the command `tag` says beside its counts."""

from typing import Any


def lines(summary: dict[str, Any]) -> str:
    """How far each learnt labeller agrees with its teacher."""
    said = []
    for name, row in summary["details"].get("agreement", {}).items():
        if row["agreement"] is not None:
            trivial = f"the commonest label alone {row['commonest_agreement']:.1%}"
            said.append(
                f"tag: {name}: agrees with its teacher on {row['agreement']:.1%} of {row['held_back']} documents "
                f"held back (kappa {row['kappa']:.2f}; {trivial})\n"
            )
    return "".join(said)
