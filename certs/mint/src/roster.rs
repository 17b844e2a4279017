//! Rosters: agreements as people write them, compiled to rules, and the signature over the whole.
//!
//! Every refusal names line and column and says which word is wrong; nothing unknown is skipped.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use toml::Spanned;
use valise_proto::agreements::{Agreement, ClassRule, Group, is_type_name};
use valise_proto::kinds::{Class, Precedence};
use valise_proto::limits as l;
use valise_proto::names::PartyName;
use valise_proto::roster::{Roster, SignedRoster};

use crate::fault::MintFault;
use crate::papers::Papers;

/// Advice with every refusal of an agreements file.
const HELP: &str = "correct agreements.toml at that place; certs/CERTIFICATES.md shows its form";

/// Signs a roster with the papers of a roster signer.
pub fn sign(roster: &Roster, signer: &Papers) -> SignedRoster {
    let leaf = Bytes::copy_from_slice(&signer.cert);
    let issuer = Bytes::copy_from_slice(&signer.issuer);
    SignedRoster::sign(roster, &signer.key.signing_key(), leaf, issuer)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    agreement: Vec<Spanned<Written>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    article: Spanned<String>,
    from: Vec<Spanned<String>>,
    to: Vec<Spanned<String>>,
    classes: BTreeMap<Spanned<String>, Spanned<Types>>,
    max_precedence: Option<Spanned<String>>,
    max_bytes: Option<u64>,
    until: Option<Spanned<String>>,
}

/// `"all"`, or a list of types.
#[derive(Deserialize)]
#[serde(untagged, expecting = "write \"all\" or a list of types")]
enum Types {
    Word(String),
    List(Vec<String>),
}

/// Compiles the text of an agreements file. `known` tells which parties there are.
pub fn compile_agreements(
    text: &str,
    known: impl Fn(&PartyName) -> bool,
) -> Result<Vec<Agreement>, MintFault> {
    let file: File = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        refused(text, at, error.message())
    })?;
    if file.agreement.len() > l::AGREEMENTS_MAX {
        return Err(refused(text, 0, &format!("more than {} agreements", l::AGREEMENTS_MAX)));
    }
    let compiler = Compiler { text, known };
    file.agreement.iter().map(|written| compiler.agreement(written)).collect()
}

fn refused(text: &str, at: usize, what: &str) -> MintFault {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    MintFault::input("BAD_AGREEMENT", format!("agreements.toml, line {line}, column {column}: {what}"), HELP)
}

struct Compiler<'t, K> {
    text: &'t str,
    known: K,
}

