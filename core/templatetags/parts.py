"""Parts of pages with content of the page's own: `{% part "card" title=_("Prices") %} … {% endpart %}`.

An `{% include %}` cannot take markup. A part can: `components/card.html` gets what stands between the tags
as `content`, and each `{% slot note %} … {% endslot %}` as a variable of that name. docs/interface.md lists the parts.
"""

from __future__ import annotations

from typing import Any

from django import template
from django.template import Library
from django.template.base import FilterExpression, NodeList, Parser, Token, token_kwargs
from django.utils.safestring import SafeString, mark_safe

register = Library()


class PartNode(template.Node):
    """Renders `components/<name>.html`, which sees its arguments, slots and content, and nothing else of the page."""

    def __init__(
        self,
        name: str,
        arguments: dict[str, FilterExpression],
        slots: dict[str, NodeList],
        content: NodeList,
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.slots = slots
        self.content = content
        # Django looks for nodes (blocks, for example) in the lists that this names.
        self.child_nodelists = ("content", *(f"slot_{name}" for name in slots))
        for slot, nodes in slots.items():
            setattr(self, f"slot_{slot}", nodes)

    def render(self, context: template.Context) -> SafeString:
        values: dict[str, Any] = {name: value.resolve(context) for name, value in self.arguments.items()}
        values |= {name: _shown(nodes, context) for name, nodes in self.slots.items()}
        values["content"] = _shown(self.content, context)
        assert context.template is not None, "a part is rendered within a template"
        part = context.template.engine.get_template(f"components/{self.name}.html")
        return part.render(context.new(values))


def _shown(nodes: NodeList, context: template.Context) -> SafeString:
    """Render `nodes`. A slot whose condition does not hold is empty, not white space; what it names stays its own."""
    with context.push():
        return mark_safe(nodes.render(context).strip())  # noqa: S308  # rendered by Django, so escaped already


@register.tag
def part(parser: Parser, token: Token) -> PartNode:
    """Parse `{% part "name" argument=value … %} … {% slot name %} … {% endslot %} … {% endpart %}`.

    Raises:
        TemplateSyntaxError: the name is not a literal, an argument is not `name=value`, or a slot is filled twice.
    """
    bits = token.split_contents()[1:]
    if not bits or bits[0][:1] not in "\"'":
        raise template.TemplateSyntaxError('A part is named by a literal: {% part "card" %}.')
    name, rest = bits[0][1:-1], bits[1:]
    arguments = token_kwargs(rest, parser)
    if rest:
        raise template.TemplateSyntaxError(f"Not an argument of the part {name}: {rest[0]}")
    slots: dict[str, NodeList] = {}
    content = NodeList()
    while True:
        content.extend(parser.parse(("slot", "endpart")))
        found = parser.next_token().split_contents()
        if found[0] == "endpart":
            return PartNode(name, arguments, slots, content)
        slot = found[1]
        if slot in slots or slot in arguments:
            raise template.TemplateSyntaxError(f"The part {name} is given {slot} twice.")
        slots[slot] = parser.parse(("endslot",))
        parser.delete_first_token()
