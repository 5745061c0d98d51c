//! One milter's part in one session.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::milter::{Answer, BODY_BYTES_MAX, Change, Command, Wish};
use crate::net::milter::MilterError;
use crate::observe::Observer;
use crate::policy::limits;
use crate::policy::milter::{Milter, NewBody, Ruling, presented};
use crate::session::receive::MilterWord;

use super::super::inspection::Held;
use super::client::Client;
use super::gate::{Gate, Link, NoLink};
use super::party::Means;

pub struct Seat {
    pub milter: Arc<Milter>,
    gate: Arc<Gate>,
    link: Option<Link>,
    /// What the client was when the link heard of it.
    greeted: Option<String>,
    /// Its last word on the session.
    on_session: Option<Ruling>,
    /// Its last word on the message in hand.
    on_message: Option<MilterWord>,
    /// MAIL was said, and the message has not come to its end.
    is_open: bool,
}

/// Content that is shown to a milter.
pub struct Shown<'a> {
    /// Our header section, without the empty line.
    pub head: &'a [u8],
    pub held: &'a mut Held,
    /// Where in `held` the body begins.
    pub body_from: u64,
}

/// What came of showing it.
pub struct Seen {
    pub word: MilterWord,
    pub quarantine: Option<String>,
    pub changes: Vec<Change>,
    pub keeps_blank: bool,
    pub body: Option<Vec<u8>>,
}

