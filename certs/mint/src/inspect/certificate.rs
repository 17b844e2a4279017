//! A certificate: whom it names, what for, how long, by whom; and what would be held against it here.

use serde::Serialize;
use valise_certs::leaf::{Leaf, Usage};
use valise_certs::look::signed_by;
use valise_proto::limits::{CERTIFICATE_MAX, DAY_MS};
use valise_proto::signing::{Hash, KeyId, VerifyKey};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::time::ASN1Time;

use super::{Bench, Found, Signature, hex};
use crate::moment::{ahead, stamp};
use crate::told::{Sheet, Told};

/// A certificate with less left is warned of.
const SOON_MS: u64 = 10 * DAY_MS;
/// Most names shown of one certificate; ours have two.
const NAMES_MAX: usize = 32;

#[derive(Serialize)]
struct Said {
    kind: &'static str,
    role: &'static str,
    who: Option<String>,
    subject: String,
    issuer: String,
    serial: String,
    uri: Vec<String>,
    dns: Vec<String>,
    permitted: Vec<String>,
    usage: Vec<String>,
    not_before: String,
    not_after: String,
    key: String,
    sha256: String,
    warnings: Vec<String>,
    signature: Signature,
}

/// Reads DER; none when it is no certificate. Its CA may stand beside it in the file.
pub(super) fn read(der: &[u8], beside: &[Vec<u8>], bench: &Bench) -> Option<Found> {
    let (rest, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let root = certificate.is_ca() && certificate.subject() == certificate.issuer();
    let role = match (certificate.is_ca(), root) {
        (_, true) => "root",
        (true, false) => "CA",
        (false, _) => "leaf",
    };
    let leaf = Leaf::read(der);
    let (uri, dns) = names(&certificate);
    let validity = certificate.validity();
    let (from, to) = (unix_ms(validity.not_before), unix_ms(validity.not_after));
    let said = Said {
        kind: "certificate",
        role,
        who: leaf.as_ref().ok().map(|leaf| leaf.entity().to_string()),
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        serial: hex(certificate.raw_serial()),
        uri,
        dns,
        permitted: permitted(&certificate),
        usage: usage(&certificate),
        not_before: stamp(from),
        not_after: stamp(to),
        key: KeyId::of_spki(certificate.public_key().raw).to_string(),
        sha256: hex(&Hash::of(&[der]).0),
        warnings: warnings(der, &certificate, &leaf, bench.now_ms),
        signature: signature(der, role, &leaf, beside, bench),
    };
    let table = table(&said, to, bench.now_ms);
    Some(Found { told: Told::of(table, &[&said]), signature: said.signature })
}

fn table(said: &Said, ends_ms: u64, now_ms: u64) -> Vec<String> {
    let mut sheet = Sheet::default();
    sheet.row("certificate", said.role);
    sheet.row("who", said.who.as_deref().unwrap_or(&said.subject));
    sheet.rows("URI", said.uri.iter(), NAMES_MAX);
    sheet.rows("DNS name", said.dns.iter(), NAMES_MAX);
    sheet.rows("may name", said.permitted.iter(), NAMES_MAX);
    sheet.row("made for", said.usage.join(", "));
    sheet.row("valid", format!("{} to {} ({})", said.not_before, said.not_after, ahead(ends_ms, now_ms)));
    sheet.row("issuer", &said.issuer);
    sheet.row("serial", &said.serial);
    sheet.row("key id", &said.key);
    sheet.row("SHA-256", &said.sha256);
    sheet.row("signature", said.signature.words());
    sheet.rows("WARNING", said.warnings.iter(), NAMES_MAX);
    sheet.lines()
}

fn names(certificate: &X509Certificate<'_>) -> (Vec<String>, Vec<String>) {
    let (mut uri, mut dns) = (Vec::new(), Vec::new());
    if let Ok(Some(found)) = certificate.subject_alternative_name() {
        for name in found.value.general_names.iter().take(NAMES_MAX) {
            match name {
                GeneralName::URI(text) => uri.push((*text).to_owned()),
                GeneralName::DNSName(text) => dns.push((*text).to_owned()),
                _ => {} // the warnings say that there is a name of another kind
            }
        }
    }
    (uri, dns)
}

/// DNS names under which a CA may name.
fn permitted(certificate: &X509Certificate<'_>) -> Vec<String> {
    let constraints =
        certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::NameConstraints(constraints) => constraints.permitted_subtrees.as_ref(),
            _ => None,
        });
    let subtrees = constraints.into_iter().flatten().take(NAMES_MAX);
    let dns = subtrees.filter_map(|subtree| match &subtree.base {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    dns.collect()
}

fn usage(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(found)) = certificate.extended_key_usage() else { return Vec::new() };
    let found = found.value;
    let named = [
        (found.any, "anything"),
        (found.client_auth, "clientAuth"),
        (found.server_auth, "serverAuth"),
        (found.code_signing, "codeSigning"),
        (found.email_protection, "emailProtection"),
        (found.time_stamping, "timeStamping"),
        (found.ocsp_signing, "OCSPSigning"),
    ];
    let named = named.into_iter().filter(|(set, _)| *set).map(|(_, word)| word.to_owned());
    let known = |dotted: String| {
        let ours = Usage::ALL.into_iter().find(|usage| {
            let text: Vec<String> = usage.oid().iter().map(ToString::to_string).collect();
            text.join(".") == dotted
        });
        ours.map_or(dotted, |usage| usage.to_string())
    };
    named.chain(found.other.iter().take(NAMES_MAX).map(|oid| known(oid.to_id_string()))).collect()
}

