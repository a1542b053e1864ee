"""Folding of repeats: a recursion's thousand frames as one round, a count, and the last round."""

#: The longest cycle that is looked for, and how often it must come.
LONGEST_PERIOD = 32
FEWEST_ROUNDS = 3


class Run:
    """A stretch of a sequence: `rounds` times the same `period` items, from `start` on. One round: no
    repeat."""

    __slots__ = ("start", "period", "rounds")

    def __init__(self, start, period, rounds):
        self.start, self.period, self.rounds = start, period, rounds

    @property
    def end(self):
        return self.start + self.period * self.rounds

    def __repr__(self):
        return f"Run(start={self.start}, period={self.period}, rounds={self.rounds})"

    def __eq__(self, other):
        return (self.start, self.period, self.rounds) == (other.start, other.period, other.rounds)


def fold(keys, longest=LONGEST_PERIOD, fewest=FEWEST_ROUNDS):
    """The runs of which a sequence is made, from its start on. Each item is in one; items between repeats are
    runs of one round. Of several cycles at one place the one that covers most wins, of those the shortest."""
    runs, at, plain = [], 0, 0
    while at < len(keys):
        period, rounds = _best_cycle(keys, at, longest, fewest)
        if rounds == 1:
            at += 1
            continue
        if plain < at:
            runs.append(Run(plain, at - plain, 1))
        runs.append(Run(at, period, rounds))
        at = plain = at + period * rounds
    if plain < at:
        runs.append(Run(plain, at - plain, 1))
    return runs


def _best_cycle(keys, start, longest, fewest):
    best, covered = (1, 1), 0
    for period in range(1, min(longest, (len(keys) - start) // fewest) + 1):
        rounds = _rounds(keys, start, period)
        if rounds >= fewest and rounds * period > covered:
            best, covered = (period, rounds), rounds * period
    return best


def _rounds(keys, start, period):
    """How often the cycle of that length comes from `start` on."""
    at = start + period
    while at < len(keys) and keys[at] == keys[at - period]:
        at += 1
    return (at - start) // period