impl<K: Fn(&PartyName) -> bool> Compiler<'_, K> {
    fn agreement(&self, written: &Spanned<Written>) -> Result<Agreement, MintFault> {
        let (at, rule) = (written.span().start, written.get_ref());
        let article = rule.article.get_ref();
        if !(1..=32).contains(&article.len()) || article.chars().any(char::is_control) {
            return Err(self.bad(&rule.article, "an article has 1 to 32 characters"));
        }
        if rule.classes.is_empty() || rule.classes.len() > l::AGREEMENT_CLASSES_MAX {
            return Err(refused(self.text, at, "an agreement names at least one class"));
        }
        let max_precedence = match &rule.max_precedence {
            Some(word) => word.get_ref().parse().map_err(|error| self.bad(word, &format!("{error}")))?,
            None => Precedence::Override,
        };
        let classes = rule.classes.iter().map(|(class, types)| self.class(class, types));
        Ok(Agreement {
            article: article.clone(),
            from: self.side(&rule.from, at, "from")?,
            to: self.side(&rule.to, at, "to")?,
            classes: classes.collect::<Result<_, _>>()?,
            max_precedence,
            max_bytes: rule.max_bytes.unwrap_or(0),
            until_ms: rule.until.as_ref().map_or(Ok(0), |word| self.until(word))?,
        })
    }

    fn side(&self, words: &[Spanned<String>], at: usize, side: &str) -> Result<Vec<Group>, MintFault> {
        if words.is_empty() || words.len() > l::AGREEMENT_SIDE_MAX {
            let most = l::AGREEMENT_SIDE_MAX;
            return Err(refused(self.text, at, &format!("`{side}` holds 1 to {most} parties or groups")));
        }
        words.iter().map(|word| self.group(word)).collect()
    }

    fn group(&self, word: &Spanned<String>) -> Result<Group, MintFault> {
        let form = "is neither a party nor @all, @bureaus, @missions or @region-NAME";
        let group: Group =
            word.get_ref().parse().map_err(|_| self.bad(word, &format!("`{}` {form}", word.get_ref())))?;
        match &group {
            Group::Party(name) if !(self.known)(name) => {
                Err(self.bad(word, &format!("`{name}` is no party of this federation")))
            }
            _ => Ok(group),
        }
    }

    fn class(&self, word: &Spanned<String>, types: &Spanned<Types>) -> Result<ClassRule, MintFault> {
        let class: Class = word.get_ref().parse().map_err(|error| self.bad(word, &format!("{error}")))?;
        if class == Class::Control {
            return Err(self.bad(word, "control envelopes are not for agreements to allow"));
        }
        let most = l::AGREEMENT_TYPES_MAX;
        let types = match types.get_ref() {
            Types::Word(all) if all == "all" => Vec::new(),
            Types::List(list) if (1..=most).contains(&list.len()) => list.clone(),
            _ => return Err(self.bad(types, &format!("write \"all\", or list 1 to {most} types"))),
        };
        match types.iter().find(|name| !is_type_name(name)) {
            None => Ok(ClassRule { class, types }),
            Some(_) => Err(self.bad(word, "a type has 1 to 32 characters of a-z, 0-9 and hyphen")),
        }
    }

    fn until(&self, word: &Spanned<String>) -> Result<u64, MintFault> {
        let time: jiff::Timestamp = word
            .get_ref()
            .parse()
            .map_err(|_| self.bad(word, "`until` is a time such as 2027-12-31T00:00:00Z"))?;
        u64::try_from(time.as_millisecond()).map_err(|_| self.bad(word, "`until` lies before 1970"))
    }

    fn bad<T>(&self, word: &Spanned<T>, what: &str) -> MintFault {
        refused(self.text, word.span().start, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[agreement]]
article = "II-4"
from = ["@bureaus", "minustah"]
to = ["@region-americas"]
classes = { message = "all", notice = ["red", "blue"] }
max_precedence = "priority"
max_bytes = 1000000
until = "2027-12-31T00:00:00Z"
"#;

    fn compile(text: &str) -> Result<Vec<Agreement>, MintFault> {
        compile_agreements(text, |name| ["fr", "br", "minustah"].contains(&name.as_str()))
    }

    #[test]
    fn a_rule_reads_as_it_is_written() {
        let rules = compile(GOOD).unwrap();
        let [rule] = &rules[..] else { panic!("one rule") };
        assert_eq!(rule.article, "II-4");
        assert_eq!(rule.from.iter().map(ToString::to_string).collect::<Vec<_>>(), ["@bureaus", "minustah"]);
        assert_eq!(rule.classes[0], ClassRule { class: Class::Message, types: vec![] });
        assert_eq!(rule.classes[1].types, ["red", "blue"]);
        assert_eq!(rule.max_precedence, Precedence::Priority);
        assert_eq!((rule.max_bytes, rule.until_ms), (1_000_000, 1_830_211_200_000));
        assert_eq!(compile("# nothing\n").unwrap(), []);
    }

    #[test]
    fn a_wrong_word_is_refused_where_it_stands() {
        for (from, to, place) in [
            ("article =", "artikel =", "line 3, column 1"),
            ("\"minustah\"", "\"minusca\"", "line 4, column 21"),
            ("@region-americas", "@americas", "line 5, column 7"),
            ("message =", "massage =", "line 6, column 13"),
            ("message =", "control =", "line 6, column 13"),
            ("\"all\"", "\"any\"", "line 6, column 23"),
            ("\"all\"", "[]", "line 6, column 23"),
            ("\"red\"", "\"Red\"", "line 6, column 30"),
            ("\"all\"", "7", "line 6, column 23"),
            ("\"priority\"", "\"urgent\"", "line 7, column 18"),
            ("1000000", "-1", "line 8, column 13"),
            ("2027-12-31T00:00:00Z", "next year", "line 9, column 9"),
            ("II-4", "", "line 3, column 11"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            let fault = compile(&text).unwrap_err();
            assert_eq!(fault.code(), "BAD_AGREEMENT");
            assert!(fault.to_string().contains(place), "{to}: {fault}, not {place}");
            assert_eq!(fault.to_string().lines().count(), 1, "{fault}");
        }
    }
}
