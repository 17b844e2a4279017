//! Why papers were refused: a stable code, one plain sentence, and what to do about it.
//!
//! The codes go to logs, metrics and exit messages; they are never renamed.

use rustls::CertificateError;
use x509_parser::time::ASN1Time;

/// A refusal of somebody's papers, or of our own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaperFault {
    /// The peer showed nothing.
    #[error("no certificate was shown")]
    NoClientCert,
    /// Not a certificate that we read at all.
    #[error("the certificate cannot be read: {0}")]
    BadCert(String),
    /// More or fewer certificates than leaf and issuing CA.
    #[error("a chain of {0} certificates was shown; two are due: the leaf and the CA that issued it")]
    BadChain(usize),
    /// Not Ed25519, or a key that verifies anything.
    #[error("the certificate's key is not a usable Ed25519 key")]
    BadKey,
    /// Past its end. Unix milliseconds.
    #[error("the certificate expired on {}", shown(*.0))]
    Expired(u64),
    /// Before its begin. Unix milliseconds.
    #[error("the certificate is valid only from {}", shown(*.0))]
    NotYetValid(u64),
    /// No chain to a pinned root, or a signature in it does not hold.
    #[error("the certificate does not come from a root that is pinned here")]
    UnknownIssuer,
    /// A name outside what its CA may name.
    #[error("the certificate bears a name that its CA may not give")]
    NameNotAllowed,
    /// On a revocation list or in the roster's revocations.
    #[error("the certificate, its key or its CA has been revoked")]
    Revoked,
    /// No list tells.
    #[error("whether the certificate is revoked is unknown: the list of its issuer is missing")]
    RevocationUnknown,
    /// A list that cannot be used.
    #[error("a revocation list is refused: {0}")]
    CrlRejected(String),
    /// Made for something else.
    #[error("the usage of the certificate does not fit: {0}")]
    WrongUsage(String),
    /// Names that break the profile or contradict each other.
    #[error("the names on the certificate do not hold: {0}")]
    BadIdentity(String),
    /// Of another federation.
    #[error("the certificate belongs to the trust domain {found}, not {expected}")]
    WrongDomain {
        /// Ours.
        expected: String,
        /// The certificate's.
        found: String,
    },
    /// An entity that may not do this.
    #[error("the certificate names {0}, which may not act here")]
    WrongRole(String),
    /// Not in the roster.
    #[error("{0} is not in the roster")]
    NotEnrolled(String),
    /// Issued by a CA that does not speak for whom the certificate names.
    #[error("the certificate names {0}, but its CA is not the one that the roster states for it")]
    WrongIssuer(String),
    /// Another relay than the one that was called.
    #[error("relay {expected} was called, {found} answered")]
    RelayNotTrusted {
        /// As configured.
        expected: String,
        /// As shown.
        found: String,
    },
    /// A roster that is not taken.
    #[error("the roster is refused: {0}")]
    RosterRejected(String),
    /// The pinned root cannot be used.
    #[error("the pinned root is refused: {0}")]
    RootRejected(String),
    /// A file of the trust cannot be read.
    #[error("cannot read {path}: {reason}")]
    TrustUnreadable {
        /// As configured.
        path: String,
        /// Why not.
        reason: String,
    },
    /// Our own certificate and key cannot be used.
    #[error("the certificate and key given here cannot be used: {0}")]
    OwnPapers(String),
}

