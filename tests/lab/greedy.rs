//! A device with genuine papers that takes more than its share: it reserves and never sends, or asks and never reads.
//! Holds on for as long as it lives, so that others can be watched beside it.

use anyhow::Result;
use valise_host::framing::FrameSender;
use valise_proto::header::Part;
use valise_proto::limits::{MESSAGE_CT_MAX, TRANSFERS_MAX, WANTED_MAX};
use valise_proto::signing::{Hash, KeyId, SigningKey};
use valise_proto::transfer;
use valise_proto::wire::{self, frame::Kind};

use crate::caller::{Caller, Ending, frames, header};
use crate::lab::Lab;

/// Frames asked for by a device that reads none: each answer is a bundle, together far more than a window.
const QUESTIONS: usize = 2000;

/// A greeted connection that misbehaves until it is dropped.
pub struct Greedy {
    call: Caller,
    /// Transfers begun and never ended: dropped, they would end.
    begun: Vec<FrameSender>,
}

impl Greedy {
    /// Greets with the papers of a party's device, whose own daemon is to be stopped.
    pub fn greet(lab: &mut Lab, party: &str) -> Result<Self> {
        Ok(Self { call: Caller::greet(lab, party)?, begun: Vec::new() })
    }

    /// Declares as many envelopes of the largest size as it has streams, and sends nothing of them.
    pub fn reserve(&mut self, lab: &Lab, party: &str, to: &str) -> Result<()> {
        let Self { call, begun } = self;
        call.runtime.block_on(async {
            for number in 0..TRANSFERS_MAX {
                let mut header = header(lab, party, to, number)?;
                let ct_len = MESSAGE_CT_MAX - MESSAGE_CT_MAX % 65_552;
                header.parts = vec![Part { ct_len, ct_root: Hash([3; 32]) }];
                let stream = call.connection.open_uni().await?;
                let mut stream = FrameSender::new(stream, 0);
                let signed = header.sign(&SigningKey::from_seed(&[1; 32])); // nobody gets as far as to verify it
                for frame in transfer::opening(number.into(), &signed, None, []) {
                    stream.send(frame).await?;
                }
                begun.push(stream);
            }
            Ok(())
        })
    }

    /// Asks again and again for a mailbox's keys and reads no answer. How many questions the relay took.
    pub fn ask_and_not_read(&mut self, mailbox: &str) -> Result<usize> {
        let control = &mut self.call.control.0;
        self.call.runtime.block_on(async {
            let wanted = wire::WantedBundle { mailbox: mailbox.to_owned(), have_batch: 0 };
            let asked = Kind::WantBundles(wire::WantBundles { wanted: vec![wanted; WANTED_MAX] });
            for number in 0..QUESTIONS {
                let taken =
                    tokio::time::timeout(std::time::Duration::from_secs(1), control.send(asked.clone()));
                if !matches!(taken.await, Ok(Ok(()))) {
                    return Ok(number); // it waits in our own stream, or we were closed
                }
            }
            Ok(QUESTIONS)
        })
    }

    /// Sends a small envelope whose header names a key that was not shown; what the relay says of it.
    pub fn submit_unsigned(&mut self, lab: &Lab, party: &str, to: &str) -> Result<Option<u32>> {
        let mut header = header(lab, party, to, 0)?;
        header.sender_key_id = KeyId([9; 32]);
        let signed = header.sign(&SigningKey::from_seed(&[1; 32]));
        self.call.writes(&frames(&signed).concat(), Ending::Finished)?;
        self.call.answered()
    }
}
