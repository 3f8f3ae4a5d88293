"""The one table from error to status knows every error that can reach it."""

from __future__ import annotations

import inspect
from http import HTTPStatus

import pytest

import capsule.errors
import contracts.errors
import gateway.errors
from gateway.problems import TABLE, problem_of

ALL = [
    kind
    for module in (capsule.errors, contracts.errors, gateway.errors)
    for name, kind in inspect.getmembers(module, inspect.isclass)
    if name in module.__all__
]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_a_problem(kind: type[Exception]) -> None:
    problem = problem_of(kind.__new__(kind))
    assert problem is not None
    assert 400 <= HTTPStatus(problem.status) < 600
    assert kind.__name__.endswith("Error")


def test_others_have_none() -> None:
    assert problem_of(ValueError()) is None


def test_no_row_of_the_table_is_hidden_by_one_before() -> None:
    for place, (kind, _) in enumerate(TABLE):
        assert not any(issubclass(kind, earlier) for earlier, _ in TABLE[:place])


def test_our_errors_have_one_root() -> None:
    ours = [getattr(gateway.errors, name) for name in gateway.errors.__all__]
    assert all(issubclass(kind, gateway.errors.GatewayError) for kind in ours)
