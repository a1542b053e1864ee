"""A frame of a backtrace in words."""

from . import source


def frame_lines(port, frame, is_full=False, is_raw=False):
    """A frame's line, and those of its variables."""
    location = frame.location
    words = source.text(location)
    function, at, place = words.partition(" at ")
    arguments = ", ".join(f"{name}={value}" for name, value in port.arguments(frame))
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
