"""What `list` and `show` say as JSON, without loading torch."""

from __future__ import annotations

import json
from importlib import metadata

import pytest

from harness.plugins.registry import Registry
from support.command import harness_cli
from support.fresh import python
from support.site import install, on_path


class TestJSON:
    def test_list_gives_every_plugin_and_loads_nothing_heavy(self):
        told = json.loads(
            python("sys.argv = ['harness', 'list', '--json']\nfrom harness.cli.main import main\nmain()")
        )
        assert set(told) == {"schema", "plugins", "broken"}
        assert (told["schema"], told["broken"]) == (1, [])
        registry = Registry()
        assert [(p["kind"], p["name"]) for p in told["plugins"]] == [
            (kind, name) for kind, entries in registry.kinds.items() for name in entries
        ]
        [gd] = [plugin for plugin in told["plugins"] if plugin["name"] == "gd"]
        assert gd == {
            "name": "gd",
            "kind": "method",
            "summary": registry.method("gd").summary(),
            "owner": "unlearning-harness",
            "version": metadata.version("unlearning-harness"),
            "path": "harness.methods.gd:GradientDifference",
        }

    def test_list_names_what_was_left_out_in_it_and_prints_nothing_else(self, tmp_path):
        with on_path(install(tmp_path / "site", "import nothing_like_this\n", "broken_plugin", "2.5")):
            ended = harness_cli("list", "--json")
        assert (ended.code, ended.err) == (0, "")
        [broken] = json.loads(ended.out)["broken"]
        assert broken.pop("error").startswith("ModuleNotFoundError: ")
        assert broken == {"name": "broken_plugin", "owner": "broken_plugin", "version": "2.5"}

    @pytest.mark.parametrize("name", ["gd", "quantize", "tofu-mini"])
    def test_show_gives_what_it_prints(self, name):
        told = json.loads(harness_cli("show", name, "--json").out)
        printed = " ".join(harness_cli("show", name).out.split())
        assert (set(told), told["schema"]) == ({"schema", "plugins"}, 1)
        [plugin] = told["plugins"]
        assert set(plugin) == {
            *("name", "kind", "summary", "owner", "version", "path"),
            *("manual", "facts", "settings", "metrics"),
        }
        assert plugin["path"] in printed
        assert plugin["summary"] in printed
        for setting in plugin["settings"]:
            assert set(setting) == {"name", "allowed", "default", "description"}
            assert f"{name}.{setting['name']} " in printed
        assert bool(plugin["metrics"]) == (plugin["kind"] == "benchmark")
        for metric in plugin["metrics"]:
            assert set(metric) == {"name", "splits", "definition", "range", "better", "ideal"}

    def test_what_an_attack_reads_is_a_list(self):
        facts = {
            name: json.loads(harness_cli("show", name, "--json").out)["plugins"][0]["facts"]
            for name in ("quantize", "private-data")
        }
        assert [facts[name]["reads"] for name in facts] == [[], ["forget"]]
        assert "reads: none" in harness_cli("show", "quantize").out

    def test_an_unknown_name_is_an_error_and_no_json(self):
        ended = harness_cli("show", "quantise", "--json")
        assert (ended.code, ended.out) == (2, "")
        assert "Did you mean 'quantize'?" in ended.err
