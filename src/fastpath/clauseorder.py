"""The order of bits: clauses that are alike share a word, so that most words of a packet's rows are all zeros or all ones.

Journey: once a compilation, between fastpath.criteria and fastpath.rows. Rules come in the order in which they decide, which
mixes all kinds. Here clauses are sorted by what they want, the criterion that tells most of them apart first; 64 neighbours
share a word. Inside a word the bits are in rule order again, and words are ordered by their first rule, so that the first
match is found by going up (Baboescu and Varghese, SIGCOMM 2001, §6, sort rules so). Pure.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fastpath.criteria import Criteria

__all__ = ["BitOrder", "order_bits"]

WORD = 64
Numbers = npt.NDArray[np.int64]


class BitOrder(NamedTuple):
    """bit_of: int32[clauses]; valid: uint64[words], the bits that stand for a clause; rule_of: int32[words * 64]; best:
    int32[words], the first rule of each word, ascending."""

    bit_of: npt.NDArray[np.int32]
    valid: npt.NDArray[np.uint64]
    rule_of: npt.NDArray[np.int32]
    best: npt.NDArray[np.int32]


def order_bits(criteria: Criteria, rule_of: npt.NDArray[np.int32]) -> BitOrder:
    """Number the bits of clauses whose rules ascend."""
    clauses = len(rule_of)
    keys = sorted(keys_of(criteria, clauses), key=lambda key: len(np.unique(key)))
    likeness = np.lexsort([np.arange(clauses), *keys])      # the last key counts most
    word_of = np.empty(clauses, np.int64)
    word_of[likeness] = np.arange(clauses) // WORD
    words = (clauses - 1) // WORD + 1
    first = np.full(words, clauses)
    np.minimum.at(first, word_of, np.arange(clauses))
    rank = np.empty(words, np.int64)
    rank[np.argsort(first)] = np.arange(words)
    word_of = rank[word_of]
    placed = np.lexsort([np.arange(clauses), word_of])      # by word, then by clause
    sizes = np.bincount(word_of, minlength=words)
    begins = np.cumsum(sizes) - sizes
    bit_of = np.empty(clauses, np.int32)
    bit_of[placed] = word_of[placed] * WORD + np.arange(clauses) - np.repeat(begins, sizes)
    rules = np.full(words * WORD, rule_of[-1], np.int32)
    rules[bit_of] = rule_of
    valid = (np.uint64(2**64 - 1) >> (WORD - sizes).astype(np.uint64)).astype(np.uint64)
    return BitOrder(bit_of, valid, rules, rule_of[np.sort(first)])


def keys_of(criteria: Criteria, clauses: int) -> list[Numbers]:
    """What each criterion says of each clause, as one number: 0 = nothing, else that of its first value."""
    named = {
        "location": "label", "namespace": "label", "source_workload": "label", "tag_age": "least",
        "destination_name": "pattern", "destination_country": "label", "destination_category": "label",
        "destination_workload": "label", "country": "label", "category": "label", "source_port": "low",
        "naming": "label",
    }  # fmt: skip
    keys = []
    for name, column in named.items():
        lines = getattr(criteria, name)
        if lines is not None:
            keys.append(_first(lines.clause, _ranks(getattr(lines, column)), clauses))
    for ranges in (criteria.source, criteria.destination):
        if ranges is not None:
            keys.append(_first(ranges.clause, _ranks(np.ascontiguousarray(ranges.first).view("S16").ravel()), clauses))
    if criteria.service is not None:
        service = criteria.service
        keys.append(_first(service.clause, _ranks(service.protocol.astype(np.int64) << 17 | service.low + 1), clauses))
    return keys


def _ranks(values: npt.NDArray[np.generic]) -> Numbers:
    return np.unique(values, return_inverse=True)[1].astype(np.int64).ravel()


def _first(clause: npt.NDArray[np.int32], ranks: Numbers, clauses: int) -> Numbers:
    key = np.full(clauses, np.iinfo(np.int64).max)
    np.minimum.at(key, clause, ranks + 1)
    key[key == np.iinfo(np.int64).max] = 0
    return key
