"""Arguments and local variables of a frame, as text. What can't be read is shown as that, and ends
nothing."""

import json
import re

import lldb

#: What is shown of one variable.
MOST_ELEMENTS, DEPTH, LONGEST = 32, 4, 2000
#: LLDB shows these as characters; in Rust they are numbers.
BYTES = (lldb.eBasicTypeChar, lldb.eBasicTypeSignedChar, lldb.eBasicTypeUnsignedChar)
#: How LLDB's errors say that the compiler has kept no value.
OPTIMIZED_OUT = ("not available", "optimized out", "DW_OP_entry_value")


def arguments(frame):
    """A list of (name, text)."""
    return [(value.GetName() or "?", text(value)) for value in frame.GetVariables(True, False, False, True)]


def locals_(frame):
    """A list of (name, text)."""
    return [(value.GetName() or "?", text(value)) for value in frame.GetVariables(False, True, False, True)]


def text(value, depth=DEPTH):
    """A value on one line: `7`, `Point {x: 1, y: 2}`, `Some(7)`, `Mutex (locked by #4)`."""
    shown = _text(value, depth)
    return shown if len(shown) <= LONGEST else shown[:LONGEST] + "..."


def _text(value, depth):
    error = value.GetError()
    if error.Fail():
        reason = " ".join((error.GetCString() or "it can't be read").split())
        if any(words in reason for words in OPTIMIZED_OUT):
            return "<optimized out>"
        # That is how it says that there is nothing in a `()`.
        return _kind(value) or "()" if "byte size" in reason else f"<{reason}>"
    basic = value.GetType().GetBasicType()
    if basic in BYTES:
        is_signed = basic == lldb.eBasicTypeSignedChar
        return str(value.GetValueAsSigned() if is_signed else value.GetValueAsUnsigned())
    plain, summary = value.GetValue(), value.GetSummary()
    if plain is not None:
        plain = re.sub(r"^0x0+(?=.)", "0x", plain)
        # Behind an address LLDB also shows what it takes for a text that is there.
        return f"{plain} {summary}" if summary and (value.GetTypeName() or "").startswith("coro::") else plain
    # Of bytes in a row LLDB would make a text.
    return summary if summary and not value.GetType().IsArrayType() else _composed(value, depth)


def _composed(value, depth):
    """A value that has parts."""
    if value.GetTypeName() == "&str":
        return _string(value)
    kind = _kind(value)
    variants = value.GetChildMemberWithName("$variants$")
    if variants.IsValid():
        value = _variant(variants)
        if value is None:
            return f"{kind} {{...}}".lstrip()
        kind = _kind(value)
    count = value.GetNumChildren(MOST_ELEMENTS + 1)
    if count == 0:
        return kind or "{}"
    if depth == 0:
        return f"{kind} {{...}}".lstrip()
    children = [value.GetChildAtIndex(i) for i in range(min(count, MOST_ELEMENTS))]
    if all((child.GetName() or "").startswith("[") for child in children):
        elements = [_text(child, depth - 1) for child in children]
        return "[" + ", ".join(elements + ["..."] * (count > MOST_ELEMENTS)) + "]"
    is_tuple = all(re.fullmatch(r"__\d+", child.GetName() or "") for child in children)
    parts = [_child(child, depth, is_tuple) for child in children] + ["..."] * (count > MOST_ELEMENTS)
    if is_tuple:
        return f"{kind}({', '.join(parts)})"
    return f"{kind} {{{', '.join(parts)}}}".lstrip()


def _string(value):
    """A `&str`, in quotes; cut where it is long."""
    parts = (value.GetChildMemberWithName(name) for name in ("data_ptr", "length"))
    address, length = (part.GetValueAsUnsigned() for part in parts)
    error = lldb.SBError()
    data = value.GetProcess().ReadMemory(address, min(length, LONGEST), error) if length else b""
    if data is None or error.Fail():
        return "<a text that can't be read>"
    shown = json.dumps(data.decode("utf-8", "backslashreplace"), ensure_ascii=False)
    return shown if length <= LONGEST else shown + "..."


def _kind(value):
    """`Some` of `core::option::Option<alloc::string::String>::Some<…>`; '' of what has no such name."""
    name, depth = "", 0
    for sign in value.GetTypeName() or "":
        depth += (sign == "<") - (sign == ">")
        if depth == 0 and sign != ">":
            name += sign
    # A variant's bits are written behind its name.
    name = re.sub(r":\d+$", "", name).rpartition("::")[2]
    return name if name.isidentifier() else ""


def _variant(variants):
    """Which of an enum's variants it is; None: not told."""
    rest = found = None
    for variant in (variants.GetChildAtIndex(i) for i in range(variants.GetNumChildren())):
        number = (variant.GetName() or "").replace("$variant$", "")
        tag = variant.GetChildMemberWithName("$discr$")
        if number == "":
            rest = variant
        elif tag.IsValid() and number.isdecimal() and tag.GetValueAsUnsigned() == int(number):
            found = variant
    chosen = found or rest
    value = chosen.GetChildMemberWithName("value") if chosen is not None else None
    return value if value is not None and value.IsValid() else None


def _child(child, depth, is_tuple):
    name = child.GetName() or ""
    value = _text(child, depth - 1)
    return value if is_tuple or not name else f"{name}: {value}"
