//! Devices with genuine papers, whose frames make no sense or whose headers lie.

use valise_lab::caller::{Caller, Ending, frames, header, signing_key};
use valise_lab::impostor::{Answer, speak_and_end};
use valise_lab::relay::logged;
use valise_lab::{Lab, eventually};
use valise_proto::header::{Header, SignedHeader};
use valise_proto::refusal::Refusal;
use valise_proto::session::Close;
use valise_proto::signing::Label;

use super::codes;

/// What it is, and what it changes in an honest header.
type Lie<'a> = (&'static str, &'a dyn Fn(&mut Header));

/// An envelope of minustah for br that is as it should be.
fn envelope(lab: &Lab) -> Vec<Vec<u8>> {
    let header = header(lab, "minustah", "br", 0).unwrap();
    frames(&header.sign(&signing_key(lab, "minustah").unwrap()))
}

/// The same, its header with an unknown field behind it: signed, but not the one encoding of what it says.
fn encoded_otherwise(lab: &Lab) -> Vec<u8> {
    let (header, key) = (header(lab, "minustah", "br", 0).unwrap(), signing_key(lab, "minustah").unwrap());
    let longer = [header.sign(&key).bytes(), &[0xfa, 0x01, 0x00][..]].concat();
    let signature = key.sign(Label::Header, &longer);
    frames(&SignedHeader::received(longer.into(), &signature).unwrap()).concat()
}

#[test]
fn frames_of_no_sense_close_their_connection() {
    let mut lab = Lab::running(&["fr", "br", "minustah"]).unwrap();
    lab.party_mut("minustah").stop().unwrap();
    let good = envelope(&lab);
    let (begin, whole) = (good[0].clone(), good.concat());
    let twice_in_one = {
        let inner = &good[2][4..];
        let len = u32::try_from(inner.len() * 2).unwrap().to_be_bytes();
        [&begin[..], &good[1], &len, inner, inner].concat()
    };
    let cases: [(&str, &str, Vec<u8>); 9] = [
        ("of length 0", "FRAME_EMPTY", vec![0; 4]),
        ("of length 2^32 - 1", "FRAME_TOO_LARGE", vec![0xff; 4]),
        ("of length 2^32 - 1 after a good one", "FRAME_TOO_LARGE", [&begin[..], &[0xff; 4]].concat()),
        ("shorter than it says", "FRAME_TRUNCATED", begin[..begin.len() - 1].to_vec()),
        ("a length cut short", "FRAME_TRUNCATED", whole[..begin.len() + 2].to_vec()),
        ("two messages in one", "FRAME_MALFORMED", twice_in_one),
        ("a second end", "TRANSFER_TRAILING", [&whole[..], &good[2]].concat()),
        ("a byte after the end", "FRAME_TRUNCATED", [&whole[..], &[0]].concat()),
        ("a header of another encoding", "TRANSFER_BROKEN", encoded_otherwise(&lab)),
    ];
    for (number, (what, code, bytes)) in cases.iter().enumerate() {
        let mut caller = Caller::greet(&mut lab, "minustah").unwrap();
        caller.writes(bytes, Ending::Finished).unwrap();
        assert_eq!(caller.closed().unwrap(), Answer::Closed(Close::Protocol), "{what}");
        let log = lab.relay().log();
        eventually(&format!("the relay logs {code}"), || Ok(codes(log, "frame-refused").len() > number))
            .unwrap();
        assert_eq!(codes(lab.relay().log(), "frame-refused")[number], *code, "{what}");
    }
    assert_eq!(lab.relay().depth().unwrap(), (0, 0), "something of it was kept");

    // On the control stream, before a word of greeting.
    let cut = [0x00, 0x00, 0x00, 0x08, 0x0a];
    let answer = speak_and_end(&mut lab, "minustah", &cut, Ending::Finished).unwrap();
    assert_eq!(answer, Answer::Closed(Close::Protocol));
    let log = lab.relay().log();
    eventually("the relay logs it", || Ok(codes(log, "frame-refused").len() > cases.len())).unwrap();
    assert_eq!(codes(lab.relay().log(), "frame-refused")[cases.len()], "FRAME_TRUNCATED");
    assert_others_go_on(&mut lab);
}

