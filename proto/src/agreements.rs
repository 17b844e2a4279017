//! Agreements: which party may send which class and type to which. A pure predicate; without a rule, no ([P-42]).
//!
//! Knows nothing of sessions or mailboxes that exist: one answer for "unknown" and "not permitted" is the relay's.

use std::fmt;
use std::str::FromStr;

use crate::kinds::{Class, PartyKind, Precedence};
use crate::limits as l;
use crate::names::PartyName;
use crate::party::Party;
use crate::wire::{self, BadField};

/// A party by name, or a group of the roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// `@all`
    All,
    /// `@bureaus` or `@missions`
    Kind(PartyKind),
    /// One party.
    Party(PartyName),
    /// `@region-R`
    Region(String),
}

impl Group {
    /// Whether a party belongs to it.
    pub fn holds(&self, name: &PartyName, party: &Party) -> bool {
        match self {
            Self::All => true,
            Self::Kind(kind) => party.kind == *kind,
            Self::Party(one) => one == name,
            Self::Region(region) => party.region == *region,
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("@all"),
            Self::Kind(kind) => write!(f, "@{kind}s"),
            Self::Party(name) => name.fmt(f),
            Self::Region(region) => write!(f, "@region-{region}"),
        }
    }
}

impl FromStr for Group {
    type Err = BadField;

    fn from_str(text: &str) -> Result<Self, BadField> {
        match text {
            "@all" => Ok(Self::All),
            "@bureaus" => Ok(Self::Kind(PartyKind::Bureau)),
            "@missions" => Ok(Self::Kind(PartyKind::Mission)),
            _ => match text.strip_prefix("@region-") {
                Some(region) if (1..=32).contains(&region.len()) => Ok(Self::Region(region.to_owned())),
                Some(_) => Err(BadField("group")),
                None => PartyName::new(text).map(Self::Party).map_err(|_| BadField("group")),
            },
        }
    }
}

/// A class, and the types in it that are allowed; no types = every type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassRule {
    /// As the relay sees it.
    pub class: Class,
    /// As the ends see it.
    pub types: Vec<String>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// As people cite it.
    pub article: String,
    /// Who may send.
    pub from: Vec<Group>,
    /// To whom.
    pub to: Vec<Group>,
    /// What.
    pub classes: Vec<ClassRule>,
    /// Up to which precedence.
    pub max_precedence: Precedence,
    /// Up to how many ciphertext bytes; 0 = the protocol's limit.
    pub max_bytes: u64,
    /// Until when, Unix milliseconds; 0 = no end.
    pub until_ms: u64,
}

/// What is asked of the agreements. The relay does not know the type and asks without.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who sends.
    pub from: &'a PartyName,
    /// To whom.
    pub to: &'a PartyName,
    /// What the relay sees.
    pub class: Class,
    /// What the ends see.
    pub message_type: Option<&'a str>,
    /// How urgent.
    pub precedence: Precedence,
    /// Ciphertext bytes.
    pub bytes: u64,
    /// Unix milliseconds.
    pub now_ms: u64,
}

impl Agreement {
    /// Whether the rule joins these two, whatever is sent.
    pub(crate) fn joins(&self, from: (&PartyName, &Party), to: (&PartyName, &Party)) -> bool {
        self.from.iter().any(|group| group.holds(from.0, from.1))
            && self.to.iter().any(|group| group.holds(to.0, to.1))
    }

    /// Whether the rule is in force at this time, Unix milliseconds.
    pub(crate) fn in_force(&self, now_ms: u64) -> bool {
        self.until_ms == 0 || now_ms < self.until_ms
    }

    /// Whether the rule allows what is sent.
    pub(crate) fn allows(&self, request: &Request<'_>) -> bool {
        let type_fits = |rule: &ClassRule| match request.message_type {
            Some(wanted) => rule.types.is_empty() || rule.types.iter().any(|t| t == wanted),
            None => true,
        };
        self.classes.iter().any(|rule| rule.class == request.class && type_fits(rule))
            && request.precedence <= self.max_precedence
            && (self.max_bytes == 0 || request.bytes <= self.max_bytes)
            && self.in_force(request.now_ms)
    }

    pub(crate) fn to_wire(&self) -> wire::Agreement {
        let set = |group: &Group| wire::PartySet { name: group.to_string() };
        let class = |rule: &ClassRule| wire::ClassRule {
            class: rule.class.to_wire(),
            types: rule.types.iter().map(|name| wire::TypeName { name: name.clone() }).collect(),
        };
        wire::Agreement {
            article: self.article.clone(),
            from: self.from.iter().map(set).collect(),
            to: self.to.iter().map(set).collect(),
            classes: self.classes.iter().map(class).collect(),
            max_precedence: self.max_precedence.to_wire(),
            max_bytes: self.max_bytes,
            until_ms: self.until_ms,
        }
    }

