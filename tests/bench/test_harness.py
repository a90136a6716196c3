"""Which cases are measured."""

from bench import harness, quoted


def test_only_takes_the_cases_in_whose_implementation_and_name_the_words_are() -> None:
    every = {(case.impl, case.case) for case in harness.cases_of("checksum", quick=True)}
    some = {(case.impl, case.case) for case in harness.cases_of("checksum", quick=True, only="fastpath")}
    assert some == {one for one in every if one[0] == "fastpath"} != every
    assert not list(harness.cases_of("checksum", quick=True, only="no such case"))


def test_workers_of_pyperf_are_told_the_same_words() -> None:
    assert quoted.words(quick=True, only="fastpath 64") == ["--small", "--cases=fastpath 64"]
    assert quoted.words(quick=False, only="") == []
