//! What is handed in while programs run, and is not fit: every refusal is one code and one plain sentence that says
//! what to do, and loses nothing.

use std::fs;

use serde_json::Value;
use valise_lab::impostor::{Answer, speak, throw};
use valise_lab::party::Output;
use valise_lab::relay::logged;
use valise_lab::{Lab, papers};
use valise_proto::session::Close;

/// Agreements without fr: nobody may write to it, and it to nobody.
const WITHOUT_FR: &str = r#"
[[agreement]]
article = "without-fr"
from = ["br", "minustah"]
to = ["br", "minustah"]
classes = { message = "all" }
"#;

/// One code, one word, one sentence, one thing to do, one line, and nothing on standard output.
fn assert_refused(output: &Output, code: i32, word: &str) {
    assert_eq!((output.code, output.lines.len()), (code, 0), "{output:?}");
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    let said: Value = serde_json::from_str(&output.stderr).unwrap();
    let error = &said["error"];
    assert_eq!(
        (error["code"].as_str(), error["exit"].as_i64()),
        (Some(word), Some(i64::from(code))),
        "{error}"
    );
    for part in ["message", "help"] {
        assert!(error[part].as_str().is_some_and(|text| !text.is_empty() && !text.contains('\n')), "{error}");
    }
}

#[test]
fn what_cannot_be_sent_is_refused_and_nothing_is_kept_of_it() {
    let mut lab = Lab::running(&["fr", "br"]).unwrap();
    let large = lab.dir().join("large.bin");
    fs::write(&large, vec![7; 17 * 1024 * 1024]).unwrap();
    let fr = lab.party("fr");
    let sent = |words: &[&str], body: &[u8]| {
        let words: Vec<&str> = ["send"].iter().chain(words).copied().collect();
        fr.valise(&words, body).unwrap()
    };
    assert_refused(&sent(&["atlantis"], b"x"), 11, "unknown-recipient");
    assert_refused(&sent(&["br", "Atlantis!"], b"x"), 11, "unknown-recipient");
    assert_refused(&sent(&["br"], b""), 11, "empty-message");
    assert_refused(&sent(&["br", "--attach", "/nowhere/at/all"], b"x"), 11, "file-missing");
    assert_refused(&sent(&["br", "--attach", large.to_str().unwrap()], b"x"), 11, "file-too-large");
    assert_refused(&sent(&["br", "--subject", &"s".repeat(513)], b"x"), 11, "subject-too-long");
    assert_refused(&sent(&["br", "--precedence", "urgent"], b"x"), 2, "usage");
    assert_refused(&sent(&[], b"x"), 2, "usage");
    let outbox = fr.status().unwrap()["outbox"].clone();
    for state in ["queued", "relayed", "delivered", "ended"] {
        assert_eq!(outbox[state], 0, "{outbox}");
    }
    assert_eq!(lab.relay().waiting().unwrap(), 0);
    lab.party("fr").send(&["br", "--wait", "delivered"], "after all that").unwrap();
}

#[test]
fn what_no_agreement_allows_is_refused_by_the_desk_and_by_the_relay() {
    let mut lab = Lab::running(&["fr", "br", "minustah"]).unwrap();
    lab.party("fr").send(&["br", "--wait", "delivered"], "still allowed").unwrap();

    // The relay learns of the new roster; fr is away and does not.
    lab.party_mut("fr").kill().unwrap();
    let old = fs::read(lab.dir().join("roster.bin")).unwrap();
    papers::write_agreements(&lab, WITHOUT_FR).unwrap();
    lab.relay().stop().unwrap();
    lab.relay().start().unwrap();
    lab.party("br").linked().unwrap();
    let newer = fs::read(lab.dir().join("roster.bin")).unwrap();
    fs::write(lab.dir().join("roster.bin"), old).unwrap();

    // A desk that starts from the old file takes the newer one from the relay, and then refuses by itself.
    lab.party_mut("fr").start().unwrap();
    valise_lab::eventually("fr has the newer roster", || {
        Ok(lab.party("fr").status()?["relay"]["roster_no"] == 2)
    })
    .unwrap();
    let refused = lab.party("fr").valise(&["send", "br"], b"not any more").unwrap();
    assert_refused(&refused, 5, "not-permitted");
    fs::write(lab.dir().join("roster.bin"), newer).unwrap();
    lab.party("br").send(&["minustah", "--wait", "delivered"], "they still may").unwrap();
}

