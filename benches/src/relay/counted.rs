//! What the relay counted, read from the page that its administrator reads.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result};

/// Commit groups since the relay was started.
pub(super) fn groups(page: SocketAddr) -> Result<u64> {
    let mut stream = TcpStream::connect(page).context("the relay's page does not answer")?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let count = text.lines().find_map(|line| line.strip_prefix("valise_relay_commit_operations_count "));
    count.context("the relay's page says nothing of commits")?.trim().parse().context("no number of commits")
}
