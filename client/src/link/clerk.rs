//! Does, in their order, what the relay told us: certificates before what they judge, refusals before acceptances.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use valise_proto::session::device::{Action, Event};
use valise_proto::wire;

use crate::answers;
use crate::office::{Office, OfficeError};

/// What the clerk does with one action, and the event that answers the relay. `naps` ring when it is time to try again.
pub(super) async fn clerk(
    office: &Arc<Office>,
    action: Action,
    leaf: &wire::SigningLeaf,
    naps: &mut JoinSet<()>,
) -> Result<Option<Event>, OfficeError> {
    match action {
        Action::Accepted(id, relayed) => {
            answers::accepted(office, id, *relayed, leaf).await?;
            return Ok(Some(Event::Over(id)));
        }
        Action::Refused(id, code, retry, statement) => {
            answers::refused(office, id, code, retry, statement.map(|one| *one), leaf).await?;
            while naps.try_join_next().is_some() {}
            if retry > 0 {
                let office = Arc::clone(office);
                naps.spawn(async move {
                    sleep(Duration::from_millis(u64::from(retry))).await;
                    office.bells.outbox.notify_one();
                    office.bells.late_wraps.notify_one();
                });
            }
            return Ok(Some(Event::Over(id)));
        }
        Action::Note(receipts) => {
            return Ok(Some(Event::Noted(answers::note(office, receipts, leaf).await?)));
        }
        Action::KeepLeaf(leaf) => answers::leaf(office, leaf),
        Action::TakeBundle(bundle) => answers::bundle(office, *bundle).await?,
        Action::StatementsTaken(ids) => {
            let taken = ids.clone();
            office.write(move |boxes| boxes.statements_taken(&taken)).await?;
            return Ok(Some(Event::StatementsOver(ids)));
        }
        Action::BundleTaken(mailbox, batch) => {
            office.write(move |boxes| boxes.bundle_published(&mailbox, batch)).await?;
        }
        Action::TakeRoster(roster) => {
            office.book.take_roster(&roster);
        }
        other => unreachable!("{other:?} is not the clerk's"),
    }
    Ok(None)
}
