"""The pre-training loop: batches by step, forward, backward, step; and everything that lets it stop and go on.

Killed anywhere and started again it ends with the same weights, bit for bit on a CPU: the data order is a function of
the step, checkpoints are whole or absent, and the state holds all that the loop remembers. A loss that is not finite,
or far above what the last steps were, rolls the run back to its last checkpoint and skips the steps in between.
Refuses to go on under another recipe, tokenizer, shards or settings than the run began with.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..corpus.store.errors import RequestError, WorkspaceError
from . import checkpoint, run_folder, schedules
from .data.loader import Loader
from .data.online import Online
from .data.prefetch import Prefetcher, Prepared
from .devices import mfu, pick_device, pick_dtype
from .distributed import Ranks, full, like, ranks, wrap
from .evaluation import HeldOut, bits_per_byte
from .loggers.metrics import Metrics, last_report
from .loggers.samples import SampleLog, Sampler
from .loop_settings import FREE, LoopSettings
from .objectives.distillation import TEACHER, Cache, soft_targets, teach
from .objectives.loss import chunk_terms, compiled_terms
from .objectives.objective import Objective
from .objectives.reweighting import row_weights
from .optimisers import Optimiser, plain
from .run_card import run_card
from .run_folder import CARD, CHECKPOINTS, METRICS, SETTINGS, changes_that_cannot_be, read_json, refusal, write_json
from .spikes import is_spike
from .transformer import ReadingMode, Transformer, document_mask, flops_per_token

Probe = Callable[[nn.Module], dict[str, dict[str, float]]]  # what gives the loss per token -> target -> scores


def pretrain(
    model: Transformer,
    loader: Loader,
    settings: LoopSettings,
    folder: str,
    held_out: Mapping[str, HeldOut],
    fingerprints: Mapping[str, str] | None = None,
    force: bool = False,
    quiet: bool = True,
    probe: Probe | None = None,
    online: Online | None = None,
    sampler: Sampler | None = None,
) -> dict[str, Any]:
    """Train `model` in place to the end of the loader's run and return the run card.

    folder        of the run; a run that stopped there goes on, a finished one is loaded
    fingerprints  of what else the run depends on (recipe, tokenizer), refused when changed unless `force`
    probe         scores of target tasks, taken whenever held-out text is measured
    online        what moves the shares of this very loader while the model trains; None: they stay
    sampler       what lets the model write, whenever held-out text is measured, into samples.jsonl
    """
    device = pick_device(settings.device)
    with ranks(device) as found:
        prints = fingerprints or {}
        run = Run(model, loader, settings, folder, held_out, prints, found, device, quiet, probe, online, sampler)
        return run.train(force)


class Run:
    """One run on one rank."""

    def __init__(
        self,
        model: Transformer,
        loader: Loader,
        settings: LoopSettings,
        folder: str,
        held_out: Mapping[str, HeldOut],
        fingerprints: Mapping[str, str],
        found: Ranks,
        device: torch.device,
        quiet: bool,
        probe: Probe | None = None,
        online: Online | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        self.loader, self.settings, self.folder, self.held_out, self.online = loader, settings, folder, held_out, online
        self.ranks, self.device, self.quiet, self.probe, self.sampler = found, device, quiet, probe, sampler
        self.model = model.to(device)
        model.compute_dtype = pick_dtype(settings.dtype, device)
        model.reading = ReadingMode(settings.document_mask, loader.phases[-1].metadata)
        self.prints = {"stream": loader.fingerprint, **fingerprints}
        terms = chunk_terms
        if settings.compile or (settings.compile is None and device.type == "cuda"):
            # sharded blocks gather their weights in hooks, which a graph of the whole model would not hold
            for part in model.blocks if settings.parallel == "fsdp" else (model,):
                part.compile(dynamic=False)
            if device.type == "cuda":
                terms = compiled_terms()
        self.module = wrap(
            Objective(model, settings.z_loss, terms), settings.parallel, found, device, model.compute_dtype
        )
        self.optimiser = Optimiser(model, settings.optimiser)
        self.cache: Cache | None = None
        self.weights = torch.tensor([settings.loss_weights.get(name, 1.0) for name in loader.names], device=device)
        self.flops = flops_per_token(model.config, max(phase.seq_len for phase in loader.phases))
        self.checkpoints = checkpoint.Writer(f"{folder}/{CHECKPOINTS}", settings.keep)
        # all that the loop remembers; saved with every checkpoint
        self.step, self.offset, self.rolled_back, self.seconds = 0, 0, 0, 0.0
        self.window: list[float] = []
        self.counts = np.zeros(len(loader.names), np.int64)

    # ---- the run

    def train(self, force: bool) -> dict[str, Any]:
        card = self.begin(force)
        if card is not None:
            return card
        if self.settings.teacher is not None:
            self.cache = teach(self.settings.teacher, f"{self.folder}/{TEACHER}", self.loader, self.ranks, self.device)
        told = {"steps": self.loader.steps, **vars(self.model.config), **self.settings.model_dump(mode="json")}
        boards = (self.settings.boards, self.settings.project, told)
        if self.step == self.loader.steps:  # stopped after the last checkpoint, before the card
            self.line = last_report(f"{self.folder}/{METRICS}", self.step)
        self.metrics = Metrics(self.folder, self.step, self.ranks.leads, self.quiet, *boards)
        self.samples = SampleLog(self.folder, self.step, self.sampler, self.ranks.leads)
        if self.step == 0:
            if not self.sound():
                raise RequestError("the weights that the run would start from are not all finite")
            self.save()  # what a rollback before the first checkpoint returns to
        try:
            while self.step < self.loader.steps:
                spiked = self.stretch_of_steps()
                if spiked is not None:
                    self.roll_back(spiked)
            card = run_card(self)
            if self.ranks.leads:
                write_json(f"{self.folder}/{CARD}", card)
        finally:
            self.checkpoints.wait()
            self.metrics.close()
        self.ranks.barrier()
        return card

    def stretch_of_steps(self) -> int | None:
        """Train on until the end, or until shares are due to move; until a spike: then the step of the spike."""
        read = self.loader.batch
        last = self.loader.steps if self.online is None else self.online.reach(self.step, self.position(self.step))
        rank, world, masks = self.ranks.rank, self.ranks.world, self.settings.document_mask
        batches = Prefetcher(lambda step: read(self.position(step), rank, world, masks), self.step, last, self.device)
        pending: list[tuple[int, Tensor, np.ndarray]] = []
        began = time.perf_counter()
        try:
            for prepared in batches:
                rate = schedules.factor(self.settings.schedule, self.step, self.loader.steps)
                losses = self.learn(prepared, rate)
                pending.append((self.step, losses, prepared.counts))
                self.step += 1
                if self.step == last or self.due_at_all():
                    spiked = self.settle(pending, began, rate)
                    if spiked is None and self.due(self.settings.checkpoint_every) and not self.sound():
                        spiked = self.step - 1
                    if spiked is not None:
                        return spiked
                    pending = []
                    self.evaluate_and_save()
                    began = time.perf_counter()
        finally:
            batches.close()
        return None

    def position(self, step: int) -> int:
        """Step of the stream that a step of training reads: later, by what rollbacks skipped."""
        return (step + self.offset) % self.loader.steps

    def due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.loader.steps

    def due_at_all(self) -> bool:
        """Whether this step is reported, evaluated or saved: each by an interval of its own."""
        return self.evaluates() or self.due(self.settings.log_every) or self.due(self.settings.checkpoint_every)

    def evaluates(self) -> bool:
        """Whether held-out text, targets and samples, where there are any, are measured after this step."""
        return bool(self.held_out or self.probe or self.sampler) and self.due(
            self.settings.evaluate_every or self.loader.steps
        )

    def sound(self) -> bool:
        """Whether all weights and moments are finite, on every rank: only then they are worth going back to."""
        tensors = [*self.model.state_dict().values(), *self.optimiser.state().values()]
        own = [getattr(tensor, "_local_tensor", tensor) for tensor in tensors]
        bad = sum((~torch.isfinite(tensor)).any().to(self.device, torch.int64) for tensor in own)
        return int(self.ranks.sum(torch.as_tensor(bad, device=self.device).reshape(1))) == 0

    def learn(self, batch: Prepared, rate: float) -> Tensor:
        """One optimiser step; (1,) the mean loss of its tokens on the device, then the sums by domain where online."""
        scale = (batch.targets >= 0) * self.weights[batch.domains][:, None]
        mass = self.ranks.sum(scale.sum())
        rows = len(batch.ids)
        micro = max(1, (self.settings.micro_tokens or batch.ids.numel()) // batch.ids.shape[1])
        soft = self.soft_labels(batch)
        # DDP and FSDP average gradients over ranks, the loss is a sum over them; without a counted token it is 0
        scale = scale * (self.ranks.world / torch.where(mass > 0, mass, 1.0))
        progress = self.step / self.loader.steps
        reweight = row_weights(self.settings.reweighting, progress, self.ranks.gather, self.ranks.rank)
        if reweight is not None and micro < rows:  # by the losses of the whole step, which are needed first
            scale, reweight = scale * reweight(self.losses(batch, soft, micro), scale)[:, None], None
        total = torch.zeros(1, device=self.device)
        by_domain = torch.zeros(2, len(self.weights), dtype=torch.float64, device=self.device)
        for start in range(0, rows, micro):
            part = slice(start, start + micro)
            targets, shares, mask = self.inputs(batch, soft, part)
            if self.ranks.world > 1:
                self.sync_at(start + micro >= rows)
            loss, nll = self.module(batch.ids[part], targets, scale[part], mask, shares, reweight)
            loss.backward()
            total += loss.detach()
            if self.online is not None:
                by_domain += self.online.sums_of(nll, targets, batch.domains[part])
        self.optimiser.clip()
        self.optimiser.step(rate)
        self.optimiser.zero_grad()
        if self.optimiser.estimates(self.step):
            self.estimate_curvature(batch, scale, micro)
        total /= self.ranks.world
        return self.ranks.sum(total if self.online is None else torch.cat((total.double(), by_domain.flatten())))

    def inputs(self, batch: Prepared, soft: Any, part: slice) -> tuple[Tensor, Tensor | None, object]:
        """Targets, their shares where a teacher gives some, and the attention mask of some rows."""
        targets, shares = batch.targets[part], None
        if soft is not None:
            targets, shares = soft_targets(targets, soft[0][part], soft[1][part], soft[2])
        return targets, shares, None if batch.documents is None else document_mask(batch.documents[part])

    @torch.no_grad()
    def losses(self, batch: Prepared, soft: Any, micro: int) -> Tensor:
        """(R, T) loss per token of the step's rows, before it is taken."""
        found = []
        for start in range(0, len(batch.ids), micro):
            part = slice(start, start + micro)
            targets, shares, mask = self.inputs(batch, soft, part)
            found.append(self.module(batch.ids[part], targets, None, mask, shares))
        return torch.cat(found)

    def estimate_curvature(self, batch: Prepared, scale: Tensor, micro: int) -> None:
        """Sophia's Hessian: squared gradients of the loss on labels that the model draws."""
        for start in range(0, len(batch.ids), micro):
            part = slice(start, start + micro)
            mask = None if batch.documents is None else document_mask(batch.documents[part])
            if self.ranks.world > 1:
                self.sync_at(start + micro >= len(batch.ids))
            seed = (self.step * 1_000_003 + start) * self.ranks.world + self.ranks.rank
            loss, _ = self.module(batch.ids[part], batch.targets[part], scale[part], mask, None, None, seed)
            loss.backward()
        self.optimiser.estimate(self.loader.batch_tokens)
        self.optimiser.zero_grad()

    def sync_at(self, last: bool) -> None:
        """Average gradients over ranks in the last micro-batch only."""
        if isinstance(self.module, nn.parallel.DistributedDataParallel):
            self.module.require_backward_grad_sync = last
        else:
            self.module.set_requires_gradient_sync(last)  # type: ignore[operator]

    def soft_labels(self, batch: Prepared) -> tuple[Tensor, Tensor, float] | None:
        position = self.position(self.step)
        if self.cache is None or position >= self.cache.steps:
            return None
        ids, shares = self.cache.read(position, self.ranks.rank, self.ranks.world)
        return ids.to(self.device), shares.to(self.device), self.cache.share

    # ---- reports, checkpoints, rollback

    def settle(self, pending: list[tuple[int, Tensor, np.ndarray]], began: float, rate: float) -> int | None:
        """Look at the losses since the last report: account for them, or give the step of a spike."""
        told = torch.stack([losses for _, losses, _ in pending]).tolist()
        losses = [loss for loss, *_ in told]
        counts = torch.zeros(len(self.loader.names), dtype=torch.int64)
        for (step, _, by_domain), (loss, *sums) in zip(pending, told, strict=True):
            if is_spike(loss, self.window, self.settings.spike_sigma):
                return step
            if self.online is not None:
                self.online.observe(sums)
            if loss != 0.0:  # a step without a counted token says nothing of the next
                self.window = [*self.window, loss][-self.settings.spike_window :]
            counts[: len(by_domain)] += torch.from_numpy(by_domain)
        self.counts += self.ranks.sum(counts.to(self.device)).cpu().numpy()
        elapsed = time.perf_counter() - began
        self.seconds += elapsed
        speed = len(pending) * self.loader.batch_tokens / elapsed
        self.line = {
            "step": self.step,
            "tokens": self.step * self.loader.batch_tokens,
            "loss": sum(losses) / max(1, sum(loss != 0.0 for loss in losses)),
            "lr": rate * self.settings.optimiser.rate,
            "tokens_per_second": speed,
            "mfu": mfu(self.flops, speed, self.device, self.ranks.world),
        }
        if self.online is not None:
            self.line["shares"] = self.online.named(self.online.shares)
        return None

    def evaluate_and_save(self) -> None:
        if self.evaluates():
            if self.held_out:
                self.line["bits_per_byte"] = bits_per_byte(self.module, self.held_out)
            if self.probe is not None:
                self.line["targets"] = self.probe(self.module)
            self.samples.write(self.step, self.step * self.loader.batch_tokens, self.model)
        self.metrics.write(self.line, self.loader.steps)
        if self.due(self.settings.checkpoint_every):
            self.save()

    def save(self) -> None:
        """Start writing a checkpoint of this step; sharded tensors are gathered by all ranks."""
        model = full({plain(name): tensor for name, tensor in self.model.state_dict().items()}, self.ranks)
        optimiser = full(self.optimiser.state(), self.ranks)
        state = {
            "step": self.step,
            "config": vars(self.model.config),
            "reading": vars(self.model.reading),
            "batch_tokens": self.loader.batch_tokens,
            "domains": self.loader.names,
            "ends": next(iter(self.loader.domains.values())).facts.ends,
            "offset": self.offset,
            "rolled_back": self.rolled_back,
            "window": self.window,
            "counts": self.counts.tolist(),
            "seconds": self.seconds,
            "fingerprints": self.prints,
            "online": self.online and self.online.state(),
        }
        if self.ranks.leads:
            self.checkpoints.write(self.step, model, optimiser, state)

    def restore(self, step: int) -> None:
        """Model, optimiser and memory as they were after `step` steps."""
        model, optimiser, state = checkpoint.load(checkpoint.path(self.checkpoints.folder, step))
        own = self.model.state_dict()
        if own.keys() != model.keys() or any(own[name].shape != model[name].shape for name in own):
            raise WorkspaceError(f"the checkpoints of {self.folder} hold a model of another shape; train under --name")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(like(model[name].to(self.device), tensor))
        self.optimiser.load(optimiser)
        self.step, self.offset, self.rolled_back = state["step"], state["offset"], state["rolled_back"]
        self.window, self.seconds = list(state["window"]), state["seconds"]
        told = dict(zip(state.get("domains", self.loader.names), state["counts"], strict=True))
        self.counts = np.array([told.get(name, 0) for name in self.loader.names], np.int64)
        if self.online is not None and state.get("online"):
            self.online.load(state["online"])

    def roll_back(self, spiked: int) -> None:
        """Return to the last checkpoint and skip the data up to and with the step that spiked."""
        self.checkpoints.wait()
        self.ranks.barrier()
        offset, rolled_back = self.offset, self.rolled_back + 1
        if rolled_back > self.settings.rollbacks:
            raise WorkspaceError(
                f"the loss of {self.folder} was not finite or far above its past at step {spiked}, after "
                f"{self.settings.rollbacks} rollbacks; lower the rate or look at the data of that step"
            )
        self.restore(checkpoint.steps(self.checkpoints.folder)[-1])
        self.offset, self.rolled_back = offset + spiked + 1 - self.step, rolled_back
        self.metrics.rewind(self.step)
        self.samples.rewind(self.step)
        self.metrics.note(
            f"step {spiked}: loss spike; back to step {self.step}, skipping to {self.position(self.step)}"
        )

    # ---- beginning and end

    def begin(self, force: bool) -> dict[str, Any] | None:
        """Find where the run stands. Returns the card of a run that is already finished."""
        said = {"settings": self.settings.model_dump(mode="json", exclude=FREE), "fingerprints": self.prints}
        path, card = f"{self.folder}/{SETTINGS}", f"{self.folder}/{CARD}"
        os.makedirs(self.checkpoints.folder, exist_ok=True)
        before = read_json(path)
        found = checkpoint.steps(self.checkpoints.folder)
        if before != said and (found or before) and not force:
            raise RequestError(refusal(self.folder, before, said))
        if found:
            state = checkpoint.load_state(checkpoint.path(self.checkpoints.folder, found[-1]))
            changed = changes_that_cannot_be(before or said, said, state, self.model.config, self.loader)
            if changed:
                raise RequestError(f"the run in {self.folder} cannot go on: {'; '.join(changed)}; use another --name")
        finished = read_json(card) if before == said else None
        self.ranks.barrier()
        if self.ranks.leads and before != said:
            run_folder.begin_run(self.folder, said, self.loader)
        if found:
            self.restore(found[-1])
        return finished
