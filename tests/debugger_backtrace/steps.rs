//! What the step scripts saw, and what is wrong with it: at every instruction of a switch the walk must be that
//! of the stack which is left, or that of the one which is entered, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use pretty_assertions::{assert_eq, assert_ne};

use crate::support::backtrace;

/// What the step scripts have seen.
#[derive(Debug)]
pub(crate) struct Steps {
    /// Each instruction of `switch` and `entry`, as `function+offset`.
    instructions: BTreeSet<String>,
    /// By the number of the switch: its instructions in order.
    switches: BTreeMap<usize, Vec<Step>>,
}

#[derive(Clone, Debug)]
struct Step {
    instruction: String,
    /// The functions of the frames below the innermost one.
    callers: Vec<String>,
}

impl Steps {
    pub(crate) fn parse(text: &str) -> Steps {
        let mut steps = Steps { instructions: BTreeSet::new(), switches: BTreeMap::new() };
        for line in text.lines() {
            match line.split('\t').collect::<Vec<_>>()[..] {
                ["instruction", instruction] => {
                    steps.instructions.insert(instruction.to_owned());
                }
                ["step", number, instruction, _, ref callers @ ..] => {
                    let number = number.parse().expect("the script counts the switches");
                    let callers = callers.iter().map(|name| backtrace::last_segment(name)).collect();
                    let step = Step { instruction: instruction.to_owned(), callers };
                    steps.switches.entry(number).or_default().push(step);
                }
                _ => {}
            }
        }
        steps
    }

    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = self.unreached();
        for (number, steps) in &self.switches {
            for Step { instruction, callers } in steps {
                let ends_well = callers.last().is_some_and(|root| backtrace::is_root(root));
                if !ends_well || callers.iter().any(|name| name == backtrace::UNKNOWN) {
                    problems.push(format!("switch {number}, at {instruction}: {callers:?}"));
                }
            }
            problems.extend(wrong_turn(steps).map(|what| format!("switch {number}: {what}")));
        }
        // main's first switches to io and to the switch coroutine, the outer and the inner coroutine.
        let entered =
            self.switches.values().filter(|steps| steps.iter().any(|step| step.is_in("entry"))).count();
        if entered < 4 {
            problems.push(format!("only {entered} coroutines were entered for the first time"));
        }
        problems
    }

    /// Instructions at which nobody looked, but for two that never run: `entry`'s first, which is there to be
    /// behind a return address, and its last, which is there to be before one.
    fn unreached(&self) -> Vec<String> {
        let mut unreached = self.instructions.clone();
        for step in self.switches.values().flatten() {
            unreached.remove(&step.instruction);
        }
        let offset = |instruction: &&String| instruction.strip_prefix("entry+")?.parse::<u32>().ok();
        let last = self.instructions.iter().filter_map(|instruction| offset(&instruction)).max();
        unreached.retain(|instruction| ![Some(0), last].contains(&offset(&instruction)));
        if self.instructions.len() < 20 {
            return vec!["`switch` and `entry` have not been found".into()];
        }
        unreached.into_iter().map(|instruction| format!("{instruction} was not reached")).collect()
    }
}

impl Step {
    fn is_in(&self, function: &str) -> bool {
        self.instruction.split('+').next() == Some(function)
    }
}

/// Whether the callers are those of the stack that is left, and from one instruction on those of the one that
/// is entered; `entry` being the caller itself when a coroutine begins.
fn wrong_turn(steps: &[Step]) -> Option<String> {
    let mut callers: Vec<&[String]> =
        steps.iter().filter(|step| step.is_in("switch")).map(|step| &step.callers[..]).collect();
    callers.dedup();
    let [_left, entered] = callers[..] else {
        return Some(format!("{} different stacks, not two: {callers:#?}", callers.len()));
    };
    let in_entry = steps.iter().find(|step| step.is_in("entry") && step.callers != entered[1..]);
    in_entry.map(|step| {
        format!("at {} the callers are {:?}, not {:?}", step.instruction, step.callers, &entered[1..])
    })
}

#[test]
fn a_walk_that_goes_astray_inside_a_switch_is_reported() {
    // One switch from main to a new coroutine and three more, as the scripts print them.
    let sound: String = (0..20).map(|n| format!("instruction\tswitch+{n}\n")).collect::<String>()
        + "instruction\tentry+0\ninstruction\tentry+1\ninstruction\tentry+2\n"
        + &(1..=4)
            .map(|switch| {
                let left: String =
                    (0..9).map(|n| format!("step\t{switch}\tswitch+{n}\tswitch\ttransfer\tmain\n")).collect();
                let entered: String = (9..20)
                    .map(|n| format!("step\t{switch}\tswitch+{n}\tswitch\tentry\tswitch\tmain\n"))
                    .collect();
                left + &entered + &format!("step\t{switch}\tentry+1\tentry\tswitch\tmain\n")
            })
            .collect::<String>();
    let problems = |text: &str| Steps::parse(text).problems().join("\n");
    assert_eq!(problems(&sound), "");
    for (right, wrong, problem) in [
        (
            "step\t2\tswitch+5\tswitch\ttransfer\tmain",
            "step\t2\tswitch+5\tswitch\ttransfer\t??",
            "switch 2, at switch+5",
        ),
        (
            "step\t2\tswitch+9\tswitch\tentry\t",
            "step\t2\tswitch+9\tswitch\tstart\t",
            "switch 2: 3 different stacks",
        ),
        ("step\t3\tentry+1\tentry\tswitch\tmain", "step\t3\tentry+1\tentry\tmain", "switch 3: at entry+1"),
        (
            "step\t1\tswitch+0\tswitch\ttransfer\tmain",
            "step\t1\tswitch+0\tswitch\ttransfer",
            "switch 1, at switch+0",
        ),
        ("instruction\tswitch+3", "instruction\tswitch+33", "switch+33 was not reached"),
        ("\tentry+1\tentry", "\tentry+2\tentry", "entry+1 was not reached"),
        ("step\t4\tentry", "none\t4\tentry", "only 3 coroutines were entered"),
        ("instruction", "?", "have not been found"),
    ] {
        let text = sound.replace(right, wrong);
        assert_ne!(text, sound, "{right}");
        assert!(problems(&text).contains(problem), "{wrong}: {}", problems(&text));
    }
}