#[test]
fn a_message_written_before_a_change_is_refused_by_the_relay_with_a_reason() {
    let mut lab = Lab::running(&["fr", "br"]).unwrap();
    lab.party("fr").send(&["br", "--wait", "delivered"], "still allowed").unwrap();
    lab.relay().stop().unwrap();
    let told =
        lab.party("fr").ask(&["send", "br", "--wait", "delivered", "--timeout", "20s"], b"too late").unwrap();
    valise_lab::eventually("it is queued", || Ok(lab.party("fr").status()?["outbox"]["queued"] == 1))
        .unwrap();
    papers::write_agreements(
        &lab,
        "[[agreement]]\narticle = \"x\"\nfrom = [\"br\"]\nto = [\"br\"]\nclasses = { message = \"all\" }\n",
    )
    .unwrap();
    lab.relay().start().unwrap();
    let told = told.answer().unwrap();
    assert_eq!(told.code, 8, "{told:?}");
    let recipient = &told.lines[0]["recipients"][0];
    assert_eq!(
        (recipient["state"].as_str(), recipient["reason"].as_str()),
        (Some("refused"), Some("not-permitted-or-unknown"))
    );
}

#[test]
fn frames_that_are_none_close_their_own_connection_and_nobody_elses() {
    let mut lab = Lab::running(&["fr", "br", "minustah"]).unwrap();
    let frames: [(&str, &str, &[u8]); 5] = [
        (
            "garbage",
            "FRAME_MALFORMED",
            &[0x00, 0x00, 0x00, 0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ),
        ("of no length", "FRAME_EMPTY", &[0x00, 0x00, 0x00, 0x00]),
        ("oversized", "FRAME_TOO_LARGE", &[0xff, 0xff, 0xff, 0xff, 0x0a]),
        ("just above the limit", "FRAME_TOO_LARGE", &(65 * 1024 + 1_u32).to_be_bytes()),
        ("a word before Hello", "", &[0x00, 0x00, 0x00, 0x02, 0x7a, 0x00]),
    ];
    for (name, _, bytes) in frames {
        // Papers of minustah; its own daemon is superseded at most, and comes back.
        let answer = speak(&mut lab, "minustah", bytes).unwrap();
        assert_eq!(answer, Answer::Closed(Close::Protocol), "{name}");
    }
    // The last is a frame, only out of its order.
    let kinds: Vec<&str> = frames.iter().map(|(_, code, _)| *code).filter(|code| !code.is_empty()).collect();
    valise_lab::eventually("the relay has logged each kind", || {
        let refused = logged(lab.relay().log(), "frame-refused")?;
        Ok(refused.iter().filter_map(|line| line["code"].as_str()).eq(kinds.iter().copied()))
    })
    .unwrap();
    lab.party("fr").send(&["br", "--wait", "delivered"], "undisturbed").unwrap();
    lab.party("fr").send(&["minustah", "--wait", "delivered"], "undisturbed").unwrap();
    assert_eq!(lab.relay().ask("/readyz").unwrap().0, 200);
}

#[test]
fn datagrams_that_are_no_quic_harm_nobody() {
    let mut lab = Lab::running(&["fr", "br"]).unwrap();
    // An Initial of another version draws a version negotiation; all else draws nothing, or a reset.
    let mut unknown_version = vec![0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 0x08, 1, 2, 3, 4, 5, 6, 7, 8, 0x00];
    unknown_version.resize(1200, 0);
    let mut version_1 = unknown_version.clone();
    version_1[1..5].copy_from_slice(&[0, 0, 0, 1]);
    let mut noise = vec![vec![], vec![0], vec![0x40; 21], vec![0; 1200], vec![0xff; 65_507]];
    noise.extend([unknown_version, version_1]);
    for _ in 0..50 {
        throw(&mut lab, &noise).unwrap();
    }
    lab.party("fr").send(&["br", "--wait", "delivered"], "undisturbed").unwrap();
    assert_eq!(lab.relay().ask("/readyz").unwrap().0, 200);
}

#[test]
fn commands_about_what_is_not_there_say_so() {
    let lab = Lab::running(&["fr"]).unwrap();
    let fr = lab.party("fr");
    let nobody = "00000000000000000000000000";
    for verb in ["show", "ack", "track"] {
        assert_refused(&fr.valise(&[verb, nobody], b"").unwrap(), 11, "no-such-message");
        assert_eq!(fr.valise(&[verb, "not-an-id"], b"").unwrap().code, 11);
    }
    assert_eq!(fr.valise(&["inbox"], b"").unwrap().code, 0);
    assert_eq!(fr.valise(&["inbox", "--exit-status"], b"").unwrap().code, 10);
    assert_refused(&fr.valise(&["shwo", nobody], b"").unwrap(), 2, "usage");
}