fn warnings(
    der: &[u8],
    certificate: &X509Certificate<'_>,
    leaf: &Result<Leaf, valise_certs::PaperFault>,
    now_ms: u64,
) -> Vec<String> {
    let validity = certificate.validity();
    let (from, to) = (unix_ms(validity.not_before), unix_ms(validity.not_after));
    let mut warnings = Vec::new();
    if now_ms > to {
        warnings.push(format!("it expired on {}", stamp(to)));
    } else if now_ms < from {
        warnings.push(format!("it is valid only from {}", stamp(from)));
    } else if to - now_ms < SOON_MS {
        warnings.push(format!("it expires {}; have it renewed", ahead(to, now_ms)));
    }
    if der.len() > CERTIFICATE_MAX {
        warnings.push(format!("it has {} bytes; {CERTIFICATE_MAX} is what any of ours may have", der.len()));
    }
    if VerifyKey::from_spki(certificate.public_key().raw).is_err() {
        warnings.push("its key is not a usable Ed25519 key".to_owned());
    }
    match leaf {
        Err(fault) if !certificate.is_ca() => warnings.push(format!("it breaks the profile: {fault}")),
        Ok(_) | Err(_) => {}
    }
    warnings
}

/// A leaf is vouched for with the CA beside it or of `--signer`; a CA by the root; a root by being pinned.
fn signature(
    der: &[u8],
    role: &str,
    leaf: &Result<Leaf, valise_certs::PaperFault>,
    beside: &[Vec<u8>],
    bench: &Bench,
) -> Signature {
    let Some(roots) = &bench.roots else {
        return Signature::unverified("give --root to have it judged");
    };
    if role == "root" || role == "CA" {
        return if roots.issued(der) {
            Signature::verified("a pinned root issued it, or is it; revocation is not asked")
        } else {
            Signature::invalid("no pinned root issued it")
        };
    }
    let Ok(leaf) = leaf else { return Signature::invalid("it breaks the profile") };
    if leaf.usage() == Usage::RosterSigning {
        return chain(roots.vouch(der, None, leaf.usage(), bench.now_ms));
    }
    let ca = bench.signer.iter().chain(beside).find(|ca| signed_by(der, ca).unwrap_or(false));
    match ca {
        Some(ca) => chain(roots.vouch(der, Some(ca), leaf.usage(), bench.now_ms)),
        None => Signature::unverified("give the CA that issued it with --signer"),
    }
}

/// What a chain that was judged is worth.
pub(super) fn chain(judged: Result<(), valise_certs::PaperFault>) -> Signature {
    match judged {
        Ok(()) => Signature::verified("it chains to the pinned root; revocation is not asked"),
        Err(fault) => Signature::invalid(fault.to_string()),
    }
}

/// Times before 1970 become zero.
pub(super) fn unix_ms(time: ASN1Time) -> u64 {
    u64::try_from(time.timestamp()).unwrap_or(0).saturating_mul(1000)
}
