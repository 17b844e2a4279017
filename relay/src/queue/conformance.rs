//! The contract of a queue as stories. A backend that passes all of them is a queue; one list serves all backends.
//!
//! `conformance!(lab)` writes the tests of one backend. Tells nothing of how a backend does it.

use super::Queue;

pub(crate) mod cast;
pub(crate) mod keeping;
pub(crate) mod placing;
pub(crate) mod quotas;
pub(crate) mod settling;

/// Where a backend is tried: opened, closed and opened again over the same disk. Its stamp is [`cast::stamp`].
pub(crate) trait Lab {
    /// The backend.
    type Queue: Queue;
    /// Opens it over what the last one left.
    fn open(&self) -> Self::Queue;
    /// Closes it; everything acknowledged is on the disk.
    async fn close(&self, queue: Self::Queue);
}

/// All stories, as tests of one backend.
macro_rules! conformance {
    ($lab:expr) => {
        conformance! { $lab =>
            placing {
                the_highest_precedence_goes_first_then_the_lowest_number,
                what_waits_behind_the_more_urgent_is_seen_too,
                a_retry_has_the_same_answer_even_after_a_restart,
                an_id_is_bound_to_its_bytes_and_to_its_device,
                a_recipient_without_a_wrap_waits_for_it,
                a_retry_brings_wraps_that_were_missing,
                a_late_wrap_replaces_the_one_before,
                late_wraps_without_ground_change_nothing,
                an_envelope_comes_out_as_it_went_in,
                envelopes_of_one_group_have_proofs_of_their_own,
                an_envelope_for_nobody_is_proven_and_not_kept,
            }
            settling {
                delivered_lets_go_and_reaches_the_author,
                the_body_stays_until_the_last_recipient_has_it,
                each_statement_is_kept_once_and_late_ones_still_arrive,
                a_statement_without_ground_is_not_kept,
                a_bad_end_lets_go_too,
                what_runs_out_of_time_is_reported,
                the_author_of_many_is_told_once_and_bounds_are_kept,
                delivery_wins_over_an_expiry_that_came_first,
                what_no_replay_can_bring_back_is_forgotten,
                a_number_is_never_given_twice,
            }
            keeping {
                receipts_come_oldest_first_to_their_own_device,
                only_a_newer_bundle_is_kept,
                a_renewed_certificate_replaces_the_one_before,
                a_restart_keeps_everything,
                the_depth_is_what_is_held,
                the_outlook_names_what_waits_longest_and_what_runs_out_first,
                a_census_counts_by_precedence_and_names_the_fullest_mailboxes,
            }
            quotas {
                a_mailbox_is_full_to_the_entry_and_to_the_byte_even_after_a_restart,
                a_retry_of_what_is_stored_is_never_refused,
                a_full_mailbox_takes_what_others_with_room_get_too,
                a_sender_is_charged_for_each_recipient_and_once_for_the_bytes,
                what_ends_makes_room_again_however_it_ends,
                the_last_place_is_given_once,
                what_is_urgent_finds_a_tenth_left,
                a_quota_that_was_lowered_takes_nothing_until_enough_has_gone,
            }
        }
    };
    ($lab:expr => $($room:ident { $($story:ident,)+ })+) => {
        $(
            mod $room {
                use super::*;
                $(
                    #[tokio::test]
                    async fn $story() {
                        crate::queue::conformance::$room::$story(&$lab).await;
                    }
                )+
            }
        )+
    };
}
pub(crate) use conformance;
