"""What pages load: everything is here, nothing is inline, and versions fit each other."""

import hashlib
import re
from pathlib import Path

import pytest
from django.conf import settings
from django.template.loader import get_template
from django.urls import get_resolver

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted(path.relative_to(ROOT / "templates") for path in (ROOT / "templates").rglob("*.html"))
VENDOR = ROOT / "static" / "vendor"


def source(path: Path) -> str:
    return (ROOT / "templates" / path).read_text()


@pytest.mark.parametrize("path", TEMPLATES, ids=str)
def test_every_template_compiles(path):
    get_template(str(path))


@pytest.mark.parametrize("path", TEMPLATES, ids=str)
def test_no_line_of_a_template_is_longer_than_reviewers_see(path):
    """The formatter breaks tags and text at 140 characters, but no comment and no sentence."""
    lines = source(path).splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > 140] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=str)
def test_no_template_has_what_the_content_security_policy_refuses(path):
    text = re.sub(r"\{#.*?#\}", "", source(path), flags=re.S)
    assert not re.search(r"\sstyle=", text), "no style attributes: use a class"
    assert not re.search(r"\son[a-z]+=", text), "no event attributes: use a module in static/qm/js"
    assert not re.search(r"hx-on|js:|javascript:", text), "htmx must not evaluate script"
    for tag in re.findall(r"<script\b[^>]*>", text):
        assert "src=" in tag or 'type="application/json"' in tag
    for tag in re.findall(r"<style\b[^>]*>", text):
        assert "nonce=" in tag


def test_the_icon_sprite_holds_every_icon_that_pages_use():
    held = set(re.findall(r'id="i-([a-z0-9-]+)"', (ROOT / "static/img/icons.svg").read_text()))
    code = [source(path) for path in TEMPLATES]
    code += [
        path.read_text() for app in ("tenants", "billing", "catalog") for path in (ROOT / app).rglob("*.py")
    ]
    used = set()
    for text in code:
        used |= set(re.findall(r"""\{%-? icon ["']([a-z0-9-]+)["']""", text))
        used |= set(re.findall(r"""icon_name["']?[=:]\s*["']([a-z0-9-]+)["']""", text))
        used |= set(re.findall(r"""icon_name\|default:["']([a-z0-9-]+)["']""", text))
        used |= set(re.findall(r"""icon\(["']([a-z0-9-]+)["']""", text))
        used |= set(re.findall(r"""["'](arrow-up|arrow-down)["']""", text))
    assert used - held == set(), "add these to static/img/icons.svg (docs/interface.md says how)"


def test_every_static_file_a_template_names_exists():
    for path in TEMPLATES:
        for name in re.findall(r"\{% static ['\"]([^'\"]+)['\"]", source(path)):
            if not name.startswith(("unfold/", "admin/")):
                assert (ROOT / "static" / name).is_file(), f"{path} names {name}"


def test_every_address_a_template_names_exists():
    resolver = get_resolver()
    known = {name for name in resolver.reverse_dict if isinstance(name, str)}
    spaces = set(resolver.namespace_dict)
    named = {
        name for path in TEMPLATES for name in re.findall(r"\{% url ['\"]([a-z0-9:_-]+)['\"]", source(path))
    }
    # Only where an identity provider is configured.
    named -= {"oidc_authentication_init"}
    missing = {name for name in named if name not in known and name.partition(":")[0] not in spaces}
    assert missing == set()


def test_vendored_files_are_the_ones_written_down_and_ask_for_no_source_map():
    listed = re.findall(r"^\| `([^`]+)` .*`([0-9a-f]{64})` \|$", (VENDOR / "VERSIONS.md").read_text(), re.M)
    assert len(listed) == 3
    for name, digest in listed:
        content = (VENDOR / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest, f"{name} differs from VERSIONS.md"
        assert b"sourceMappingURL" not in content


def test_the_browser_draws_with_the_plotly_that_figures_are_made_for():
    from plotly.offline import get_plotlyjs_version

    head = (VENDOR / "plotly" / "plotly-cartesian.min.js").read_text()[:300]
    assert f"v{get_plotlyjs_version()}" in head


def test_templates_live_where_settings_look():
    assert (ROOT / "templates") in [Path(folder) for folder in settings.TEMPLATES[0]["DIRS"]]
