"""A trainer that draws fixed-length rows by share, in whole steps. Unit: rows, so a weight is a share of tokens."""

from gristmill.mixing.exporters.frame import Export, ExportJob, begin, positive, spans, write_json


def export(job: ExportJob) -> Export:
    """Write shares.json; refuses loss weights and names that no trainer could take."""
    made = begin(job, "shares", "rows")
    phases = []
    for span in spans(job):
        shares = positive(span.phase)  # zero weights are left out
        made.add(shares, weights=shares, realised=shares)  # refuses what is off by more than one per cent
        phases.append({"steps": span.steps, "seq_len": span.phase.seq_len, "weights": shares})
    write_json(job, made, "shares.json", {"batch": job.batch, "seed": job.seed, "phases": phases})
    return made
