"""Signals as a function of Ray Data: `dataset.map_batches(signals, batch_format="pyarrow")`.

python examples/library/ray_batches.py
"""

import pyarrow as pa

import gristmill as gm


def signals(batch: pa.Table) -> pa.Table:
    """The batch with the Gopher signals as a struct column, and whether the rules keep each row."""
    measured = gm.signals(batch, ["gopher@paper"])
    return measured.append_column("kept", gm.decide(measured, "gopher")["kept"])


if __name__ == "__main__":
    import ray

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    rows = ray.data.from_items([{"text": f"row {n} of the table"} for n in range(10)])
    print(rows.map_batches(signals, batch_format="pyarrow").take(2))
