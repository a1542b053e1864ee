//! What coroutines wait for, as an outsider reads it: who owns it, and the rows of file descriptors.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::image::word;
use super::registry_reader::{Registry, Row};

/// Who did something to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Nobody,
    Coroutine(u64),
    /// Outside any runtime.
    Thread(u32),
}

/// A file descriptor's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) role: String,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) last_user: u64,
}

impl Descriptor {
    /// That of a number.
    pub(crate) fn read(registry: &Registry<'_>, number: u64) -> Result<Descriptor, String> {
        let fields = registry.fields("descriptor fields")?;
        let number = number as u32;
        let row = registry.rows("descriptors", Some(number..number + 1), &fields)?.remove(0);
        Descriptor::of(&row, &registry.names("descriptor roles")?)
    }

    /// What a row says, with the names of the roles.
    pub(crate) fn of(row: &Row<'_>, roles: &BTreeMap<u64, String>) -> Result<Descriptor, String> {
        let role = row.number("role");
        Ok(Descriptor {
            role: roles.get(&role).cloned().ok_or(format!("{role} is no role of a descriptor"))?,
            address: socket_address(row, "address", row.number("address_length") as usize)?,
            last_user: row.number("last_user"),
        })
    }
}

/// A field that says who.
pub(crate) fn owner(row: &Row<'_>, name: &str) -> Owner {
    match word(row.bytes(name, "owner"), 0) {
        0 => Owner::Nobody,
        value if value >> 63 == 1 => Owner::Thread(value as u32),
        id => Owner::Coroutine(id),
    }
}

/// A field that is an address as the kernel has it, of which so many bytes count.
fn socket_address(row: &Row<'_>, name: &str, length: usize) -> Result<Option<SocketAddr>, String> {
    if length == 0 {
        return Ok(None);
    }
    let bytes = row.bytes(name, "socket address");
    let port = u16::from_be_bytes([bytes[2], bytes[3]]);
    match (u16::from_ne_bytes([bytes[0], bytes[1]]).into(), length) {
        (libc::AF_INET, 16) => {
            Ok(Some((<[u8; 4]>::try_from(&bytes[4..8]).expect("four bytes"), port).into()))
        }
        (libc::AF_INET6, 28) => {
            Ok(Some((<[u8; 16]>::try_from(&bytes[8..24]).expect("16 bytes"), port).into()))
        }
        (family, _) => Err(format!("`{name}` has {length} bytes, of family {family}")),
    }
}
