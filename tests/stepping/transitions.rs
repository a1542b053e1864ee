//! What may change in the registry from one instruction to the next.
//!
//! The legal edges are those of the table at the top of src/registry/transition.rs, from which they are taken.

use std::collections::BTreeSet;

use crate::invariants::show;
use crate::support::registry_reader::Coroutine;
use crate::view::{Class, View, Worker};

/// The table.
const TRANSITIONS: &str = include_str!("../../src/registry/transition.rs");

/// The pairs of states that may follow each other.
#[derive(Debug)]
pub(crate) struct Edges(BTreeSet<(String, String)>);

impl Edges {
    /// Reads rows like ``//! | `Ready`, `New` | `Running` | …``.
    pub(crate) fn of_the_table() -> Edges {
        let mut edges = BTreeSet::new();
        for line in TRANSITIONS.lines().filter_map(|line| line.strip_prefix("//! | `")) {
            let mut cells = line.split(" | ");
            let mut states = || {
                let cell = cells.next().unwrap_or_default();
                cell.split(", ").map(|state| state.trim_matches('`').to_lowercase()).collect::<Vec<_>>()
            };
            let (from, to) = (states(), states());
            edges.extend(from.iter().flat_map(|from| to.iter().map(|to| (from.clone(), to.clone()))));
        }
        Edges(edges)
    }

    fn allow(&self, from: &str, to: &str) -> bool {
        self.0.contains(&(from.to_owned(), to.to_owned()))
    }
}

/// The worker of a coroutine that any of them may begin.
const NOBODYS: u64 = u32::MAX as u64;

/// What is wrong, a sentence each.
pub(crate) fn problems(edges: &Edges, before: &View, after: &View) -> Vec<String> {
    let mut problems = Vec::new();
    for (old, new) in before.classes.iter().zip(&after.classes) {
        problems.extend(class_problem(old, new));
    }
    for (index, (old, new)) in (0..).zip(before.workers.iter().zip(&after.workers)) {
        problems.extend(worker_problem(before, index, old, new));
    }
    for (index, new) in &after.records {
        if let Some(old) = before.records.get(index).filter(|old| *old != new) {
            problems.extend(record_problems(edges, after, old, new));
        }
    }
    problems
}

fn class_problem(old: &Class, new: &Class) -> Option<String> {
    let moving = Class { used: new.used, queues: new.queues.clone(), ..old.clone() };
    let is_right = moving == *new && (old.used..=old.used + 1).contains(&new.used) && new.used <= new.count;
    if !is_right {
        return Some(format!("the class {old:?} has become {new:?}"));
    }
    old.queues.iter().zip(&new.queues).find_map(|(old, now)| {
        let is_right = (old.tag, old.first) == (now.tag, now.first) || now.tag == old.tag.wrapping_add(1);
        (!is_right).then(|| {
            format!(
                "the queue `{}` of class {} has a new head, and the tag {} after {}",
                now.name, new.name, now.tag, old.tag
            )
        })
    })
}

/// Between the swap of stacks and what is done after it there is one more `running` record; the next switch, which is
/// counted first, must find that done.
fn worker_problem(before: &View, index: u64, old: &Worker, new: &Worker) -> Option<String> {
    let running = || before.records.values().filter(|c| c.worker == index && c.state == "running");
    (new.switches > old.switches && running().count() > 1).then(|| {
        let names: Vec<String> = running().map(show).collect();
        format!("worker {index} switches while {} are `running`", names.join(" and "))
    })
}

fn record_problems(edges: &Edges, after: &View, old: &Coroutine, new: &Coroutine) -> Vec<String> {
    let mut problems = Vec::new();
    let (from, to) = (old.state.as_str(), new.state.as_str());
    if from != to && !edges.allow(from, to) {
        problems.push(format!("{} has become `{to}`", show(old)));
    }
    // A slot that was never published goes back as it came.
    let next_tenant = to == "free" && (from == "exited" || new.generation != old.generation);
    if new.generation != old.generation + u64::from(next_tenant) {
        problems.push(format!(
            "{} has become {}, from generation {} to {}",
            show(old),
            show(new),
            old.generation,
            new.generation
        ));
    }
    if from != "free" && to != "free" && identity(old) != identity(new) {
        problems.push(format!("{:?} has become {:?}", identity(old), identity(new)));
    }
    // A worker takes whom nobody has begun, and keeps him.
    let is_taken = old.worker == NOBODYS && from == "ready" && to == "ready";
    if from != "free" && to != "free" && old.worker != new.worker && !is_taken {
        problems.push(format!(
            "{} was worker {}'s, and has become worker {}'s",
            show(old),
            old.worker,
            new.worker
        ));
    }
    // The link is cut before the state says that it doesn't run any more. Switch's leads to main.
    let is_left = from == "running" && to != "running" || from == "free" && to == "new";
    let may_be_linked = new.kind == "switch" || new.flags.iter().any(|flag| flag == "lent");
    if is_left && new.link != after.end && !may_be_linked {
        problems.push(format!("{} has become {} before its link was cut", show(old), show(new)));
    }
    problems
}

/// What a coroutine keeps for life.
fn identity(of: &Coroutine) -> impl PartialEq + std::fmt::Debug + '_ {
    let place = (&of.spawn_file, of.spawn_line, &of.stack);
    (of.id, &of.kind, &of.name, of.parent, place)
}

#[test]
fn edges_are_those_of_the_table() {
    let edges = Edges::of_the_table();
    for (from, to) in [("free", "new"), ("ready", "running"), ("new", "exited"), ("exited", "free")] {
        assert!(edges.allow(from, to), "{from} -> {to}: {edges:?}");
    }
    for (from, to) in [("free", "running"), ("parked", "exited"), ("exited", "ready"), ("new", "parked")] {
        assert!(!edges.allow(from, to), "{from} -> {to}: {edges:?}");
    }
    assert_eq!(edges.0.len(), 12, "{edges:?}");
}
