"""What `make mutants` breaks is there: code that was renamed or moved would no longer be broken."""

import pytest
from tests.mutants import CONTRACTS, EQUIVALENT, ROOT, mutants


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_contract_names_code_that_is_there_and_tests_that_are(name: str) -> None:
    contract = CONTRACTS[name]
    assert all(mutants(part) for part in contract.parts)
    assert all((ROOT / test).is_file() for test in contract.tests)


def test_every_mutant_that_counts_as_equivalent_is_made() -> None:
    made = {mutant.key for contract in CONTRACTS.values() for part in contract.parts for mutant in mutants(part)}
    assert set(EQUIVALENT) <= made
