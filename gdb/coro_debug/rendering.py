"""A frame of a backtrace in words."""

from . import source


#: Letters of an argument's value that have room in a frame's line.
LONGEST_VALUE = 40


def short_value(value):
    """An argument as it is shown in a line: what has parts, or is long, as `...`; of a pointer to bytes that
    are no text the address alone."""
    pointer, quote, bytes_ = value.partition(' "')
    if quote and "\\" in bytes_:
        return pointer
    return "..." if len(value) > LONGEST_VALUE or "{" in value or "\n" in value else value


def frame_lines(port, frame, is_full=False, is_raw=False):
    """A frame's line, and those of its variables."""
    location = frame.location
    words = source.text(location, is_whole=is_raw or is_full)
    function, at, place = words.partition(" at ")
    shown = str if is_full else short_value
    arguments = ", ".join(f"{name}={shown(value)}" for name, value in port.arguments(frame))
    if location.function:
        function += f" ({arguments})"
    line = f"#{frame.level:<2} "
    if is_raw:
        line += f"{frame.pc:#018x} sp {frame.sp:#x} "
    elif not location.function:
        # Without symbols the address is all there is.
        function = f"{frame.pc:#x} in {function}"
    line += function + at + place
    if frame.is_inlined:
        line += " (inlined)"
    if not frame.is_certain:
        line += " (?)"
    lines = [line]
    if is_full:
        variables = port.locals(frame)
        for name, value in variables:
            lines.append(f"        {name} = {value}")
        if not variables:
            lines.append("        no locals")
    return lines
