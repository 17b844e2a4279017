//! The command line against a daemon on a real socket: JSON to the letter, exit codes for each refusal, waiting and
//! saving.

mod saving;
mod waiting;

use std::ffi::OsString;

use valise_host::plain;

use super::{Terminal, run};
use crate::answer::State;
use crate::api::fake::{Office, RECEIVED, SENT, Scratch};

/// What one run said.
struct Said {
    code: u8,
    out: String,
    err: String,
}

impl Said {
    /// The `code` of the one error line; its `exit` is the exit code.
    fn error(&self) -> String {
        assert_eq!(self.err.lines().count(), 1, "one line: {}", self.err);
        let value: serde_json::Value = serde_json::from_str(&self.err).unwrap();
        let keys: Vec<_> = value["error"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["code", "exit", "help", "message"]);
        assert_eq!(value["error"]["exit"], self.code);
        assert!(self.err.starts_with(r#"{"error":{"code":"#), "{}", self.err);
        value["error"]["code"].as_str().unwrap().to_owned()
    }
}

fn valise(office: &Office, words: &[&str], stdin: &[u8]) -> Said {
    run_with(Some(office.socket().into_os_string()), words, stdin, false)
}

fn run_with(socket: Option<OsString>, words: &[&str], stdin: &[u8], typed: bool) -> Said {
    let args = std::iter::once("valise").chain(words.iter().copied()).map(OsString::from);
    let (mut input, mut out, mut err) = (stdin, Vec::new(), Vec::new());
    let mut terminal = Terminal {
        stdin: &mut input,
        stdin_is_terminal: typed,
        stdout: &mut out,
        stderr: &mut err,
        socket: socket.map(Into::into),
    };
    let code = run(args, &mut terminal).number();
    Said { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

#[test]
fn fr_sends_to_br_and_minustah_with_two_attachments() {
    let office = Office::open();
    let (csv, odd) = (office.scratch.path().join("parties.csv"), office.scratch.path().join("odd \"n\\\nme"));
    std::fs::write(&csv, "fr,br\n").unwrap();
    std::fs::write(&odd, [0, 255, 13, 10, 45, 45]).unwrap();
    let (csv, odd) = (csv.to_str().unwrap(), odd.to_str().unwrap());
    let words = ["--json", "send", "br", "--info", "minustah", "--precedence", "immediate"];
    let words = [&words[..], &["--subject", "fact sheet", "--attach", csv, "--attach", odd]].concat();
    let said = valise(&office, &words, b"# Facts\n");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_eq!(
        said.out,
        format!(
            concat!(
                r#"{{"id":"{}","state":"queued","recipients":[{{"to":"br","state":"queued"}},"#,
                r#"{{"to":"minustah","state":"queued","reason":"waiting-for-key"}}],"bytes":1234}}"#,
                "\n"
            ),
            SENT
        )
    );
    let books = office.desk.books();
    let message = &books.sent[0];
    assert_eq!(
        (message.to.as_slice(), message.info.as_slice()),
        (&["br".into()][..], &["minustah".into()][..])
    );
    assert_eq!(message.precedence.unwrap().as_str(), "immediate");
    assert_eq!(message.subject.as_deref(), Some("fact sheet"));
    assert_eq!(message.body, "# Facts\n");
    let files: Vec<_> =
        message.attachments.iter().map(|f| (f.name.as_str(), f.media_type.as_str())).collect();
    assert_eq!(files, [("parties.csv", "text/csv"), ("odd \"n\\\nme", "application/octet-stream")]);
    assert_eq!(message.attachments[1].bytes.to_vec(), [0, 255, 13, 10, 45, 45]);
}

#[test]
fn every_answer_is_json_to_the_letter() {
    let office = Office::open();
    let line = |state| {
        format!(
            concat!(
                r#"{{"id":"{}","from":"fr","to":"br","subject":"fact sheet","class":"message","#,
                r#""type":"text","precedence":"routine","created":"2025-11-23T22:10:54.070Z","#,
                r#""delivered":"2025-11-23T22:10:55.000Z","state":"{}","attachments":1"#
            ),
            RECEIVED, state
        )
    };
    let none = valise(&office, &["inbox", "--json"], b"");
    assert_eq!((none.code, none.out.as_str(), none.err.as_str()), (0, "", ""));
    office.desk.receive("fact sheet", b"a\n\xff", &[("a.txt", b"abc")]);
    assert_eq!(valise(&office, &["inbox", "--json"], b"").out, format!("{}}}\n", line("delivered")));
    let shown = valise(&office, &["show", &RECEIVED.to_uppercase(), "--json"], b"");
    let rest = concat!(
        r#","body":"a\n�","files":[{"name":"a.txt","bytes":3,"type":"text/plain","#,
        r#""sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}],"#,
        r#""signature":{"party":"fr","device":"gw1","key":"a1b2","valid":true}}"#
    );
    assert_eq!(shown.out, format!("{}{rest}\n", line("opened")));
    let acked = valise(&office, &["--json", "ack", RECEIVED], b"");
    assert_eq!(acked.out, format!("{{\"id\":\"{RECEIVED}\",\"state\":\"acknowledged\"}}\n"));
    assert_eq!(office.desk.books().acks, [rustix::process::geteuid().as_raw()]);
    let tracked = valise(&office, &["--json", "track", SENT], b"");
    let time = "2025-11-23T22:10:55.000Z";
    assert_eq!(
        tracked.out,
        format!(
            concat!(
                r#"{{"id":"{0}","to":"br","state":"delivered","time":"{1}","by":"br/gw1"}}"#,
                "\n",
                r#"{{"id":"{0}","to":"minustah","state":"unopenable","time":"{1}","by":"minustah/u7","reason":"unopenable"}}"#,
                "\n"
            ),
            SENT, time
        )
    );
    let status = valise(&office, &["--json", "status"], b"");
    let expected = concat!(
        r#"{"party":"fr","device":"gw1","link":{"state":"up","path":"quic","rtt_ms":0.5},"#,
        r#""outbox":{"queued":1,"relayed":2,"delivered":3,"ended":0,"waiting_for_key":1},"#,
        r#""inbox":{"delivered":4,"opened":5,"acknowledged":6,"unopenable":0},"#,
        r#""relay":{"id":"hub-1","address":"127.0.0.1:4433","roster_no":1}}"#,
        "\n"
    );
    assert_eq!(status.out, expected);
    for said in [shown, acked, tracked, status] {
        assert_eq!((said.code, said.err.as_str()), (0, ""));
    }
}

#[test]
fn every_refusal_has_its_code_and_sends_nothing() {
    let office = Office::open();
    let at = |name: &str| office.scratch.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(at("dir")).unwrap();
    std::fs::write(at("half"), vec![0; 9 * 1024 * 1024]).unwrap();
    let (missing, dir, half) = (at("missing"), at("dir"), at("half"));
    let subject = "s".repeat(513);
    let table: [(&[&str], &str, u8); 21] = [
        (&["send", "br"], "empty-message", 11),
        (&["send", "xx", "--attach", &half], "unknown-recipient", 11),
        (&["send", "de", "--attach", &half], "not-permitted", 5),
        (&["send", "br", "--attach", &missing], "file-missing", 11),
        (&["send", "br", "--attach", &dir], "file-is-directory", 11),
        (&["send", "br", "--attach", &half, "--attach", &half], "file-too-large", 11),
        (&["send", "br", "--attach", &half, "--subject", &subject], "subject-too-long", 11),
        (&["send", "br", "--wait", "refused"], "usage", 2),
        (&["send", "br", "--precedence", "flush"], "usage", 2),
        (&["send", "br", "--timeout", "60"], "usage", 2),
        (&["send"], "usage", 2),
        (&["sned"], "usage", 2),
        (&[], "usage", 2),
        (&["show", RECEIVED], "no-such-message", 11),
        (&["show", "not-an-id"], "malformed-id", 11),
        (&["show", "../../v1/status?aaaaaaaaaa"], "malformed-id", 11),
        (&["ack", RECEIVED.trim_end_matches('z')], "malformed-id", 11),
        (&["ack", SENT], "no-such-message", 11),
        (&["track", RECEIVED], "no-such-message", 11),
        (&["inbox", "--limit", "-1"], "usage", 2),
        (&["inbox", "--limit", "0"], "usage", 2),
    ];
    for (words, code, exit) in table {
        let said = valise(&office, &[&["--json"], words].concat(), b"");
        assert_eq!((said.code, said.error().as_str(), said.out.as_str()), (exit, code, ""), "{words:?}");
        let said = valise(&office, words, b"");
        assert_eq!((said.code, said.out.as_str()), (exit, ""), "{words:?}");
        assert!(said.err.contains(code) && said.err.contains("try: "), "{}", said.err);
    }
    assert!(office.desk.books().sent.is_empty());
    let listed = valise(&office, &["send", "br", "--wait", "read"], b"x").err;
    assert!(listed.contains("queued, relayed, delivered, opened, acknowledged"), "{listed}");
    let listed = valise(&office, &["send", "br", "--precedence", "flush"], b"x").err;
    assert!(listed.contains("deferred, routine, priority, immediate, flash, override"), "{listed}");
}

#[test]
fn a_locked_store_ends_with_9_and_an_empty_inbox_with_10_when_asked() {
    let office = Office::open();
    office.desk.books().locked = true;
    let said = valise(&office, &["--json", "send", "br"], b"x");
    assert_eq!((said.code, said.error().as_str()), (9, "store-locked"));
    assert_eq!(valise(&office, &["inbox", "--exit-status"], b"").code, 10);
    let said = valise(&office, &["inbox", "--exit-status", "--json"], b"");
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (10, "", ""));
    office.desk.receive("s", b"b", &[]);
    assert_eq!(valise(&office, &["inbox", "--exit-status"], b"").code, 0);
}

#[test]
fn a_daemon_that_is_not_there_is_said_with_what_to_do() {
    let scratch = Scratch::new();
    let at = |name: &str| Some(scratch.path().join(name).into_os_string());
    let said = run_with(at("api.sock"), &["--json", "status"], b"", false);
    assert_eq!((said.code, said.error().as_str()), (3, "daemon-unreachable"));
    assert!(said.err.contains("valised --config"), "{}", said.err);
    drop(std::os::unix::net::UnixListener::bind(scratch.path().join("stale.sock")).unwrap());
    let said = run_with(at("stale.sock"), &["--json", "status"], b"", false);
    assert_eq!((said.code, said.error().as_str()), (3, "daemon-unreachable"));
    assert!(said.err.contains("nobody answers on its socket"), "{}", said.err);
    std::fs::write(scratch.path().join("file"), "").unwrap();
    let said = run_with(at("file"), &["--json", "status"], b"", false);
    assert_eq!((said.code, said.error().as_str()), (3, "daemon-unreachable"));
    assert!(said.err.contains("that is not a socket"), "{}", said.err);
    let said = run_with(None, &["--json", "status"], b"", false);
    assert_eq!((said.code, said.error().as_str()), (2, "no-socket"));
    assert!(said.err.contains("VALISE_SOCKET"), "{}", said.err);
    let said = run_with(Some("".into()), &["--json", "status"], b"", false);
    assert_eq!((said.code, said.error().as_str()), (2, "no-socket"));
    let said = run_with(at(&"s".repeat(120)), &["--json", "status"], b"", false);
    assert_eq!((said.code, said.error().as_str()), (11, "socket-path-too-long"));
}

#[test]
fn the_option_wins_over_the_environment() {
    let office = Office::open();
    let socket = office.socket();
    let said =
        run_with(Some("/nowhere".into()), &["status", "--socket", socket.to_str().unwrap()], b"", false);
    assert_eq!(said.code, 0, "{}", said.err);
}

#[test]
fn a_person_at_a_terminal_is_told_to_type() {
    let office = Office::open();
    let socket = || Some(office.socket().into_os_string());
    let said = run_with(socket(), &["send", "br"], b"found\n", true);
    assert_eq!((said.code, said.err.as_str()), (0, "type the message, end with Ctrl-D\n"));
    assert_eq!(said.out, format!("{SENT}  queued  1234 bytes uploaded\n  br  queued\n"));
    assert_eq!(run_with(socket(), &["send", "br", "--json"], b"found\n", true).err, "");
}

#[test]
fn foreign_text_never_acts_on_the_terminal() {
    let office = Office::open();
    let hostile = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\n";
    office.desk.receive(hostile, format!("one\r\ntwo{hostile}three").as_bytes(), &[(hostile, b"x")]);
    for words in [&["inbox"][..], &["show", RECEIVED], &["inbox", "--json"], &["show", RECEIVED, "--json"]] {
        let said = valise(&office, words, b"");
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{words:?}");
        let acting: Vec<char> = said.out.chars().filter(|c| *c != '\n' && plain::acts(*c)).collect();
        assert_eq!(acting, [], "{words:?}");
    }
    let shown = valise(&office, &["show", RECEIVED], b"").out;
    assert!(shown.contains("\none\ntwo\\u{1b}]0;x"), "{shown}");
}

#[test]
fn tables_are_aligned_for_people() {
    let office = Office::open();
    office.desk.receive("fact sheet", b"body", &[]);
    assert_eq!(
        valise(&office, &["inbox"], b"").out,
        format!(
            "ID                          STATE      PRECEDENCE  FROM  CREATED                   FILES  SUBJECT\n\
             {RECEIVED}  delivered  routine     fr    2025-11-23T22:10:54.070Z  0      fact sheet\n"
        )
    );
    assert_eq!(
        valise(&office, &["track", SENT], b"").out,
        "TO        STATE       TIME                      BY           REASON\n\
         br        delivered   2025-11-23T22:10:55.000Z  br/gw1\n\
         minustah  unopenable  2025-11-23T22:10:55.000Z  minustah/u7  unopenable\n"
    );
    let status = valise(&office, &["status"], b"").out;
    assert!(status.starts_with("desk    fr/gw1\nlink    up over quic, 0.5 ms\n"), "{status}");
}

#[test]
fn help_and_version_are_answers() {
    for words in [&["--help"][..], &["send", "--help"], &["--version"]] {
        let said = run_with(None, words, b"", false);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{words:?}");
        assert!(said.out.contains("valise"), "{}", said.out);
    }
}

#[test]
fn the_states_in_words_are_those_of_the_answer() {
    for state in State::LADDER {
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
}
