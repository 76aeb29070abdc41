//! Looks at the console, over a connection that is made anew when it is lost.

use std::time::{Instant, SystemTime};

use super::answer::Answer;
use super::link::{Link, LinkError};
use super::screens::SCREENS;
use super::target::Target;
use super::totals::{QUESTIONS, Reading};
use crate::config::Secret;
use crate::derivation::Derivation;

/// See the module.
pub struct Watch {
    target: Target,
    derivation: Derivation,
    link: Option<Link>,
}

impl Watch {
    /// Not connected yet.
    pub fn new(target: Target, derivation: Derivation) -> Self {
        Self {
            target,
            derivation,
            link: None,
        }
    }

    /// Where it looks and as whom, for people.
    pub fn place(&self) -> String {
        format!("{} as {}", self.target.host, self.target.user)
    }

    /// Connects, so that whoever mistyped something sees it at once.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn connect(&mut self) -> Result<(), LinkError> {
        self.link = Some(Link::open(&self.target, &self.derivation).await?);
        Ok(())
    }

    /// Connects with this password, now and whenever the connection is lost.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn connect_with(&mut self, password: Secret) -> Result<(), LinkError> {
        self.target.password = Some(password);
        self.connect().await
    }

    /// Looks at a screen, and at the plan of a statement if `plan` asks for it.
    ///
    /// # Errors
    /// [`LinkError`]; the next look connects anew then.
    pub async fn look(&mut self, screen: usize, plan: Option<&str>) -> Result<Reading, LinkError> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => Link::open(&self.target, &self.derivation).await?,
        };
        let mut head: [Answer; 5] = Default::default();
        for (answer, question) in head.iter_mut().zip(QUESTIONS) {
            *answer = link.ask(question).await?;
        }
        let spec = SCREENS.get(screen).unwrap_or(&SCREENS[0]);
        let answer = link.ask(spec.show).await?;
        let plan = match plan {
            None => None,
            Some(question) => match link.ask(question).await {
                Ok(plan) => Some(plan),
                // Nobody has asked for its plan yet.
                Err(LinkError::Refused(_)) => None,
                Err(error) => return Err(error),
            },
        };
        self.link = Some(link);
        Ok(Reading {
            at: Instant::now(),
            time: SystemTime::now(),
            head,
            screen: (screen, answer),
            plan,
        })
    }

    /// Says goodbye.
    pub async fn close(self) {
        if let Some(link) = self.link {
            link.close().await;
        }
    }
}

/// What to tell of an error, with what helps.
pub(super) fn explained(error: &LinkError) -> String {
    match error.wants_password() {
        true => {
            "the console asks for a password: set PGPASSWORD or write it into ~/.pgpass".to_owned()
        }
        false => error.to_string(),
    }
}