/// Why a milter had no say.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("{0}")]
    Link(#[from] NoLink),
    #[error("{0}")]
    Body(#[from] crate::policy::milter::BodyFault),
    #[error("the message cannot be read: {0}")]
    Held(std::io::Error),
    #[error("it and those before it took too long over one message")]
    Late,
}

impl From<MilterError> for NoAnswer {
    fn from(error: MilterError) -> Self {
        Self::Link(NoLink::Milter(error))
    }
}

impl NoAnswer {
    /// The connection is gone, rather than the milter slow or wrong.
    fn is_of_the_connection(&self) -> bool {
        matches!(self, Self::Link(NoLink::Milter(MilterError::Closed(_) | MilterError::Broken(_))))
    }
}

impl Seat {
    pub fn new(milter: Arc<Milter>, gate: Arc<Gate>) -> Self {
        Self { milter, gate, link: None, greeted: None, on_session: None, on_message: None, is_open: false }
    }

    /// A message begins; what it says unless it is content.
    pub async fn sender(
        &mut self,
        client: &Client,
        mail: &Command<'_>,
        means: &Means<'_>,
    ) -> Option<MilterWord> {
        self.on_message = None;
        if let Some(ruling) = self.on_session.clone() {
            return self.conclude(ruling);
        }
        let was_linked = self.link.is_some();
        let mut answer = self.try_sender(client, mail, means.change_bytes_max).await;
        // A milter may close what was idle between two messages.
        if was_linked && answer.as_ref().is_err_and(NoAnswer::is_of_the_connection) {
            self.unlink();
            answer = self.try_sender(client, mail, means.change_bytes_max).await;
        }
        match answer {
            Ok(ruling) => self.conclude(ruling),
            Err(error) => self.fail(&error, means.observer),
        }
    }

    async fn try_sender(
        &mut self,
        client: &Client,
        mail: &Command<'_>,
        change_bytes_max: usize,
    ) -> Result<Ruling, NoAnswer> {
        if self.link.is_none() {
            self.link = Some(self.gate.open(change_bytes_max).await?);
            let connect = Command::Connect {
                host: &client.host,
                address: client.remote.ip(),
                port: client.remote.port(),
            };
            if let Some(ruling) = self.of_session(&connect, client).await? {
                return Ok(ruling);
            }
        }
        if std::mem::take(&mut self.is_open) {
            self.ask(&Command::Abort, client, self.milter.command_timeout, &mut Vec::new()).await?;
        }
        if self.greeted.as_ref() != Some(&client.greeting) {
            if let Some(ruling) = self.of_session(&Command::Helo(&client.helo), client).await? {
                return Ok(ruling);
            }
            self.greeted = Some(client.greeting.clone());
        }
        self.is_open = true;
        self.ask(mail, client, self.milter.command_timeout, &mut Vec::new()).await
    }

    /// CONNECT or HELO: a last word on them holds for all messages of the session.
    async fn of_session(
        &mut self,
        command: &Command<'_>,
        client: &Client,
    ) -> Result<Option<Ruling>, NoAnswer> {
        let ruling = self.ask(command, client, self.milter.command_timeout, &mut Vec::new()).await?;
        if ruling == Ruling::GoOn {
            return Ok(None);
        }
        self.on_session = Some(ruling.clone());
        Ok(Some(ruling))
    }

    /// What it says of a recipient, unless it is content.
    pub async fn recipient(
        &mut self,
        client: &Client,
        rcpt: &Command<'_>,
        observer: &Observer,
    ) -> Option<MilterWord> {
        if self.on_message.is_some() {
            return None;
        }
        match self.ask(rcpt, client, self.milter.command_timeout, &mut Vec::new()).await {
            // Of this recipient only.
            Ok(Ruling::Refuse(reply)) => Some(self.word(Ruling::Refuse(reply))),
            Ok(ruling) => self.conclude(ruling),
            Err(error) => self.fail(&error, observer),
        }
    }

    /// What it makes of the content, if it comes to that by `until`.
    ///
    /// # Errors
    /// When the content cannot be read.
    pub async fn content(
        &mut self,
        client: &Client,
        shown: Shown<'_>,
        until: Instant,
        observer: &Observer,
    ) -> std::io::Result<Seen> {
        if let Some(word) = &self.on_message {
            return Ok(Seen::of(word.clone()));
        }
        let mut said = Vec::new();
        let tried = timeout_at(until, self.try_content(client, shown, &mut said)).await;
        match tried.unwrap_or(Err(NoAnswer::Late)) {
            Ok(ruling) => match self.seen(ruling, said) {
                Ok(seen) => {
                    self.gate.works(observer);
                    Ok(seen)
                }
                Err(error) => Ok(self.failed(&error, observer)),
            },
            Err(NoAnswer::Held(error)) => Err(error),
            Err(error) => Ok(self.failed(&error, observer)),
        }
    }

    async fn try_content(
        &mut self,
        client: &Client,
        shown: Shown<'_>,
        said: &mut Vec<Wish>,
    ) -> Result<Ruling, NoAnswer> {
        let wait = self.milter.content_timeout;
        let mut ruling = self.ask(&Command::Data, client, wait, said).await?;
        for (name, value) in presented(shown.head) {
            if ruling != Ruling::GoOn {
                return Ok(ruling);
            }
            let header = Command::Header { name, value };
            let answer = self.answer(&header, client, wait, said).await?;
            if answer == Some(Answer::Skip) {
                break;
            }
            ruling = answer.map_or(Ruling::GoOn, |answer| Ruling::of(&answer));
        }
        if ruling == Ruling::GoOn {
            ruling = self.ask(&Command::EndOfHeader, client, wait, said).await?;
        }
        if ruling == Ruling::GoOn {
            ruling = self.body(client, shown, said).await?;
        }
        if ruling == Ruling::GoOn {
            ruling = self.ask(&Command::EndOfMessage, client, wait, said).await?;
            self.is_open = false;
        }
        Ok(ruling)
    }

    async fn body(
        &mut self,
        client: &Client,
        shown: Shown<'_>,
        said: &mut Vec<Wish>,
    ) -> Result<Ruling, NoAnswer> {
        if !self.link.as_ref().is_some_and(|link| link.connection.hears(&Command::Body(&[]))) {
            return Ok(Ruling::GoOn);
        }
        let mut from = shown.body_from;
        let wait = self.milter.content_timeout;
        loop {
            let piece = shown.held.piece(from, BODY_BYTES_MAX).map_err(NoAnswer::Held)?;
            if piece.is_empty() {
                return Ok(Ruling::GoOn);
            }
            from += piece.len() as u64;
            match self.answer(&Command::Body(&piece), client, wait, said).await? {
                None | Some(Answer::Continue) => {}
                Some(Answer::Skip) => return Ok(Ruling::GoOn),
                Some(answer) => return Ok(Ruling::of(&answer)),
            }
        }
    }

    fn seen(&mut self, ruling: Ruling, said: Vec<Wish>) -> Result<Seen, NoAnswer> {
        let keeps_blank = self.link.as_ref().is_some_and(|link| link.connection.keeps_blank());
        let mut seen = Seen { keeps_blank, ..Seen::of(self.word(ruling)) };
        let mut body: Option<NewBody> = None;
        for wish in said {
            match wish {
                Wish::Quarantine(reason) => seen.quarantine = Some(reason),
                Wish::Change(Change::Body(piece)) => {
                    body.get_or_insert_default().push(&piece, limits::CONTENT_LINE_BYTES_MAX);
                }
                Wish::Change(change) => seen.changes.push(change),
            }
        }
        seen.body = body.map(NewBody::finish).transpose()?;
        Ok(seen)
    }

    /// The message is over, one way or the other; the connection stays if nobody else wants it.
    pub async fn rest(&mut self) {
        self.on_message = None;
        let at_rest = self.link.as_ref().is_some_and(|link| link.connection.is_at_rest());
        let keep = at_rest && !self.is_open && self.gate.has_room();
        if !keep {
            self.leave().await;
        }
    }

    /// Says goodbye.
    pub async fn leave(&mut self) {
        if let Some(link) = self.link.take() {
            link.connection.quit().await;
        }
        self.unlink();
    }

    async fn ask(
        &mut self,
        command: &Command<'_>,
        client: &Client,
        wait: Duration,
        said: &mut Vec<Wish>,
    ) -> Result<Ruling, NoAnswer> {
        let answer = self.answer(command, client, wait, said).await?;
        Ok(answer.map_or(Ruling::GoOn, |answer| Ruling::of(&answer)))
    }

    async fn answer(
        &mut self,
        command: &Command<'_>,
        client: &Client,
        wait: Duration,
        said: &mut Vec<Wish>,
    ) -> Result<Option<Answer>, NoAnswer> {
        match self.link.as_mut() {
            Some(link) => Ok(link.connection.ask(command, &client.macros, wait, said).await?),
            None => Ok(None),
        }
    }

    fn word(&self, ruling: Ruling) -> MilterWord {
        MilterWord { milter: self.milter.name.clone(), ruling, failure: None, is_repeated: false }
    }

    /// A last word is kept; told is what is more than consent.
    fn conclude(&mut self, ruling: Ruling) -> Option<MilterWord> {
        if ruling == Ruling::GoOn {
            return None;
        }
        let word = self.word(ruling);
        let is_told = word.ruling != Ruling::Content;
        self.on_message = Some(MilterWord { is_repeated: is_told, ..word.clone() });
        is_told.then_some(word)
    }

    fn fail(&mut self, error: &NoAnswer, observer: &Observer) -> Option<MilterWord> {
        let failure = error.to_string();
        self.unlink();
        self.gate.failed(&failure, observer);
        let word = MilterWord {
            failure: Some(failure),
            ..self.word(Ruling::by_default(self.milter.default_action))
        };
        self.on_message = Some(MilterWord { is_repeated: true, ..word.clone() });
        Some(word)
    }

    fn failed(&mut self, error: &NoAnswer, observer: &Observer) -> Seen {
        let word = self.fail(error, observer);
        Seen::of(word.unwrap_or_else(|| self.word(Ruling::GoOn)))
    }

    /// The connection is of no more use.
    fn unlink(&mut self) {
        self.link = None;
        self.greeted = None;
        self.is_open = false;
    }
}

impl Seen {
    fn of(word: MilterWord) -> Self {
        Self { word, quarantine: None, changes: Vec::new(), keeps_blank: false, body: None }
    }
}
