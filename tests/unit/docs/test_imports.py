"""Imports go one way, in every package of the house.

Cannot see an import that is made by name at run time.
"""

import graphlib

import grimp
import pytest

MAY_IMPORT = {
    "private_iot": set(),
    "device_agent": set(),
    "lab": set(),
    "soak": {"lab", "device_agent"},
    "bench": {"lab", "device_agent"},
    "tools": {"private_iot", "device_agent"},
    "tests": {"private_iot", "device_agent", "lab", "soak", "bench", "tools"},
}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*MAY_IMPORT, cache_dir=None)


def test_no_two_modules_import_each_other_not_even_through_a_third(graph: grimp.ImportGraph) -> None:
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        raise AssertionError(f"a cycle of imports: {' → '.join(reversed(error.args[1]))}") from None


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_lies_below_it(graph: grimp.ImportGraph, package: str) -> None:
    others = MAY_IMPORT.keys() - MAY_IMPORT[package] - {package}
    found = [graph.find_shortest_chains(package, other, as_packages=True) for other in others]
    assert [chain for chains in found for chain in chains] == []
