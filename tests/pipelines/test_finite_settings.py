"""Numbers that a stage can be asked for are finite: nan passes any check by < and >, infinity most of them."""

import math
import types
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from gristmill.corpus.settings import truths_for_numbers
from gristmill.corpus.store.errors import RequestError
from gristmill.pipelines.commands.options import settings_of
from gristmill.pipelines.engine.registry import records
from gristmill.proxy_models.settings import FleetSettings


def parts(annotation: Any) -> list[Any]:
    """The types that an annotation is made of, one below the other."""
    found = [annotation]
    for inner in get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation):
        found += parts(inner)
    return found


def models(model: type[BaseModel], seen: dict[str, type[BaseModel]]) -> None:
    """Adds the model and all that its fields hold."""
    name = f"{model.__module__}.{model.__qualname__}"
    if name not in seen:
        seen[name] = model
        for field in model.model_fields.values():
            for part in parts(field.annotation):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    models(part, seen)


def holding(annotation: Any, value: float) -> Any:
    """What a field of this annotation would be given to hold the number; None where it holds none."""
    if annotation is float:
        return value
    origin, arms = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return holding(arms[0], value)
    if origin in (Union, types.UnionType):
        return next((held for arm in arms if (held := holding(arm, value)) is not None), None)
    if origin is dict:
        inner = holding(arms[1], value)
        return None if inner is None else {"a": inner}
    if origin in (tuple, list):
        inner = holding(arms[0], value)
        return None if inner is None else [inner]
    return None


def holding_truth(annotation: Any) -> Any:
    """What a field of this annotation would be given to hold `true` where a number belongs; None: it holds no number,
    or truth values too."""
    origin, arms = get_origin(annotation), get_args(annotation)
    if annotation in (int, float):
        return True
    if origin is Annotated:
        return holding_truth(arms[0])
    if origin in (Union, types.UnionType) and bool not in arms:
        return next((held for arm in arms if (held := holding_truth(arm)) is not None), None)
    if origin is dict and (inner := holding_truth(arms[1])) is not None:
        return {"a": inner}
    if origin in (tuple, list) and (inner := holding_truth(arms[0])) is not None:
        return [inner]
    return None


def test_true_is_no_number_in_any_field_of_any_stage():
    seen: dict[str, type[BaseModel]] = {}
    for record in records().values():
        models(record.load("settings"), seen)
    held = [
        (model, name, truth)
        for model in seen.values()
        for name, field in model.model_fields.items()
        if (truth := holding_truth(field.annotation)) is not None
    ]
    assert len(held) > 100
    for model, name, truth in held:
        assert [place.partition(".")[0] for place in truths_for_numbers(model, {name: truth})] == [name], (model, name)
        with pytest.raises(RequestError, match="true or false is no number"):
            settings_of(model, **{name: truth})


def test_truth_values_stand_where_they_are_asked_for():
    for record in records().values():
        model = record.load("settings")
        for name, field in model.model_fields.items():
            if field.annotation is bool:
                assert not list(truths_for_numbers(model, {name: True}))


@pytest.mark.parametrize(
    "wrong", [{"lr": 0}, {"lr": [0.1, -0.1]}, {"betas": [0.9, 1.0]}, {"epsilon": 0}, {"weight_decay": -0.1},
              {"clip": 0}, {"n_kv_heads": 0}],
)  # fmt: skip
def test_a_fleet_is_not_asked_for_an_update_that_is_none(wrong):
    with pytest.raises(ValidationError):
        FleetSettings.model_validate(wrong)


def fields() -> list[tuple[type[BaseModel], str]]:
    seen: dict[str, type[BaseModel]] = {}
    for record in records().values():
        for what in ("settings", "options"):
            model = record.load(what)
            if isinstance(model, type) and issubclass(model, BaseModel):
                models(model, seen)
    return [
        (model, name)
        for _, model in sorted(seen.items())
        for name, field in model.model_fields.items()
        if holding(field.annotation, 1.0) is not None
    ]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_no_field_of_any_stage_takes_a_number_that_is_none(number):
    found = fields()
    assert len(found) > 50
    taken = []
    for model, name in found:
        alias = model.model_fields[name].alias or name
        try:
            model.model_validate({alias: holding(model.model_fields[name].annotation, number)})
            taken.append(f"{model.__name__}.{name}")
        except ValidationError as error:
            if not any(alias in map(str, one["loc"]) for one in error.errors()):
                taken.append(f"{model.__name__}.{name}")
    assert taken == []