/// fr and br were here all the time.
fn assert_others_go_on(lab: &mut Lab) {
    lab.party("fr").send(&["br", "--wait", "delivered"], "undisturbed").unwrap();
    let ended = logged(lab.relay().log(), "session-ended").unwrap();
    assert!(ended.iter().all(|line| line["party"] == "minustah"), "{ended:?}");
    lab.party_mut("minustah").start().unwrap();
    lab.party("minustah").send(&["fr", "--wait", "delivered"], "and the rightful one too").unwrap();
}

#[test]
fn what_is_given_up_is_no_fault_and_is_not_kept() {
    let mut lab = Lab::running(&["fr", "br", "minustah"]).unwrap();
    lab.party_mut("minustah").stop().unwrap();
    let good = envelope(&lab);
    let whole = good.concat();
    let mut caller = Caller::greet(&mut lab, "minustah").unwrap();
    caller.writes(&good[0][..good[0].len() - 1], Ending::Reset).unwrap();
    caller.writes(&whole[..whole.len() - 1], Ending::Reset).unwrap();
    caller.writes(&good[..2].concat(), Ending::Finished).unwrap(); // whole frames, and no End among them
    // The same connection goes on, and the whole envelope is taken: it was given up above, not refused.
    caller.writes(&whole, Ending::Finished).unwrap();
    assert_eq!(caller.answered().unwrap(), None);
    assert_eq!(lab.relay().waiting().unwrap(), 1);

    // Given up on the control stream, before the greeting: the device has left.
    let cut = [0x00, 0x00, 0x00, 0x08, 0x0a];
    assert_eq!(speak_and_end(&mut lab, "minustah", &cut, Ending::Reset).unwrap(), Answer::LetGo);
    assert_eq!(codes(lab.relay().log(), "frame-refused"), [""; 0]);
    drop(caller);
    assert_others_go_on(&mut lab);
}

#[test]
fn who_submits_in_anothers_name_is_refused_and_named_in_the_log() {
    let mut lab = Lab::running(&["fr", "br", "minustah"]).unwrap();
    lab.party_mut("minustah").stop().unwrap();
    let (key, key_of_fr) = (signing_key(&lab, "minustah").unwrap(), signing_key(&lab, "fr").unwrap());
    let lies: [Lie<'_>; 4] = [
        ("another party", &|header| {
            header.sender = "fr".parse().unwrap();
            header.sender_device = "gw1".parse().unwrap();
        }),
        ("another device of its own", &|header| header.sender_device = "u2".parse().unwrap()),
        ("a desk that it did not greet for", &|header| header.sender = "minustah/ops".parse().unwrap()),
        ("another's key", &|header| header.sender_key_id = key_of_fr.verify_key().id()),
    ];
    let mut caller = Caller::greet(&mut lab, "minustah").unwrap();
    for (number, (what, lie)) in lies.iter().enumerate() {
        let mut header = header(&lab, "minustah", "br", u32::try_from(number).unwrap()).unwrap();
        lie(&mut header);
        caller.writes(&frames(&header.sign(&key)).concat(), Ending::Finished).unwrap();
        assert_eq!(caller.answered().unwrap(), Some(Refusal::SenderMismatch.code()), "{what}");
    }
    let refused = logged(lab.relay().log(), "submission-refused").unwrap();
    assert_eq!(refused.len(), lies.len());
    for line in refused {
        let named = (line["party"].as_str(), line["device"].as_str(), line["code"].as_str());
        assert_eq!(named, (Some("minustah"), Some("u1"), Some("sender-mismatch")));
    }
    assert_eq!(lab.relay().depth().unwrap(), (0, 0), "something of it was kept");
    assert_eq!(lab.party("fr").status().unwrap()["outbox"]["ended"], 0, "it was told to whom was named");

    // In its own name the same is taken.
    let honest = header(&lab, "minustah", "br", 9).unwrap().sign(&key);
    caller.writes(&frames(&honest).concat(), Ending::Finished).unwrap();
    assert_eq!(caller.answered().unwrap(), None);
    drop(caller);
    assert_others_go_on(&mut lab);
}
