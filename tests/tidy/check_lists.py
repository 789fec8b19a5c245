#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The lists of proto/ against the tables of proto/PROTOCOL.md: methods with params and options, error codes with
texts, limits with values and names, topics of events with their keys, reasons, and what later versions bring. Same lines,
same order."""
import ast
import operator
import re
import sys

import source

DOCUMENT = "proto/PROTOCOL.md"
LITERAL = r'"((?:\\.|[^"\\])*)"'

ARITHMETIC = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.LShift: operator.lshift}


def value_of(expression):
    """The value of a C constant of integers, + - * << and parentheses; ValueError for anything else."""
    def walk(node):
        if isinstance(node, ast.Expression):
            return walk(node.body)
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        if isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
            return ARITHMETIC[type(node.op)](walk(node.left), walk(node.right))
        raise ValueError(expression)
    try:
        return walk(ast.parse(re.sub(r"(?<=[0-9a-fA-F])[uUlL]+\b", "", expression.strip()), mode="eval"))
    except SyntaxError:
        raise ValueError(expression) from None


def x_macro(text, name):
    """The body of a list macro, its lines joined."""
    match = re.search(r"#define %s\(X\)((?:.*\\\n)*.*)" % name, text)
    return match[1].replace("\\\n", " ") if match else ""


def methods_of(text):
    line = r"X\((\w+), %s, %s, [^,]+, %s\)" % (LITERAL, LITERAL, LITERAL)
    joined = re.sub(r"\s+", " ", x_macro(text, "HF_METHODS")).replace('" "', "")  # also literals in pieces
    return [(name, params, options) for name, params, options, _ in re.findall(line, joined)]


def errors_of(text):
    return re.findall(r"X\((\w+), %s\)" % LITERAL, x_macro(text, "HF_ERRORS"))


def limits_of(text):
    """(macro, value, word in hello's limits or "") of each line of limits.h."""
    for name, rest in re.findall(r"^#define (HF_\w+)[ \t]+(\S.*)$", text.replace("\\\n", " "), re.M):
        word = re.search(r"/\* limits\.(\w+):", rest)
        yield name, value_of(re.sub(r"/\*.*", "", rest)), word[1] if word else ""


def topics_of(text):
    """(topic, keys of its map, the key that `prefix` filters or "") of each line of HF_TOPICS."""
    line = r"X\((\w+),\s*%s,\s*(\w+),\s*\w+,\s*%s\)" % (LITERAL, LITERAL)
    for name, fields, key, _ in re.findall(line, x_macro(text, "HF_TOPICS")):
        yield name, fields, fields.split(", ")[int(key)] if key.isdigit() else ""


def reasons_of(text):
    return re.findall(r'X\(\w+, "(\w+)"\)', x_macro(text, "HF_REASONS"))


def later_of(text):
    """Methods of later versions, and options of later versions as {method: [option, ...]}."""
    methods = re.findall(r"X\((\w+)\)", x_macro(text, "HF_METHODS_LATER"))
    options = {}
    for method, option in re.findall(r"X\((\w+), %s\)" % LITERAL, x_macro(text, "HF_OPTIONS_LATER")):
        options.setdefault(method, []).append(option)
    return methods, options


def section(document, title):
    match = re.search(r"^## \d+\. %s\n(.*?)(?=^## |\Z)" % re.escape(title), document, re.M | re.S)
    return match[1] if match else ""


def table(document, title):
    """The rows of the one table of a section, without its head; a cell of "-" is empty."""
    rows = [[re.sub(r"^`([^`]*)`$", r"\1", cell.strip().replace("\\", "")) for cell in line.strip().strip("|").split("|")]
            for line in section(document, title).split("\n") if line.startswith("|")]
    return [["" if cell == "-" else cell for cell in row] for row in rows[2:]]


def compare(what, header, listed, written):
    """Findings of two lists of tuples, whose first elements are names."""
    names = [row[0] for row in listed]
    found = [row[0] for row in written]
    for name in names:
        if name not in found:
            yield "%s: %s `%s` of %s is not in the table" % (DOCUMENT, what, name, header)
    for name in found:
        if name not in names:
            yield "%s: %s `%s` is not in %s" % (DOCUMENT, what, name, header)
        elif found.count(name) > 1:
            yield "%s: %s `%s` stands there twice" % (DOCUMENT, what, name)
    if sorted(names) == sorted(found) and names != found:
        first = next(i for i, name in enumerate(names) if name != found[i])
        yield "%s: %s `%s` stands where %s has `%s`" % (DOCUMENT, what, found[first], header, names[first])
    by_name = {row[0]: row for row in written}
    for row in listed:
        other = by_name.get(row[0], row)
        for mine, theirs in zip(row[1:], other[1:]):
            if str(mine) != str(theirs):
                yield "%s: %s `%s`: %r, but %s has %r" % (DOCUMENT, what, row[0], theirs, header, mine)


def check_later(methods_header, document):
    text = section(document, "What later versions bring")
    methods, options = later_of(methods_header)
    match = re.search(r"^Methods: (.*?)\.", text, re.M | re.S)
    written = re.findall(r"\w+", match[1]) if match else []
    yield from compare("later method", "HF_METHODS_LATER", [(name,) for name in methods], [(name,) for name in written])
    match = re.search(r"^Options: (.*?)\. ", text + " ", re.M | re.S)
    parts = re.findall(r"`(\w+)`\s+([\w,\s]+)", match[1]) if match else []
    yield from compare("later options of", "HF_OPTIONS_LATER",
                       [(method, ", ".join(names)) for method, names in options.items()],
                       [(method, ", ".join(re.findall(r"\w+", names))) for method, names in parts])


def check_reasons(topics_header, document):
    match = re.search(r"^Reasons: (.*?)\.", section(document, "Events"), re.M | re.S)
    written = re.findall(r"\w+", match[1]) if match else []
    yield from compare("reason", "HF_REASONS", [(word,) for word in reasons_of(topics_header)],
                       [(word,) for word in written])


def check_texts(methods_header, errors_header, limits_header, topics_header, document):
    """Findings for these five texts."""
    lists = (
        ("method", "methods.h", methods_of(methods_header), table(document, "Methods")),
        ("code", "errors.h", errors_of(errors_header), table(document, "Errors")),
        ("limit", "limits.h", list(limits_of(limits_header)), table(document, "Limits")),
        ("topic", "topics.h", list(topics_of(topics_header)), table(document, "Events")),
    )
    for what, header, listed, written in lists:
        if not listed:
            yield "proto/%s: its list was not found" % header
        yield from compare(what, header, listed, written)
    yield from check_reasons(topics_header, document)
    yield from check_later(methods_header, document)


def check():
    return list(check_texts(source.read("proto/methods.h"), source.read("proto/errors.h"),
                            source.read("proto/limits.h"), source.read("proto/topics.h"), source.read(DOCUMENT)))


if __name__ == "__main__":
    sys.exit(source.report(check(), "lists"))
