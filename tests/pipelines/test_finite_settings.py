"""Numbers that a stage can be asked for are finite: nan passes any check by < and >, infinity most of them."""

import math
import types
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from gristmill.pipelines.engine.registry import records


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
