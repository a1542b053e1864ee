//! What a coroutine waits for is told in full: who has the mutex, who is at the other end of the channel, what the
//! descriptor is and whose address it has. Of a running process and of a core, of a debug build and a stripped one.
//!
//! The debuggee is tests/programs/parked.rs; the addresses are held against the kernel's own list of connections.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;

use pretty_assertions::assert_eq;
use support::Profile;
use support::image::{Image, header_by_note};
use support::objects::{Descriptor, Owner, owner};
use support::parked::Parked;
use support::registry_reader::{Coroutine, Registry};

fn registry(image: &dyn Image) -> Registry<'_> {
    Registry::at(image, header_by_note(image).unwrap()).unwrap()
}

#[test]
fn tables_say_how_the_objects_lie() {
    let parked = Parked::start(Profile::Stripped);
    let image = parked.image();
    let registry = registry(&image);
    let fields = |table: &str| {
        let fields = registry.fields(table).unwrap();
        fields.into_iter().map(|(name, field)| (name, field.size, field.kind)).collect::<Vec<_>>()
    };
    // Both in the order of their names.
    let expected = |rows: &[(&str, usize, &str)]| {
        rows.iter().map(|(name, size, kind)| ((*name).into(), *size, (*kind).into())).collect::<Vec<_>>()
    };
    assert_eq!(
        fields("mutex fields"),
        expected(&[("owner", 8, "owner"), ("poisoned", 4, "unsigned"), ("word", 4, "unsigned")])
    );
    assert_eq!(
        fields("channel fields"),
        expected(&[
            ("capacity", 8, "unsigned"),
            ("last_receiver", 8, "owner"),
            ("last_sender", 8, "owner"),
            ("length", 8, "unsigned"),
            ("receivers", 4, "unsigned"),
            ("senders", 4, "unsigned"),
        ])
    );
    assert_eq!(
        fields("descriptor fields"),
        expected(&[
            ("address", 96, "socket address"),
            ("address_length", 4, "unsigned"),
            ("buffered", 8, "unsigned"),
            ("high_watermark", 4, "unsigned"),
            ("last_user", 8, "coroutine id"),
            ("low_watermark", 4, "unsigned"),
            ("role", 4, "unsigned"),
        ])
    );
    let kinds = registry.names("field kinds").unwrap();
    assert_eq!((&*kinds[&12], &*kinds[&13]), ("owner", "socket address"));
    let (place, stride) = registry.place("descriptors").unwrap();
    assert_eq!((place % 4096, stride), (0, 128));
    let limits = fs::read_to_string(parked.proc("limits")).unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    // The hard limit, which may be `unlimited`.
    let hard = files.split_whitespace().nth(1).unwrap().parse().unwrap_or(u32::MAX);
    assert_eq!(registry.count("descriptors").unwrap(), hard.clamp(1024, 1 << 20));
}

#[test]
fn debug_build_tells_what_is_waited_for() {
    let parked = Parked::start(Profile::Debug);
    tells_what_is_waited_for(&parked, &parked.image());
}

#[test]
fn stripped_build_and_its_core_tell_what_is_waited_for() {
    let parked = Parked::start(Profile::Stripped);
    tells_what_is_waited_for(&parked, &parked.image());
    tells_what_is_waited_for(&parked, &parked.dump_core());
}

fn tells_what_is_waited_for(parked: &Parked, image: &dyn Image) {
    let registry = registry(image);
    let coroutines: BTreeMap<String, Coroutine> = registry
        .coroutines()
        .unwrap()
        .into_iter()
        .map(|coroutine| (coroutine.name.clone(), coroutine))
        .collect();
    let id = |name: &str| coroutines[name].id;
    let object = |name: &str| coroutines[name].wait_object.1;

    let fields = registry.fields("mutex fields").unwrap();
    let mutex = registry.row_at(object("locker"), &fields).unwrap();
    assert_eq!((mutex.number("word"), mutex.number("poisoned")), (2, 0), "contended");
    assert_eq!(owner(&mutex, "owner"), Owner::Coroutine(id("sleeper")));

    let fields = registry.fields("channel fields").unwrap();
    let channel = |name: &str| {
        let row = registry.row_at(object(name), &fields).unwrap();
        let numbers = ["capacity", "length", "senders", "receivers"].map(|name| row.number(name));
        (numbers, owner(&row, "last_sender"), owner(&row, "last_receiver"))
    };
    assert_eq!(channel("sender"), ([1, 1, 1, 1], Owner::Coroutine(id("sender")), Owner::Nobody));
    assert_eq!(channel("receiver"), ([1, 0, 1, 1], Owner::Nobody, Owner::Coroutine(id("receiver"))));

    let connections = Connections::of(parked);
    for (name, role) in
        [("acceptor", "listener"), ("reader", "stream"), ("writer", "stream"), ("connector", "stream")]
    {
        let (own, peer) = connections.of_descriptor(object(name));
        let address = Some(if role == "listener" { own } else { peer });
        let expected = Descriptor { role: role.into(), address, last_user: id(name) };
        assert_eq!(Descriptor::read(&registry, object(name)).unwrap(), expected, "{name}");
    }
    // Standard input is nothing that the runtime knows of.
    assert_eq!(
        Descriptor::read(&registry, 0).unwrap(),
        Descriptor { role: "none".into(), address: None, last_user: 0 }
    );
}

/// What the kernel says of a process's TCP sockets: own address and peer's, by inode.
struct Connections<'a> {
    parked: &'a Parked,
    by_inode: BTreeMap<String, (SocketAddr, SocketAddr)>,
}

impl Connections<'_> {
    fn of(parked: &Parked) -> Connections<'_> {
        let text = fs::read_to_string(parked.proc("net/tcp")).unwrap();
        // proc(5): the second and third columns are addresses, the tenth the inode.
        let row = |line: &str| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            (columns[9].to_owned(), (address(columns[1]), address(columns[2])))
        };
        Connections { parked, by_inode: text.lines().skip(1).map(row).collect() }
    }

    fn of_descriptor(&self, number: u64) -> (SocketAddr, SocketAddr) {
        let file = fs::read_link(self.parked.proc(&format!("fd/{number}"))).unwrap();
        let file = file.to_string_lossy().into_owned();
        let inode = file.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        self.by_inode[inode.unwrap_or_else(|| panic!("descriptor {number} is {file}"))]
    }
}

/// Of an address and a port in hexadecimal: the former as a number in this machine's order.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').unwrap();
    let ip = u32::from_str_radix(ip, 16).unwrap().to_ne_bytes();
    (ip, u16::from_str_radix(port, 16).unwrap()).into()
}
