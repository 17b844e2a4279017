//! Parties: the federation's own list (display names and regions), and how a party is named on the command line.

use valise_proto::kinds::PartyKind;
use valise_proto::names::PartyName;

use crate::fault::MintFault;

/// `party,kind,name,region`, one line each, a heading first; no field holds a comma or a quote.
const LIST: &str = include_str!("../data/parties.csv");
/// Region of a party that is not on the list.
const LAB_REGION: &str = "lab";

/// A party to enrol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartyArg {
    /// Its name.
    pub name: PartyName,
    /// Bureau or mission.
    pub kind: PartyKind,
}

impl PartyArg {
    /// Reads `fr`, `minustah`, `bureau:NAME` or `mission:NAME`: two letters are a bureau, more a mission.
    pub fn parse(text: &str) -> Result<Self, MintFault> {
        let help = "give a name such as fr or minustah, or bureau:NAME, or mission:NAME";
        let (kind, name) = match text.split_once(':') {
            Some((kind, name)) => {
                (Some(kind.parse().map_err(|error| MintFault::input("BAD_PARTY", error, help))?), name)
            }
            None => (None, text),
        };
        let name = PartyName::new(name).map_err(|error| MintFault::input("BAD_PARTY", error, help))?;
        let usual = if name.as_str().len() == 2 { PartyKind::Bureau } else { PartyKind::Mission };
        Ok(Self { name, kind: kind.unwrap_or(usual) })
    }

    /// Display name and region: from the list, or the name itself and `lab`.
    pub fn display_and_region(&self) -> (String, String) {
        let line = LIST.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.trim_end().split(',').collect();
            match fields[..] {
                [name, kind, display, region] if name == self.name.as_str() && kind == self.kind.as_str() => {
                    Some((display.to_owned(), region.to_owned()))
                }
                _ => None,
            }
        });
        line.unwrap_or_else(|| (self.name.to_string(), LAB_REGION.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_letters_are_a_bureau_unless_said_otherwise() {
        let read = |text| PartyArg::parse(text).map(|party| (party.name.to_string(), party.kind));
        assert_eq!(read("fr").unwrap(), ("fr".into(), PartyKind::Bureau));
        assert_eq!(read("minustah").unwrap(), ("minustah".into(), PartyKind::Mission));
        assert_eq!(read("bureau:scotland").unwrap(), ("scotland".into(), PartyKind::Bureau));
        assert_eq!(read("mission:xx").unwrap(), ("xx".into(), PartyKind::Mission));
        for bad in ["f", "FR", "embassy:fr", "bureau:", "relay", "fr/gw1", ":fr"] {
            assert_eq!(read(bad).unwrap_err().code(), "BAD_PARTY", "{bad}");
        }
    }

    #[test]
    fn every_line_of_the_list_is_a_party_of_its_kind() {
        let mut kinds = [0, 0];
        for line in LIST.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let [name, kind, display, region] = fields[..] else { panic!("{line}") };
            let party = PartyArg::parse(name).unwrap();
            assert_eq!(party.kind.as_str(), kind, "{line}");
            assert_eq!(party.display_and_region(), (display.to_owned(), region.to_owned()));
            kinds[usize::from(party.kind == PartyKind::Mission)] += 1;
        }
        assert_eq!(kinds, [187, 16]);
    }

    #[test]
    fn a_party_off_the_list_is_shown_by_its_name() {
        let party = PartyArg::parse("mission:fr").unwrap();
        assert_eq!(party.display_and_region(), ("fr".into(), "lab".into()));
    }
}
