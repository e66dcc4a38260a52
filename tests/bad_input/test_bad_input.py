"""Every case of the table: the right words, nothing left behind, and the page in `docs` is up to date."""

from collections import Counter

import pytest

from bad_input.elsewhere import ELSEWHERE
from bad_input.page import PAGE, section
from bad_input.table import CASES
from bad_input.typing_in import idle, type_in, unexpected


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.number)
def test_bad_input(case, place, told, writing):
    said = told[case.number] = type_in(case, place)
    assert said.status == case.status, said.errors
    assert "Traceback" not in said.errors
    assert "defect of CloudReg" not in said.errors
    for word in case.says:
        assert word in said.all
    if case.status == 1 and not case.on_stdout:
        assert said.errors.count("error: ") == 1
        assert case.fix
        assert case.fix in said.fix
    assert unexpected(said, case) == []
    assert idle(said, case) == []
    if case.check:
        case.check(place)
    if not writing:
        assert section(case, said) in PAGE.read_text(), "`hatch run bad-input` writes the page anew"


def test_the_page_has_all_cases_and_no_others(writing):
    if writing:
        return
    written = PAGE.read_text()
    assert [line for line in written.splitlines() if line.startswith("### ")] == [
        f"### {case.number}: {case.title}" for case in CASES
    ]
    assert all(f"| {case.number} | {case.title} | {case.where} |" in written for case in ELSEWHERE)


def test_numbers_are_used_once():
    numbers = Counter(case.number for case in [*CASES, *ELSEWHERE])
    assert [number for number, times in numbers.items() if times > 1] == []


def test_every_case_of_the_reference_is_in_the_table_or_told_where_it_is():
    numbers = {case.number.rstrip("abcdefgh") for case in [*CASES, *ELSEWHERE]}
    assert {str(n) for n in range(1, 65)} | {f"F{n}" for n in range(1, 17)} <= numbers
