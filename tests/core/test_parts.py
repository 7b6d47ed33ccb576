"""Parts with content: what they see, what they escape, and how mistakes in a template are said."""

import pytest
from django.template import Context, Template, TemplateSyntaxError

CARD = '{% load parts %}{% part "card" id="h-x" title=title %}'


def rendered(source, /, **values):
    return " ".join(Template(source).render(Context(values)).split())


def test_a_part_shows_its_arguments_its_slots_and_its_content():
    html = rendered(
        CARD + "{% slot note %}<i>{{ when }}</i>{% endslot %}<p>{{ text }}</p>{% endpart %}",
        title="Prices", when="today", text="cheap",
    )  # fmt: skip
    assert '<h2 id="h-x">Prices</h2> <i>today</i>' in html
    assert html.index("<i>today</i>") < html.index("<p>cheap</p>")


def test_values_are_escaped_once():
    html = rendered(
        CARD + "{% slot note %}{{ note }}{% endslot %}{{ text }}{% endpart %}",
        title="a < b", note="c < d", text="e < f",
    )  # fmt: skip
    assert "a &lt; b" in html
    assert "c &lt; d" in html
    assert "e &lt; f" in html
    assert "&amp;" not in html


def test_a_part_sees_nothing_else_of_the_page():
    """Else a page's own `note` would appear on each of its cards."""
    assert "secret" not in rendered(CARD + "text{% endpart %}", title="T", note="secret")


def test_a_slot_whose_condition_does_not_hold_leaves_nothing():
    slot = "{% slot actions %} {% if may %}<a>New</a>{% endif %} {% endslot %}"
    text = '{% load parts %}{% part "page_head" title="T" %}' + slot + "{% endpart %}"
    assert "actions" not in rendered(text, may=False)
    assert '<div class="actions"><a>New</a></div>' in rendered(text, may=True)


def test_parts_nest_and_loops_go_on_inside_them():
    text = (
        "{% for n in numbers %}"
        + CARD
        + '{% part "page_head" title=n %}{% endpart %}{% endpart %}{% endfor %}'
    )
    html = rendered(text, numbers=[1, 2], title="T")
    assert html.count("<section") == 2
    assert "<h1 >1</h1>" in html
    assert "<h1 >2</h1>" in html


def test_a_table_without_rows_is_what_its_page_says_of_that():
    text = (
        '{% load parts %}{% part "table" caption="Keys" %}{% slot columns %}<th>Name</th>{% endslot %}'
        "{% for key in keys %}<tr><td>{{ key }}</td></tr>{% endfor %}"
        "{% slot empty %}<b>No keys yet</b>{% endslot %}{% endpart %}"
    )
    assert rendered(text, keys=[]) == "<b>No keys yet</b>"
    html = rendered(text, keys=["one"])
    assert "No keys yet" not in html
    assert "<tr><td>one</td></tr>" in html


def test_what_a_slot_names_stays_in_it():
    """Else the words for an empty table would be the title of the next one."""
    text = (
        '{% load parts %}{% part "table" caption="C" %}{% slot empty %}{% firstof "none" as title %}{% endslot %}'
        "{% endpart %}"
        '{% part "page_head" title=title %}{% endpart %}'
    )
    assert "<h1 >Keys</h1>" in rendered(text, title="Keys")


def test_one_tab_is_the_current_one():
    text = (
        '{% load parts %}{% part "tabs" label="Keys by state" %}'
        '{% part "tab" url="?tab=current" name="current" at=tab count=3 %}In use{% endpart %}'
        '{% part "tab" url="?tab=ended" name="ended" at=tab %}Ended{% endpart %}{% endpart %}'
    )
    html = rendered(text, tab="ended", count=7)
    assert html.startswith('<nav aria-label="Keys by state">')
    assert '<a href="?tab=ended" aria-current="page"> Ended </a>' in html
    assert '<a href="?tab=current" > In use <span class="count">3</span> </a>' in html
    assert "aria-current" not in rendered(text, tab=None)


def test_a_card_is_named_by_its_title_by_a_heading_inside_or_by_words():
    card = '{% load parts %}{% part "card" '
    assert 'aria-labelledby="h-x"' in rendered(card + 'id="h-x" title="T" %}{% endpart %}')
    assert 'aria-labelledby="h-in"' in rendered(card + 'labelled="h-in" %}{% endpart %}')
    html = rendered(card + 'label="Keys" target="keys" is_secret=True %}{% endpart %}')
    assert 'id="keys" aria-label="Keys" data-unsaved-secret' in html
    assert "<header" not in html


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{% part card %}{% endpart %}", "literal"),
        ('{% part "card" 7 %}{% endpart %}', "Not an argument"),
        (
            '{% part "card" %}{% slot note %}{% endslot %}{% slot note %}{% endslot %}{% endpart %}',
            "note twice",
        ),
        ('{% part "card" note=1 %}{% slot note %}{% endslot %}{% endpart %}', "note twice"),
        ('{% part "card" %}', "Unclosed tag"),
    ],
)
def test_a_mistake_is_said_when_the_template_is_read(text, complaint):
    with pytest.raises(TemplateSyntaxError, match=complaint):
        Template("{% load parts %}" + text)
