//! A roster: its number, who is who, who no longer is, and who may write to whom.

use serde::Serialize;
use valise_certs::leaf::{Leaf, Usage};
use valise_certs::profile::Entity;
use valise_proto::agreements::Agreement;
use valise_proto::roster::{Roster, SignedRoster};

use super::certificate::chain;
use super::{Bench, Found, Signature};
use crate::moment::stamp;
use crate::told::{Sheet, Told};

/// Most lines of a kind in the table; a federation of today has 203 parties.
const ROWS_MAX: usize = 256;

#[derive(Serialize)]
struct Said {
    kind: &'static str,
    number: u64,
    domain: String,
    issued: String,
    signer: Option<Signer>,
    roots: Vec<String>,
    parties: Vec<Party>,
    relays: Vec<Relay>,
    revocations: Vec<Revocation>,
    agreements: Vec<Rule>,
    signature: Signature,
}

#[derive(Serialize)]
struct Signer {
    who: String,
    key: String,
    not_after: String,
}

#[derive(Serialize)]
struct Party {
    name: String,
    kind: String,
    display: String,
    region: String,
    ca_keys: Vec<String>,
}

#[derive(Serialize)]
struct Relay {
    id: String,
    ca_keys: Vec<String>,
}

#[derive(Serialize)]
struct Revocation {
    key: String,
    since: String,
}

#[derive(Serialize)]
struct Rule {
    article: String,
    from: Vec<String>,
    to: Vec<String>,
    classes: Vec<Class>,
    max_precedence: String,
    max_bytes: u64,
    until: Option<String>,
}

#[derive(Serialize)]
struct Class {
    class: String,
    types: Vec<String>,
}

pub(super) fn told(roster: &Roster, signed: &SignedRoster, bench: &Bench) -> Found {
    let leaf = Leaf::read(signed.signer().0).ok();
    let texts = |keys: &[valise_proto::signing::KeyId]| keys.iter().map(ToString::to_string).collect();
    let said = Said {
        kind: "roster",
        number: roster.number,
        domain: roster.domain.to_string(),
        issued: stamp(roster.issued_ms),
        signer: leaf.as_ref().map(|leaf| Signer {
            who: leaf.entity().to_string(),
            key: leaf.key_id().to_string(),
            not_after: stamp(leaf.not_after_ms()),
        }),
        roots: texts(&roster.roots),
        parties: roster
            .parties
            .iter()
            .map(|(name, party)| Party {
                name: name.to_string(),
                kind: party.kind.to_string(),
                display: party.display.clone(),
                region: party.region.clone(),
                ca_keys: texts(&party.ca_keys),
            })
            .collect(),
        relays: roster
            .relays
            .iter()
            .map(|(id, keys)| Relay { id: id.to_string(), ca_keys: texts(keys) })
            .collect(),
        revocations: roster
            .revocations
            .iter()
            .map(|(key, since)| Revocation { key: key.to_string(), since: stamp(*since) })
            .collect(),
        agreements: roster.agreements.iter().map(rule).collect(),
        signature: signature(roster, signed, leaf.as_ref(), bench),
    };
    Found { told: Told::of(table(&said), &[&said]), signature: said.signature }
}

fn rule(agreement: &Agreement) -> Rule {
    let classes = agreement.classes.iter();
    Rule {
        article: agreement.article.clone(),
        from: agreement.from.iter().map(ToString::to_string).collect(),
        to: agreement.to.iter().map(ToString::to_string).collect(),
        classes: classes
            .map(|rule| Class { class: rule.class.to_string(), types: rule.types.clone() })
            .collect(),
        max_precedence: agreement.max_precedence.to_string(),
        max_bytes: agreement.max_bytes,
        until: (agreement.until_ms > 0).then(|| stamp(agreement.until_ms)),
    }
}

fn table(said: &Said) -> Vec<String> {
    let mut sheet = Sheet::default();
    sheet.row("roster", format!("number {} of {}, issued {}", said.number, said.domain, said.issued));
    let signer =
        said.signer.as_ref().map(|one| format!("{}, key {}, until {}", one.who, one.key, one.not_after));
    sheet.row("signer", signer.as_deref().unwrap_or("its certificate cannot be read"));
    sheet.row("signature", said.signature.words());
    sheet.rows("root key", said.roots.iter(), ROWS_MAX);
    let relay = |one: &Relay| format!("{}, CA {}", one.id, one.ca_keys.join(" "));
    sheet.rows("relay", said.relays.iter().map(relay), ROWS_MAX);
    sheet.row("parties", said.parties.len().to_string());
    let party = |one: &Party| {
        let Party { name, kind, display, region, ca_keys } = one;
        format!("{name}, {kind} in {region}, CA {}: {display}", ca_keys.join(" "))
    };
    sheet.rows("party", said.parties.iter().map(party), ROWS_MAX);
    sheet.row("revoked keys", said.revocations.len().to_string());
    let revoked = |one: &Revocation| format!("{} since {}", one.key, one.since);
    sheet.rows("revoked", said.revocations.iter().map(revoked), ROWS_MAX);
    sheet.row("agreements", said.agreements.len().to_string());
    sheet.rows("agreement", said.agreements.iter().map(sentence), ROWS_MAX);
    sheet.lines()
}

fn sentence(rule: &Rule) -> String {
    let classes = rule.classes.iter().map(|one| match &one.types[..] {
        [] => one.class.clone(),
        types => format!("{} ({})", one.class, types.join(" ")),
    });
    let classes = classes.collect::<Vec<_>>().join(", ");
    let size =
        if rule.max_bytes == 0 { String::new() } else { format!(", {} bytes at most", rule.max_bytes) };
    let until = rule.until.as_ref().map_or_else(String::new, |until| format!(", until {until}"));
    format!(
        "{}: {} to {}: {classes}; up to {}{size}{until}",
        rule.article,
        rule.from.join(" "),
        rule.to.join(" "),
        rule.max_precedence
    )
}

/// The signer first, then its signature, as a relay would ask; but for revocation.
fn signature(roster: &Roster, signed: &SignedRoster, leaf: Option<&Leaf>, bench: &Bench) -> Signature {
    let Some(leaf) = leaf else { return Signature::invalid("the certificate of its signer cannot be read") };
    if signed.verify(leaf.key()).is_err() {
        return Signature::invalid("its signature does not hold");
    }
    let Some(roots) = &bench.roots else {
        return Signature::unverified(
            "it holds under the certificate that it carries; give --root to have that judged",
        );
    };
    let signer = matches!(leaf.entity(), Entity::RosterSigner(_)) && leaf.usage() == Usage::RosterSigning;
    if !signer || *leaf.domain() != roster.domain {
        return Signature::invalid("its signer is no roster signer of its trust domain");
    }
    if roster.revoked(&leaf.key_id(), u64::MAX) {
        return Signature::invalid("it revokes its own signer");
    }
    chain(roots.vouch(signed.signer().0, None, Usage::RosterSigning, bench.now_ms))
}