    pub(crate) fn read(wire: &wire::Agreement) -> Result<Self, BadField> {
        let article_fits =
            (1..=32).contains(&wire.article.len()) && !wire.article.chars().any(char::is_control);
        if !article_fits || wire.from.is_empty() || wire.to.is_empty() || wire.classes.is_empty() {
            return Err(BadField("agreements"));
        }
        let set = |set: &wire::PartySet| set.name.parse();
        Ok(Self {
            article: wire.article.clone(),
            from: wire.from.iter().map(set).collect::<Result<_, _>>()?,
            to: wire.to.iter().map(set).collect::<Result<_, _>>()?,
            classes: wire.classes.iter().map(class_rule).collect::<Result<_, _>>()?,
            max_precedence: Precedence::from_wire(wire.max_precedence)?,
            max_bytes: wire.max_bytes,
            until_ms: wire.until_ms,
        })
    }
}

fn class_rule(wire: &wire::ClassRule) -> Result<ClassRule, BadField> {
    let types: Vec<String> = wire.types.iter().map(|t| t.name.clone()).collect();
    if types.iter().any(|name| !is_type_name(name)) {
        return Err(BadField("agreements.types"));
    }
    Ok(ClassRule { class: Class::from_wire(wire.class)?, types })
}

/// Whether a text names a message type: 1..32 of `[a-z0-9-]`.
pub fn is_type_name(text: &str) -> bool {
    (1..=l::TYPE_NAME_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::roster::tests::lab;

    /// All lab parties may write to all.
    pub(crate) fn all_lab_parties() -> Agreement {
        let every = |class| ClassRule { class, types: vec![] };
        Agreement {
            article: "lab-1".into(),
            from: vec![Group::All],
            to: vec![Group::All],
            classes: [Class::Message, Class::Notice, Class::Request, Class::Reply].map(every).to_vec(),
            max_precedence: Precedence::Override,
            max_bytes: 0,
            until_ms: 0,
        }
    }

    fn party(text: &str) -> PartyName {
        PartyName::new(text).unwrap()
    }

    fn ask<'a>(from: &'a PartyName, to: &'a PartyName) -> Request<'a> {
        Request {
            from,
            to,
            class: Class::Message,
            message_type: Some("text"),
            precedence: Precedence::Routine,
            bytes: 1000,
            now_ms: 1_790_000_000_000,
        }
    }

    #[test]
    fn without_a_rule_nothing_passes() {
        let mut roster = lab();
        let (fr, br, xx) = (party("fr"), party("br"), party("xx"));
        assert_eq!(roster.permits(&ask(&fr, &br)), Some("lab-1"));
        assert_eq!(roster.permits(&ask(&fr, &xx)), None);
        assert_eq!(roster.permits(&ask(&xx, &fr)), None);
        assert_eq!(roster.permits(&Request { class: Class::Control, ..ask(&fr, &br) }), None);
        assert!(roster.may_write(&fr, &br, 0) && !roster.may_write(&fr, &xx, 0));
        roster.agreements.clear();
        assert_eq!(roster.permits(&ask(&fr, &br)), None);
    }

    #[test]
    fn a_rule_holds_within_its_bounds_only() {
        let (fr, minustah) = (party("fr"), party("minustah"));
        let mut roster = lab();
        roster.agreements = vec![Agreement {
            article: "II-4".into(),
            from: vec![Group::Kind(PartyKind::Bureau)],
            to: vec![Group::Region("americas".into())],
            classes: vec![ClassRule { class: Class::Message, types: vec!["text".into()] }],
            max_precedence: Precedence::Priority,
            max_bytes: 1000,
            until_ms: 1_790_000_000_001,
        }];
        let good = ask(&fr, &minustah);
        assert_eq!(roster.permits(&good), Some("II-4"));
        assert_eq!(roster.permits(&Request { message_type: None, ..good }), Some("II-4"));
        for bad in [
            Request { message_type: Some("query"), ..good },
            Request { class: Class::Notice, ..good },
            Request { precedence: Precedence::Immediate, ..good },
            Request { bytes: 1001, ..good },
            Request { now_ms: 1_790_000_000_001, ..good },
            ask(&minustah, &fr),
        ] {
            assert_eq!(roster.permits(&bad), None, "{bad:?}");
        }
    }

    #[test]
    fn groups_are_written_as_they_are_read() {
        for text in ["@all", "@bureaus", "@missions", "@region-europe", "fr"] {
            assert_eq!(text.parse::<Group>().unwrap().to_string(), text);
        }
        for bad in ["@own/list", "@region-", "@nobody", "all", ""] {
            bad.parse::<Group>().unwrap_err();
        }
        let members: Vec<_> = Group::Kind(PartyKind::Bureau).members(&lab()).cloned().collect();
        assert_eq!(members, [party("br"), party("fr")]);
    }
}
