//! Those who are not who they say, and those who are and lie: each is refused with its code, on the wire and in the
//! log; nothing of it is stored or sent, and the rightful party is not disturbed.
//!
//! | who or what comes | shown by |
//! | --- | --- |
//! | no certificate | [`strangers`]: `papers_that_should_not_count_open_no_door` |
//! | an expired one, one that is not valid yet | the same; to the second: `devices.rs`, `a_certificate_holds_within_its_dates` |
//! | self-signed, another root, a root of our root's name | the same; `a_chain_is_leaf_and_ca_up_to_the_pinned_root` |
//! | revoked by its CA's list, revoked by the roster | the same; `a_revoked_key_is_refused_wherever_it_is_listed` |
//! | a party that is in no roster, a CA that is in no roster | the same; `a_ca_that_left_the_roster_speaks_for_nobody` |
//! | wrong usage: for a server, the relay's, for signing | the same; `a_certificate_serves_the_one_purpose_it_was_made_for` |
//! | another application protocol, TLS 1.2 | the same |
//! | early data | [`strangers`]: `what_is_said_before_the_handshake_is_over_is_never_heard` |
//! | genuine papers behind another's name | [`strangers`]: `papers_of_its_own_do_not_open_anothers_name` |
//! | a relay of another name, root, date, usage or CA | [`relays`]: `a_false_relay_is_told_nothing_and_the_true_one_gets_it_all` |
//! | a frame of length 0, of 2^32 - 1 | [`frames`]: `frames_of_no_sense_close_their_connection`; before a greeting: `bad_input` |
//! | a frame shorter than its length, then the end or a reset | [`frames`]: the same, and `what_is_given_up_is_no_fault_and_is_not_kept` |
//! | something after a message | [`frames`]: `frames_of_no_sense_close_their_connection` |
//! | a header that names another author than the certificate | [`frames`]: `who_submits_in_anothers_name_is_refused_and_named_in_the_log` |
//! | one bit flipped, any bit of an envelope | `open/tests.rs`, `whatever_bit_is_flipped_the_outside_hears_the_same_word` |
//! | the same through a relay, field by field | [`envelopes`]: `what_the_relay_alters_is_never_shown_and_its_author_hears_one_word`; `flipped_byte` |
//! | the same envelope again: at once, after a day, after a store was lost | [`envelopes`]: `a_replay_is_shown_once_and_stated_again` |
//! | an envelope for another | [`envelopes`]: `what_is_handed_to_another_is_not_for_it` |
//!
//! `devices.rs` is in `certs/mint/src/matrix_tests`, `open/tests.rs` in `proto/seal/src`.

use std::path::Path;

use valise_lab::relay::logged;

mod envelopes;
mod frames;
mod relays;
mod strangers;

/// The codes of an event in a program's log, in their order.
fn codes(log: &Path, event: &str) -> Vec<String> {
    let lines = logged(log, event).unwrap();
    lines.iter().map(|line| line["code"].as_str().unwrap_or_default().to_owned()).collect()
}
