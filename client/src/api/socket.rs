//! Why the desk's socket could not be opened, in the words of the desk. The socket itself is the machine's room.

use valise_host::socket::SocketFault;

use crate::exit::{DeskError, ExitCode, codes};

impl From<SocketFault> for DeskError {
    fn from(fault: SocketFault) -> Self {
        let message = fault.to_string();
        match fault {
            SocketFault::Answered { path } => Self::new(
                ExitCode::Store,
                codes::DAEMON_RUNNING,
                format!("a daemon answers on {} already", path.display()),
                "use that one, or stop it first",
            ),
            SocketFault::Denied { .. } => Self::new(
                ExitCode::LocalPermission,
                "socket-denied",
                message,
                "give the daemon's user the right to write in that directory, and membership of `[api] group`",
            ),
            SocketFault::PathTooLong { .. } => {
                Self::invalid("socket-path-too-long", message, "choose a shorter directory for the socket")
            }
            SocketFault::Taken { .. } => {
                Self::invalid("socket-path-taken", message, "choose another path for `[api] socket`")
            }
            SocketFault::Unusable { .. } => Self::invalid(
                "socket-unusable",
                message,
                "check `[api] socket` in client.toml: its directory must exist",
            ),
        }
    }
}
