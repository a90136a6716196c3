"""Every decoder of outside bytes holds its invariant on its corpus and on a bounded number of mutants of it.

The mutants are the same in every run of the same commit; `python -m tests.fuzz.guided NAME` looks further (docs/fuzzing.md).
"""

import hashlib
import random

import pytest

from fuzz.mutation import mutant
from fuzz.targets import CORPUS, TARGETS, corpus
from meta.sources import ROOT

MUTANTS = 300
FILE_LIMIT = 4096       # of a committed input


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_holds(name):
    for path in corpus(name):
        try:
            TARGETS[name].check(path.read_bytes())
        except Exception as error:
            error.add_note(f"input: {path.relative_to(ROOT)}")
            raise


@pytest.mark.parametrize("name", TARGETS)
def test_mutants_of_the_corpus_hold(name):
    target, chance = TARGETS[name], random.Random(f"{name} 1")
    inputs = [path.read_bytes() for path in corpus(name)]
    for _ in range(MUTANTS):
        data = mutant(chance, inputs, target.limit)
        try:
            target.check(data)
        except Exception as error:
            error.add_note(f"input: {data.hex()}")
            raise


def test_every_target_has_a_corpus_and_every_corpus_a_target():
    assert sorted(path.name for path in CORPUS.iterdir()) == sorted(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_corpora_are_small_and_without_doubles(name):
    seen = {}
    for path in corpus(name):
        data = path.read_bytes()
        assert len(data) <= FILE_LIMIT, path.name
        assert seen.setdefault(hashlib.sha256(data).digest(), path) == path, f"{path.name} is {seen}"


def test_what_targets_decode_exists():
    for name, target in TARGETS.items():
        assert all((ROOT / "src" / module).exists() for module in target.decodes), name
