//! Stories about a relay's configuration with one mistake each, and the sentence that the administrator reads.

use std::net::SocketAddr;

use valise_proto::names::RelayId;

use super::*;
use crate::scratch::Scratch;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    relay: Relay,
    store: Store,
    #[serde(default)]
    link: Link,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Relay {
    #[serde(deserialize_with = "parsed")]
    id: RelayId,
    listen: SocketAddr,
    admin_socket: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Store {
    path: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Link {
    profile: Profile,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Profile {
    #[default]
    Lan,
    Satellite,
}

const GOOD: &str = "[relay]\nid = \"hub-1\"\nlisten = \"127.0.0.1:4433\"\n\n[store]\npath = \"queue.db\"\n";

fn read(text: &str) -> Result<Config, String> {
    let dir = Scratch::new("config");
    let path = dir.path().join("relay.toml");
    std::fs::write(&path, text).unwrap();
    load(&path).map_err(|fault| fault.to_string().replace(dir.path().to_str().unwrap(), "DIR"))
}

fn sentence(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from));
    read(&GOOD.replace(from, to)).unwrap_err()
}

#[test]
fn a_good_file_is_read() {
    let config = read(GOOD).unwrap();
    assert_eq!(config.relay.id.as_str(), "hub-1");
    assert_eq!(config.relay.listen.port(), 4433);
    assert_eq!(config.relay.admin_socket, None);
    assert_eq!(config.link.profile, Profile::Lan);
    assert_eq!(config.store.path, Path::new("queue.db"));
    assert_eq!(read(&format!("{GOOD}[link]\nprofile='satellite'")).unwrap().link.profile, Profile::Satellite);
}

#[test]
fn an_unknown_key_is_told_with_its_place_and_the_likely_word() {
    assert_eq!(
        sentence("listen", "lisen"),
        "DIR/relay.toml:3:1: `lisen` is not known here; did you mean `listen`?"
    );
    assert_eq!(
        sentence("[store]", "[stroe]"),
        "DIR/relay.toml:5:2: `stroe` is not known here; did you mean `store`?"
    );
    assert_eq!(
        sentence("id = ", "colour = 1\nid = "),
        "DIR/relay.toml:2:1: `colour` is not known here; known are `id`, `listen`, `admin_socket`"
    );
    assert_eq!(sentence("path", "zzz"), "DIR/relay.toml:6:1: `zzz` is not known here; known is `path`");
    let text = read(&format!("{GOOD}[link]\nprofile = 'satelite'")).unwrap_err();
    assert_eq!(text, "DIR/relay.toml:8:11: `satelite` is not known here; did you mean `satellite`?");
}

#[test]
fn a_missing_key_is_told_with_its_section() {
    assert_eq!(
        sentence("id = \"hub-1\"\n", ""),
        "DIR/relay.toml: `id` in section [relay] is missing; add it"
    );
    assert_eq!(
        sentence("[store]\npath = \"queue.db\"\n", ""),
        "DIR/relay.toml: section [store] is missing; add it"
    );
    assert_eq!(
        read("[store]\npath = 'q'\n").unwrap_err(),
        "DIR/relay.toml: section [relay] is missing; add it"
    );
    assert_eq!(read("").unwrap_err(), "DIR/relay.toml: section [relay] is missing; add it");
}

#[test]
fn a_bad_value_is_told_with_its_line() {
    let text = sentence("\"hub-1\"", "\"Hub 1\"");
    assert!(text.starts_with("DIR/relay.toml:2:6: `Hub 1` is not a name"), "{text}");
    let text = sentence("\"127.0.0.1:4433\"", "\"nowhere\"");
    assert_eq!(text, "DIR/relay.toml:3:10: invalid socket address syntax; correct this line");
    let text = sentence("\"queue.db\"", "3");
    assert!(text.starts_with("DIR/relay.toml:6:8: invalid type: integer `3`"), "{text}");
    let text = read("relay = 'é'\n").unwrap_err();
    assert_eq!(text, "DIR/relay.toml:1:9: invalid type: string \"é\", expected a section; correct this line");
    let text = sentence("[store]", "[store");
    assert!(text.starts_with("DIR/relay.toml:5:7: "), "{text}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = Scratch::new("config-missing");
    for path in [dir.path().join("none.toml"), dir.path().to_owned()] {
        let text = load::<Config>(&path).unwrap_err().to_string();
        assert!(text.contains(path.to_str().unwrap()) && text.contains("correct the path"), "{text}");
    }
}

#[test]
fn paths_start_at_the_file_that_names_them() {
    let config = Path::new("/etc/valise/relay.toml");
    assert_eq!(resolve(config, Path::new("keys/tls.key")), Path::new("/etc/valise/keys/tls.key"));
    assert_eq!(resolve(config, Path::new("/run/tls.key")), Path::new("/run/tls.key"));
    assert_eq!(resolve(Path::new("relay.toml"), Path::new("tls.key")), Path::new("tls.key"));
}
