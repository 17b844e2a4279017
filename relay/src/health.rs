//! How the relay stands: is everything there that it needs, does it do its work, and what runs out next. Judges, and
//! answers nobody itself: the page and the administrator's door do.
//!
//! A certificate or list that runs out makes ready yellow, never dead: a restart would not mend it.

use std::sync::{Arc, Weak};

use serde::Serialize;
use valise_certs::crl::CrlState;
use valise_certs::leaf::Leaf;
use valise_proto::limits::DAY_MS;

use crate::disk::Level;
use crate::hub::Hub;
use crate::queue::{Depth, Outlook, Queue, QueueError};

/// A relay certificate with less left is shown as a warning: it lives 30 days and is due at a third.
const CERTIFICATE_WARN_MS: u64 = 10 * DAY_MS;

/// How a check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Colour {
    /// As it should be.
    Green,
    /// Works, and needs a person soon.
    Yellow,
    /// Does not work.
    Red,
}

/// One thing looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Which.
    pub name: &'static str,
    /// How it stands.
    pub state: Colour,
    /// One sentence.
    pub detail: String,
}

/// Something that runs out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// `entry`, `tls-certificate`, `signing-certificate` or `revocation-list`.
    pub what: &'static str,
    /// Whose list; empty for all else.
    pub owner: String,
    /// Unix milliseconds; 0 = it is missing.
    pub at_ms: u64,
}

/// The relay seen from outside. Does not keep it: a relay that has ended is gone for whoever looks.
pub struct View<Q> {
    hub: Weak<Hub<Q>>,
    tls_ends_ms: u64,
    started_ms: u64,
}

/// The relay at one moment.
pub struct Sight<Q> {
    /// Itself.
    pub hub: Arc<Hub<Q>>,
    /// When it was started, Unix milliseconds.
    pub started_ms: u64,
    /// When it was looked at, Unix milliseconds.
    pub now_ms: u64,
    /// What the queue holds.
    pub depth: Result<Depth, QueueError>,
    /// What waits longest there, and what runs out first.
    pub outlook: Outlook,
    tls_ends_ms: u64,
}

impl<Q: Queue> View<Q> {
    /// Of a relay whose TLS certificate ends then.
    pub fn new(hub: &Arc<Hub<Q>>, tls_ends_ms: u64) -> Self {
        Self { hub: Arc::downgrade(hub), tls_ends_ms, started_ms: hub.now_ms() }
    }

    /// Looks; none when the relay has ended.
    pub async fn look(&self) -> Option<Sight<Q>> {
        let hub = self.hub.upgrade()?;
        let depth = hub.noted(hub.queue().depth().await);
        // Damage of one row shows in the log, and the rest is worth seeing.
        let outlook = hub.noted(hub.queue().outlook().await).unwrap_or_default();
        let (started_ms, tls_ends_ms, now_ms) = (self.started_ms, self.tls_ends_ms, hub.now_ms());
        Some(Sight { hub, started_ms, now_ms, depth, outlook, tls_ends_ms })
    }
}

impl<Q: Queue> Sight<Q> {
    /// All checks.
    pub fn checks(&self) -> Vec<Check> {
        vec![self.store(), self.disk(), self.certificate(), self.revocation(), self.serving()]
    }

    /// End of the TLS certificate, Unix milliseconds.
    pub fn tls_ends_ms(&self) -> u64 {
        self.tls_ends_ms
    }

    /// End of the certificate that signs receipts, Unix milliseconds.
    pub fn signing_ends_ms(&self) -> u64 {
        Leaf::read(&self.hub.signer().leaf).map_or(0, |leaf| leaf.not_after_ms())
    }

    /// Everything that runs out, what is missing first, then the earliest.
    pub fn expiries(&self) -> Vec<Expiry> {
        let of = |what, at_ms| Expiry { what, owner: String::new(), at_ms };
        let lists = self.hub.trust().crl_status(self.now_ms);
        let mut all: Vec<Expiry> = lists
            .into_iter()
            .map(|list| Expiry { what: "revocation-list", owner: list.owner, at_ms: list.next_update_ms })
            .collect();
        all.push(of("tls-certificate", self.tls_ends_ms));
        all.push(of("signing-certificate", self.signing_ends_ms()));
        all.extend(self.outlook.next_expiry_ms.map(|at_ms| of("entry", at_ms)));
        all.sort_by_key(|expiry| expiry.at_ms);
        all
    }

    fn store(&self) -> Check {
        let (state, detail) = match &self.depth {
            Ok(depth) => {
                (Colour::Green, format!("{} entries, {} receipts wait", depth.entries, depth.receipts))
            }
            Err(error) => (Colour::Red, error.to_string()),
        };
        Check { name: "store", state, detail }
    }

    fn disk(&self) -> Check {
        let disk = self.hub.disk();
        let (state, taken) = match disk.level() {
            Level::Ample => (Colour::Green, "all is taken"),
            Level::Low => (Colour::Yellow, "nothing below priority is taken; make room"),
            Level::Scarce => (Colour::Yellow, "nothing below flash is taken; make room"),
            Level::Exhausted => (Colour::Red, "no submission is taken; make room"),
        };
        let room = disk.room().map_or_else(
            || "it does not say how much is free".to_owned(),
            |room| format!("{} MiB of {} MiB are free", room.free >> 20, room.whole >> 20),
        );
        Check { name: "disk", state, detail: format!("{room}: {taken}") }
    }

    /// The certificate that ends first: without the one nobody connects, without the other no receipt is believed.
    fn certificate(&self) -> Check {
        let (tls, signing) = (self.tls_ends_ms, self.signing_ends_ms());
        let (which, ends) =
            if signing < tls { ("receipt-signing certificate", signing) } else { ("certificate", tls) };
        let (state, detail) = match ends.saturating_sub(self.now_ms) {
            0 => (Colour::Red, format!("the relay's {which} has expired; renew it")),
            left if left < CERTIFICATE_WARN_MS => {
                (Colour::Yellow, format!("the {which} expires in {} days; renew it", left / DAY_MS))
            }
            left => (Colour::Green, format!("expires in {} days", left / DAY_MS)),
        };
        Check { name: "certificate", state, detail }
    }

    fn revocation(&self) -> Check {
        let late = late_lists(&self.hub);
        let state = if late.is_empty() { Colour::Green } else { Colour::Yellow };
        let detail = if late.is_empty() {
            "all within their dates".to_owned()
        } else {
            format!("late or missing: {}", late.join(", "))
        };
        Check { name: "revocation", state, detail }
    }

    fn serving(&self) -> Check {
        let (sessions, roster) = (self.hub.connected(), self.hub.trust().roster().number);
        let (state, detail) = if self.hub.is_draining() {
            (Colour::Red, format!("draining: {sessions} sessions are still here"))
        } else {
            (Colour::Green, format!("{sessions} sessions, roster {roster}"))
        };
        Check { name: "serving", state, detail }
    }
}

/// The worst of some checks.
pub fn worst(checks: &[Check]) -> Colour {
    checks.iter().map(|check| check.state).max().unwrap_or(Colour::Red)
}

/// Owners whose revocation list is past its date or missing.
pub fn late_lists<Q: Queue>(hub: &Hub<Q>) -> Vec<String> {
    let all = hub.trust().crl_status(hub.now_ms());
    all.into_iter().filter(|one| one.state != CrlState::Fresh).map(|one| one.owner).collect()
}
