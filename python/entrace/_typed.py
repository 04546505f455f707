"""Dataclasses from JSON, by their types."""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from functools import cache
from typing import Any


def build(kind: Any, value: Any) -> Any:
    """The value as `kind` says: dataclasses, lists, tuples, dictionaries, and what may be None. A field that is not there is None."""
    return _build(kind, value, {})


def _build(kind: Any, value: Any, of_variables: dict[Any, Any]) -> Any:
    kind = of_variables.get(kind, kind)
    if value is None or kind is Any:
        return value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _build(next(part for part in arguments if part is not type(None)), value, of_variables)
    if origin is list:
        return [_build(arguments[0], item, of_variables) for item in value]
    if origin is tuple:
        return tuple(_build(part, item, of_variables) for part, item in zip(arguments, value))
    if origin is dict:
        return {key: _build(arguments[1], item, of_variables) for key, item in value.items()}
    if dataclasses.is_dataclass(origin):
        variables = dict(zip(origin.__parameters__, arguments))
        return _dataclass(origin, value, variables)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, {})
    return value


def _dataclass(kind: Any, value: Any, of_variables: dict[Any, Any]) -> Any:
    hints = _hints(kind)
    return kind(**{name: _build(hint, value.get(name.removesuffix("_")), of_variables) for name, hint in hints.items()})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind, vars(sys.modules[kind.__module__]))
