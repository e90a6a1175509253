"""A plan spends the time it is given, fits the memory, and is what `mix` takes for settings."""

import hashlib
import random
import re

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gristmill.corpus.store.errors import RequestError
from gristmill.pipelines.cli import load_command
from gristmill.pipelines.engine.runner import RunnerOptions
from gristmill.pipelines.stages.mix.settings import MixSettings
from gristmill.pipelines.stages.tokenize.stage import TokenizeSettings, tokenize
from gristmill.proxy_models.fleets.fleet import FleetSettings
from gristmill.proxy_models.fleets.plan import ENOUGH, FEWEST, LEAST_STEPS, MOST, PER_DOMAIN, plan
from gristmill.training.transformer import block_parameters

torch.set_num_threads(1)
PROXY = FleetSettings()
RATES = {1: 10_000.0, 4: 25_000.0, 16: 25_100.0}  # 16 is not clearly faster than 4


def planned(seconds: float, **changes):
    given = {"rates": RATES, "room": 512, "proxy": PROXY, "vocab_size": 4096, "domains": 6, "heldout_tokens": 50_000}
    return plan(**(given | {"seconds": seconds} | changes))


@given(
    st.floats(10, 1e8), st.integers(1, 20), st.integers(1, 16), st.integers(0, 40), st.integers(1, 600),
    st.integers(1, 200_000),
)  # fmt: skip
def test_a_plan_keeps_to_its_time_its_memory_and_its_limits(seconds, domains, workers, beside, room, heldout):
    asked = {"domains": domains, "workers": workers, "beside": beside, "room": room, "heldout_tokens": heldout}
    try:
        found = planned(seconds, **asked)
    except RequestError:
        return
    assert found.seconds <= seconds * workers * (1 + 1e-9)
    assert max(FEWEST, PER_DOMAIN * domains) <= found.models <= MOST
    assert 1 <= found.evaluations <= min(10, found.steps)
    assert found.steps >= LEAST_STEPS
    assert found.wave * workers <= max(room, workers)
    assert found.waves * found.wave >= found.models + beside
    assert found.group <= found.wave
    assert MixSettings(**found.settings(PROXY)).proxy.steps == found.steps


def test_more_time_makes_proxies_longer_first_and_then_more_of_them():
    short, middle, long = (planned(seconds) for seconds in (1_000, 2_500, 30_000))
    assert short.models == middle.models == 30
    assert short.steps < middle.steps
    assert long.models > 30
    enough = ENOUGH * block_parameters(PROXY.config(4096))
    assert long.steps * PROXY.sequences * PROXY.seq_len == pytest.approx(enough, rel=0.1)


def test_memory_that_holds_few_models_makes_more_waves():
    roomy, narrow = planned(1_000), planned(500, room=6, workers=2)
    assert (roomy.wave, roomy.waves) == (8, 4)
    assert (narrow.wave, narrow.waves) == (3, 10)
    assert narrow.models == roomy.models


def test_a_time_too_short_is_refused_with_one_that_is_not():
    with pytest.raises(RequestError, match=r"0\.167 minutes do not train 50 proxies of 50 steps") as told:
        planned(10, beside=20)
    enough = 60 * float(re.search(r"; ([\d.]+) minutes do", str(told.value))[1])  # type: ignore[index]
    assert planned(1.2 * enough, beside=20).steps >= LEAST_STEPS


def test_the_command_writes_settings_that_mix_takes(make_documents, tmp_path):
    rows = [
        {
            "id": hashlib.blake2b(f"{domain}{i}".encode(), digest_size=16).hexdigest(),
            "domain": domain,
            "text": " ".join(random.Random(f"{domain}{i}").choices(text.split(), k=60)),
        }
        for domain, text in {"law": "the council shall approve the act ", "chat": "hey try sudo apt install "}.items()
        for i in range(40)
    ]
    made = make_documents({"0.parquet": sorted(rows, key=lambda row: row["id"])})
    tokenize(made, TokenizeSettings(vocab_size=300, heldout=0.2), RunnerOptions(), quiet=True)
    begin, output = tmp_path / "begin.yaml", tmp_path / "search.yaml"
    begin.write_text(yaml.safe_dump({"seeds": 1, "proxy": {"n_layers": 1, "seq_len": 16, "sequences": 2}}))
    ask = ["plan", "--workspace", made.url, "--settings", str(begin), "--output", str(output), "--minutes"]
    refused = CliRunner().invoke(load_command("mix"), [*ask, "0.00001", "--d-model", "8"])
    assert isinstance(refused.exception, RequestError)
    answered = CliRunner().invoke(load_command("mix"), [*ask, "5", "--d-model", "8"])
    assert answered.exit_code == 0, answered.output
    assert "tokens/s of one worker by models stacked: 1: " in answered.output
    settings = MixSettings(**yaml.safe_load(output.read_text()))
    assert settings.seeds == 1
    assert settings.mixtures >= FEWEST
    assert (settings.proxy.seq_len, settings.proxy.d_model, settings.proxy.d_ff) == (16, 8, 24)
    assert settings.proxy.group is not None
    assert settings.proxy.group <= settings.wave
