//! The API over a real socket: routes, refusals as JSON, forms, and the life of the socket file.

use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio_util::sync::CancellationToken;
use valise_host::doorway::{Peer, Rights};
use valise_host::socket::{LocalSocket, SOCKET_PATH_MAX};

use super::fake::{Office, RECEIVED, SENT, Scratch};
use super::listener::Visitor;
use super::routes;
use crate::answer::State;
use crate::exit::{DeskError, ExitCode};

/// Sends one raw request and gives status and body.
fn ask(office: &Office, head: &str, body: &[u8]) -> (u16, String) {
    ask_at(&office.socket(), head, body)
}

fn ask_at(socket: &Path, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let len = body.len();
    write!(stream, "{head}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n")
        .unwrap();
    // A refused upload may be cut off before its end; the answer counts.
    drop(stream.write_all(body));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn get(office: &Office, path: &str) -> (u16, String) {
    ask(office, &format!("GET {path} HTTP/1.1"), b"")
}

fn post_json(office: &Office, body: &str) -> (u16, String) {
    ask(office, "POST /v1/messages HTTP/1.1\r\nContent-Type: application/json", body.as_bytes())
}

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (disposition, content) in parts {
        let head = format!("--x\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
        bytes.extend_from_slice(&[head.as_bytes(), content, b"\r\n"].concat());
    }
    bytes.extend_from_slice(b"--x--\r\n");
    bytes
}

fn post_form(office: &Office, parts: &[(&str, &[u8])]) -> (u16, String) {
    ask(office, "POST /v1/messages HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=x", &form(parts))
}

/// The `code` and `exit` of a refusal.
fn refusal(body: &str) -> (String, u64) {
    let value: serde_json::Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body}"));
    let error = &value["error"];
    assert!(
        !error["message"].as_str().unwrap().is_empty() && !error["help"].as_str().unwrap().is_empty(),
        "{body}"
    );
    (error["code"].as_str().unwrap().to_owned(), error["exit"].as_u64().unwrap())
}

