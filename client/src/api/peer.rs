//! Who may use the desk: the daemon's own user and root; with `[api] group`, whoever the socket's mode lets connect.
//! Takes the kernel's word on who called, never the caller's.

use valise_host::doorway::{Peer, Rights};

use crate::exit::{DeskError, ExitCode, codes};

/// Lets a caller in, or says who they are and what to do.
pub(crate) fn admit(rights: Rights, peer: Peer) -> Result<(), DeskError> {
    if rights.admits(peer) {
        return Ok(());
    }
    let Peer { uid } = peer;
    Err(DeskError::new(
        ExitCode::LocalPermission,
        codes::NOT_THIS_USER,
        format!("you are user {uid}; this desk answers only user {} and root", rights.own_uid),
        "run the command as that user, or share the desk with a group: `[api] group` in client.toml",
    ))
}

/// The number of a group: a number as it is, a name through `/etc/group`.
///
/// Errors: a name that stands in no line of the file, or a file that cannot be read.
pub fn group_id(name: &str) -> Result<u32, DeskError> {
    let groups =
        if name.parse::<u32>().is_ok() { Ok(String::new()) } else { std::fs::read_to_string("/etc/group") };
    let groups = groups.map_err(|cause| {
        let help = "make the file readable, or give the group as a number";
        DeskError::invalid("groups-unreadable", format!("/etc/group cannot be read: {cause}"), help)
    })?;
    find_group(name, &groups).ok_or_else(|| {
        let help = "create the group, or correct `[api] group` in client.toml";
        DeskError::invalid("unknown-group", format!("there is no group `{name}` on this machine"), help)
    })
}

fn find_group(name: &str, groups: &str) -> Option<u32> {
    name.parse().ok().or_else(|| {
        groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            let found = fields.next() == Some(name);
            if found { fields.nth(1)?.parse().ok() } else { None }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_is_told_who_may() {
        let alone = Rights { own_uid: 1003, shared: false };
        assert_eq!(admit(alone, Peer { uid: 1003 }), Ok(()));
        let refusal = admit(alone, Peer { uid: 1004 }).unwrap_err();
        assert_eq!((refusal.exit, refusal.code), (ExitCode::LocalPermission, "not-this-user"));
        assert_eq!(refusal.message, "you are user 1004; this desk answers only user 1003 and root");
        assert!(refusal.help.contains("[api] group"), "{}", refusal.help);
    }

    #[test]
    fn a_group_is_found_by_name_and_by_number() {
        let groups = "root:x:0:\nvalise:x:977:desk1,desk2\nvalises:x:978:\nbroken\n";
        assert_eq!(find_group("valise", groups), Some(977));
        assert_eq!(find_group("978", groups), Some(978));
        assert_eq!(find_group("broken", groups), None);
        assert_eq!(find_group("nobody-here", groups), None);
    }
}
