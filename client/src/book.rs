//! Who is who, as this daemon may believe it: roster in force, authors, relay, bundles, and the newest time signed.
//!
//! Judges papers and signatures; opens no envelope and stores nothing but a newer roster.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::time::timeout;
use valise_certs::fault::PaperFault;
use valise_certs::signer::{Signer, verify_signer};
use valise_certs::trust::Trust;
use valise_host::clock::Clock;
use valise_host::keyfile::write_atomic;
use valise_proto::bundle::{Bundle, SignedBundle};
use valise_proto::names::RelayId;
use valise_proto::receipt::{Receipt, SignedReceipt, Speaker};
use valise_proto::roster::SignedRoster;
use valise_proto::wire::{self, ReadError};

/// How long an envelope waits for the roster its author wrote under: the relay hands it over beside it.
const ROSTER_WAIT: Duration = Duration::from_secs(10);

/// Why something that came is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Disbelief {
    /// The certificate of its signer did not come.
    #[error("the certificate of its signer did not come")]
    NoPapers,
    /// The papers of its signer do not hold.
    #[error(transparent)]
    Papers(#[from] PaperFault),
    /// The signature or the form does not hold.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Another speaks than the one who may.
    #[error("it is signed by another than the one it speaks for")]
    Speaker,
}

/// The daemon's book of who is who.
pub struct Book {
    trust: ArcSwap<Trust>,
    kept_roster: PathBuf,
    relay: RelayId,
    clock: Arc<dyn Clock>,
    newest_ms: AtomicU64,
    roster_no: watch::Sender<u64>,
}

impl Book {
    /// With what is trusted now; `newest_ms` is the newest signed time kept on disk.
    pub fn new(
        trust: Trust,
        kept_roster: PathBuf,
        relay: RelayId,
        clock: Arc<dyn Clock>,
        newest_ms: u64,
    ) -> Self {
        let roster_no = watch::Sender::new(trust.roster().number);
        Self {
            roster_no,
            trust: ArcSwap::from_pointee(trust),
            kept_roster,
            relay,
            clock,
            newest_ms: AtomicU64::new(newest_ms),
        }
    }

    /// What is trusted now.
    pub fn trust(&self) -> Arc<Trust> {
        self.trust.load_full()
    }

    /// Waits until a roster of this number or higher is in force, as long as it may take to cross; whether it is
    /// ([P-52]).
    pub async fn has_roster(&self, number: u64) -> bool {
        let mut held = self.roster_no.subscribe();
        let wait = held.wait_for(|held| *held >= number);
        matches!(timeout(ROSTER_WAIT, wait).await, Ok(Ok(_)))
    }

    /// The relay this daemon calls.
    pub fn relay(&self) -> &RelayId {
        &self.relay
    }

    /// Our own clock, Unix milliseconds.
    pub fn own_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// The later of our clock and the newest time a relay signed: what expiry is judged by at this end.
    pub fn now_ms(&self) -> u64 {
        self.own_ms().max(self.newest_ms.load(Ordering::Relaxed))
    }

    /// Notes a time that was signed; whether it is the newest.
    pub fn heard_time(&self, time_ms: u64) -> bool {
        self.newest_ms.fetch_max(time_ms, Ordering::Relaxed) < time_ms
    }

    /// The papers of a signer, judged at a time: the relay's time of acceptance, or now.
    pub fn signer(&self, leaf: &wire::SigningLeaf, at_ms: u64) -> Result<Signer, Disbelief> {
        Ok(verify_signer(&leaf.leaf, &leaf.issuer, &self.trust.load(), at_ms)?)
    }

    /// A statement of the relay itself: its papers, then its signature, then that it speaks as itself.
    pub fn relay_statement(
        &self,
        receipt: &SignedReceipt,
        leaf: &wire::SigningLeaf,
    ) -> Result<Receipt, Disbelief> {
        let at_ms = receipt.claim()?.time_ms;
        let signer = self.signer(leaf, at_ms)?;
        let receipt = receipt.verify(signer.key())?;
        let speaks = signer.relay() == Some(&self.relay) && receipt.by == Speaker::Relay(self.relay.clone());
        if speaks { Ok(receipt) } else { Err(Disbelief::Speaker) }
    }

    /// A statement of a recipient's device about its own mailbox.
    pub fn device_statement(
        &self,
        receipt: &SignedReceipt,
        leaf: &wire::SigningLeaf,
    ) -> Result<Receipt, Disbelief> {
        // A device's clock may be off; its papers are judged now, or then, whichever holds: both are statements
        // under a key that its CA vouched for and the roster does not revoke.
        let signer = self.signer(leaf, self.now_ms()).or_else(|_| {
            let at_ms = receipt.claim()?.time_ms;
            self.signer(leaf, at_ms)
        })?;
        let receipt = receipt.verify(signer.key())?;
        let party = signer.device().map(|device| &device.party);
        match &receipt.by {
            Speaker::Mailbox(mailbox) if Some(&mailbox.party()) == party => Ok(receipt),
            _ => Err(Disbelief::Speaker),
        }
    }

    /// A bundle: the signer's papers now, its signature, and that a device of the mailbox's party signed.
    pub fn bundle(&self, bundle: &SignedBundle) -> Result<Bundle, Disbelief> {
        let (leaf, issuer) = bundle.signer();
        let signer = verify_signer(leaf, issuer, &self.trust.load(), self.now_ms())?;
        let read = bundle.verify(signer.key())?;
        match signer.device() {
            Some(device) if device.party == read.mailbox.party() => Ok(read),
            _ => Err(Disbelief::Speaker),
        }
    }

    /// Takes a roster that the relay holds and we lack; kept on disk before it is in force. True when taken.
    pub fn take_roster(&self, roster: &SignedRoster) -> bool {
        let bytes = roster.to_bytes();
        match self.trust.load().with_newer_roster(bytes.clone(), self.now_ms()) {
            Ok(None) => false,
            Ok(Some(newer)) => {
                if let Err(error) = write_atomic(&self.kept_roster, &bytes, 0o600) {
                    tracing::error!(event = "roster-not-kept", %error);
                    return false;
                }
                tracing::info!(event = "roster-taken", number = newer.roster().number);
                let number = newer.roster().number;
                self.trust.store(Arc::new(newer));
                self.roster_no.send_replace(number);
                true
            }
            Err(fault) => {
                tracing::warn!(event = "roster-rejected", code = fault.code());
                false
            }
        }
    }
}
