"""What `.ci/tree.py` must refuse, and what it must let through."""

import unittest

from tree import judge, satisfied

REGISTRY = "registry+https://default.example/index"

RULES = {
    "licenses": {"allow": ["MIT", "Apache-2.0"], "exceptions": [{"crate": "odd", "allow": ["LGPL-3.0-or-later"]}]},
    "bans": {
        "deny": [{"crate": "bad", "reason": "it is bad"}],
        "skip": [{"crate": "twice@1.0.0", "reason": "somebody wants it"}],
    },
}


def package(name, version="1.0.0", license="MIT", source=REGISTRY, dependencies=(), rust=None):
    package = {"name": name, "version": version, "license": license, "source": source, "dependencies": dependencies}
    return package | {"rust_version": rust}


def wanted(name, source=REGISTRY, registry=None):
    return {"name": name, "req": "^1", "source": source, "registry": registry}


OWN = package("own", source=None, rust="1.92", dependencies=[wanted("plain")])
NEEDED = [OWN, package("odd", license="LGPL-3.0+"), package("twice"), package("twice", "2.0.0")]


def faults(*packages):
    return judge([{"packages": [*NEEDED, *packages]}], RULES)


class Tree(unittest.TestCase):
    def test_expressions(self):
        allowed = {"MIT", "Apache-2.0 WITH LLVM-exception"}
        for expression in ["MIT", "GPL-3.0 OR MIT", "MIT/GPL-3.0", "(MIT OR X) AND MIT", "Apache-2.0 WITH LLVM-exception"]:
            self.assertTrue(satisfied(expression, allowed), expression)
        for expression in ["GPL-3.0", "MIT AND X", "Apache-2.0", "X OR (MIT AND Y)", "Apache-2.0 WITH other"]:
            self.assertFalse(satisfied(expression, allowed), expression)

    def test_a_sound_tree_is_let_through(self):
        self.assertEqual(faults(package("plain", license="MIT OR GPL-3.0")), [])

    def test_licences(self):
        for licence in ["GPL-3.0-only", None, "", "MIT AND", "LGPL-3.0+", "MIT MIT", "(MIT"]:
            self.assertEqual(len(faults(package("new", license=licence))), 1, licence)

    def test_bans(self):
        self.assertEqual(faults(package("bad")), ["bad 1.0.0 is banned: it is bad"])

    def test_second_versions(self):
        self.assertEqual(len(faults(package("new"), package("new", "2.0.0"))), 1)
        self.assertEqual(len(faults(package("twice", "3.0.0"))), 1)

    def test_sources(self):
        self.assertEqual(len(faults(package("new", source="git+ssh://somewhere"))), 1)
        other = "registry+https://other.example/index"
        self.assertEqual(len(faults(package("new", source=other))), 1)
        for named in [wanted("new", other, registry="https://other.example/index"), wanted("new", "git+ssh://somewhere")]:
            own = package("own", source=None, rust="1.92", dependencies=[named])
            self.assertEqual(len(faults(own, package("new", source=named["source"]))), 1, named)
        anything = [{"name": "other", "req": "*"}]
        self.assertEqual(len(faults(package("own", source=None, rust="1.92", dependencies=anything))), 1)

    def test_rust_versions(self):
        for rust in [None, "1.60", "1.92", "1.92.0", "1"]:
            self.assertEqual(faults(package("new", rust=rust)), [], rust)
        for rust in ["1.92.1", "1.93", "1.100", "2"]:
            self.assertEqual(len(faults(package("new", rust=rust))), 1, rust)

    def test_lines_that_nothing_needs(self):
        self.assertEqual(len(judge([{"packages": [package("own", source=None, rust="1.92")]}], RULES)), 2)


if __name__ == "__main__":
    unittest.main()
