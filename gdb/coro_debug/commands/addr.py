"""`coro addr`: what lies at an address, in words."""

from .. import options as options_
from .. import text
from ..command import command
from ..port import CommandError
from ..registry import FREE


@command("addr")
def run(session, arguments):
    """coro addr ADDRESS|EXPRESSION

    Says whose an address is, which may be an expression of the debugger's, as $rsp or &variable. That may be a
    coroutine's stack or redzone and how far from its end, the stack of one that has ended, the records, or
    nothing of the runtime's.
    """
    options = options_.parse(arguments, takes_rest=True, takes=options_.FEW)
    if not options.rest:
        raise CommandError("`coro addr` wants an address, as 0x7f12345678 or $rsp")
    said = " ".join(options.rest)
    try:
        address = int(said, 0)
    except ValueError:
        address = session.port.evaluate(said)
    if not 0 <= address < 1 << 64:
        raise CommandError(f"{address:#x} is no address of 64 bits")
    session.port.write(f"{address:#x}: {describe(session.registry(options.runtime), address)}\n")


def describe(registry, address):
    """`coroutine #17 'conn', redzone, 40 bytes below its stack`"""
    place = registry.locate(address)
    if place is None:
        return _native(registry, address) or "not in the coroutines' region, nor on a worker's own stack"
    if place.kind == "registry":
        return _head(registry, address)
    if place.kind == "unused":
        return "in the region, where nothing lies"
    if place.kind == "behind":
        return f"the redzone behind the last slot of the stack class '{place.klass.name}'"
    if place.index - place.klass.first >= place.klass.used:
        return f"slot {place.index} of the stack class '{place.klass.name}', which was never used"
    tenant = registry.record(place.index)
    where = _on_stack(tenant, place, address) if place.kind == "stack" else \
        f"redzone, {text.exact_size(place.distance)} below its stack"
    if tenant.state != FREE:
        return f"coroutine {text.who(tenant.id, tenant.name)}, {where}"
    last = (
        f"its last tenant was coroutine {text.who(tenant.id, tenant.name)}"
        if tenant.id
        else "it never had a tenant"
    )
    if tenant.id and tenant.spawn_site:
        last += f", spawned at {tenant.spawn_site}"
    return f"free slot {place.index}, {where}; {last}"


def _on_stack(tenant, place, address):
    below = f"{text.exact_size(place.distance)} below its top"
    sp = tenant.sp
    if tenant.state == FREE or sp is None or sp not in tenant:
        return f"stack, {below}"
    if address < sp:
        distance = text.exact_size(sp - address)
        return f"stack, {below}, in the part not in use ({distance} below its stack pointer)"
    return f"stack, {below}, {text.exact_size(address - sp)} above its stack pointer"


def _native(registry, address):
    """Of the stack of a worker's thread, on which its main runs."""
    for worker in registry.workers:
        main = (
            registry.record(worker.values["main"]) if worker.values["main"] < registry.record_count else None
        )
        if main is not None and address in main:
            return (
                f"coroutine {text.who(main.id, main.name)}, which runs on the native stack of worker "
                f"{worker.number}, "
                f"{text.exact_size(main.stack_top - address)} below its top"
            )
    return None


def _head(registry, address):
    """In the region's first part: which table, and of the records whose."""
    for name, (start, stride, count) in registry.layout.tables.items():
        if not start <= address < start + stride * count:
            continue
        row, offset = divmod(address - start, stride)
        if name != "records":
            return f"the registry: table `{name}`, row {row}, byte {offset}"
        field = next((field.name for field in registry.layout.record.fields.values()
                      if field.offset <= offset < field.offset + field.size), None)
        where = f"its field `{field}`" if field else f"byte {offset} of it"
        tenant = registry.record(row)
        whose = (
            f"coroutine {text.who(tenant.id, tenant.name)}" if tenant.state != FREE else f"free slot {row}"
        )
        return f"the registry: the record of {whose}, {where}"
    return "the registry: the region's head, in no table"
