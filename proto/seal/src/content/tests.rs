//! Stories of the content: what was written is what is read, and there is one way to write it.

use proptest::prelude::*;

use super::*;
use crate::testing::{file, text};

fn reread(message: &Message) -> Result<Message, ContentError> {
    Message::from_parts(message.to_parts())
}

/// The parts of a message after a change to its wire form.
fn changed(message: &Message, change: impl FnOnce(&mut wire::Message)) -> Vec<Bytes> {
    let mut parts = message.to_parts();
    let content: wire::Content = canonical(parts[0].clone()).unwrap();
    let mut inner: wire::Message = canonical(content.payload).unwrap();
    change(&mut inner);
    parts[0] = wire::encode(&wire::Content { encoding: 0, payload: wire::encode(&inner) });
    parts
}

#[test]
fn a_full_message_comes_back() {
    let message = text(b"See the annex.")
        .with_lang("fr-FR")
        .unwrap()
        .answering(MessageId::new([3; 16]))
        .attach(file("../annex.pdf", vec![1; 70_000]))
        .unwrap()
        .attach(file("empty", vec![]))
        .unwrap();
    let parts = message.to_parts();
    assert_eq!(parts.len(), 3);
    assert_eq!(Message::from_parts(parts).unwrap(), message);
    assert_eq!(message.attachments()[0].name(), "../annex.pdf", "a name is kept as it was given");
}

#[test]
fn a_body_too_large_for_the_content_travels_as_a_part() {
    let body = |len: usize| Message::new(TypeName::text(), "", vec![7; len].into()).unwrap();
    let inline = body(l::BODY_INLINE_MAX);
    assert_eq!(inline.to_parts().len(), 1);
    assert_eq!(reread(&inline).unwrap(), inline);
    let apart = body(l::BODY_INLINE_MAX + 1).attach(file("a", vec![1])).unwrap();
    let parts = apart.to_parts();
    assert_eq!(parts.len(), 3);
    assert!(parts[0].len() < 200);
    assert_eq!(reread(&apart).unwrap(), apart);
}

#[test]
fn bounds_are_kept() {
    let new = |subject: &str| Message::new(TypeName::text(), subject, Bytes::new());
    assert!(new(&"x".repeat(512)).is_ok());
    assert_eq!(new(&"x".repeat(513)), Err(ContentError::Subject));
    assert_eq!(TypeName::new("Red"), Err(ContentError::Type));
    assert_eq!(text(b"").with_lang(&"x".repeat(36)), Err(ContentError::Lang));
    assert_eq!(Attachment::new("", "", Bytes::new()), Err(ContentError::FileName));
    assert_eq!(Attachment::new(&"x".repeat(256), "", Bytes::new()), Err(ContentError::FileName));
    assert_eq!(Attachment::new("a", &"x".repeat(128), Bytes::new()), Err(ContentError::MediaType));
    let max = usize::try_from(l::MESSAGE_MAX).unwrap();
    let large = text(b"1").attach(file("a", vec![0; max]));
    assert_eq!(large, Err(ContentError::TooLarge));
    let mut full = text(b"");
    for _ in 0..l::ATTACHMENTS_MAX {
        full = full.attach(file("a", vec![])).unwrap();
    }
    assert_eq!(full.attach(file("a", vec![])), Err(ContentError::TooMany));
}

#[test]
fn parts_must_be_those_that_the_message_names() {
    let message = text(b"x").attach(file("a", vec![1])).unwrap().attach(file("b", vec![2])).unwrap();
    let refused = |parts: Vec<Bytes>| assert_eq!(Message::from_parts(parts), Err(ContentError::Parts));
    let mut swapped = message.to_parts();
    swapped.swap(1, 2);
    refused(swapped);
    refused(message.to_parts()[..2].to_vec());
    refused([message.to_parts(), vec![Bytes::new()]].concat());
    refused(vec![]);
    refused(changed(&message, |m| m.attachments[0].part = 2));
    refused(changed(&message, |m| m.attachments[0].bytes = 2));
    refused(changed(&message, |m| m.attachments[0].sha256 = Bytes::from_static(&[0; 32])));
    refused(changed(&message, |m| m.body_part = 1)); // and a body inside as well
    refused(changed(&message, |m| m.body_part = 2));
}

#[test]
fn a_second_encoding_is_refused() {
    let message = text(b"x");
    let doubled = {
        let part = &message.to_parts()[0];
        vec![[&part[..], part].concat().into()]
    };
    let packed = vec![wire::encode(&wire::Content { encoding: 1, payload: Bytes::new() })];
    let small_apart = changed(&text(b""), |m| m.body_part = 1);
    let small_apart = [small_apart, vec![Bytes::from_static(b"x")]].concat();
    let upper = changed(&message, |m| m.in_reply_to = MessageId::new([255; 16]).to_string().to_uppercase());
    for parts in [doubled, packed, small_apart, upper, vec![Bytes::from_static(&[0xff])]] {
        assert_eq!(Message::from_parts(parts), Err(ContentError::Malformed));
    }
    let crowd = changed(&message, |m| {
        m.attachments = vec![wire::Attachment::default(); l::ATTACHMENTS_MAX + 1];
    });
    assert_eq!(Message::from_parts(crowd), Err(ContentError::Malformed), "counted before it is decoded");
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let bytes = Bytes::from(bytes);
        if let Ok(message) = Message::from_parts(vec![bytes.clone()]) {
            prop_assert_eq!(&message.to_parts()[0], &bytes);
        }
    }
}
