//! The reference: what a correct exchange has delivered by now, in as few words as possible. Knows nothing of sessions,
//! stores or links; is told what operators did and were answered, and judges what they see.

use std::collections::BTreeMap;

use valise_client::answer::State;
use valise_proto::names::MessageId;

/// A message that an operator asked to send.
#[derive(Clone, Debug)]
pub struct Asked {
    /// By whom.
    pub from: &'static str,
    /// For whom.
    pub to: Vec<&'static str>,
    /// The body; no other message has the same.
    pub body: Vec<u8>,
    /// The id, once it was answered: from then on it must arrive.
    pub id: Option<MessageId>,
}

/// What was asked and answered in a run.
#[derive(Clone, Debug, Default)]
pub struct Model {
    asked: BTreeMap<u64, Asked>,
    // How far each recipient's operator went with a message, as the desk answered.
    rungs: BTreeMap<(MessageId, &'static str), State>,
    faults: Vec<String>,
}

impl Model {
    /// An operator asks; the number names the request, through all repetitions.
    pub fn ask(&mut self, from: &'static str, to: &[&'static str], bytes: usize) -> u64 {
        let number = self.asked.len() as u64;
        let mark = format!("message {number} of {from}\n");
        let body = mark.bytes().chain(std::iter::repeat(b'.')).take(bytes.max(mark.len())).collect();
        self.asked.insert(number, Asked { from, to: to.to_vec(), body, id: None });
        number
    }

    /// What was asked under this number.
    pub fn asked(&self, number: u64) -> &Asked {
        &self.asked[&number]
    }

    /// The desk answered a request.
    pub fn answered(&mut self, number: u64, id: MessageId) {
        let asked = self.asked.get_mut(&number).expect("invariant: only what was asked is answered");
        match asked.id.replace(id) {
            Some(before) if before != id => {
                self.faults.push(format!("request {number} was answered with two messages"));
            }
            _ => {}
        }
    }

    /// The desk answered that its operator opened or acknowledged a message.
    pub fn climbed(&mut self, party: &'static str, id: MessageId, state: State) {
        let rung = self.rungs.entry((id, party)).or_insert(state);
        *rung = (*rung).max(state);
    }

    /// All requests.
    pub fn requests(&self) -> impl Iterator<Item = &Asked> {
        self.asked.values()
    }

    /// Whether every request was answered.
    pub fn all_answered(&self) -> bool {
        self.asked.values().all(|asked| asked.id.is_some())
    }

    /// The rung that a recipient must have reached in the end.
    pub fn due(&self, id: MessageId, party: &'static str) -> State {
        self.rungs.get(&(id, party)).copied().unwrap_or(State::Delivered)
    }

    /// Messages that must lie in a party's inbox in the end, by id.
    pub fn inbox_due(&self, party: &str) -> BTreeMap<MessageId, &Asked> {
        let mine = self.asked.values().filter(|asked| asked.to.contains(&party));
        mine.filter_map(|asked| asked.id.map(|id| (id, asked))).collect()
    }

    /// Notes what no correct exchange does.
    pub fn fault(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.faults.contains(&what) {
            self.faults.push(what);
        }
    }

    /// What was found.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Compares a party's inbox with what it must hold: lost, doubled. What nobody sent is a fault of its own.
    pub fn judge_inbox(&mut self, party: &'static str, inbox: &[MessageId]) -> (u64, u64) {
        let due: Vec<MessageId> = self.inbox_due(party).into_keys().collect();
        let (mut lost, mut doubled) = (0, 0);
        for id in &due {
            match inbox.iter().filter(|held| *held == id).count() {
                0 => lost += 1,
                1 => {}
                _ => doubled += 1,
            }
        }
        let strange = inbox.iter().filter(|held| !due.contains(held)).count();
        if lost > 0 {
            self.fault(format!("{party} never got {lost} of its messages"));
        }
        if doubled > 0 {
            self.fault(format!("{party} has {doubled} messages twice"));
        }
        if strange > 0 {
            self.fault(format!("{party} has {strange} messages that no operator was answered for"));
        }
        (lost, doubled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> MessageId {
        MessageId::try_from(&[byte; 16][..]).unwrap()
    }

    #[test]
    fn what_was_answered_must_come_once_and_nothing_else() {
        let mut model = Model::default();
        let first = model.ask("fr", &["br"], 100);
        model.answered(first, id(1));
        assert_eq!(model.judge_inbox("br", &[id(1)]), (0, 0));
        assert!(model.faults().is_empty());
        assert_eq!(model.judge_inbox("br", &[]), (1, 0));
        assert_eq!(model.judge_inbox("br", &[id(1), id(1), id(9)]), (0, 1));
        assert_eq!(model.faults().len(), 3);
    }

    #[test]
    fn a_request_has_one_message_however_often_it_is_repeated() {
        let mut model = Model::default();
        let only = model.ask("fr", &["br"], 1);
        assert!(!model.all_answered());
        model.answered(only, id(1));
        model.answered(only, id(1));
        assert!(model.all_answered() && model.faults().is_empty());
        model.answered(only, id(2));
        assert_eq!(model.faults().len(), 1);
    }
}
