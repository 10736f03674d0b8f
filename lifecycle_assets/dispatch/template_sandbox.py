"""The part of Jinja that a message template may use: it always ends, soon, and reaches nothing but its values.

Allowed are values, if, for (not inside another), comparisons and a few filters. Calls, arithmetic, macros, assignments and
imports are refused when the template is read, so that none can run for ever or fill the memory.
"""

from functools import cache

import jinja2
from jinja2 import nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

TEMPLATE_ERRORS = (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, RecursionError)
FILTERS = ("capitalize", "d", "default", "first", "last", "length", "lower", "round", "title", "trim", "upper")
_ALLOWED = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Getattr,
    nodes.If,
    nodes.For,
    nodes.CondExpr,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Compare,
    nodes.Operand,
    nodes.Filter,
)


@cache
def template(source: str, *, html: bool) -> jinja2.Template:
    """The template of a text; in HTML every value is escaped. Raises jinja2.TemplateError on what is not allowed."""
    environment = _environment(html=html)
    _refuse(environment.parse(source), in_loop=False)
    return environment.from_string(source)


def _refuse(node: nodes.Node, *, in_loop: bool) -> None:
    name = type(node).__name__
    if not isinstance(node, _ALLOWED):
        raise jinja2.TemplateSyntaxError(f"{name} is not allowed in a message template", getattr(node, "lineno", 1))
    if isinstance(node, nodes.For) and (in_loop or node.recursive):
        raise jinja2.TemplateSyntaxError("a loop inside another is not allowed in a message template", node.lineno)
    for child in node.iter_child_nodes():
        _refuse(child, in_loop=in_loop or isinstance(node, nodes.For))


@cache
def _environment(*, html: bool) -> jinja2.Environment:
    environment = ImmutableSandboxedEnvironment(autoescape=html, undefined=jinja2.StrictUndefined)
    environment.globals.clear()
    environment.filters = {name: environment.filters[name] for name in FILTERS}
    return environment