#[test]
fn a_case_system_sends_json() {
    let office = Office::open();
    let (status, body) = post_json(&office, r#"{"to":["br"],"precedence":"flash","body":"found"}"#);
    assert_eq!(status, 202);
    assert_eq!(
        body,
        format!(
            r#"{{"id":"{SENT}","state":"queued","recipients":[{{"to":"br","state":"queued"}}],"bytes":1234}}"#
        )
    );
    let books = office.desk.books();
    assert_eq!(books.sent[0].body, "found");
    assert_eq!(books.sent[0].precedence.unwrap().as_str(), "flash");
}

#[test]
fn a_form_carries_names_of_its_parts_or_of_its_message() {
    let office = Office::open();
    let parts: [(&str, &[u8]); 3] = [
        ("name=\"message\"", br#"{"to":["br"]}"#),
        ("name=\"attachment\"; filename=\"a \\\"b\\\".csv\"\r\nContent-Type: text/csv", b"1,2\r\n"),
        ("name=\"attachment\"; filename=\"photo.jpg\"", b""),
    ];
    assert_eq!(post_form(&office, &parts).0, 202);
    let named: (&str, &[u8]) =
        ("name=\"message\"", br#"{"to":["br"],"files":[{"name":"x\\\n","type":"text/csv"},{"name":"y"}]}"#);
    assert_eq!(post_form(&office, &[named, parts[1], parts[2]]).0, 202);
    let books = office.desk.books();
    let names = |at: usize| {
        let files = books.sent[at].attachments.iter();
        files
            .map(|file| (file.name.clone(), file.media_type.clone(), file.bytes.to_vec()))
            .collect::<Vec<_>>()
    };
    let unknown = "application/octet-stream".to_owned();
    assert_eq!(
        names(0),
        [
            ("a \"b\".csv".to_owned(), "text/csv".to_owned(), b"1,2\r\n".to_vec()),
            ("photo.jpg".to_owned(), unknown.clone(), Vec::new())
        ]
    );
    assert_eq!(
        names(1),
        [
            ("x\\\n".to_owned(), "text/csv".to_owned(), b"1,2\r\n".to_vec()),
            ("y".to_owned(), unknown, Vec::new())
        ]
    );
}

#[test]
fn every_bad_message_is_one_refusal_and_nothing_is_sent() {
    let office = Office::open();
    let long = format!(r#"{{"to":["br"],"body":"x","subject":"{}"}}"#, "s".repeat(513));
    let crowd = format!(r#"{{"to":[{}],"body":"x"}}"#, vec![r#""br""#; 257].join(","));
    let table = [
        (r#"{"to":["br"]}"#, "empty-message", 11, 422),
        (r#"{"to":[],"body":"x"}"#, "no-recipient", 11, 422),
        (r#"{"to":["xx"],"body":"x"}"#, "unknown-recipient", 11, 422),
        (r#"{"to":["de"],"body":"x"}"#, "not-permitted", 5, 403),
        (r#"{"to":["br"],"body":"x","precedence":"flush"}"#, "unknown-precedence", 2, 400),
        (r#"{"to":["br"],"body":"x","urgent":true}"#, "bad-request", 2, 400),
        (r#"{"to":["br"],"body":"x","files":[]}"#, "bad-request", 2, 400),
        (r#"{"to":"#, "bad-request", 2, 400),
        (&long, "subject-too-long", 11, 422),
        (&crowd, "too-many-recipients", 11, 422),
    ];
    for (request, code, exit, expected) in table {
        let (status, body) = post_json(&office, request);
        assert_eq!((refusal(&body), status), ((code.to_owned(), exit), expected), "{request}");
    }
    let message: (&str, &[u8]) = ("name=\"message\"", br#"{"to":["br"]}"#);
    let body: (&str, &[u8]) = ("name=\"body\"", b"x");
    let one_named: (&str, &[u8]) = ("name=\"message\"", br#"{"to":["br"],"files":[{"name":"x"}]}"#);
    for parts in
        [&[body][..], &[message, body, body], &[message, ("name=\"other\"", b"x")], &[one_named, body]]
    {
        let (status, body) = post_form(&office, parts);
        assert_eq!((refusal(&body), status), (("bad-request".to_owned(), 2), 400));
    }
    let file: (&str, &[u8]) = ("name=\"attachment\"; filename=\"x\"", b"x");
    let (_, answer) = post_form(&office, &[&[message][..], &[file; 33]].concat());
    assert_eq!(refusal(&answer), ("too-many-files".to_owned(), 11));
    let (_, answer) = ask(&office, "POST /v1/messages HTTP/1.1\r\nContent-Type: text/plain", b"x");
    assert_eq!(refusal(&answer), ("unknown-media-type".to_owned(), 2));
    assert!(office.desk.books().sent.is_empty());
}

#[test]
fn the_largest_message_passes_and_one_byte_more_does_not() {
    let office = Office::open();
    let most = usize::try_from(valise_proto::limits::MESSAGE_MAX).unwrap();
    let bytes = vec![7; most + 1];
    let message: (&str, &[u8]) = ("name=\"message\"", br#"{"to":["br"]}"#);
    let file = "name=\"attachment\"; filename=\"x\"";
    assert_eq!(post_form(&office, &[message, ("name=\"body\"", b"x"), (file, &bytes[..most - 1])]).0, 202);
    let (status, answer) = post_form(&office, &[message, (file, &bytes)]);
    assert_eq!((refusal(&answer), status), (("file-too-large".to_owned(), 11), 413));
    let double = vec![7; 2 * most];
    let (status, answer) = post_form(&office, &[message, (file, &double)]);
    assert_eq!((refusal(&answer), status), (("file-too-large".to_owned(), 11), 413));
    assert_eq!(office.desk.books().sent.len(), 1);
}

#[test]
fn a_key_for_repeating_is_handed_on() {
    let office = Office::open();
    let head = "POST /v1/messages HTTP/1.1\r\nContent-Type: application/json\r\nIdempotency-Key: case-4711";
    assert_eq!(ask(&office, head, br#"{"to":["br"],"body":"x"}"#).0, 202);
    assert_eq!(office.desk.books().sent[0].idempotency.as_deref(), Some("case-4711"));
    let head = head.replace("case-4711", &"k".repeat(129));
    let (_, answer) = ask(&office, &head, br#"{"to":["br"],"body":"x"}"#);
    assert_eq!(refusal(&answer), ("bad-idempotency-key".to_owned(), 11));
}

#[test]
fn what_is_not_there_is_said_in_json() {
    let office = Office::open();
    office.desk.receive("fact sheet", b"body", &[("a", b"1")]);
    let table = [
        ("/v1/nothing".to_owned(), "unknown-route", 2, 404),
        ("/".to_owned(), "unknown-route", 2, 404),
        (format!("/v1/messages/{RECEIVED}/ack"), "unknown-method", 2, 405),
        (format!("/v1/messages/{SENT}"), "no-such-message", 11, 404),
        ("/v1/messages/short".to_owned(), "malformed-id", 11, 422),
        ("/v1/messages/%ff".to_owned(), "unknown-route", 2, 404),
        (format!("/v1/messages/{RECEIVED}/files/1"), "no-such-file", 11, 404),
        (format!("/v1/messages/{RECEIVED}/files/-1"), "no-such-file", 11, 404),
        ("/v1/inbox?limit=many".to_owned(), "bad-request", 2, 400),
        ("/v1/inbox?limits=1".to_owned(), "bad-request", 2, 400),
        (format!("/v1/messages/{SENT}/state?wait=refused"), "unknown-state", 2, 400),
    ];
    for (path, code, exit, expected) in table {
        let (status, body) = get(&office, &path);
        assert_eq!((refusal(&body), status), ((code.to_owned(), exit), expected), "{path}");
    }
}

#[test]
fn only_showing_opens() {
    let office = Office::open();
    office.desk.receive("fact sheet", b"bytes \xff", &[("a", b"\x00\x01")]);
    let state = || office.desk.books().received.as_ref().unwrap().line.state;
    assert_eq!(get(&office, "/v1/livez"), (200, r#"{"live":true}"#.to_owned()));
    assert_eq!(get(&office, "/v1/inbox?limit=0"), (200, "[]".to_owned()));
    assert_eq!(get(&office, "/v1/inbox").0, 200);
    assert_eq!(get(&office, &format!("/v1/messages/{RECEIVED}/files/0")), (200, "\0\u{1}".to_owned()));
    assert_eq!(state(), State::Delivered);
    assert_eq!(get(&office, &format!("/v1/messages/{}", RECEIVED.to_uppercase())).0, 200);
    assert_eq!(state(), State::Opened);
}

#[test]
fn a_wait_ends_when_the_daemon_stops() {
    let mut office = Office::open();
    assert_eq!(post_json(&office, r#"{"to":["br"],"body":"x"}"#).0, 202);
    let mut stream = UnixStream::connect(office.socket()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let path = format!("/v1/messages/{SENT}/state?wait=opened&timeout_ms=60000");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let begun = Instant::now();
    while office.desk.books().sleepers == 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the wait never reached the desk");
        std::thread::yield_now();
    }
    office.close();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("daemon-stopping"), "{answer}");
    assert!(!office.socket().exists(), "the socket goes with the daemon");
}

/// A doorway where the kernel says that everybody is user 1004.
struct Strangers(tokio::net::UnixListener);

impl Listener for Strangers {
    type Io = tokio::net::UnixStream;
    type Addr = Visitor;

    async fn accept(&mut self) -> (Self::Io, Visitor) {
        (self.0.accept().await.unwrap().0, Visitor(Peer { uid: 1004 }))
    }

    fn local_addr(&self) -> std::io::Result<Visitor> {
        Ok(Visitor(Peer { uid: 1004 }))
    }
}

impl Connected<IncomingStream<'_, Strangers>> for Visitor {
    fn connect_info(stream: IncomingStream<'_, Strangers>) -> Self {
        *stream.remote_addr()
    }
}

#[test]
fn a_neighbour_is_refused_on_every_route_and_the_desk_hears_nothing() {
    let office = Office::open();
    office.desk.receive("s", b"b", &[]);
    let door = office.scratch.path().join("other.sock");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let desk = Arc::clone(&office.desk);
    let rights = Rights { own_uid: 1003, shared: false };
    let router = routes::router(desk, rights, CancellationToken::new());
    let listener = Strangers(runtime.block_on(async { tokio::net::UnixListener::bind(&door) }).unwrap());
    let service = router.into_make_service_with_connect_info::<Visitor>();
    runtime.spawn(axum::serve(listener, service).into_future());
    let json = "POST /v1/messages HTTP/1.1\r\nContent-Type: application/json";
    let heads = [
        json.to_owned(),
        format!("GET /v1/messages/{RECEIVED} HTTP/1.1"),
        format!("POST /v1/messages/{RECEIVED}/ack HTTP/1.1"),
        "GET /v1/livez HTTP/1.1".to_owned(),
        "GET /nothing HTTP/1.1".to_owned(),
    ];
    for head in heads {
        let (status, body) = ask_at(&door, &head, br#"{"to":["br"],"body":"x"}"#);
        assert_eq!((refusal(&body), status), (("not-this-user".to_owned(), 4), 403), "{head}");
    }
    let books = office.desk.books();
    assert!(books.sent.is_empty() && books.acks.is_empty());
    assert_eq!(books.received.as_ref().unwrap().line.state, State::Delivered);
}

#[test]
fn the_socket_is_for_its_owner_alone() {
    let office = Office::open();
    let found = std::fs::symlink_metadata(office.socket()).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(office.scratch.path()).unwrap().count(), 1, "no temporary name is left");
}

fn bind(path: &Path, group: Option<u32>) -> Result<LocalSocket, DeskError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(LocalSocket::bind(path, group)).map_err(DeskError::from)
}

#[test]
fn a_group_may_share_the_socket() {
    let scratch = Scratch::new();
    let path = scratch.path().join("api.sock");
    let own = rustix::process::getegid().as_raw();
    let _socket = bind(&path, Some(own)).unwrap();
    assert_eq!(std::fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
}

#[test]
fn a_dead_daemons_socket_is_replaced_and_a_living_ones_is_not() {
    let scratch = Scratch::new();
    let path = scratch.path().join("api.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(UnixStream::connect(&path).is_err(), "a stale socket");
    let first = bind(&path, None).unwrap();
    UnixStream::connect(&path).unwrap();
    let refused = bind(&path, None).err().unwrap();
    assert_eq!((refused.exit, refused.code), (ExitCode::Store, "daemon-running"));
    UnixStream::connect(&path).expect("the living one still answers");
    drop(first);
    bind(&path, None).unwrap();
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let scratch = Scratch::new();
    let path = scratch.path().join("api.sock");
    std::fs::write(&path, "precious").unwrap();
    let refused = bind(&path, None).err().unwrap();
    assert_eq!((refused.exit, refused.code), (ExitCode::InvalidInput, "socket-path-taken"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    let refused = bind(&scratch.path().join("no/such/api.sock"), None).err().unwrap();
    assert_eq!((refused.exit, refused.code), (ExitCode::InvalidInput, "socket-unusable"));
}

#[test]
fn a_path_of_107_bytes_is_the_longest() {
    let scratch = Scratch::new();
    let base = scratch.path().as_os_str().len();
    let deep = scratch.path().join("d".repeat(SOCKET_PATH_MAX - base - 1 - "/s".len()));
    std::fs::create_dir(&deep).unwrap();
    let longest = deep.join("s");
    assert_eq!(longest.as_os_str().len(), SOCKET_PATH_MAX);
    let _socket = bind(&longest, None).unwrap();
    UnixStream::connect(&longest).unwrap();
    let refused = bind(&deep.join("ss"), None).err().unwrap();
    assert_eq!((refused.exit, refused.code), (ExitCode::InvalidInput, "socket-path-too-long"));
    assert!(refused.message.contains("108 bytes") && refused.message.contains("107"), "{refused}");
}
