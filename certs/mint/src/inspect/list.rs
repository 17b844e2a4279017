//! A revocation list: whose, which, how long it counts, and what it revokes.

use serde::Serialize;
use valise_certs::look::list_signed_by;
use x509_parser::extensions::ParsedExtension;
use x509_parser::revocation_list::CertificateRevocationList;

use super::certificate::unix_ms;
use super::{Bench, Found, Signature, hex};
use crate::moment::{ahead, stamp};
use crate::told::{Sheet, Told};

/// Most entries that are told; their number is told always.
const ENTRIES_MAX: usize = 1000;
/// Most of them in the table.
const ROWS_MAX: usize = 20;

#[derive(Serialize)]
struct Said {
    kind: &'static str,
    issuer: String,
    issuer_key: Option<String>,
    number: Option<String>,
    this_update: String,
    next_update: Option<String>,
    revoked_count: usize,
    revoked: Vec<Revoked>,
    warnings: Vec<String>,
    signature: Signature,
}

#[derive(Serialize)]
struct Revoked {
    serial: String,
    since: String,
}

/// Reads DER; none when it is no list.
pub(super) fn read(der: &[u8], bench: &Bench) -> Option<Found> {
    let (rest, list) = x509_parser::parse_x509_crl(der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let next_ms = list.next_update().map(unix_ms);
    let revoked = list.iter_revoked_certificates().take(ENTRIES_MAX).map(|entry| Revoked {
        serial: hex(entry.raw_serial()),
        since: stamp(unix_ms(entry.revocation_date)),
    });
    let said = Said {
        kind: "revocation-list",
        issuer: list.issuer().to_string(),
        issuer_key: issuer_key(&list).map(hex),
        number: list.crl_number().map(ToString::to_string),
        this_update: stamp(unix_ms(list.last_update())),
        next_update: next_ms.map(stamp),
        revoked_count: list.iter_revoked_certificates().count(),
        revoked: revoked.collect(),
        warnings: warnings(next_ms, bench.now_ms),
        signature: signature(der, bench),
    };
    let table = table(&said, next_ms, bench.now_ms);
    Some(Found { told: Told::of(table, &[&said]), signature: said.signature })
}

fn table(said: &Said, next_ms: Option<u64>, now_ms: u64) -> Vec<String> {
    let mut sheet = Sheet::default();
    sheet.row(
        "revocation list",
        said.number.as_deref().map_or("without a number".into(), |no| format!("number {no}")),
    );
    sheet.row("issuer", &said.issuer);
    sheet.row("issuer key", said.issuer_key.as_deref().unwrap_or("not named"));
    sheet.row("made", &said.this_update);
    let next = next_ms.map_or("not said".to_owned(), |ms| format!("{} ({})", stamp(ms), ahead(ms, now_ms)));
    sheet.row("next due", next);
    sheet.row("signature", said.signature.words());
    sheet.row("revoked", format!("{} certificates", said.revoked_count));
    sheet.rows(
        "serial",
        said.revoked.iter().map(|one| format!("{} since {}", one.serial, one.since)),
        ROWS_MAX,
    );
    sheet.rows("WARNING", said.warnings.iter(), ROWS_MAX);
    sheet.lines()
}

fn issuer_key<'a>(list: &'a CertificateRevocationList<'_>) -> Option<&'a [u8]> {
    list.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => Some(id.key_identifier.as_ref()?.0),
        _ => None,
    })
}

fn warnings(next_ms: Option<u64>, now_ms: u64) -> Vec<String> {
    match next_ms {
        Some(next) if now_ms > next => {
            vec![format!("it is late: the next was due on {}; it still counts", stamp(next))]
        }
        Some(_) => Vec::new(),
        None => vec!["it does not say when the next is due; it is refused here".to_owned()],
    }
}

fn signature(der: &[u8], bench: &Bench) -> Signature {
    let signer = bench.signer.iter().find(|ca| list_signed_by(der, ca).unwrap_or(false));
    match (&bench.roots, signer) {
        (Some(roots), _) if roots.signed_list(der) => Signature::verified("a pinned root signed it"),
        (Some(roots), Some(ca)) if roots.issued(ca) => {
            Signature::verified("the CA of --signer signed it, and a pinned root issued that")
        }
        (Some(_), Some(_)) => {
            Signature::invalid("the CA of --signer signed it, and no pinned root issued that")
        }
        (None, Some(_)) => {
            Signature::unverified("the CA of --signer signed it; give --root to have that judged")
        }
        (None, None) if bench.signer.is_empty() => {
            Signature::unverified("give --root, and with --signer the certificate of the CA that signed it")
        }
        (Some(_), None) if bench.signer.is_empty() => Signature::unverified(
            "no pinned root signed it; give the certificate of the CA that did with --signer",
        ),
        (_, None) => Signature::invalid("the certificate of --signer did not sign it"),
    }
}
