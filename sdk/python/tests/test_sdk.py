"""The parts that need no WebAssembly."""

import copy
import unittest
from dataclasses import dataclass, field
from typing import Dict, List, Literal, Optional

from antar_sdk import Drop, Event, ExactNumber, Fail, Replace, drop, e164, path, replace, split, values
from antar_sdk import config, exact
from antar_sdk.answer import outcome, verdict
from antar_sdk.plugin import Plugin


@dataclass
class Inner:
    on: bool


@dataclass
class Settings:
    any: List[str] = field(metadata={"description": "One of these."})
    mode: Literal["fast", "slow"] = "fast"
    inner: Optional[Inner] = None
    names: Dict[str, int] = field(default_factory=dict)


class Phones(unittest.TestCase):
    def test_numbers_come_out_in_one_form(self):
        for text, country, expected in [
            ("0812 3456 7890", "id", "+6281234567890"),
            ("62812-3456-7890", "ID", "+6281234567890"),
            ("812-3456-7890", "+62", "+6281234567890"),
            ("0049 30 123456", "ID", "+4930123456"),
            ("(415) 555-0123", "US", "+14155550123"),
            ("1 415 555 0123", "US", "+14155550123"),
            ("06 1234 5678", "IT", "+390612345678"),
            ("8 (912) 345-67-89", "RU", "+79123456789"),
            ("6012 3456", "MY", "+6060123456"),
            (81234567890, "ID", "+6281234567890"),
            ("", "ID", None),
            ("12", "ID", None),
            ("0812", "XX", None),
            ("+1234567890123456", "ID", None),
            (None, "ID", None),
        ]:
            self.assertEqual(e164(text, country), expected, text)


class Numbers(unittest.TestCase):
    TEXT = (
        '{"z":8202522731445525542,"a":-9007199254740993,"price":1.50,"n":[-0,1.0,1e400,1E+2,2.5,0.12345678901234567890],'
        '"text":"Ay\\u0075 \\ud83d é","empty":{},"list":[true,null,[]],"10":1,"2":2,"digits":' + "7" * 5000 + "}"
    )

    def test_all_comes_back_as_it_came(self):
        data = exact.parse(self.TEXT)
        self.assertEqual(exact.stringify(data), self.TEXT.replace("\\u0075", "u"))
        self.assertEqual(exact.stringify(copy.deepcopy(data)), exact.stringify(data))

    def test_an_exact_number_is_a_number(self):
        price = exact.parse(self.TEXT)["price"]
        self.assertIsInstance(price, ExactNumber)
        self.assertEqual((price, price * 2, f"{price}", f"{price:.1f}"), (1.5, 3.0, "1.50", "1.5"))

    def test_what_json_lacks_is_refused(self):
        exact.parse("1.50")
        for value in [float("nan"), {"a": float("inf")}, {1, 2}]:
            with self.assertRaises((TypeError, ValueError)):
                exact.stringify(value)
        self.assertEqual(exact.stringify({1: (1, "a")}), '{"1":[1,"a"]}')


class Paths(unittest.TestCase):
    def test_steps(self):
        data = {"a": {"labels": [{"name": "vip"}, {"name": "new"}, {}], "list": ["x"]}}
        self.assertEqual(path(data, "a.labels.1.name"), "new")
        self.assertEqual(path(data, "a.none.name", 7), 7)
        self.assertIsNone(path(data, "a.labels.9"))
        self.assertEqual(values(data, "a.labels.name"), ["vip", "new"])
        self.assertEqual(values(data, "a.list"), ["x"])
        self.assertEqual(values(data, "none"), [])


class Answers(unittest.TestCase):
    def test_a_verdict(self):
        self.assertEqual([verdict(None), verdict(True)], [None, None])
        self.assertEqual([verdict("why"), verdict(drop("why"))], [Drop("why"), Drop("why")])
        self.assertIsInstance(verdict(False), Drop)
        for returned in [0, {}, [], replace({})]:
            with self.assertRaises(TypeError):
                verdict(returned)

    def test_an_outcome(self):
        self.assertIsNone(outcome(None))
        self.assertEqual(outcome({"a": 1}), Replace({"a": 1}))
        parts = outcome(split([{"a": 1}, replace({"b": 2}, type="x.y")])).parts
        self.assertEqual([(part.data, part.type) for part in parts], [({"a": 1}, None), ({"b": 2}, "x.y")])
        for returned in [7, "text", [1], replace([1]), split([7])]:
            with self.assertRaises(TypeError):
                outcome(returned)


class Configs(unittest.TestCase):
    def test_a_schema_from_a_dataclass(self):
        schema = config.schema(Settings)
        self.assertEqual(schema["required"], ["any"])
        self.assertFalse(schema["additionalProperties"])
        self.assertEqual(
            schema["properties"]["any"],
            {"type": "array", "items": {"type": "string"}, "description": "One of these."},
        )
        self.assertEqual(schema["properties"]["mode"], {"enum": ["fast", "slow"], "default": "fast"})
        with self.assertRaises(TypeError):
            config.schema(complex)

    def test_a_config_is_read_or_refused_with_its_path(self):
        settings = config.read(Settings, {"any": ["vip"], "inner": {"on": True}}, "config")
        self.assertEqual(settings, Settings(any=["vip"], inner=Inner(on=True)))
        for given, why in [
            ([], "config is an object"),
            ({}, "config.any is missing"),
            ({"any": [7]}, "config.any.0 is of type string"),
            ({"any": [], "x": 1}, "config.x: there is no such field"),
            ({"any": [], "inner": {"on": 1}}, "config.inner.on is of type boolean"),
        ]:
            with self.assertRaisesRegex(Fail, why):
                config.read(Settings, given, "config")

    def test_a_function_may_do_without_a_config(self):
        def passes(event):
            """Passes all."""
            return event.data["id"] == 7

        plugin = Plugin("filter", passes, None)
        self.assertEqual((plugin.call(Event('{"id": 7}'), {}), plugin.description), (True, "Passes all."))
        with_config = Plugin("filter", lambda event, config: config.any, Settings)
        self.assertEqual(with_config.call(Event({}), {"any": ["vip"]}), ["vip"])


if __name__ == "__main__":
    unittest.main()
