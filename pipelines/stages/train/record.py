"""The record of the stage `train`."""

from ...engine.record import StageRecord

RECORDS = (
    StageRecord(
        name="train",
        about="""Pre-train a transformer by a recipe, on the token shards of the workspace.

Writes runs/<name>/: metrics.jsonl, checkpoints and run_card.json. The same command goes on where a stopped run was.
On several GPUs: torchrun --nproc-per-node 8 -m gristmill.pipelines.cli train ...

--settings FILE holds what has no option of its own: loop (optimiser, schedule, reweighting, teacher, z_loss,
document_mask, evaluate_every, tensorboard, ...), shape, packing, curriculum, conditioning, upsample, replay,
subset, max_epochs, targets, online (every, warmup, least): the train section of a settings file. See continual,
meco and salt in examples/.""",
        example="gristmill train W/mixture/recipe.yaml --workspace W --model 4m --resume",
        settings=".settings:TrainSettings",
        run=".command:run_train",
        after=("mix",),
        reads=("tokens/", "mixture"),
        writes=("runs/",),
        check=".checks:check",
        options=".options:TrainOptions",
        act=".command:act",
        parallel=False,
        replay=(),
    ),
)