impl PaperFault {
    /// Stable code for logs and scripts.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoClientCert => "NO_CLIENT_CERT",
            Self::BadCert(_) => "BAD_CERT",
            Self::BadChain(_) => "BAD_CHAIN",
            Self::BadKey => "BAD_KEY",
            Self::Expired(_) => "CERT_EXPIRED",
            Self::NotYetValid(_) => "CERT_NOT_YET_VALID",
            Self::UnknownIssuer => "UNKNOWN_ISSUER",
            Self::NameNotAllowed => "NAME_NOT_ALLOWED",
            Self::Revoked => "CERT_REVOKED",
            Self::RevocationUnknown => "REVOCATION_UNKNOWN",
            Self::CrlRejected(_) => "CRL_REJECTED",
            Self::WrongUsage(_) => "WRONG_USAGE",
            Self::BadIdentity(_) => "BAD_IDENTITY",
            Self::WrongDomain { .. } => "WRONG_DOMAIN",
            Self::WrongRole(_) => "WRONG_ROLE",
            Self::NotEnrolled(_) => "NOT_ENROLLED",
            Self::WrongIssuer(_) => "WRONG_ISSUER",
            Self::RelayNotTrusted { .. } => "RELAY_NOT_TRUSTED",
            Self::RosterRejected(_) => "ROSTER_REJECTED",
            Self::RootRejected(_) => "ROOT_REJECTED",
            Self::TrustUnreadable { .. } => "TRUST_UNREADABLE",
            Self::OwnPapers(_) => "OWN_PAPERS",
        }
    }

    /// What to do about it, one sentence.
    pub const fn help(&self) -> &'static str {
        match self {
            Self::NoClientCert => "connect with the device's own certificate and key",
            Self::BadCert(_) | Self::BadKey => "have the certificate issued again by its CA",
            Self::BadChain(_) => "let the certificate file hold the leaf and then its CA, nothing else",
            Self::Expired(_) => {
                "compare the clock of this machine, then have the certificate renewed by its CA"
            }
            Self::NotYetValid(_) => "set the clock of this machine right",
            Self::UnknownIssuer => "compare the pinned root with the federation's, by its fingerprint",
            Self::NameNotAllowed | Self::BadIdentity(_) | Self::WrongIssuer(_) => {
                "ask the CA of the party that is named for a certificate of its own"
            }
            Self::Revoked => "enrol the device anew, with a new key; the old one no longer counts",
            Self::RevocationUnknown => "put the newest revocation list of that CA into the crl_dir",
            Self::CrlRejected(_) => "fetch the list again from the CA that issues it",
            Self::WrongUsage(_) => "use the certificate that was issued for this purpose",
            Self::WrongDomain { .. } => "use papers of this federation",
            Self::WrongRole(_) => "use the papers of a device, or of the relay",
            Self::NotEnrolled(_) => "ask the administrator to enrol it, or take the newest roster",
            Self::RelayNotTrusted { .. } => "compare relay address and id in the configuration",
            Self::RosterRejected(_) => "fetch the newest roster from the administrator",
            Self::RootRejected(_) => "restore the root file that was handed over at enrolment",
            Self::TrustUnreadable { .. } => {
                "correct the path in the configuration, or the file's permissions"
            }
            Self::OwnPapers(_) => "let cert and key in the configuration name a pair that belongs together",
        }
    }

    /// What a refused handshake says, by TLS alert number (RFC 8446, 6.2): the code of the same fault seen from the
    /// other side.
    pub const fn code_of_alert(alert: u8) -> Option<&'static str> {
        match alert {
            42 => Some("BAD_CERT"),
            43 => Some("WRONG_USAGE"),
            44 => Some("CERT_REVOKED"),
            45 => Some("CERT_EXPIRED"),
            46 | 48 | 51 => Some("UNKNOWN_ISSUER"),
            70 => Some("WRONG_TLS_VERSION"),
            116 => Some("NO_CLIENT_CERT"),
            120 => Some("WRONG_ALPN"),
            _ => None,
        }
    }

    /// The same on the side that refused, which knows more than it said: one alert stands for several faults, and the
    /// TLS library's own sentence tells them apart.
    pub fn code_of_refusal(alert: u8, sentence: &str) -> Option<&'static str> {
        let told = TOLD_APART.iter().find(|(of, mark, _)| *of == alert && sentence.contains(mark));
        told.map(|(.., code)| *code).or_else(|| Self::code_of_alert(alert))
    }
}

/// Alert, what the TLS library's sentence has in it, and the code. Tests hold each to real handshakes: should a
/// sentence change, the code of the alert remains.
const TOLD_APART: &[(u8, &str, &str)] = &[
    (42, "not valid for name", "RELAY_NOT_TRUSTED"),
    (45, "not valid yet", "CERT_NOT_YET_VALID"),
    (46, "NameConstraintViolation", "NAME_NOT_ALLOWED"),
    (48, "UnknownRevocationStatus", "REVOCATION_UNKNOWN"),
];

impl From<webpki::Error> for PaperFault {
    fn from(error: webpki::Error) -> Self {
        use webpki::Error as E;
        match error {
            E::CertExpired { not_after, .. } => Self::Expired(not_after.as_secs().saturating_mul(1000)),
            E::CertNotValidYet { not_before, .. } => {
                Self::NotYetValid(not_before.as_secs().saturating_mul(1000))
            }
            E::CertRevoked => Self::Revoked,
            E::UnknownRevocationStatus => Self::RevocationUnknown,
            E::InvalidCrlSignatureForPublicKey => {
                Self::CrlRejected("its signature is not by the CA that it names".into())
            }
            E::IssuerNotCrlSigner => Self::CrlRejected("its issuer may not sign lists".into()),
            E::NameConstraintViolation => Self::NameNotAllowed,
            E::UnknownIssuer
            | E::InvalidSignatureForPublicKey
            | E::MaximumPathDepthExceeded
            | E::PathLenConstraintViolated
            | E::CaUsedAsEndEntity
            | E::EndEntityUsedAsCa => Self::UnknownIssuer,
            other => Self::BadCert(other.to_string()),
        }
    }
}

impl From<&rustls::Error> for PaperFault {
    fn from(error: &rustls::Error) -> Self {
        use CertificateError as C;
        let rustls::Error::InvalidCertificate(error) = error else {
            return match error {
                rustls::Error::NoCertificatesPresented => Self::NoClientCert,
                rustls::Error::InvalidCertRevocationList(list) => Self::CrlRejected(format!("{list:?}")),
                other => Self::BadCert(other.to_string()),
            };
        };
        match error {
            C::ExpiredContext { not_after, .. } => Self::Expired(not_after.as_secs().saturating_mul(1000)),
            C::NotValidYetContext { not_before, .. } => {
                Self::NotYetValid(not_before.as_secs().saturating_mul(1000))
            }
            C::Revoked => Self::Revoked,
            C::UnknownRevocationStatus => Self::RevocationUnknown,
            C::UnknownIssuer | C::BadSignature => Self::UnknownIssuer,
            C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
                Self::WrongUsage("the TLS library finds another purpose on it".into())
            }
            C::Other(inner) => match inner.0.downcast_ref::<webpki::Error>() {
                Some(error) => Self::from(error.clone()),
                None => Self::BadCert(error.to_string()),
            },
            other => Self::BadCert(other.to_string()),
        }
    }
}

/// A time for people: `Nov 23 22:03:43 2026 +00:00`.
fn shown(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1000).unwrap_or(i64::MAX);
    ASN1Time::from_timestamp(seconds)
        .map_or_else(|_| format!("Unix second {seconds}"), |time| time.to_string())
}
