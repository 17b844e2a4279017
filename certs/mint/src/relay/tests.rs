//! A relay that is played here: what it says is shown, what it must not say is refused, and one that stalls is left.

use std::os::unix::net::UnixListener;
use std::thread::{JoinHandle, spawn};

use valise_host::entropy::random;
use valise_proto::admin::{AskConnections, AskDrain, AskStatus, say};

use super::*;

/// A directory with a socket in it, gone when the test ends.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("valise-asked-{:016x}", u64::from_le_bytes(random())));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }

    /// Answers the first caller with these bytes, then closes.
    fn answering(&self, bytes: Vec<u8>) -> JoinHandle<Verb> {
        let listener = UnixListener::bind(self.socket()).unwrap();
        spawn(move || {
            let (mut caller, _) = listener.accept().unwrap();
            let mut prefix = [0; admin::LENGTH_BYTES];
            caller.read_exact(&mut prefix).unwrap();
            let mut question = vec![0; admin::announced(prefix).unwrap()];
            caller.read_exact(&mut question).unwrap();
            caller.write_all(&bytes).ok();
            admin::question(&question).unwrap()
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn said(kinds: Vec<Kind>) -> Vec<u8> {
    kinds.into_iter().flat_map(|kind| say(kind).to_vec()).collect()
}

fn end() -> Kind {
    Kind::End(admin::End {})
}

fn connection(party: &str) -> Kind {
    Kind::Connection(admin::Connection {
        session: 7,
        party: party.to_owned(),
        device: "gw1".to_owned(),
        mailboxes: vec![admin::MailboxName { name: party.to_owned() }],
        since_ms: 1_790_000_000_000,
        address: "192.0.2.7:4433".to_owned(),
        rtt_us: 61_250,
        delivering: 2,
        submitting: 1,
    })
}

/// What comes of one question to a relay that answers with these bytes.
fn asked(bytes: Vec<u8>) -> Result<Vec<Kind>, RelayFault> {
    let place = Place::new();
    let relay = place.answering(bytes);
    let mut asked = Asked::relay(&place.socket(), Verb::Connections(AskConnections {}))?;
    let mut answers = Vec::new();
    let found = loop {
        match asked.hear() {
            Ok(Some(answer)) => answers.push(answer),
            Ok(None) => break Ok(answers),
            Err(fault) => break Err(fault),
        }
    };
    assert_eq!(relay.join().unwrap(), Verb::Connections(AskConnections {}));
    found
}

#[test]
fn connections_are_a_table_for_people_and_a_line_each_for_scripts() {
    let answers = asked(said(vec![connection("fr"), connection("m\u{1b}[2J"), end()])).unwrap();
    let told = told::connections(answers).unwrap();
    assert_eq!(told.table.len(), 3);
    let words = |at: usize| {
        told.table[at].split("  ").map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(words(0), ["PARTY", "DEVICE", "MAILBOXES", "SINCE", "RTT", "IN FLIGHT", "ADDRESS"]);
    let line = ["fr", "gw1", "fr", "2026-09-21T14:13:20Z", "61.2 ms", "2 out, 1 in", "192.0.2.7:4433"];
    assert_eq!(words(1), line);
    assert!(told.table[2].starts_with("m\\u{1b}[2J"), "what acts on a terminal is seen");
    assert_eq!(
        told.json[0],
        "{\"session\":7,\"party\":\"fr\",\"device\":\"gw1\",\"mailboxes\":[\"fr\"],\"since\":\"2026-09-21T14:13:20Z\",\
         \"address\":\"192.0.2.7:4433\",\"rtt_ms\":61.25,\"delivering\":2,\"submitting\":1}"
    );
    assert!(!told.json[1].contains('\u{1b}'));
    assert_eq!(told::connections(asked(said(vec![end()])).unwrap()).unwrap().json.len(), 0);
}

#[test]
fn the_status_says_what_runs_out_and_what_is_missing() {
    let state = admin::State::Yellow.into();
    let head = admin::Status {
        relay: "hub-1".to_owned(),
        version: "0.1.0".to_owned(),
        started_ms: 1_790_000_000_000,
        now_ms: 1_790_000_300_000,
        roster_no: 3,
        sessions: 2,
        entries: 5,
        receipts: 1,
        sequence: 40,
        oldest_ms: 1_790_000_290_000,
        draining: false,
        state,
    };
    let check =
        admin::Check { name: "revocation".to_owned(), state, detail: "late or missing: br".to_owned() };
    let expiry = |what: &str, owner: &str, at_ms| {
        Kind::Expiry(admin::Expiry { what: what.to_owned(), owner: owner.to_owned(), at_ms })
    };
    let answers = vec![
        Kind::Status(head),
        Kind::Check(check),
        expiry("revocation-list", "br", 0),
        expiry("entry", "", 1_790_000_900_000),
    ];
    let told = told::status(answers.clone()).unwrap();
    let table = told.table.join("\n");
    for line in [
        "state     yellow",
        "up since  2026-09-21T14:13:20Z (5 min ago)",
        "queue     5 entries and 1 receipts wait; 40 envelopes accepted in all",
        "oldest    accepted 2026-09-21T14:18:10Z (10 s ago)",
        "check     revocation yellow: late or missing: br",
        "expires   revocation-list of br: missing",
        "expires   entry: 2026-09-21T14:28:20Z (in 10 min)",
    ] {
        assert!(table.contains(line), "{line} is not in\n{table}");
    }
    let json: serde_json::Value = serde_json::from_str(&told.json[0]).unwrap();
    assert_eq!(json["queue"]["oldest"], "2026-09-21T14:18:10Z");
    assert_eq!(json["expires"][0], serde_json::json!({"what": "revocation-list", "owner": "br", "at": null}));
    assert_eq!(told::status(answers[1..].to_vec()), None, "without its head it is none");
}

#[test]
fn what_is_no_answer_is_refused() {
    let code = |bytes: Vec<u8>| asked(bytes).unwrap_err().exit();
    assert_eq!(code(b"HTTP/1.1 400 Bad Request\r\n".to_vec()), ExitCode::Internal);
    assert_eq!(code(vec![0, 0, 0, 0]), ExitCode::Internal);
    assert_eq!(code(vec![0, 0, 0, 2, 0xff, 0xff]), ExitCode::Internal);
    assert_eq!(code(said(vec![connection("fr")])), ExitCode::Unreachable);
    assert_eq!(code(said(vec![end()])[..3].to_vec()), ExitCode::Unreachable);
    let fault = |code: FaultCode| said(vec![Kind::Fault(admin::Fault { code: code.into() })]);
    assert_eq!(code(fault(FaultCode::NotThisUser)), ExitCode::LocalPermission);
    assert_eq!(code(fault(FaultCode::Stopping)), ExitCode::Unreachable);
    assert_eq!(code(fault(FaultCode::NotUnderstood)), ExitCode::Internal);
}

#[test]
fn a_relay_that_does_not_stop_in_time_is_not_waited_for() {
    let place = Place::new();
    let listener = UnixListener::bind(place.socket()).unwrap();
    let mut asked = Asked::relay(&place.socket(), Verb::Drain(AskDrain { wait: true })).unwrap();
    let (mut relay, _) = listener.accept().unwrap();
    relay.write_all(&said(vec![Kind::Draining(admin::Draining { sessions: 3 })])).unwrap();
    assert!(matches!(asked.hear(), Ok(Some(Kind::Draining(_)))));
    let fault = asked.stopped(Duration::from_millis(20)).unwrap_err();
    assert_eq!(fault.exit(), ExitCode::NotInTime);
}

#[test]
fn where_nobody_answers_it_says_so() {
    let place = Place::new();
    let ask = |path: &Path| Asked::relay(path, Verb::Status(AskStatus {})).unwrap_err();
    assert_eq!(ask(&place.socket()).exit(), ExitCode::Unreachable);
    drop(UnixListener::bind(place.socket()).unwrap());
    assert_eq!(ask(&place.socket()).exit(), ExitCode::Unreachable, "a dead relay's socket");
    let long = Path::new("/").join("a".repeat(107));
    assert_eq!(ask(&long).exit(), ExitCode::InvalidInput);

    let config = place.0.join("relay.toml");
    std::fs::write(&config, "[relay]\nid = \"hub-1\"\nadmin_socket = \"admin.sock\"\n[tls]\n").unwrap();
    assert_eq!(socket_of(&config).unwrap(), place.socket());
    std::fs::write(&config, "[relay]\nid = \"hub-1\"\n").unwrap();
    assert_eq!(socket_of(&config).unwrap_err().exit(), ExitCode::InvalidInput);
}
