"""Every argument of every public function: what is wrong with it is refused by its name, and nothing is changed."""

import ast
import copy
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastpath
from argument_calls import CALLS, ELSEWHERE, Call, model_of, module_of

SOURCES = Path(fastpath.__file__).parent


class Wrong(NamedTuple):
    """One argument of one call, and a value that it does not take."""

    module: Any
    call: Call
    argument: str
    value: Any


def wrongs() -> list[Any]:
    found = []
    for name, call in CALLS.items():
        right = call.make(module_of(name)).arguments
        for argument, kind in call.kinds.items():
            for what, value in kind.wrong(right[argument]):
                found.append(pytest.param(Wrong(module_of(name), call, argument, value), id=f"{name}-{argument}-{what}"))
                model = model_of(name)
                if model and hasattr(kind, "check"):
                    found.append(pytest.param(Wrong(model, call, argument, value), id=f"model-{name}-{argument}-{what}"))
    return found


def state(made: Any) -> Any:
    """What a call could have changed: its arrays, and what its table says of itself."""
    arrays = {name: value.copy() for name, value in made.arguments.items() if isinstance(value, np.ndarray)}
    return copy.deepcopy((arrays, made.watched() if made.watched else None))


def same(one: Any, other: Any) -> bool:
    return all((one[0][name] == other[0][name]).all() for name in one[0]) and one[1] == other[1]


@pytest.mark.parametrize("wrong", wrongs())
def test_a_wrong_argument_is_refused_by_name_and_changes_nothing(wrong: Wrong) -> None:
    made = wrong.call.make(wrong.module)
    before = state(made)
    with pytest.raises((TypeError, ValueError, IndexError), match=rf"^(Argument ')?{wrong.argument}\b"):
        made.function(**made.arguments | {wrong.argument: wrong.value})
    assert same(before, state(made))


@pytest.mark.parametrize("name", [name for name, call in CALLS.items() if call.works])
def test_the_right_arguments_are_taken(name: str) -> None:
    for module in filter(None, (module_of(name), model_of(name))):
        made = CALLS[name].make(module)
        made.function(**made.arguments)


def public_functions() -> set[str]:
    """module.function, module.Class or module.Class.method of everything that takes arguments."""
    found = set()
    for stub in sorted(SOURCES.glob("*.pyi")):
        for node in ast.parse(stub.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                found |= {f"{stub.stem}.{node.name}"} if takes_arguments(node) else set()
            elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and takes_arguments(method):
                        found.add(f"{stub.stem}.{node.name}" + ("" if method.name == "__new__" else f".{method.name}"))
    return found


def takes_arguments(function: ast.FunctionDef) -> bool:
    every = [*function.args.args, *function.args.kwonlyargs]
    return function.name != "__exit__" and any(argument.arg not in {"self", "cls"} for argument in every)


def test_no_public_function_is_forgotten() -> None:
    public: set[str] = public_functions()
    assert public - CALLS.keys() - ELSEWHERE.keys() == set()
    assert (CALLS.keys() | ELSEWHERE.keys()) - public == set()


def test_every_argument_is_tried() -> None:
    """Only names of arrays, numbers, bytes and texts count: a class checks its own."""
    for name, call in CALLS.items():
        made = call.make(module_of(name))
        assert set(call.kinds) <= set(made.arguments), name
        assert set(call.kinds) | call.other >= set(made.arguments), name


