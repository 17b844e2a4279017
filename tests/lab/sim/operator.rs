//! The people of a run: they ask their desk, ask again when the daemon died before it answered, and believe what they
//! are told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;
use valise_client::answer::{InboxLine, State};
use valise_client::contract::{Compose, Desk};
use valise_client::desk::RealDesk;
use valise_client::exit::DeskError;
use valise_host::exit::ExitCode;
use valise_proto::kinds::Precedence;
use valise_proto::names::MessageId;

use super::machine::locked;
use super::model::Model;
use super::node::Seat;

/// Before an operator asks again.
const AGAIN: Duration = Duration::from_millis(150);

/// What is asked of a desk.
#[derive(Clone)]
enum Question {
    Send(Compose),
    Inbox,
    Show(MessageId),
    Acknowledge(MessageId),
}

enum Answer {
    Sent(Option<MessageId>),
    Inbox(Vec<InboxLine>),
    Done,
}

async fn answer(desk: Arc<RealDesk>, question: Question) -> Result<Answer, DeskError> {
    match question {
        Question::Send(compose) => desk.send(compose).await.map(|sent| Answer::Sent(sent.id.parse().ok())),
        Question::Inbox => desk.inbox(None).await.map(Answer::Inbox),
        Question::Show(id) => desk.show(id).await.map(|_| Answer::Done),
        Question::Acknowledge(id) => desk.ack(id, 0).await.map(|_| Answer::Done),
    }
}

/// Someone at a party's desk.
#[derive(Clone)]
pub struct Operator {
    party: &'static str,
    seat: Arc<Seat>,
    model: Arc<Mutex<Model>>,
}

impl Operator {
    /// At this party's desk.
    pub fn new(party: &'static str, seat: Arc<Seat>, model: Arc<Mutex<Model>>) -> Self {
        Self { party, seat, model }
    }

    /// Asks until there is an answer: a daemon that is away or dies is asked again.
    async fn ask(&self, question: &Question) -> Result<Answer, DeskError> {
        loop {
            let (desk, gone) = self.seat.desk().await;
            let answer = gone.run_until_cancelled_owned(answer(desk, question.clone())).await;
            match answer {
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(error)) if !passes(&error) => return Err(error),
                _ => sleep(AGAIN).await,
            }
        }
    }

    /// Sends what was asked under this number; the same request each time it is repeated.
    pub async fn send(self, number: u64, precedence: Precedence) {
        let asked = locked(&self.model).asked(number).clone();
        let compose = Compose {
            to: asked.to.iter().map(|to| (*to).to_owned()).collect(),
            info: Vec::new(),
            precedence: Some(precedence),
            subject: Some(format!("request {number}")),
            body: Bytes::from(asked.body),
            attachments: Vec::new(),
            idempotency: Some(format!("{}-{number}", self.party)),
        };
        let sent = self.ask(&Question::Send(compose)).await;
        let mut model = locked(&self.model);
        match sent {
            Ok(Answer::Sent(Some(id))) => model.answered(number, id),
            Ok(_) => model.fault(format!("{} was answered with no id", self.party)),
            Err(error) => model.fault(format!("{} may not send: {error}", self.party)),
        }
    }

    /// Opens or acknowledges the oldest message that has not come so far.
    pub async fn handle(self, rung: State) {
        let Ok(Answer::Inbox(lines)) = self.ask(&Question::Inbox).await else { return };
        let next = lines.into_iter().find(|line| line.state < rung);
        let Some(id) = next.and_then(|line| line.id.parse::<MessageId>().ok()) else { return };
        let question =
            if rung == State::Acknowledged { Question::Acknowledge(id) } else { Question::Show(id) };
        let done = self.ask(&question).await;
        let mut model = locked(&self.model);
        match done {
            Ok(_) => model.climbed(self.party, id, rung),
            Err(error) => model.fault(format!("{} cannot go on with a message: {error}", self.party)),
        }
    }
}

/// Whether an error ends with the daemon that gave it.
fn passes(error: &DeskError) -> bool {
    matches!(error.exit, ExitCode::Store | ExitCode::TryLater | ExitCode::Internal)
}
