//! Who called: the papers of a peer judged against trust, and how one is turned away. A code goes out, no detail.

use quinn::{Connection, ConnectionError};
use rustls::pki_types::CertificateDer;
use valise_certs::fault::PaperFault;
use valise_certs::identity::{AdmittedDevice, admit_device};
use valise_certs::trust::Trust;
use valise_proto::session::Close;

/// Judges the chain that the peer showed: at its first packet, and again whenever trust changes.
pub fn admit(connection: &Connection, trust: &Trust, now_ms: u64) -> Result<AdmittedDevice, PaperFault> {
    admit_device(&chain(connection), trust, now_ms)
}

/// The stable word for why TLS refused a caller here; none when the handshake ended for another reason.
pub fn code_for(refused: &ConnectionError) -> Option<&'static str> {
    let ConnectionError::TransportError(fault) = refused else { return None };
    // A TLS alert travels as 0x0100 plus its number (RFC 9001, 4.8).
    let alert = u64::from(fault.code).checked_sub(0x100)?;
    PaperFault::code_of_refusal(u8::try_from(alert).ok()?, &fault.reason)
}

/// Closes a connection with its code.
pub fn close(connection: &Connection, why: Close) {
    connection.close(why.code().into(), why.as_str().as_bytes());
}

/// For a caller that comes while the relay is about to stop.
pub fn turn_away(connection: &Connection) {
    close(connection, Close::GoingAway);
}

/// The chain that the peer showed, leaf first.
fn chain(connection: &Connection) -> Vec<CertificateDer<'static>> {
    let shown =
        connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    shown.map(|chain| *chain).unwrap_or_default()
}

/// What a caller is told of its papers: a code, no detail.
pub fn close_for(fault: &PaperFault) -> Close {
    match fault.code() {
        "CERT_EXPIRED" | "CERT_NOT_YET_VALID" => Close::CertificateExpired,
        "CERT_REVOKED" => Close::Revoked,
        "NOT_ENROLLED" => Close::NotEnrolled,
        _ => Close::BadIdentity,
    }
}
